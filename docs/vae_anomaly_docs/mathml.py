"""Formulas as MathML, made in the build by docutils: browsers draw it without a script and without a network."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

# Browsers leave no room between "log" and what follows without a parenthesis.
APPLIED = r"<mo>&ApplyFunction;</mo>(?!\s*<mo[^>]*>[(\[])"
THIN_SPACE = '<mspace width="0.17em"></mspace>'

logger = logging.getLogger(__name__)


def formula(node: nodes.math | nodes.math_block, *, is_block: bool) -> str:
    """Return the MathML of a formula; what cannot be converted is a warning, which fails the build."""
    text = node.astext().strip()
    if is_block and r"\\" in text and r"\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    try:
        return re.sub(APPLIED, THIN_SPACE, tex2mathml(text, as_block=is_block))
    except MathError as error:
        logger.warning("a formula cannot be converted: %s: %s", text, error, location=node)
        return f"<code>{text}</code>"


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    self.body.append(formula(node, is_block=False))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own."""
    self.body.append(f'<div class="formula">{formula(node, is_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of it."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
