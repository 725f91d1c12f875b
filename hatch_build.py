"""The README as package indexes show it, where links within the repository lead nowhere."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

PAGES = {
    r"docs/(\w+)\.md(#[\w-]+)?": r"\1.html\2",
    r"docs/(\w+\.png)": r"_images/\1",
    r"examples/(\w+)/(\w+)\.py": r"generated/gallery/\1/\2.html",
    "examples": "generated/gallery/index.html",
    r"CHANGELOG\.md": "changelog.html",
    r"CONTRIBUTING\.md": "contributing.html",
    "LICENSE": "contributing.html#licence",
}
"""Targets of links in the README, and the pages of the documentation that show the same."""


def absolute_links(text, documentation):
    """The text with links to files of the repository turned to links to the documentation."""
    for target, page in PAGES.items():
        text = re.sub(rf"\]\({target}\)", rf"]({documentation}/{page})", text)
    return text


class Readme(MetadataHookInterface):
    """The hook that hatchling calls when it builds a distribution."""

    def update(self, metadata):
        """Set the field ``readme``."""
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = absolute_links(readme, metadata["urls"]["Documentation"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
