"""Paragraphs and tables of Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 120


def paragraph(text: str) -> str:
    """The words in lines, and an empty line."""
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False) + "\n\n"


def points(texts: Iterable[str]) -> str:
    """A list."""
    return (
        "".join(textwrap.indent(paragraph(text), "  ").replace("  ", "- ", 1).rstrip() + "\n" for text in texts) + "\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """A table whose first columns are text, and the others figures, but for the last where its head has no unit."""
    lines = [heads, ["---" if place < left else "---:" for place in range(len(heads))], *rows]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in lines) + "\n"
