"""Configuration of Sphinx."""

import os
import re
import sys
import tempfile
from pathlib import Path

import skmoe

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]  # api_links, mathml, openml_copies
import openml_copies  # noqa: E402

if openml_copies.are_there():  # no network is needed
    os.environ["SCIKIT_LEARN_DATA"] = tempfile.mkdtemp()
    openml_copies.put_into(os.environ["SCIKIT_LEARN_DATA"])

project = "skmoe"
author = "skmoe developers"
copyright = "2026, skmoe developers"
version = release = skmoe.__version__

extensions = [
    "api_links",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "generated/gallery/*.ipynb"]
default_role = "literal"  # `name` is code, as in Markdown; api_links.py makes a link of it
templates_path = ["_templates"]
html_math_renderer = "mathml"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.strikethrough"]

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc sections say the types
numpydoc_show_class_members = False  # the class template lists the methods

SECTIONS = ("regimes", "experts", "tables", "trust", "in_use")
"""Folders of the gallery, in the order of its page."""

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "generated/gallery",
    "filename_pattern": "/plot_",
    "ignore_pattern": r"^(?!plot_)",  # scripts that need data, a server or a cluster
    "subsection_order": [f"../examples/{name}" for name in SECTIONS],
    "within_subsection_order": "ExampleTitleSortKey",
    "nested_sections": False,
    "image_scrapers": ("matplotlib",),
    "capture_repr": ("_repr_html_",),  # diagrams and tables, and not "<Display object at 0x...>"
    "abort_on_example_error": True,
    "image_srcset": ["2x"],  # sharp on displays of many dots
    "doc_module": ("skmoe",),
    "backreferences_dir": "generated/backreferences",
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": float("inf"),  # the same page from every build
}

html_theme = "pydata_sphinx_theme"
html_title = f"skmoe {release}"
html_static_path = ["_static"]
html_css_files = ["skmoe.css"]
html_show_sourcelink = False
toc_object_entries_show_parents = "hide"  # their names are long, and the column is narrow
# A column for the pages of a section only where there are some; code needs the room.
ALONE = "index install getting_started when_it_helps settings tuning faq changelog citation"
html_sidebars = {page: [] for page in [*ALONE.split(), "contributing"]}
html_theme_options = {
    "logo": {"text": f"skmoe {release}"},
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
}


def skip_metadata_requests(app, what, name, obj, skip, options):
    """Leave out what scikit-learn adds to every estimator for metadata routing."""
    generated = name.startswith("set_") and name.endswith("_request")
    return True if generated or name == "get_metadata_routing" else None


def unlink_references(app, what, name, obj, options, lines):
    """Turn references to pages of scikit-learn's manual, in methods inherited from it, to text."""
    if (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        lines[:] = [re.sub(r":ref:`([^`<]*?)(?: *<[^>]*>)?`", r"\1", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", unlink_references)
    app.connect("autodoc-skip-member", skip_metadata_requests)
