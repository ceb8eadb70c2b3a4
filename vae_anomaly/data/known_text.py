"""Text of rows to what it stands for, by what the columns of a model know of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.data.level_codes import LevelCodes
from vae_anomaly.data.table import Table
from vae_anomaly.data.text_format import TextColumn, TextFormat
from vae_anomaly.errors import DataError, DecimalMarkWarning, OddCellsWarning, callers_level

MAX_ODD_SHARE, MIN_CELLS_FOR_ODD = 0.01, 20
CONTENT = {"number": "numbers", "date": "dates", "boolean": "true and false"}
EXPECTED = {
    "number": "numeric columns take numbers or NaN. Clean the cell, or fit with the whole column as text.",
    "date": "expected dates",
    "boolean": "expected true or false. Clean the cell.",
}


@dataclass(frozen=True)
class KnownText:
    """How the text of a column is read.

    Parameters
    ----------
    name : str
    form : TextFormat or None
        None of columns whose text is not read.
    levels : LevelCodes
        Of a column of levels.
    """

    name: str
    form: TextFormat | None
    levels: LevelCodes


def read_known_text(
    table: Table, columns: Sequence[KnownText], *, lenient: bool = False
) -> tuple[dict[int, Any], frozenset[int]]:
    """What the text of some columns stands for, by position, and the columns whose text stands for itself.

    Parameters
    ----------
    table : Table
        Rows with these columns, in a DataFrame.
    columns : sequence of KnownText
        In the order of the table.
    lenient : bool, default=False
        Whether a few cells that cannot be read are missing, with a warning, as they are in training.

    Raises
    ------
    DataError
        If a cell cannot be read.
    """
    read: dict[int, Any] = {}
    unchanged: set[int] = set()
    marked: list[tuple[str, TextFormat, TextColumn]] = []
    for position, column in enumerate(columns):
        form = column.form
        # Where empty cells are a level they are one in any type of column.
        if form is None or not (form.empty_level or table.content(position) == "text"):
            continue
        distinct = table.distinct_texts(position)
        values, lost = form.read(distinct.texts)
        if form.kind == "number" and any("," in text or "." in text for text in distinct.texts):
            marked.append((column.name, form, TextColumn.of(distinct)))
        if form.kind == "level":
            values = np.array([column.levels.spelling_of(level) for level in values] + [None], dtype=object)[:-1]
            if distinct.are_cells and not form.empty_level and values.tolist() == distinct.texts:
                unchanged.add(position)
                continue
        elif lost.any():
            rows = np.isin(distinct.codes, np.flatnonzero(lost))
            row, n_odd = int(rows.argmax()), int(rows.sum())
            text = distinct.texts[int(distinct.codes[row])]
            if not (lenient and is_few(n_odd, table.n_rows)):
                raise unreadable_text(column.name, form, text, row)
            label = table.label(row)
            odd = OddCellsWarning(column.name, text, row, n_odd, table.n_rows, CONTENT[form.kind], label)
            warnings.warn(odd, stacklevel=callers_level())
        read[position] = cells_of(form, distinct.spread(values, empty_of(form)))
    for warning in _doubtful_marks(marked):
        warnings.warn(warning, stacklevel=callers_level())
    return read, frozenset(unchanged)


def _doubtful_marks(marked: Sequence[tuple[str, TextFormat, TextColumn]]) -> list[DecimalMarkWarning]:
    """Columns with cells like 1,234 where other cells, or those of training, speak against how they are read."""
    said = []
    # Of the columns that are read with each mark, the first text that certainly has the other.
    sure_of: dict[str, str] = {}
    for _, form, column in marked:
        for text in _with_other_mark(column, form.decimal) if form.decimal not in sure_of else ():
            sure_of[form.decimal] = text
    for name, form, column in marked:
        parsed, texts, counts = column.parsed, column.distinct.texts, column.distinct.counts
        doubtful = np.flatnonzero((parsed.marks != "") & ~column.empty)
        if not len(doubtful):
            continue
        sure = next(iter(_with_other_mark(column, form.decimal)), sure_of.get(form.decimal, ""))
        grouped = doubtful[parsed.marks[doubtful] != form.decimal]
        own = column.evidence[form.decimal] if column.evidence else 0
        new = [] if own else [index for index in grouped.tolist() if not form.had_thousands(str(parsed.marks[index]))]
        if sure or new:
            first = int(doubtful[0]) if sure else new[0]
            count = int(counts[doubtful if sure else new].sum())
            reading = f"{form.read([texts[first]])[0][0]:.15g}"
            said.append(DecimalMarkWarning(name, texts[first], reading, sure, count))
    return said


def _with_other_mark(column: TextColumn, decimal: str) -> list[str]:
    """The first text whose decimal mark is certainly another, if there is one."""
    parsed = column.parsed
    other = "," if decimal == "." else "."
    found = np.flatnonzero((parsed.decimals == other) | (parsed.thousands == decimal))
    return [column.distinct.texts[int(found[0])]] if len(found) else []


def is_few(count: int, n_cells: int) -> bool:
    """Whether so many of some cells may be odd."""
    return count <= max(MAX_ODD_SHARE * n_cells, 1 if n_cells >= MIN_CELLS_FOR_ODD else 0)


def unreadable_text(name: str, form: TextFormat, text: str, row: int) -> DataError:
    """A text that is not what its column takes."""
    expected = EXPECTED[form.kind]
    if form.kind == "date":
        how = "ISO dates such as 2026-01-31" if form.date_format == "ISO8601" else f"dates like {form.date_format}"
        expected += f". Give a date dtype or {how}."
    return DataError(f"column {name!r} holds {text!r}", expected, column=name, row=row)


def empty_of(form: TextFormat) -> Any:
    """What stands for a missing cell."""
    if form.kind == "number":
        return np.nan
    if form.kind == "date":
        return np.datetime64("NaT")
    return form.empty_level or None


def cells_of(form: TextFormat, values: npt.NDArray[Any]) -> Any:
    """Cells that were read, as a column of a DataFrame takes them."""
    return pd.array(values, dtype="boolean") if form.kind == "boolean" else values
