"""Links from the pages to the API: a public name in code font leads to its page.

So the pages stay plain Markdown, and no name is forgotten. Only the first mention in a section is
a link, and never one within the name's own page.
"""

import inspect

from docutils import nodes
from sphinx import addnodes

import skmoe
import skmoe.datasets
import skmoe.exceptions
import skmoe.fitted
import skmoe.gates
import skmoe.inspection
import skmoe.io
import skmoe.metrics
import skmoe.onnx
import skmoe.tables

MODULES = (
    skmoe,
    skmoe.gates,
    skmoe.inspection,
    skmoe.tables,
    skmoe.metrics,
    skmoe.datasets,
    skmoe.fitted,
    skmoe.exceptions,
)
"""Where the API page documents what, the first that has a name wins."""

QUALIFIED_ONLY = (skmoe.io, skmoe.onnx)
"""Modules whose names are linked with the module before them: ``skmoe.onnx.verify``."""

MIXTURES = (skmoe.MixtureOfExpertsRegressor, skmoe.MixtureOfExpertsClassifier)
"""Their methods are linked by name, unless every estimator has one of that name."""

EVERYDAY = {
    "fit", "predict", "predict_proba", "predict_log_proba", "score", "get_params", "set_params",
    "get_metadata_routing", "set_fit_request", "set_score_request", "set_predict_request",
}  # fmt: skip

AMBIGUOUS = {"coverage", "equation", "utilization"}
"""Words that are also parameters or plain English: linked only as calls, ``coverage(...)``."""


def targets():
    """What text in code font leads to which object: text -> full name."""
    found = {}
    for module in (*MODULES, *QUALIFIED_ONLY):
        for name in module.__all__:
            value = getattr(module, name)
            if not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            full = f"{module.__name__}.{name}"
            found.setdefault(full, full)
            if module in MODULES:
                found.setdefault(name, full)
    for mixture in MIXTURES:
        for name, _ in inspect.getmembers(mixture, inspect.isfunction):
            if not name.startswith(("_", "set_")) and name not in EVERYDAY:
                full = f"skmoe.{mixture.__name__}.{name}"
                found.setdefault(name, full)
                found.setdefault(f"moe.{name}", full)
    return found


def add_links(app, doctree):
    """Make references of what is in code font and is a name, or a call of one."""
    names, page = app.env.api_targets, app.env.docname
    if page == "changelog":
        return
    linked = set()
    for literal in list(doctree.findall(nodes.literal)):
        if any(
            isinstance(above, nodes.reference | nodes.title | addnodes.pending_xref)
            for above in ancestors(literal)
        ):
            continue
        name, call, _ = literal.astext().partition("(")
        full = names.get(name) if call or name not in AMBIGUOUS else None
        if full is None or page == f"generated/{full}":
            continue
        section = next((a for a in ancestors(literal) if isinstance(a, nodes.section)), None)
        if (full, id(section)) in linked:
            continue
        linked.add((full, id(section)))
        reference = addnodes.pending_xref(
            "", refdomain="py", reftype="obj", reftarget=full, refdoc=page, refexplicit=True
        )
        literal.replace_self(reference)
        reference += literal


def ancestors(node):
    """What a node is in, from the inside out."""
    while node.parent is not None:
        node = node.parent
        yield node


def setup(app):
    app.connect("builder-inited", lambda app: setattr(app.env, "api_targets", targets()))
    app.connect("doctree-read", add_links)
    return {"parallel_read_safe": True}
