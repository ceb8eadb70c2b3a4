"""The most anomalous rows or images, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly.batches import FLAG, LIKELIHOOD, P_VALUE, REASONS, SCORE
from vae_anomaly_cli.console import one_line
from vae_anomaly_cli.render.drawings import draw
from vae_anomaly_cli.render.reasons import Reasons
from vae_anomaly_cli.types import as_text

CELL_WIDTH = 18
BORDERS = 3
MIN_WIDTH = 20


@dataclass(frozen=True)
class RowNumber:
    """Where a row of a table is.

    Attributes
    ----------
    file : str or None
        The file, if there are several.
    row : int
        Which row it is there, from 1.
    """

    file: str | None
    row: int

    def __str__(self) -> str:
        return f"{self.row}" if self.file is None else f"{_shortened(self.file)} {self.row}"


@dataclass(frozen=True)
class Ranking:
    """Rows or images, the most anomalous first.

    Attributes
    ----------
    scored : pyarrow.Table
        Their cells, with score, p-value and flag.
    names : sequence of str
        The columns that name them; what they are of images is shown whole.
    numbers : sequence of RowNumber or None
        Where rows of a table are; None for images, which are named.
    reasons : Reasons or None
        By rank, from 0.
    """

    scored: pa.Table
    names: Sequence[str]
    numbers: Sequence[RowNumber] | None = None
    reasons: Reasons | None = None

    def objects(self) -> list[dict[str, Any]]:
        """Describe them for programs: rank, location, score, p-value, flag, cells, and reasons if there are any."""
        ranked = list(enumerate(self.scored.to_pylist(), start=1))
        if self.numbers is None:
            return [{"rank": rank, **cells} for rank, cells in ranked]
        return [
            {
                "rank": rank,
                **({} if number.file is None else {"file": number.file}),
                "row": number.row,
                SCORE: cells.pop(SCORE),
                **({LIKELIHOOD: cells.pop(LIKELIHOOD)} if LIKELIHOOD in cells else {}),
                P_VALUE: cells.pop(P_VALUE),
                FLAG: cells.pop(FLAG),
                "cells": cells,
            }
            | (self.reasons.objects[rank - 1] if self.reasons else {})
            for (rank, cells), number in zip(ranked, self.numbers, strict=True)
        ]

    def show(self) -> None:
        """Draw them on standard output: names first, then reasons, or as many columns as the terminal is wide."""
        console = Console(highlight=False)
        texts: dict[str, list[str]] = {name: [] for name in self.scored.column_names}
        if self.scored.num_rows:
            texts = as_text(self.scored.combine_chunks().to_batches()[0]).to_pydict()
        drawn = RichTable(caption_justify="left")
        heading, numbers = "row", [str(number) for number in self.numbers or ()]
        if self.numbers is None:
            heading, numbers = "rank", [f"{rank}" for rank in range(1, self.scored.num_rows + 1)]
        drawn.add_column(heading, justify="right", style="dim")
        scores = [f"{score:,.2f}" for score in self.scored[SCORE].to_pylist()]
        p_values = ["" if p is None else f"{p:.2g}" for p in self.scored[P_VALUE].to_pylist()]
        flags = ["yes" if flag == "true" else "" for flag in texts[FLAG]]
        named = {name: [self._name(cell) for cell in texts[name]] for name in self.names}
        width = console.width - 1 - _width(heading, numbers) - _width(SCORE, scores) - _width(FLAG, flags)
        width -= _width(P_VALUE, p_values)
        width -= sum(_width(_shortened(name), cells) for name, cells in named.items())
        for name in named:
            drawn.add_column(Text(_shortened(name)), no_wrap=self.numbers is not None, overflow="fold")
        drawn.add_column(SCORE, justify="right", no_wrap=True)
        drawn.add_column(P_VALUE, justify="right", no_wrap=True)
        drawn.add_column(FLAG, no_wrap=True)
        others = self._others(texts, width, drawn)
        for rank, number in enumerate(numbers):
            style = "bold red" if flags[rank] else ""
            found = [Text(texts_of[rank], style=style) for texts_of in (scores, p_values, flags)]
            before = [Text(cells[rank]) for cells in named.values()]
            after = [Text(cells[rank]) for cells in others.values()]
            drawn.add_row(Text(number), *before, *found, *after)
        draw(console, drawn)

    def _others(self, texts: dict[str, list[str]], width: int, drawn: RichTable) -> Mapping[str, list[str]]:
        """Add columns for reasons, or for as many cells as there is room for."""
        if self.reasons is not None:
            drawn.add_column(REASONS, overflow="fold", min_width=MIN_WIDTH)
            room = max(width - BORDERS, MIN_WIDTH)
            return {REASONS: [packed(self.reasons.short[rank], room) for rank in range(self.scored.num_rows)]}
        if self.numbers is None:
            return {}
        names = [name for name in texts if name not in (*self.names, SCORE, P_VALUE, FLAG)]
        others = _fitting({name: [_shortened(cell) for cell in texts[name]] for name in names}, width)
        for name in others:
            drawn.add_column(Text(_shortened(name)), no_wrap=True, style="dim")
        if len(others) < len(names):
            drawn.caption = f"{len(names) - len(others)} more columns with -o FILE"
        return others

    def _name(self, cell: str) -> str:
        return one_line(cell) if self.numbers is None else _shortened(cell)


def packed(phrases: list[str], width: int) -> str:
    r"""Join phrases with semicolons, as many a line as fit; a phrase longer than a line is left to wrap.

    Examples
    --------
    >>> packed(["T3 10.6", "FTI 349", "TSH 0.1"], 17)
    'T3 10.6; FTI 349;\nTSH 0.1'
    """
    lines: list[str] = []
    for index, phrase in enumerate(phrases):
        text = one_line(phrase) + (";" if index < len(phrases) - 1 else "")
        if lines and cell_len(f"{lines[-1]} {text}") <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(text)
    return "\n".join(lines)


def _fitting(columns: dict[str, list[str]], width: int) -> dict[str, list[str]]:
    """Return the first columns, as many as the width has room for."""
    shown = {}
    for name, cells in columns.items():
        width -= _width(_shortened(name), cells)
        if width < 0:
            break
        shown[name] = cells
    return shown


def _width(name: str, cells: list[str]) -> int:
    return max(cell_len(text) for text in (name, *cells)) + BORDERS


def _shortened(cell: str) -> str:
    text = one_line(cell)
    return text if cell_len(text) <= CELL_WIDTH else text[: CELL_WIDTH - 1] + "…"
