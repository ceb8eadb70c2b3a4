"""Workbooks of Excel: one sheet, its values read row by row."""

import datetime as dt
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import pyarrow as pa

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.given import GivenLayout
from vae_anomaly_cli.sources.json_values import ValueTypes, column_of
from vae_anomaly_cli.sources.layout import Record, TextLayout, is_total, lay_out

# A sheet has 1,048,576 rows at most, and is read as a whole: it cannot be searched.
MAX_BYTES = 1 << 29
INSTALL = 'python -m pip install "vae-anomaly[excel]"'


@dataclass(frozen=True)
class ExcelFile:
    """A sheet of a workbook, in memory.

    Attributes
    ----------
    source : ByteSource
        Its bytes.
    cells : pyarrow.Table
        Its rows.
    rows : tuple of int
        Row of the sheet, from 1, that each of them is.
    row_index : str or None
        Which column numbers the rows, if one does that has no name.
    """

    source: ByteSource
    cells: pa.Table
    rows: tuple[int, ...]
    row_index: str | None = None
    delimiter: None = None

    @property
    def schema(self) -> pa.Schema:
        """Its columns, with the types of their values."""
        return self.cells.schema

    @property
    def size(self) -> int:
        """What there is to read: bytes."""
        return self.source.n_bytes

    def batches(self, names: list[str], n_rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield rows with the bytes read."""
        size = self.size
        for batch in self.cells.select(names).to_batches(n_rows):
            yield batch, size
            size = 0

    def where(self, row: int) -> str:
        """Say which row of the sheet a data row (from 0) is."""
        return f"row {self.rows[row]}"


def open_file(source: ByteSource, _delimiters: str, given: GivenLayout, warn: Callable[[str], None]) -> ExcelFile:
    """Read a sheet: the first, or the one that is named."""
    if source.n_bytes > MAX_BYTES:
        raise InputError(
            f"{source.name} is a workbook of more than {MAX_BYTES >> 20} MiB, which is read as a whole. Save the sheet "
            "as CSV (UTF-8)."
        )
    numbers, rows = _read_sheet(source, given.sheet_name, warn)
    records = [
        Record([_text_of(cell) for cell in row], number, place, place + 1)
        for place, (number, row) in enumerate(zip(numbers, rows, strict=True))
    ]
    first = max(given.skip_rows, (given.header_row or 1) - 1)
    begun = [record for record in records if record.line > first]
    if not begun:
        raise InputError(f"{source.name} is empty; expected a table in xlsx.")
    layout = lay_out(begun, given)
    for text in layout.said:
        warn(f"{source.name}: {text.replace('line ', 'row ').replace('lines ', 'rows ')}")
    # Offsets are places among the rows here.
    start, end = layout.start, len(rows) - _n_below(source.name, records[layout.start :], layout, warn)
    rows, numbers = rows[start:end], numbers[start:end]
    return ExcelFile(source, _table(source.name, rows, numbers, layout), tuple(numbers), layout.index)


def open_writer(_stream: BinaryIO, _schema: pa.Schema, _delimiter: str) -> NoReturn:
    """Refuse: workbooks are only read."""
    raise InputError("workbooks of Excel are only read; name an output that ends in .csv or .parquet.")


def _read_sheet(
    source: ByteSource, sheet_name: str | None, warn: Callable[[str], None]
) -> tuple[list[int], list[list[Any]]]:
    """Read the rows of a sheet that hold something, as wide as the widest, with their numbers."""
    try:
        import openpyxl
    except ImportError as error:
        raise InputError(
            f"{source.name} is a workbook, which takes openpyxl to read. Install it: {INSTALL}."
        ) from error
    try:
        with source.raw() as raw:
            book = openpyxl.load_workbook(raw, read_only=True, data_only=True)
            names = [sheet.title for sheet in book.worksheets]
            if not names:
                raise InputError(f"{source.name} has no sheet with cells.")
            if sheet_name is not None and sheet_name not in names:
                raise InputError(f"--sheet-name {sheet_name}: {source.name} has the sheets {_quoted(names)}.")
            chosen = names[0] if sheet_name is None else sheet_name
            if sheet_name is None and len(names) > 1:
                warn(f"{source.name} has the sheets {_quoted(names)}: the first is read; --sheet-name names another.")
            found = [
                (number, list(row))
                for number, row in enumerate(book[chosen].iter_rows(values_only=True), start=1)
                if any(cell is not None and cell != "" for cell in row)
            ]
            book.close()
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, TypeError, EOFError) as error:
        raise InputError(
            f"{source.name} is not a readable workbook of Excel ({error}). Copy it again, or save the sheet as CSV."
        ) from error
    width = max(
        (1 + max(place for place, cell in enumerate(row) if cell not in (None, "")) for _, row in found), default=0
    )
    return [number for number, _ in found], [(row + [None] * width)[:width] for _, row in found]


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _text_of(cell: Any) -> str:
    """Write a value as a header or a title has it."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _n_below(name: str, records: list[Record], layout: TextLayout, warn: Callable[[str], None]) -> int:
    """How many rows at the end are a total, or notes."""
    found: list[Record] = []
    for record in reversed(records):
        filled = [cell for cell in record.cells if cell.strip()]
        is_apart = len(filled) <= max(1, layout.width // 2) and _gap_above(record, records)
        if not (is_total(record.cells, layout.width) or (is_apart and layout.width > 1)):
            break
        found.append(record)
    if not found or len(found) == len(records):
        return 0
    what = "the last row is" if len(found) == 1 else f"the last {len(found)} rows are"
    warn(f"{name}: {what} below the table and no row of it: left out ({found[-1].shown}).")
    return len(found)


def _gap_above(record: Record, records: list[Record]) -> bool:
    """Whether an empty row of the sheet stands between the table and what is below."""
    above = [each.line for each in records if each.line < record.line]
    return bool(above) and any(line - before > 1 for before, line in zip(above, [*above[1:], record.line], strict=True))


def _table(name: str, rows: list[list[Any]], numbers: list[int], layout: TextLayout) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for place, column in enumerate(layout.names):
        if column is None:
            filled = next((row for row in range(len(rows)) if _value(rows[row][place]) is not None), None)
            if place in layout.blank and filled is not None:
                raise InputError(
                    f"{name}: column {place + 1} has no name, and row {numbers[filled]} holds "
                    f"'{rows[filled][place]}' there. Name the column in the header, or remove it."
                )
            continue
        if column in columns:
            raise InputError(
                f"{name}: the column name '{column}' occurs twice. Rename columns so that each name is unique."
            )
        columns[column] = _column([_value(row[place]) for row in rows])
    return pa.table(columns)


def _value(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell if cell.strip() else None
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell


def _column(values: list[Any]) -> pa.Array:
    """Make a column of the values of a sheet: dates, numbers, true/false, or text for what is mixed."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {dt.datetime, dt.date}:
        moments = [dt.datetime.combine(value, dt.time()) if type(value) is dt.date else value for value in values]
        return pa.array(moments, pa.timestamp("us"))
    types = ValueTypes()
    plain = [value if isinstance(value, bool | int | float | str | None) else str(value) for value in values]
    for value in plain:
        types.update(value)
    return column_of(plain, types.type)
