"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network."""

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml


def visit_inline(writer, node):
    """Write a formula within a line."""
    writer.body.append(str(tex2mathml(node.astext(), as_block=False)))
    raise SkipNode


def visit_block(writer, node):
    """Write a formula that stands by itself."""
    formula = tex2mathml(node.astext(), as_block=True)
    writer.body.append(f'<div class="formula">{formula}</div>\n')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True}
