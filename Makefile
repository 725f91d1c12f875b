# Everything runs in environments of this repository's own: .venv with the newest supported
# versions (constraints.txt), .venv-floor with the oldest (constraints-floor.txt).  They are built
# on first use and again only when pyproject.toml or the pins change.
#
#   PYTHON=python3.12   the interpreter to build them with (default: python3)
#   SLOW=1              make test also runs the tests marked slow
#   WORKERS=2           processes that run the tests (default: one per core)
#   ARGS="-k gate"      further arguments of pytest

BOOTSTRAP := $(or $(strip $(PYTHON)),python3)
VENV := .venv
BIN := $(VENV)/bin
FLOOR := .venv-floor
NEXT := .venv-next
SDIST := build/sdist
WORKERS ?= auto
MARKERS := $(if $(filter 1,$(SLOW)),,-m "not slow")
PYTEST_ARGS = -q -n $(WORKERS) $(MARKERS) $(ARGS)
# Twice quiet: its warnings are of no concern to who runs the tests; errors are shown.
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check --root-user-action=ignore

.DEFAULT_GOAL := help
.PHONY: help demo test test-nojit test-floor test-sdist test-next lint format docs site benchmarks clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{printf "make %-12s %s\n", $$1, $$2}'

demo: $(VENV)/.stamp-demo  ## a short tour with a picture
	@MPLBACKEND=Agg $(BIN)/python examples/demo.py

test: $(VENV)/.stamp  ## all tests and doctests (SLOW=1: the slow ones too)
	@echo "== tests on the newest supported versions"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-nojit: $(VENV)/.stamp  ## the kernels' tests as plain Python
	@echo "== tests of the kernels without compilation"
	@NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest $(PYTEST_ARGS) tests/arithmetic/test_compiled.py

# Pages, examples and benchmarks are for the newest versions; what is about our own files is not
# about versions.
NOT_ON_FLOOR := test_docs test_examples test_site test_benchmarks test_serving_example test_imports \
    test_release test_reference io/test_bundle_fuzz io/test_bundle_atomic

test-floor: $(FLOOR)/.stamp  ## the tests of the package on the oldest supported versions
	@echo "== tests on the oldest supported versions"
	@$(FLOOR)/bin/python -m pytest $(PYTEST_ARGS) tests $(NOT_ON_FLOOR:%=--ignore=tests/%.py)

test-sdist: $(VENV)/.stamp  ## all tests and doctests, of an unpacked source distribution
	@echo "== tests of the source distribution on the newest supported versions"
	@rm -rf $(SDIST) && mkdir -p $(SDIST)
	@$(BIN)/python -m hatchling build -t sdist -d $(SDIST) > $(SDIST).log 2>&1 \
	    || { cat $(SDIST).log >&2; exit 1; }
	@tar -xzf $(SDIST)/skmoe-*.tar.gz -C $(SDIST) --strip-components=1
	@cd $(SDIST) && SKMOE_REFERENCE="$${SKMOE_REFERENCE:-$(CURDIR)/../shared/reference}" \
	    SKMOE_DATA="$${SKMOE_DATA:-$(CURDIR)/../shared/data}" \
	    $(CURDIR)/$(BIN)/python -m pytest $(PYTEST_ARGS)

# What is pinned is the newest release; a pre-release of the next one is there for some weeks a year.
test-next: $(VENV)/.stamp  ## the contracts with scikit-learn on its next release, if there is one
	@pin=$$($(BIN)/python -c 'import sklearn; print(sklearn.__version__)'); \
	if $(BIN)/python $(PIP_INSTALL) --dry-run --no-deps --pre "scikit-learn>$$pin" 2> /dev/null; then \
	    echo "== tests on the next scikit-learn"; \
	    rm -rf $(NEXT) && $(BOOTSTRAP) -m venv $(NEXT) \
	    && grep -v '^scikit-learn==' constraints.txt > $(NEXT)/constraints.txt \
	    && $(NEXT)/bin/python $(PIP_INSTALL) --pre -c $(NEXT)/constraints.txt \
	        "scikit-learn>$$pin" hatchling \
	    && $(NEXT)/bin/python $(PIP_INSTALL) --pre -c $(NEXT)/constraints.txt \
	        --no-build-isolation -e '.[test]' \
	    && $(NEXT)/bin/python -m pytest $(PYTEST_ARGS) tests/test_sklearn_contract.py \
	        tests/test_behaviour.py tests/io/test_bundle_history.py; \
	else echo "== no scikit-learn newer than $$pin can be had: nothing to test"; fi

lint: $(VENV)/.stamp-dev  ## ruff and mypy
	@echo "== ruff check";  $(BIN)/ruff check .
	@echo "== ruff format"; $(BIN)/ruff format --check .
	@echo "== mypy";        $(BIN)/mypy skmoe

format: $(VENV)/.stamp-dev  ## let ruff format and repair the code
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

docs: $(VENV)/.stamp-dev  ## docs/_build/html; a warning is an error
	@echo "== docs"
	@rm -rf docs/generated
	@$(BIN)/sphinx-build -W --keep-going -q -E -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

site: docs  ## the docs, their links, and their look in Chromium where it is installed
	@echo "== links and look of the docs"
	@$(BIN)/python -m pytest -q tests/test_site.py

benchmarks: $(VENV)/.stamp  ## measure accuracy and speed against other models
	@$(BIN)/python -m benchmarks

clean:  ## remove environments, caches and built files
	rm -rf .venv .venv-floor .venv-next build dist docs/_build docs/generated
	rm -rf .pytest_cache .ruff_cache .mypy_cache htmlcov .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.stamp-demo: pyproject.toml constraints.txt
	@$(BOOTSTRAP) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo "skmoe needs Python 3.10 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "== building $(VENV) with $$($(BOOTSTRAP) --version) (once; a minute or so)"
	@$(BOOTSTRAP) -m venv $(VENV) \
	    || { echo "$(BOOTSTRAP) -m venv failed: is the venv module of this Python installed?" >&2; exit 1; }
	@$(BIN)/python $(PIP_INSTALL) -c constraints.txt hatchling
	@$(BIN)/python $(PIP_INSTALL) -c constraints.txt --no-build-isolation -e '.[plot,pandas]'
	@touch $@

$(VENV)/.stamp: $(VENV)/.stamp-demo
	@echo "== adding the tools for tests to $(VENV)"
	@$(BIN)/python $(PIP_INSTALL) -c constraints.txt --no-build-isolation -e '.[test]'
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp
	@echo "== adding the tools for docs and lint to $(VENV)"
	@$(BIN)/python $(PIP_INSTALL) -c constraints.txt --no-build-isolation -e '.[docs,dev]'
	@touch $@

# The oldest set has wheels for Python 3.10 to 3.13; the oldest interpreter comes first.
$(FLOOR)/.stamp: pyproject.toml constraints-floor.txt
	@for python in python3.10 $(BOOTSTRAP) python3.13 python3.12 python3.11; do \
	    $$python -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
	        > /dev/null 2>&1 || continue; \
	    echo "== building $(FLOOR) with $$($$python --version) (once; a minute or two)"; \
	    exec $$python -m venv $(FLOOR); \
	done; echo "make test-floor needs one of Python 3.10 to 3.13" >&2; exit 1
	@$(FLOOR)/bin/python $(PIP_INSTALL) -c constraints-floor.txt hatchling
	@$(FLOOR)/bin/python $(PIP_INSTALL) -c constraints-floor.txt --no-build-isolation -e '.[test]'
	@touch $@
