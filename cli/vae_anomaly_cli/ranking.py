"""The most anomalous rows, for people and for programs."""

from typing import Any

import pyarrow as pa
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly_cli.console import one_line
from vae_anomaly_cli.reasons import Reasons
from vae_anomaly_cli.roles import FLAG, SCORE
from vae_anomaly_cli.types import as_text

CELL_WIDTH = 18
BORDERS = 3
MIN_WIDTH = 20


def ranked_objects(
    scored: pa.Table, places: list[tuple[str | None, int]], reasons: Reasons | None = None
) -> list[dict[str, Any]]:
    """Describe ranked rows: rank, place, score, flag and cells, and reasons where there are some.

    Parameters
    ----------
    scored : pyarrow.Table
        The ranked rows, the most anomalous first, with score and flag.
    places : list of (str or None, int)
        In which file each of them stands if there are several, and which row (from 1) it is there.
    reasons : Reasons, optional
        By rank, from 0.
    """
    return [
        {
            "rank": rank,
            **({} if file is None else {"file": file}),
            "row": row,
            SCORE: cells.pop(SCORE),
            FLAG: cells.pop(FLAG),
            "cells": cells,
        }
        | (reasons.objects[rank - 1] if reasons else {})
        for rank, ((file, row), cells) in enumerate(zip(places, scored.to_pylist(), strict=True), start=1)
    ]


def show_ranking(
    scored: pa.Table, places: list[tuple[str | None, int]], ids: tuple[str, ...], reasons: Reasons | None = None
) -> None:
    """Draw ranked rows on standard output: ids first, then reasons, or as many columns as the terminal is wide."""
    console = Console(highlight=False)
    texts = as_text(scored.combine_chunks().to_batches()[0]).to_pydict()
    drawn = RichTable(caption_justify="left")
    drawn.add_column("row", justify="right", style="dim")
    row_numbers = [f"{row}" if file is None else f"{_shortened(file)} {row}" for file, row in places]
    scores = [f"{score:.2f}" for score in scored[SCORE].to_numpy()]
    flags = ["yes" if flag == "true" else "" for flag in texts[FLAG]]
    named = {name: [_shortened(cell) for cell in texts[name]] for name in ids}
    width = console.width - 1 - _width("row", row_numbers) - _width(SCORE, scores) - _width("anomaly", flags)
    width -= sum(_width(_shortened(name), cells) for name, cells in named.items())
    for name in named:
        drawn.add_column(Text(_shortened(name)), no_wrap=True)
    drawn.add_column(SCORE, justify="right", no_wrap=True)
    drawn.add_column("anomaly", no_wrap=True)
    if reasons is not None:
        drawn.add_column("why", overflow="fold", min_width=MIN_WIDTH)
        others = {"why": [packed(reasons.short[row], max(width - BORDERS, MIN_WIDTH)) for row in range(len(places))]}
    else:
        names = [name for name in texts if name not in (*ids, SCORE, FLAG)]
        others = _fitting({name: [_shortened(cell) for cell in texts[name]] for name in names}, width)
        for name in others:
            drawn.add_column(Text(_shortened(name)), no_wrap=True, style="dim")
        if len(others) < len(names):
            drawn.caption = f"{len(names) - len(others)} more columns with -o FILE"
    for place, (row, score, flag) in enumerate(zip(row_numbers, scores, flags, strict=True)):
        style = "bold red" if flag else ""
        before = [Text(cells[place]) for cells in named.values()]
        after = [Text(cells[place]) for cells in others.values()]
        drawn.add_row(row, *before, Text(score, style=style), Text(flag, style=style), *after)
    console.print(drawn)


def packed(phrases: list[str], width: int) -> str:
    r"""Join phrases with semicolons, as many a line as fit; a phrase longer than a line is left to wrap.

    Examples
    --------
    >>> packed(["T3 10.6", "FTI 349", "TSH 0.1"], 17)
    'T3 10.6; FTI 349;\nTSH 0.1'
    """
    lines: list[str] = []
    for place, phrase in enumerate(phrases):
        text = one_line(phrase) + (";" if place < len(phrases) - 1 else "")
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
