"""The strangest rows, for people and for programs."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly_cli.cells import as_text
from vae_anomaly_cli.console import one_line
from vae_anomaly_cli.features import FLAG, SCORE

CELL_WIDTH = 18
BORDERS = 3


def strangest_first(scores: npt.NDArray[np.float64], top: int | None) -> npt.NDArray[np.intp]:
    """Rows from the highest score down; equal scores in the order of the file."""
    return np.argsort(-scores, kind="stable")[:top]


def ranked_objects(scored: pa.Table, rows: npt.NDArray[np.intp]) -> list[dict[str, Any]]:
    """Describe ranked rows: rank, row number (from 1), score, flag and cells.

    Parameters
    ----------
    scored : pyarrow.Table
        The ranked rows, the strangest first, with score and flag.
    rows : ndarray of int
        Where each of them (from 0) stands in the file.
    """
    return [
        {
            "rank": rank,
            "row": int(row) + 1,
            SCORE: cells.pop(SCORE),
            FLAG: cells.pop(FLAG),
            "cells": cells,
        }
        for rank, (row, cells) in enumerate(zip(rows, scored.to_pylist(), strict=True), start=1)
    ]


def show_ranking(scored: pa.Table, rows: npt.NDArray[np.intp], ids: tuple[str, ...]) -> None:
    """Draw ranked rows on standard output: ids first, then as many columns as the terminal is wide."""
    console = Console(highlight=False)
    texts = as_text(scored.combine_chunks().to_batches()[0]).to_pydict()
    drawn = RichTable(caption_justify="left")
    drawn.add_column("row", justify="right", style="dim")
    row_numbers = [f"{row + 1}" for row in rows]
    width = console.width - _width("row", row_numbers) - 1
    scores = [f"{score:.2f}" for score in scored[SCORE].to_numpy()]
    flags = ["yes" if flag == "true" else "" for flag in texts[FLAG]]
    width -= _width(SCORE, scores) + _width("anomaly", flags)
    shown = {}
    others = [name for name in texts if name not in (*ids, SCORE, FLAG)]
    for name in (*ids, *others):
        cells = [_shortened(cell) for cell in texts[name]]
        needed = _width(_shortened(name), cells)
        if needed > width and name not in ids:
            break
        shown[name] = cells
        width -= needed
    n_hidden = len(ids) + len(others) - len(shown)
    for name in ids:
        drawn.add_column(Text(_shortened(name)), no_wrap=True)
    drawn.add_column(SCORE, justify="right", no_wrap=True)
    drawn.add_column("anomaly")
    for name in list(shown)[len(ids) :]:
        drawn.add_column(Text(_shortened(name)), no_wrap=True, style="dim")
    if n_hidden:
        drawn.caption = f"{n_hidden} more columns with -o FILE"
    columns = list(shown.values())
    for place, (row, score, flag) in enumerate(zip(row_numbers, scores, flags, strict=True)):
        drawn_cells = [Text(column[place]) for column in columns]
        style = "bold red" if flag else ""
        marks = (Text(score, style=style), Text(flag, style=style))
        drawn.add_row(row, *drawn_cells[: len(ids)], *marks, *drawn_cells[len(ids) :])
    console.print(drawn)


def _width(name: str, cells: list[str]) -> int:
    return max(cell_len(text) for text in (name, *cells)) + BORDERS


def _shortened(cell: str) -> str:
    text = one_line(cell)
    return text if cell_len(text) <= CELL_WIDTH else text[: CELL_WIDTH - 1] + "…"
