"""Tables in files: CSV, TSV, JSON Lines and Parquet, read and written by record batches."""

import contextlib
import gzip
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from vae_anomaly_cli import delimited, jsonl
from vae_anomaly_cli.cells import as_text, values_of
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.sources import (
    EXTENSIONS,
    Format,
    Source,
    format_of_name,
    same_file,
    sniff_format,
)

ROWS_PER_BATCH = 1 << 16
PANDAS_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True)
class Table:
    """A table as its file has it.

    Attributes
    ----------
    source : Source
        Where it came from.
    format : Format
        How it is written there.
    cells : pyarrow.Table
        The cells: text for CSV and TSV, so that nothing is lost; typed otherwise.
    delimiter : str
        What separates cells in CSV and TSV.
    """

    source: Source
    format: Format
    cells: pa.Table
    delimiter: str

    @property
    def names(self) -> list[str]:
        """Column names, in the file's order."""
        return list(self.cells.column_names)

    @property
    def n_rows(self) -> int:
        """Number of data rows."""
        return int(self.cells.num_rows)

    @property
    def decimal_comma(self) -> bool:
        """Whether numbers may be written 1,5: where semicolons separate the cells."""
        return self.delimiter == ";"

    @property
    def typed(self) -> bool:
        """Whether the file says itself what numbers, text and true/false are."""
        return self.format not in (Format.CSV, Format.TSV)

    def values(self, name: str) -> pa.ChunkedArray:
        """Return the cells of a column with the type that they have."""
        column = self.cells[name]
        return column if self.typed else values_of(column, self.decimal_comma)

    def where(self, row: int) -> str:
        """Say where a person finds a data row (from 0) in the file."""
        if self.format is Format.PARQUET:
            return f"row {row + 1}"
        if self.format is Format.JSONL:
            line = jsonl.line_of_row(self.source, row)
        else:
            line = delimited.line_of_row(self.source, self.delimiter, row)
        return f"row {row + 1}" if line is None else f"line {line}"


def read_table(source: Source, stated: Format | None, delimiter: str | None) -> Table:
    """Read a table whole.

    Parameters
    ----------
    source : Source
        The file or standard input.
    stated : Format or None
        The format the user states; None looks at the name or the bytes.
    delimiter : str or None
        What separates the cells of CSV; None looks at the header.

    Raises
    ------
    InputError
        If the bytes are not a table with unique, non-empty column names and at least one row.
    """
    table_format = stated or sniff_format(source)
    text = table_format in (Format.CSV, Format.TSV)
    if delimiter is not None and not text:
        raise InputError(f"--delimiter is for CSV and TSV; {source.name} is {table_format}.")
    if text:
        delimiter = delimiter or delimited.guess_delimiter(source, table_format)
        names = delimited.read_header(source, delimiter, table_format)
        _check_names(source, names)
        cells = pa.Table.from_batches(
            delimited.read_batches(source, names, delimiter),
            pa.schema([(name, pa.string()) for name in names]),
        )
    elif table_format is Format.JSONL:
        cells = jsonl.read_objects(source)
    else:
        cells = _read_parquet(source)
    _check_names(source, cells.column_names)
    if cells.num_columns == 0:
        raise InputError(f"{source.name} has no columns; expected a table with named columns.")
    if cells.num_rows == 0:
        raise InputError(f"{source.name} has column names but no rows; nothing to fit or score.")
    return Table(source, table_format, cells, delimiter or ",")


def _read_parquet(source: Source) -> pa.Table:
    with source.open() as stream:
        content = stream.read()
    try:
        return pq.read_table(pa.BufferReader(content))
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{source.name} is not a readable Parquet file ({error}). Copy it again, or say what it is with --format."
        ) from error


def _check_names(source: Source, names: list[str]) -> None:
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise InputError(
                f"{source.name}: column {position} has no name. Name every column (a row number "
                "written by pandas is left out with index=False)."
            )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"{source.name}: the column name '{repeated[0]}' occurs {names.count(repeated[0])} "
            "times. Rename columns so that each name is unique."
        )


@dataclass(frozen=True)
class Target:
    """Where a table goes and how it is written there."""

    path: Path | None
    format: Format
    delimiter: str
    gzipped: bool = False

    @property
    def typed(self) -> bool:
        """Whether cells are written with their types and not as text."""
        return self.format not in (Format.CSV, Format.TSV)


def choose_target(output: str | None, table: Table, option: str = "--output") -> Target:
    """Settle where the result goes before any work is done.

    Standard output has the input's text format, and CSV for Parquet.

    Raises
    ------
    InputError
        If the extension is not one of ours, or the output is the input file.
    CommandError
        If nothing can be written there.
    """
    if output is None or output == "-":
        piped = Format.CSV if table.format is Format.PARQUET else table.format
        return Target(None, piped, table.delimiter)
    path = Path(output)
    check_writable(path, option)
    if path.exists() and not path.is_file():
        return Target(path, table.format, table.delimiter)
    chosen, gzipped = format_of_name(path)
    if chosen is None:
        raise InputError(f"{option} {output}: expected a name that ends in {EXTENSIONS}.")
    if same_file(table.source, path):
        raise InputError(f"{option} {output} is the input file itself; name another file.")
    if chosen is Format.TSV:
        return Target(path, chosen, "\t", gzipped)
    return Target(path, chosen, table.delimiter if table.format is chosen else ",", gzipped)


def check_writable(path: Path, option: str = "--output") -> None:
    """Refuse early a place where nothing can be written."""
    if path.is_dir():
        raise InputError(f"{option} {path} is a directory; expected a file name.")
    folder = path.parent
    if not folder.is_dir():
        raise CommandError(f"{path} cannot be written: the directory {folder} does not exist.")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"{path} cannot be written: no permission to write in {folder}.")


def write_table(cells: pa.Table, target: Target, stream: BinaryIO) -> None:
    """Write a table to an open stream in the target's format."""
    batches = iter(cells.to_batches(max_chunksize=ROWS_PER_BATCH))
    if target.format is Format.PARQUET:
        pq.write_table(cells, stream)
    elif target.format is Format.JSONL:
        jsonl.write_batches(batches, stream)
    else:
        texts = (as_text(batch) for batch in batches)
        delimited.write_batches(texts, cells.column_names, target.delimiter, stream)


def save_table(cells: pa.Table, target: Target, path: Path) -> None:
    """Write a table to a file, whole or not at all: written beside it, then renamed."""
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as device:
                write_table(cells, target, device)
            return
        final = path.resolve()
        part = final.with_name(f".{final.name}.{os.getpid()}.part")
        try:
            with part.open("xb") as raw, _compressed(raw, target.gzipped) as stream:
                write_table(cells, target, stream)
            part.replace(final)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error


@contextlib.contextmanager
def _compressed(raw: BinaryIO, gzipped: bool) -> Iterator[BinaryIO]:
    if not gzipped:
        yield raw
        return
    # mtime=0: the same table gives the same bytes.
    with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as stream:
        yield cast(BinaryIO, stream)
