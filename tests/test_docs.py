"""The code in the README and in the guide runs and prints what the page says.

The Python blocks of a page share one namespace, as a reader would have it who types them in turn.
A block with prompts is compared with its output, one without is executed; if a block of text comes
next, it is what that has to print, with the newest versions; so are numbers in comments behind the
calls of ``print`` (``# 0.91: one model``), if all of a block have them.
"""

import contextlib
import doctest
import importlib
import inspect
import io
import re
import sys
import textwrap
from pathlib import Path

import pytest
import sklearn
from sklearn.utils.fixes import parse_version

import skmoe
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^```(?:python|pycon)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)
WIDEST = 84
"""Columns of code that a page of the documentation shows of a line."""
NEWEST = parse_version(sklearn.__version__) >= parse_version("1.9")
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
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile("\n" * first_line + code, filename, "exec"), namespace)
            said, promised = printed.getvalue().split(), (block[2] or "").split()
            promised = promised or re.findall(r"^print\(.*\)  # ([\d.]+):", code, re.MULTILINE)
            if promised and NEWEST and said != promised:
                report.append(f"{filename}:{first_line}: prints\n{printed.getvalue()}")
    return len(blocks), report


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_the_page_runs(page, tmp_path, monkeypatch):
    if page.stem == "onnx":
        pytest.importorskip("skl2onnx", reason="the extra 'onnx' is not installed")
        pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    if page.stem == "progress":
        pytest.importorskip("sklearn.callback", reason="callbacks are new in scikit-learn 1.9")
    monkeypatch.chdir(tmp_path)  # pages write files
    _, report = run_blocks(page.read_text(encoding="utf-8"), str(page))
    assert not report, "".join(report)


def test_wrong_output_would_be_reported():
    text = "```python\nx = 1\n```\n\n```python\n>>> x + 1\n3\n```\n"
    count, report = run_blocks(text, "page.md")
    assert count == 2
    assert "Expected:\n    3\nGot:\n    2" in "".join(report)


@pytest.mark.skipif("not NEWEST", reason="figures are those of the newest versions")
def test_other_text_than_promised_would_be_reported():
    _, report = run_blocks("```python\nprint(1)\n```\n\n```text\n2\n```\n", "page.md")
    assert "prints\n1" in "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_the_page_is_not_too_wide(page):
    """Text that is printed may go on in the next line; code may not."""
    text = page.read_text(encoding="utf-8")
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines() if kind != "text" else ():
            assert len(line) <= WIDEST, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if target.startswith("generated/gallery/"):  # made of a script, or of the header of all
            source = "GALLERY_HEADER.rst" if target.endswith("index.rst") else None
            script = target.removeprefix("generated/gallery/").replace(".rst", ".py")
            target = f"../examples/{source or script}"
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_names_exists(page):
    """Scripts of the repository, and parameters of public classes and functions in code font."""
    text = page.read_text(encoding="utf-8")
    for script in re.findall(r"\b(?:benchmarks|examples)/\w+(?:/\w+)*\.py", text):
        assert (ROOT / script).exists(), f"{page.name} names {script}"
    for name, arguments in re.findall(r"`(?:skmoe\.|moe\.)?(\w+)\(([^`]*)\)`", text):
        known = getattr(skmoe, name, None) or getattr(MixtureOfExpertsRegressor, name, None)
        if known is not None and "params" not in (accepted := inspect.signature(known).parameters):
            for keyword in re.findall(r"\b(\w+)=(?!=)", re.sub(r"\(.*\)", "", arguments)):
                assert keyword in accepted, f"{page.name} names {name}({keyword}=...)"


MODULES = (
    "",
    ".gates",
    ".inspection",
    ".tables",
    ".metrics",
    ".datasets",
    ".fitted",
    ".io",
    ".onnx",
    ".exceptions",
)


@pytest.mark.parametrize("module", MODULES)
def test_the_reference_has_every_public_name(module):
    listed = set(re.findall(r"^   (\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    public = importlib.import_module(f"skmoe{module}")
    modules = {name.removeprefix(".") for name in MODULES} | {"__version__"}
    assert [name for name in public.__all__ if name not in listed | modules] == []


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


def rewritten(text, filename):
    """The text of a page with what its blocks print in place of what it says that they do."""
    namespace = {"__name__": "__main__"}

    def printed_by(block):
        if block[1].startswith(">>>"):
            return block[0]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block[1], filename, "exec"), namespace)
        if block[2] is None:
            return block[0]
        lines = [part for line in printed.getvalue().splitlines() for part in wrapped(line)]
        return block[0].replace(f"```text\n{block[2]}", "```text\n" + "\n".join(lines) + "\n")

    return BLOCK.sub(printed_by, text)


def wrapped(line):
    """A line, or what it takes of lines that are not too wide."""
    return [line.rstrip()] if len(line) <= WIDEST else textwrap.wrap(line, WIDEST)


if (
    __name__ == "__main__"
):  # python tests/test_docs.py docs/getting_started.md: write what is printed
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(rewritten(page.read_text(encoding="utf-8"), name), encoding="utf-8")
