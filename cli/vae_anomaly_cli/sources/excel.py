"""Workbooks of Excel: one sheet, its values read row by row."""

import datetime as dt
import io
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import pyarrow as pa

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource
from vae_anomaly_cli.sources.given import GivenLayout
from vae_anomaly_cli.sources.json_values import ValueTypes, column_of
from vae_anomaly_cli.sources.layout import Record, TextLayout, is_total, lay_out
from vae_anomaly_cli.sources.whole_table import WholeTable

if TYPE_CHECKING:
    import openpyxl

# A sheet has 1,048,576 rows at most, and is read as a whole: it cannot be searched.
MAX_BYTES, MAX_UNPACKED_BYTES = 1 << 29, 1 << 31
LOOKED_AT = 1000
EMPTY_FILL = re.compile(rb"<(\w+:)?fill\s*/>")
ERRORS = frozenset(
    ("#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!", "#GETTING_DATA", "#SPILL!", "#CALC!")
)
# What openpyxl raises for damaged files: of XML, too.
UNREADABLE = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError, TypeError, EOFError, SyntaxError)
INSTALL = 'python -m pip install "vae-anomaly[excel]"'


def open_file(source: ByteSource, _delimiters: str, given: GivenLayout, warn: Callable[[str], None]) -> WholeTable:
    """Read a sheet: the first, or the one that is named."""
    if source.n_bytes > MAX_BYTES:
        raise InputError(
            f"{source.name} is a workbook of more than {MAX_BYTES >> 20} MiB, which is read as a whole. Save the sheet "
            "as CSV (UTF-8)."
        )
    _check_unpacked(source)
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
    return WholeTable(source, _table(source.name, rows, numbers, layout), "row", numbers, layout.index)


def open_writer(_stream: BinaryIO, _schema: pa.Schema, _delimiter: str) -> NoReturn:
    """Refuse: workbooks are only read."""
    raise InputError("workbooks of Excel are only read; name an output that ends in .csv or .parquet.")


def _read_sheet(
    source: ByteSource, sheet_name: str | None, warn: Callable[[str], None]
) -> tuple[list[int], list[list[Any]]]:
    """Read the rows of a sheet that hold something, as wide as the widest, with their numbers."""
    with _opened(source, formulas=False) as book:
        names = [sheet.title for sheet in book.worksheets]
        if not names:
            raise InputError(f"{source.name} has no sheet with cells.")
        if sheet_name is not None and sheet_name not in names:
            raise InputError(f"--sheet-name {sheet_name}: {source.name} has the sheets {_quoted(names)}.")
        chosen = names[0] if sheet_name is None else sheet_name
        if sheet_name is None and len(names) > 1:
            warn(f"{source.name} has the sheets {_quoted(names)}: the first is read; --sheet-name names another.")
        found = _filled_rows(book[chosen])
    width = max(
        (1 + max(place for place, cell in enumerate(row) if not _is_blank(cell)) for _, row in found), default=0
    )
    numbers, rows = [number for number, _ in found], [(row + [None] * width)[:width] for _, row in found]
    last = rows[(len(rows) + 1) // 2 :][-LOOKED_AT:] or rows
    blank = [place for place in range(width) if all(_is_blank(row[place]) for row in last)]
    if blank:
        _check_formulas(source, chosen, blank)
    _drop_errors(source.name, numbers, rows, warn)
    return numbers, rows


@contextmanager
def _opened(source: ByteSource, *, formulas: bool) -> "Iterator[openpyxl.Workbook]":
    """Open a workbook: formulas as text, or their values as Excel has kept them."""
    try:
        import openpyxl
    except ImportError as error:
        raise InputError(
            f"{source.name} is a workbook, which takes openpyxl to read. Install it: {INSTALL}."
        ) from error
    try:
        # Of styles and extensions that do not matter here.
        with source.raw() as raw, warnings.catch_warnings(action="ignore"):
            try:
                book = openpyxl.load_workbook(raw, read_only=True, data_only=not formulas)
            except TypeError:
                book = openpyxl.load_workbook(_with_fills(raw), read_only=True, data_only=not formulas)
            yield book
            book.close()
    except UNREADABLE as error:
        raise InputError(
            f"{source.name} is not a readable workbook of Excel ({error}). Copy it again, or save the sheet as CSV."
        ) from error


def _check_unpacked(source: ByteSource) -> None:
    """Refuse a workbook whose parts are far larger than workbooks are, by what its archive says of them."""
    try:
        with source.raw() as raw, zipfile.ZipFile(raw) as archive:
            # More than a part is said to hold is not unpacked.
            size = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile:
        return
    if size > MAX_UNPACKED_BYTES:
        raise InputError(
            f"{source.name} unpacks to {size:,} bytes, and is read as a whole; expected at most "
            f"{MAX_UNPACKED_BYTES:,}. Save the sheet as CSV (UTF-8)."
        )


def _with_fills(raw: BinaryIO) -> BinaryIO:
    """Copy a workbook, and say of cells without a fill that they have none: openpyxl refuses what Excel takes."""
    copy = io.BytesIO()
    raw.seek(0)
    with zipfile.ZipFile(raw) as archive, zipfile.ZipFile(copy, "w") as repaired:
        for member in archive.infolist():
            content = archive.read(member)
            if member.filename == "xl/styles.xml":
                content = EMPTY_FILL.sub(rb"<\1fill><\1patternFill/></\1fill>", content)
            repaired.writestr(member, content)
    copy.seek(0)
    return copy


def _filled_rows(sheet: Any) -> list[tuple[int, list[Any]]]:
    rows = ((number, list(row)) for number, row in enumerate(sheet.iter_rows(values_only=True), start=1))
    return [(number, row) for number, row in rows if not all(map(_is_blank, row))]


def _is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _check_formulas(source: ByteSource, sheet: str, places: list[int]) -> None:
    """Refuse columns of formulas whose values nobody has calculated: they would be read as missing."""
    with _opened(source, formulas=True) as book:
        for number, row in _filled_rows(book[sheet]):
            for place in places:
                if place < len(row) and isinstance(row[place], str) and row[place].startswith("="):
                    raise InputError(
                        f"{source.name}: row {number} holds the formula {row[place]} in column {place + 1}, without a "
                        "value. Open the workbook in Excel or LibreOffice, and save it there."
                    )


def _drop_errors(name: str, numbers: list[int], rows: list[list[Any]], warn: Callable[[str], None]) -> None:
    """Take cells for missing that could not be calculated."""
    n_errors, first = 0, ""
    for number, row in zip(numbers, rows, strict=True):
        for place, cell in enumerate(row):
            if isinstance(cell, str) and cell in ERRORS:
                first = first or f"the first is {cell} in row {number}"
                n_errors += 1
                row[place] = None
    if n_errors:
        cells = "1 cell holds an error" if n_errors == 1 else f"{n_errors:,} cells hold errors"
        warn(f"{name}: {cells} of Excel ({first}): missing.")


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
