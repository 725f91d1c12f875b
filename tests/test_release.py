"""What names the version names the same; links of the README on a package index are right."""

import re
from pathlib import Path

import pytest

import skmoe

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("CITATION.cff", r"^version: (\S+)$"),
        ("CHANGELOG.md", r"^## \[(\d+\.\d+\.\d+)\]"),
        ("docs/citation.md", r"Version (\S+)\.$"),
        ("docs/install.md", r"^'(\d+\.\d+\.\d+)'$"),
    ],
)
def test_version(name, pattern):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.search(pattern, text, re.MULTILINE)[1] == skmoe.__version__


def test_links_of_the_readme_on_a_package_index(monkeypatch):
    pytest.importorskip("hatchling")
    monkeypatch.syspath_prepend(str(ROOT))
    from hatch_build import absolute_links

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text = absolute_links(readme, "https://example.org/docs")
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert len(targets) > 10
    assert all(target.startswith("https://example.org/docs/") for target in targets), targets
    for target in targets:
        page = target.removeprefix("https://example.org/docs/").partition("#")[0]
        if page.endswith(".html") and "/" not in page:
            assert (ROOT / "docs" / page).with_suffix(".md").exists(), page
