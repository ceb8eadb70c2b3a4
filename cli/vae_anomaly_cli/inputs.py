"""The input of a command: one table in one or more files, read as a stream of batches."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly_cli import columnar, delimited, jsonl
from vae_anomaly_cli.cells import Kind, without_missing
from vae_anomaly_cli.columnar import ParquetFile
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.delimited import DelimitedFile
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.jsonl import JsonlFile
from vae_anomaly_cli.options import InputOptions
from vae_anomaly_cli.paths import Found, find_files, input_directories
from vae_anomaly_cli.sources import Format, Source, sniff_format

ROWS_PER_BATCH = 1 << 15
SHOWN_NAMES = 5


@dataclass(frozen=True)
class TableFile:
    """One file of the input.

    Attributes
    ----------
    content : DelimitedFile, JsonlFile or ParquetFile
        How it is read.
    relative : PurePath
        Its name under the directory or pattern that led to it.
    """

    content: DelimitedFile | JsonlFile | ParquetFile
    relative: PurePath

    @property
    def source(self) -> Source:
        """Its bytes."""
        return self.content.source

    @property
    def names(self) -> list[str]:
        """Column names, in its order."""
        return list(self.content.schema.names)


@dataclass(frozen=True)
class Piece:
    """Rows that stand one after the other in one file.

    Attributes
    ----------
    batch : pyarrow.RecordBatch
        The rows: text for CSV and TSV, so that nothing is lost; typed otherwise.
    file : int
        Which file of the input.
    row : int
        Where in that file the first of them stands, from 0.
    first : int
        Where in the whole input.
    size : int
        What was read for it: bytes, or rows of Parquet.
    """

    batch: pa.RecordBatch
    file: int
    row: int
    first: int
    size: int

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.batch.num_rows)


@dataclass(frozen=True)
class Input:
    """A table that may be larger than memory.

    Attributes
    ----------
    name : str
        How messages call it.
    format : Format
        How all its files are written.
    files : tuple of TableFile
        At least one; the rows stand in their order.
    schema : pyarrow.Schema
        The columns, in the order of the first file, with types that have room for those of all files.
    delimiter : str
        What separates cells in CSV and TSV.
    directories : tuple of Path
        Directories that were named as input.
    """

    name: str
    format: Format
    files: tuple[TableFile, ...]
    schema: pa.Schema
    delimiter: str
    directories: tuple[Path, ...] = ()

    @property
    def names(self) -> list[str]:
        """Column names."""
        return list(self.schema.names)

    @property
    def typed(self) -> bool:
        """Whether the files say themselves what numbers, text and true/false are."""
        return self.format not in (Format.CSV, Format.TSV)

    @property
    def decimal_comma(self) -> bool:
        """Whether numbers may be written 1,5: where semicolons separate the cells."""
        return self.delimiter == ";"

    @cached_property
    def size(self) -> int:
        """What there is to read, in the units of `Piece.size`."""
        return sum(file.content.size for file in self.files)

    @cached_property
    def row_bytes(self) -> float:
        """About what a row takes in memory, by the file with the widest rows."""
        return max(file.content.row_bytes for file in self.files)

    def pieces(self, names: Sequence[str] | None = None) -> Iterator[Piece]:
        """Read all rows, a few thousand at a time.

        Parameters
        ----------
        names : sequence of str, optional
            Columns to read; all by default.

        Raises
        ------
        InputError
            If a file cannot be read to its end, or if no file has a row.
        """
        schema = self.schema if names is None else pa.schema([self.schema.field(name) for name in names])
        first = 0
        for place, file in enumerate(self.files):
            held = [name for name in schema.names if name in file.content.schema.names]
            row = 0
            # A table needs a column for its rows to be counted.
            for batch, size in file.content.batches(held or file.names[:1], ROWS_PER_BATCH):
                for start in range(0, batch.num_rows, ROWS_PER_BATCH):
                    part = batch.slice(start, ROWS_PER_BATCH)
                    yield Piece(_fitted(part, schema), place, row, first, size if start == 0 else 0)
                    row += part.num_rows
                    first += part.num_rows
        if first == 0:
            raise InputError(f"{self.name} has column names but no rows; nothing to fit or score.")

    def place(self, file: int, row: int) -> tuple[str, str]:
        """Say in which file, and where there, a person finds a row (from 0)."""
        found = self.files[file]
        return found.source.name, found.content.where(row)

    def kinds(self, names: Sequence[str], done: Callable[[Piece], None]) -> dict[str, Kind]:
        """Find out in a pass over all rows what text columns hold; `done` is told of every piece."""
        kinds = {name: Kind(self.decimal_comma) for name in names}
        for piece in self.pieces(names):
            for name, kind in kinds.items():
                kind.see(without_missing(piece.batch[name]))
            done(piece)
        return kinds


def open_input(given: InputOptions, messages: Messages) -> Input:
    """Find the files and look at their columns; rows are read later.

    Raises
    ------
    InputError
        If a file is no table with unique, non-empty column names, or if files differ in format or columns.
    """
    found = find_files(given.data)
    formats = [given.input_format or sniff_format(file.source) for file in found]
    for file, table_format in zip(found, formats, strict=True):
        if table_format is not formats[0]:
            raise InputError(
                f"{file.source.name} is {table_format} and {found[0].source.name} is {formats[0]}; expected files of "
                "one format. Score them one after the other."
            )
    if len(found) > 1:
        found = _without_empty(found, messages)
    delimiter = given.separator()
    files = tuple(TableFile(_open_file(file.source, formats[0], delimiter), file.relative) for file in found)
    for opened in files:
        _check_names(opened)
    first = files[0].content
    name = first.source.name if len(files) == 1 else f"{len(files)} files from {first.source.name} on"
    if len(given.data) == 1 and len(files) > 1:
        name = given.data[0]
    found_delimiter = first.delimiter if isinstance(first, DelimitedFile) else ","
    _check_alike(files, found_delimiter)
    directories = tuple(input_directories(given.data))
    return Input(name, formats[0], files, _common_schema(files), found_delimiter, directories)


def _without_empty(found: list[Found], messages: Messages) -> list[Found]:
    """Leave out files without a byte, as failed exports leave them, with a warning."""
    empty = [file for file in found if file.source.n_bytes == 0]
    if len(empty) == len(found):
        raise InputError(f"{found[0].source.name} and {len(found) - 1} more files are empty; expected tables.")
    for file in empty:
        messages.warning(f"{file.source.name} is empty: left out.")
    return [file for file in found if file not in empty]


def _open_file(source: Source, table_format: Format, delimiter: str | None) -> DelimitedFile | JsonlFile | ParquetFile:
    if table_format in (Format.CSV, Format.TSV):
        return delimited.open_file(source, table_format, delimiter)
    if delimiter is not None:
        raise InputError(f"--delimiter is for CSV and TSV; {source.name} is {table_format}.")
    return jsonl.open_file(source) if table_format is Format.JSONL else columnar.open_file(source)


def _check_names(file: TableFile) -> None:
    names, source = file.names, file.source
    if not names:
        raise InputError(f"{source.name} has no columns; expected a table with named columns.")
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


def _check_alike(files: tuple[TableFile, ...], delimiter: str) -> None:
    """Refuse files whose columns have other names; in JSON Lines a key that is not there is a missing cell."""
    first = files[0]
    for file in files[1:]:
        if isinstance(file.content, JsonlFile):
            continue
        lacking = [name for name in first.names if name not in file.names]
        further = [name for name in file.names if name not in first.names]
        if lacking or further:
            said = [f"lacks {listed(lacking)}"] * bool(lacking) + [f"has {listed(further)} besides"] * bool(further)
            raise InputError(
                f"{file.source.name} {' and '.join(said)}; expected the columns of {first.source.name}. Make the "
                "columns alike, or give the files to runs of their own."
            )
        if isinstance(file.content, DelimitedFile) and file.content.delimiter != delimiter:
            raise InputError(
                f"{file.source.name} separates its cells by {file.content.delimiter!r} and {first.source.name} by "
                f"{delimiter!r}; expected one separator."
            )


def _common_schema(files: tuple[TableFile, ...]) -> pa.Schema:
    """Columns with types that have room for those of all files."""
    common: dict[str, pa.Field] = {}
    for file in files:
        for field in file.content.schema:
            field = field.remove_metadata().with_nullable(True)
            before = common.setdefault(field.name, field)
            if before.type == field.type:
                continue
            try:
                parts = [pa.schema([before]), pa.schema([field])]
                common[field.name] = pa.unify_schemas(parts, promote_options="permissive").field(0)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise InputError(
                    f"{file.source.name}: column '{field.name}' is {field.type}, and {before.type} in files before; "
                    "expected one type. Convert it, or leave it out of the files."
                ) from error
    return pa.schema(list(common.values()))


def _fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    held = set(batch.schema.names)
    columns = [
        # Whole numbers beside fractions: a scoring model reads both as floating point anyway.
        pc.cast(batch[field.name], field.type, safe=False)
        if field.name in held
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def listed(names: list[str]) -> str:
    """Name the first few columns, and say how many there are beside them."""
    shown = ", ".join(f"'{name}'" for name in names[:SHOWN_NAMES])
    rest = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{'column' if len(names) == 1 else 'columns'} {shown}{rest}"


def same_file(table: Input, path: Path) -> bool:
    """Whether an output path is one of the input files itself, links followed."""
    return path.exists() and any(
        file.source.path is not None and path.samefile(file.source.path) for file in table.files
    )
