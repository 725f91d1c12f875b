"""The code in the README and in the guide runs and prints what the page says.

The Python blocks of a page share one namespace, as a reader would have it who types them in turn.
A block with prompts is compared with its output, one without is executed.
"""

import doctest
import inspect
import re
from pathlib import Path

import pytest

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?:python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def run_blocks(text, filename):
    """Run all Python blocks; returns how many there are and what failed."""
    namespace = {"__name__": "__main__"}
    report = []
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        code, first_line = block[1], text.count("\n", 0, block.start(1))
        if code.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(
                code, namespace, Path(filename).name, filename, first_line
            )
            doctest.DocTestRunner(optionflags=FLAGS).run(
                test, out=report.append, clear_globs=False
            )
            namespace = test.globs
        else:
            exec(compile("\n" * first_line + code, filename, "exec"), namespace)
    return len(blocks), report


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_the_page_runs(page, tmp_path, monkeypatch):
    if page.stem == "onnx":
        pytest.importorskip("skl2onnx", reason="the extra 'onnx' is not installed")
        pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    monkeypatch.chdir(tmp_path)  # pages write files
    _, report = run_blocks(page.read_text(encoding="utf-8"), str(page))
    assert not report, "".join(report)


def test_wrong_output_would_be_reported():
    text = "```python\nx = 1\n```\n\n```python\n>>> x + 1\n3\n```\n"
    count, report = run_blocks(text, "page.md")
    assert count == 2
    assert "Expected:\n    3\nGot:\n    2" in "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def parameters(model):
    """Descriptions of the parameters in a docstring, by name."""
    text = inspect.getdoc(model).split("Parameters\n----------\n")[1]
    section = text.split("\n\nAttributes\n")[0]
    entries = re.split(r"^(\w+) : ", section, flags=re.MULTILINE)[1:]
    return dict(zip(entries[::2], entries[1::2], strict=True))


def test_both_mixtures_say_the_same_of_the_parameters_that_they_share():
    """The two docstrings are written out, so that each can be read alone."""
    models = MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
    classifier, regressor = map(parameters, models)
    for model, described in zip(models, (classifier, regressor), strict=True):
        assert list(described) == list(inspect.signature(model).parameters)
    different = {name for name in classifier if classifier[name] != regressor[name]}
    assert different == {"experts", "cv"}
