"""Tables with cells replaced that look wrong."""

from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.render.reasons import text_of
from vae_anomaly_cli.table_model import TableModel
from vae_anomaly_cli.tables import Table
from vae_anomaly_cli.types import DECIMAL_COMMA

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.data import TextFormat

    Series = pd.Series[Any]


@dataclass(frozen=True)
class RepairedTable:
    """All rows and columns of a table, how many of its cells were replaced, and which share of them may be wrong."""

    cells: pa.Table
    n_replaced: int
    fdr: float | None = None

    def describe(self, messages: Messages, output: str | None) -> dict[str, Any]:
        """Say what is promised of the cells, and return it with their number for programs."""
        if self.promise:
            messages.answer(self.promise)
        return {"output": output, "n_cells": self.n_replaced, "fdr": self.fdr}

    @property
    def promise(self) -> str:
        """Say what the share of wrong proposals means; nothing where none was given."""
        if self.fdr is None:
            return ""
        if self.n_replaced == 0:
            return f"no cell looks wrong where at most {100 * self.fdr:g} % of the proposals may be wrong"
        proposed = counted(self.n_replaced, "proposed cell")
        return f"at most {100 * self.fdr:g} % of the {proposed} are expected to be wrong proposals"


def repaired_table(
    table: Table,
    model: TableModel,
    frame: "pd.DataFrame",
    rows: npt.NDArray[np.intp],
    messages: Messages,
    *,
    typed: bool,
    fdr: float | None = None,
) -> RepairedTable:
    """Replace the cells of some rows that look wrong; every other cell stays as the file has it.

    Parameters
    ----------
    table : Table
        What was scored.
    model : TableModel
        Says which cells look wrong.
    frame : DataFrame
        What the model sees of the table.
    rows : ndarray of int
        Rows (from 0) in which cells may be replaced.
    messages : Messages
        Shows the library's warnings.
    typed : bool
        Whether cells get their types, or stay text where the file has text.
    fdr : float, optional
        The share of the replaced cells that may be expected to be right as they were.
    """
    before = frame.iloc[rows]
    with messages.library_warnings():
        after = model.detector.repair(before) if fdr is None else model.detector.repair(before, fdr=fdr)
    columns = {name: table.values(name) if typed else table.cells[name] for name in table.names}
    formats = {column.name: column.text_format for column in model.detector.columns_}
    n_replaced = 0
    for name in after.columns:
        there = model.given.get(name, name)
        if there not in columns:
            continue
        changed = _differs(before[name], after[name])
        if not changed.any():
            continue
        n_replaced += int(changed.sum())
        values = dict(zip(rows[changed].tolist(), after[name][changed], strict=True))
        if pa.types.is_floating(columns[name].type) or pa.types.is_integer(columns[name].type):
            values = _as_numbers(values, formats.get(name))
        if typed or table.source.format.typed:
            columns[there] = _replaced(columns[there], values)
        else:
            columns[there] = _rewritten(columns[there], values, table.source.decimal_comma)
    return RepairedTable(pa.table(columns), n_replaced, fdr)


def _as_numbers(values: dict[int, Any], form: "TextFormat | None") -> dict[int, Any]:
    """Numbers that the library wrote as text, for columns that are numbers in the output."""
    if form is None:
        return values
    return {row: form.numbers([value])[0] if isinstance(value, str) else value for row, value in values.items()}


def _differs(before: "Series", after: "Series") -> npt.NDArray[np.bool_]:
    # Missing cells stay missing, and compare as neither equal nor different.
    missing = before.isna().to_numpy()
    differs = np.array([first != second for first, second in zip(before, after, strict=True)], dtype=object)
    return np.where(missing, False, differs).astype(bool)


def _replaced(column: pa.ChunkedArray, values: dict[int, Any]) -> pa.Array:
    """Replace cells and keep the type where it has room for them; otherwise numbers, and text last."""
    cells = column.to_pylist()
    for row, value in values.items():
        cells[row] = value.item() if isinstance(value, np.generic) else value
    try:
        fitting = list(cells)
        for row in values:
            fitting[row] = _fitted(cells[row], column.type)
        return pa.array(fitting, column.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, InvalidOperation, OverflowError):
        pass
    try:
        return pa.array([float(cell) if isinstance(cell, Decimal) else cell for cell in cells], pa.float64())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([text_of(cell) for cell in cells], pa.string())


def _fitted(value: Any, kind: pa.DataType) -> Any:
    """Return a number as a column of whole or decimal numbers takes it; arrow would cut 2.5 to 2 and say nothing."""
    if isinstance(value, float) and pa.types.is_integer(kind):
        if not value.is_integer():
            raise pa.ArrowInvalid(f"{value} is not whole")
        return int(value)
    if isinstance(value, (int, float)) and pa.types.is_decimal(kind):
        return Decimal(str(value)).quantize(Decimal(1).scaleb(-kind.scale), context=Context(prec=kind.precision))
    return value


def _rewritten(column: pa.ChunkedArray, values: dict[int, Any], decimal_comma: bool) -> pa.Array:
    """Replace cells of a text file, in the way the file writes numbers and days."""
    with_commas = decimal_comma and pc.any(pc.match_substring_regex(column, DECIMAL_COMMA)).as_py()
    cells = column.to_pylist()
    for row, value in values.items():
        # Enough for seconds since 1970 with hundredths, and no noise of binary fractions.
        text = text_of(float(f"{value:.12g}") if isinstance(value, float) else value) or ""
        if hasattr(value, "isoformat"):
            text = str(value).removesuffix(" 00:00:00")
        cells[row] = text.replace(".", ",") if with_commas and isinstance(value, float) else text
    return pa.array(cells, pa.string())
