"""A table in one or more files of one format, read as a stream of batches."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.caching import cached_property
from vae_anomaly.files import file_numbers
from vae_anomaly_cli.cell_reader import CellReader, TextCells, TypedCells
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.base import Location
from vae_anomaly_cli.sources.compression import COMPRESSED_EXTENSIONS
from vae_anomaly_cli.sources.database import file_of, open_database
from vae_anomaly_cli.sources.dates import check_dates, check_types
from vae_anomaly_cli.sources.file_state import FileState, states_of
from vae_anomaly_cli.sources.find import FoundFile, as_text, find_files, input_directories, without_links
from vae_anomaly_cli.sources.formats import (
    DATABASE,
    FORMATS,
    Format,
    GroupedFile,
    TableFile,
    format_of_name,
    sniff_format,
)
from vae_anomaly_cli.sources.given import GivenLayout
from vae_anomaly_cli.sources.partitions import with_partitions
from vae_anomaly_cli.sources.stored_object import StoredObject
from vae_anomaly_cli.stores import Address
from vae_anomaly_cli.types import InferredType, without_missing

ROWS_PER_BATCH = 1 << 15
SHOWN_NAMES = 5
SHOWN_NOTES = 12
# Requests wait for the network most of the time.
OPENING_THREADS, FEW_FILES = 16, 4
Looked = TypeVar("Looked")
# Arrow can neither take nor sort rows of views.
PLAIN_TYPES = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


@dataclass(frozen=True)
class InputFile:
    """One file of a table.

    Attributes
    ----------
    content : TableFile
        Its columns and rows.
    relative : PurePath
        Its name under the directory or pattern that led to it.
    """

    content: TableFile
    relative: PurePath

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.content.source.name

    @property
    def path(self) -> Path | None:
        """Where it is; None for a pipe."""
        return self.content.source.path

    @property
    def is_named(self) -> bool:
        """Whether it has a name that a file of results can take: it is a file, or an object of a store."""
        return self.path is not None or self.content.source.stored is not None

    @property
    def names(self) -> list[str]:
        """Column names, in its order."""
        return list(self.content.schema.names)


@dataclass(frozen=True)
class RowBatch:
    """Consecutive rows of one file.

    Attributes
    ----------
    cells : pyarrow.RecordBatch
        The rows: text where the format has no types, so that nothing is lost.
    file : int
        Index of the file in the input.
    first_in_file, first : int
        Index of the first row in that file, and in the whole input.
    size : int
        How much was read for it, in the units of the format: bytes, or rows.
    """

    cells: pa.RecordBatch
    file: int
    first_in_file: int
    first: int
    size: int

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.cells.num_rows)

    def position(self, row: int) -> tuple[int, int]:
        """Index of the file, and of the row in that file, of a row of this batch."""
        return self.file, self.first_in_file + row


@dataclass(frozen=True)
class FilePart:
    """Consecutive rows of one file that are read alone.

    Attributes
    ----------
    file : int
        Index of the file in the input.
    content : TableFile
        What is read of it.
    first_in_file, first : int
        Index of the first row in that file, and in the whole input.
    """

    file: int
    content: TableFile
    first_in_file: int
    first: int


@dataclass(frozen=True)
class TableSource:
    """A table that may be larger than memory.

    Attributes
    ----------
    name : str
        How messages call it.
    format : Format
        How all its files are written.
    files : tuple of InputFile
        At least one; the rows stand in their order.
    schema : pyarrow.Schema
        The columns, in the order of the first file, with types that have room for those of all files.
    delimiter : str
        What separates cells, where the format has delimiters.
    directories : tuple of Path
        Directories that were named as input.
    given : GivenLayout
        What the user said of how the files are laid out.
    parts : tuple of FilePart or None
        What is read; None for all rows.
    folders : tuple of Address
        Folders of stores that were named as input.
    """

    name: str
    format: Format
    files: tuple[InputFile, ...]
    schema: pa.Schema
    delimiter: str
    directories: tuple[Path, ...] = ()
    given: GivenLayout = field(default_factory=GivenLayout)
    parts: tuple[FilePart, ...] | None = None
    folders: tuple[Address, ...] = ()

    @property
    def names(self) -> list[str]:
        """Column names."""
        return list(self.schema.names)

    @property
    def n_files(self) -> int:
        """Number of files."""
        return len(self.files)

    @property
    def row_indices(self) -> list[str]:
        """Columns that number the rows and have no name in the files: no features."""
        found = [file.content.row_index for file in self.files]
        return list(dict.fromkeys(name for name in found if name is not None))

    @property
    def decimal_comma(self) -> bool:
        """Whether text may write numbers 1,5: where semicolons separate the cells."""
        return self.delimiter == ";"

    @property
    def cell_reader(self) -> CellReader:
        """How cells become values, for fits and for models."""
        return TypedCells() if self.format.typed else TextCells(self.decimal_comma)

    @cached_property
    def size(self) -> int:
        """What there is to read, in the units of `RowBatch.size`."""
        contents = self.files if self.parts is None else self.parts
        return sum(each.content.size for each in contents)

    def groups(self, file: int) -> tuple[int, ...]:
        """Return the number of rows in each group of a file; none where only all its rows can be read."""
        content = self.files[file].content
        return content.groups if isinstance(content, GroupedFile) else ()

    def part(self, file: int, begin: int = 0, end: int | None = None, *, first: int | None = None) -> "TableSource":
        """Return the same input of which only one file is read, or some of its groups of rows.

        Files, columns, types and the positions of rows are those of the whole input. It can be pickled, as the whole
        can, and read in another process.

        Parameters
        ----------
        file : int
            Index of the file.
        begin, end : int, optional
            Groups of rows, see `groups`: from `begin` on and before `end`. All of them by default.
        first : int, optional
            Index of the part's first row in the whole input. By default it is counted where all files before have
            groups; otherwise rows count from the beginning of the file.
        """
        content, groups = self.files[file].content, self.groups(file)
        if not groups and (begin or end is not None):
            raise ValueError(f"{self.files[file].name} has no groups of rows; it can only be read as a whole")
        if groups and isinstance(content, GroupedFile):
            content = content.of_groups(begin, len(groups) if end is None else end)
        first_in_file = sum(groups[:begin])
        if first is None:
            before = [self.files[index].content for index in range(file)]
            known = all(isinstance(each, GroupedFile) for each in before)
            first = first_in_file + (sum(each.size for each in before) if known else 0)
        return replace(self, parts=(FilePart(file, content, first_in_file, first),))

    def batches(self, names: Sequence[str] | None = None) -> Iterator[RowBatch]:
        """Read all rows, a few thousand at a time.

        Parameters
        ----------
        names : sequence of str, optional
            Columns to read; all by default.

        Raises
        ------
        InputError
            If a file cannot be read to its end, or if no file has a row.
        InputChanged
            If a file is not as it was when the source was opened, which is known when all of it has been read.
        """
        schema = self.schema if names is None else pa.schema([self.schema.field(name) for name in names])
        first = 0
        if self.parts is not None:
            for part in self.parts:
                yield from self._batches_of(part, schema)
            return
        for index, file in enumerate(self.files):
            for batch in self._batches_of(FilePart(index, file.content, 0, first), schema):
                yield batch
                first = batch.first + batch.n_rows
        if first == 0:
            raise InputError(f"{self.name} has column names but no rows; nothing to fit or score.")

    def _batches_of(self, part: FilePart, schema: pa.Schema) -> Iterator[RowBatch]:
        file, first_in_file, first = self.files[part.file], part.first_in_file, part.first
        present = [name for name in schema.names if name in file.content.schema.names]
        # A table needs a column for its rows to be counted.
        for cells, size in _checked(part.content, present or file.names[:1]):
            for start in range(0, cells.num_rows, ROWS_PER_BATCH):
                rows = cells.slice(start, ROWS_PER_BATCH)
                if self.format.typed:
                    before = first_in_file
                    check_dates(file.name, rows, lambda row: file.content.where(before + row))  # noqa: B023
                yield RowBatch(_cast(rows, schema), part.file, first_in_file, first, size if start == 0 else 0)
                first_in_file += rows.num_rows
                first += rows.num_rows

    def locate(self, file: int, row: int) -> Location:
        """Say where a person finds a row (from 0) of a file."""
        content = self.files[file].content
        return Location(content.source.name, content.where(row))

    def infer_types(self, names: Sequence[str], progress: Callable[[RowBatch], None]) -> dict[str, InferredType]:
        """Find the types of columns in a pass over all rows; nothing to find where the format has types.

        Parameters
        ----------
        names : sequence of str
            The columns.
        progress : callable
            Is called with every batch that was read.
        """
        if self.format.typed:
            return {}
        inferred = {name: InferredType(self.decimal_comma) for name in names}
        for batch in self.batches(names):
            for name, type_ in inferred.items():
                type_.update(without_missing(batch.cells[name]))
            progress(batch)
        return inferred

    def identity(self) -> dict[str, Any] | None:
        """Format, delimiter, and the content of each file, wherever it lies; None if one of them is a pipe."""
        files = []
        for file in self.files:
            state = file.content.source.state
            if state is None or (file.path is None and not isinstance(state, StoredObject)):
                return None
            # The names of several files are in the result.
            name = "" if self.n_files == 1 else file.name if file.path is None else as_text(file.path)
            files.append([name, state.size, state.digest])
        said = [f"{option}={getattr(self.given, option[2:].replace('-', '_'))}" for option in self.given.options]
        return {"read as": [self.format.name, self.delimiter, *said], "input": files}

    def check_output(self, option: str, path: Path | Address) -> None:
        """Refuse an output that is a file of the input, or lies in a directory that is: the next run would read it.

        Raises
        ------
        InputError
            If it is or does.
        """
        if isinstance(path, Address):
            self._check_address(option, path)
            return
        for folder in self.directories:
            if without_links(path).is_relative_to(without_links(folder)):
                raise InputError(
                    f"{option} {path} lies in the input directory {folder}, where the next run would read it as data; "
                    "name a path outside."
                )
        if path.is_file() and self.holds(path):
            raise InputError(f"{option} {path} is the input file itself; name another file.")

    def _check_address(self, option: str, address: Address) -> None:
        for folder in self.folders:
            if address.is_in(folder):
                raise InputError(
                    f"{option} {address} lies in the input folder {folder}, where the next run would read it as data; "
                    "name an address outside."
                )
        if self.holds(address):
            raise InputError(f"{option} {address} is the input itself; name another address.")

    def holds(self, path: Path | Address) -> bool:
        """Whether a path is one of the files, or of the data bases in files, by any of its names."""
        if isinstance(path, Address):
            return path.key in self._keys
        return not self._numbers.isdisjoint(file_numbers([path]))

    @cached_property
    def _numbers(self) -> frozenset[tuple[int, int]]:
        states = [(file, file.content.source.state) for file in self.files]
        paths = [state.path if isinstance(state, FileState) else file.path for file, state in states]
        return file_numbers(path for path in paths if path is not None)

    @cached_property
    def _keys(self) -> frozenset[tuple[str, str, str]]:
        stored = [file.content.source.stored for file in self.files]
        return frozenset(one.address.key for one in stored if one is not None)


def open_table(
    data: list[str], format_name: str | None, given: GivenLayout | None, warn: Callable[[str], None]
) -> TableSource:
    """Find the files and look at their columns; rows are read later.

    Parameters
    ----------
    data : list of str
        Files, patterns, directories and addresses, or `PIPE` for standard input.
    format_name : str or None
        A key of `FORMATS`; names and first bytes of the files tell by default.
    given : GivenLayout or None
        What the user says of how the files are laid out.
    warn : callable
        Is called with a message for each file that is left out, and for what is read otherwise than it stands there.

    Raises
    ------
    InputError
        If a file is no table with unique, non-empty column names, or if files differ in format or columns.
    """
    found = _with_states(find_files(data))
    try:
        return _open_found(data, found, format_name, given or GivenLayout(), warn)
    except InputError:
        # What cannot be read may be half of what somebody writes just now.
        for file in found:
            file.source.check_unchanged()
        raise


def _open_found(
    data: list[str], found: list[FoundFile], format_name: str | None, given: GivenLayout, warn: Callable[[str], None]
) -> TableSource:
    notes = _FewNotes(warn)
    warn = notes.warn
    # A table of a data base is typed, and written as CSV.
    formats = _each(found, lambda file, note: _format_of(file, format_name, note), warn)
    for file, table_format in zip(found, formats, strict=True):
        if table_format is not formats[0]:
            raise InputError(
                f"{file.source.name} is {table_format.name} and {found[0].source.name} is {formats[0].name}; expected "
                "files of one format. Score them one after the other."
            )
    if len(found) > 1:
        found = _without_empty(found, warn)
    opened = _each(found, lambda file, note: _opened(file, formats[0], given, note), warn)
    files = tuple(
        InputFile(content, _written_name(file.relative, formats[0]))
        for file, content in zip(found, with_partitions(opened, [file.relative for file in found]), strict=True)
    )
    for input_file in files:
        _check_names(input_file)
        check_types(input_file.name, input_file.content.schema)
    name = files[0].name if len(files) == 1 else f"{len(files)} files from {files[0].name} on"
    if len(data) == 1 and len(files) > 1:
        name = str(Address.of(data[0])) if found[0].source.stored is not None else data[0]
    _check_alike(files, formats[0])
    _warn_of_delimiter(files[0], warn)
    found_delimiter = files[0].content.delimiter or formats[0].delimiter
    directories = tuple(input_directories(data))
    folders = tuple(dict.fromkeys(file.folder for file in found if file.folder is not None))
    notes.close()
    return TableSource(
        name, formats[0], files, _common_schema(files), found_delimiter, directories, given, folders=folders
    )


def _each(
    found: list[FoundFile], look: Callable[[FoundFile, Callable[[str], None]], Looked], warn: Callable[[str], None]
) -> list[Looked]:
    """Look at each file, at several objects of a store at once; results, messages and errors are in their order."""
    n_threads = OPENING_THREADS if found[0].source.stored is not None else min(FEW_FILES, os.cpu_count() or 1)
    if len(found) <= FEW_FILES:
        return [look(file, warn) for file in found]

    def with_notes(file: FoundFile) -> tuple[Looked, list[str]]:
        notes: list[str] = []
        return look(file, notes.append), notes

    threads = ThreadPoolExecutor(n_threads)
    looked = []
    try:
        for one, notes in threads.map(with_notes, found):
            looked.append(one)
            for note in notes:
                warn(note)
    finally:
        threads.shutdown(cancel_futures=True)
    return looked


def _with_states(found: list[FoundFile]) -> list[FoundFile]:
    """Look at what the files hold before any of them is read."""
    paths = [file.source.path or file_of(file.address or "") for file in found]
    states = states_of([path for path in paths if path is not None])
    return [
        file if path is None else replace(file, source=replace(file.source, state=next(states)))
        for file, path in zip(found, paths, strict=True)
    ]


def _checked(content: TableFile, names: list[str]) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Read a file, and make sure that it has not changed when it is read, or cannot be."""
    try:
        yield from content.batches(names, ROWS_PER_BATCH)
    except Exception:
        content.source.check_unchanged()
        raise
    content.source.check_unchanged()


class _FewNotes:
    """Says what the user should know, of many files only of the first.

    Parameters
    ----------
    say : callable
        Shows a message.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._n_said = 0

    def warn(self, text: str) -> None:
        self._n_said += 1
        if self._n_said <= SHOWN_NOTES:
            self._say(text)

    def close(self) -> None:
        """Say how many messages are not shown."""
        if self._n_said > SHOWN_NOTES:
            self._say(f"{self._n_said - SHOWN_NOTES:,} more such messages of these files are not shown.")


def _format_of(file: FoundFile, format_name: str | None, warn: Callable[[str], None]) -> Format:
    if file.address is not None:
        return DATABASE
    return FORMATS[format_name] if format_name is not None else sniff_format(file.source, warn)


def _opened(file: FoundFile, table_format: Format, given: GivenLayout, warn: Callable[[str], None]) -> TableFile:
    if file.address is not None:
        return open_database(file.address, file.source, given, warn)
    return table_format.open(file.source, given, warn)


def _written_name(relative: PurePath, table_format: Format) -> PurePath:
    """Return the name of a file of results: results are compressed by gzip only, and not written in every format."""
    name, suffixes = relative, COMPRESSED_EXTENSIONS
    while name.suffix.lower() in suffixes and name.suffix.lower() != ".gz":
        name = name.with_suffix("")
    if format_of_name(name)[0] is table_format and table_format.writable:
        return name
    return name if name.suffix.lower() == ".gz" else name.with_suffix(table_format.written.extensions[0])


def _without_empty(found: list[FoundFile], warn: Callable[[str], None]) -> list[FoundFile]:
    """Leave out files without a byte, as failed exports leave them, with a warning."""
    empty = [file for file in found if file.address is None and file.source.n_bytes == 0]
    if len(empty) == len(found):
        raise InputError(f"{found[0].source.name} and {len(found) - 1} more files are empty; expected tables.")
    for file in empty:
        warn(f"{file.source.name} is empty: left out.")
    return [file for file in found if file not in empty]


def _check_names(file: InputFile) -> None:
    names = file.names
    if not names:
        raise InputError(f"{file.name} has no columns; expected a table with named columns.")
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise InputError(
                f"{file.name}: column {position} has no name. Name every column (a row number "
                "written by pandas is left out with index=False)."
            )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"{file.name}: the column name '{repeated[0]}' occurs {names.count(repeated[0])} "
            "times. Rename columns so that each name is unique."
        )


def _warn_of_delimiter(file: InputFile, warn: Callable[[str], None]) -> None:
    """Warn of a header that is one column, and would be several with another delimiter."""
    (name, *others) = file.names
    found = next((each for each in FORMATS["csv"].delimiters if each in name), None)
    if file.content.delimiter is not None and found is not None and not others:
        warn(f"{file.name} has one column, '{name}'; where {found!r} separates cells, say so with --delimiter.")


def _check_alike(files: tuple[InputFile, ...], table_format: Format) -> None:
    """Refuse files whose columns have other names, or whose cells are separated in another way."""
    first = files[0]
    for file in files[1:]:
        if not table_format.optional_columns:
            _check_same_columns(first, file)
        if file.content.delimiter != first.content.delimiter:
            raise InputError(
                f"{file.name} separates its cells by {file.content.delimiter!r} and {first.name} by "
                f"{first.content.delimiter!r}; expected one separator."
            )


def _check_same_columns(first: InputFile, file: InputFile) -> None:
    lacking = [name for name in first.names if name not in file.names]
    further = [name for name in file.names if name not in first.names]
    if lacking or further:
        said = [f"lacks {listed(lacking)}"] * bool(lacking) + [f"has {listed(further)} besides"] * bool(further)
        raise InputError(
            f"{file.name} {' and '.join(said)}; expected the columns of {first.name}. Make the columns alike, or give "
            "the files to runs of their own."
        )


def _common_schema(files: tuple[InputFile, ...]) -> pa.Schema:
    """Columns with types that have room for those of all files."""
    common: dict[str, pa.Field] = {}
    for file in files:
        for stored in file.content.schema:
            field = pa.field(stored.name, PLAIN_TYPES.get(stored.type, stored.type))
            before = common.setdefault(field.name, field)
            if before.type == field.type:
                continue
            try:
                parts = [pa.schema([before]), pa.schema([field])]
                common[field.name] = pa.unify_schemas(parts, promote_options="permissive").field(0)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise InputError(
                    f"{file.name}: column '{field.name}' is {field.type}, and {before.type} in files before; "
                    "expected one type. Convert it, or leave it out of the files."
                ) from error
    return pa.schema(list(common.values()))


def _cast(cells: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Bring the cells of a file to the columns and types of all files."""
    if cells.schema.equals(schema):
        return cells
    present = set(cells.schema.names)
    columns = [
        # Whole numbers beside fractions: a scoring model reads both as floating point anyway.
        pc.cast(cells[field.name], field.type, safe=False)
        if field.name in present
        else pa.nulls(cells.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def listed(names: list[str]) -> str:
    """Name the first few columns, and say how many there are beside them."""
    shown = ", ".join(f"'{name}'" for name in names[:SHOWN_NAMES])
    rest = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"{'column' if len(names) == 1 else 'columns'} {shown}{rest}"
