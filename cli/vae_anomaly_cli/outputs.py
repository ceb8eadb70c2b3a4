"""Where tables go: a file that is there whole or not at all, a device, or standard output."""

import contextlib
import glob
import gzip
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq

from vae_anomaly_cli.delimited import DelimitedWriter
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.inputs import Input, same_file
from vae_anomaly_cli.jsonl import JsonlWriter
from vae_anomaly_cli.paths import without_links
from vae_anomaly_cli.sources import EXTENSIONS, Format, format_of_name

ROWS_PER_BATCH = 1 << 16
GROUP_BYTES = 1 << 25


class TableWriter(Protocol):
    """Writes a table batch by batch."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""

    def close(self) -> None:
        """Write what follows the last row."""


@dataclass(frozen=True)
class Target:
    """Where a table goes and how it is written there.

    Attributes
    ----------
    path : Path or None
        The file, device or directory; None for standard output.
    format : Format
        How it is written.
    delimiter : str
        What separates cells in CSV and TSV.
    gzipped : bool
        Whether it is compressed.
    is_directory : bool
        Whether each file of the input becomes one in that directory.
    """

    path: Path | None
    format: Format
    delimiter: str
    gzipped: bool = False
    is_directory: bool = False

    @property
    def typed(self) -> bool:
        """Whether cells are written with their types and not as text."""
        return self.format not in (Format.CSV, Format.TSV)

    @property
    def is_file(self) -> bool:
        """Whether the table is put together beside its place and then takes it."""
        return self.path is not None and not self.is_directory and (self.path.is_file() or not self.path.exists())

    def writer(self, stream: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Begin a table on an open stream."""
        if self.format is Format.PARQUET:
            return ParquetWriter(stream, schema)
        if self.format is Format.JSONL:
            return JsonlWriter(stream)
        return DelimitedWriter(stream, schema.names, self.delimiter)


class ParquetWriter:
    """Writes rows as Parquet, in row groups of some size however small the batches are."""

    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        self.writer = pq.ParquetWriter(stream, schema)
        self.held: list[pa.RecordBatch] = []
        self.n_rows = self.n_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self.held.append(batch)
        self.n_rows += batch.num_rows
        self.n_bytes += batch.nbytes
        if self.n_rows >= ROWS_PER_BATCH or self.n_bytes >= GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write what is held, and the footer."""
        if self.held:
            self._write_group()
        self.writer.close()

    def _write_group(self) -> None:
        self.writer.write_table(pa.Table.from_batches(self.held), self.n_rows)
        self.held.clear()
        self.n_rows = self.n_bytes = 0


class PartialFile:
    """A table that is written beside its place, under a hidden name, and takes its place when it is whole.

    A device is written to as it is.

    Parameters
    ----------
    target : Target
        How it is written.
    path : Path
        Its place.
    schema : pyarrow.Schema
        Its columns.
    """

    def __init__(self, target: Target, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.final = without_links(path)
        self.part: Path | None = None
        self.closing = contextlib.ExitStack()
        try:
            with explained(path):
                if path.exists() and not path.is_file():
                    stream: BinaryIO = self.closing.enter_context(path.open("wb"))
                else:
                    # Not the process's number: in a container it is 1 again in the run after one that was killed.
                    self.part = self.final.with_name(f".{self.final.name}.{secrets.token_hex(4)}.part")
                    stream = self.closing.enter_context(self.part.open("xb"))
                if target.gzipped:
                    # Without time and name (of the part): the same table gives the same bytes.
                    zipped = gzip.GzipFile("", fileobj=stream, mode="wb", mtime=0)
                    stream = cast(BinaryIO, self.closing.enter_context(zipped))
                self.writer = target.writer(stream, schema)
        except BaseException:
            self._remove()
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        with explained(self.path):
            self.writer.write(batch)

    def finish(self) -> None:
        """Put the table in its place."""
        with explained(self.path):
            self.writer.close()
            self.closing.close()
            if self.part is not None:
                self.part.replace(self.final)

    def discard(self) -> None:
        """Leave nothing of a table that is not whole; without effect on a finished one."""
        with contextlib.suppress(OSError, pa.ArrowException, ValueError):
            self.writer.close()
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.closing.close()
        if self.part is not None:
            with contextlib.suppress(OSError):
                self.part.unlink()


def remove_parts(target: Target) -> None:
    """Remove what runs that were killed left of a target."""
    assert target.path is not None
    if target.is_directory:
        parts = target.path.rglob(".*.part")
    else:
        final = without_links(target.path)
        parts = final.parent.glob(f".{glob.escape(final.name)}.*.part")
    for part in parts:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn failures to write into one clear line."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error


def choose_target(output: str | None, table: Input, option: str = "--output", *, parts: bool = False) -> Target:
    """Settle where a result goes before any work is done.

    Standard output has the input's text format, and CSV for Parquet.

    Parameters
    ----------
    output : str or None
        What the user names; None and `-` are standard output.
    table : Input
        What the result is of.
    option : str
        Which option it is.
    parts : bool
        Whether a directory may be named, for a file of results for each file of the input.

    Raises
    ------
    InputError
        If the extension is not one of ours, or the output is or would become part of the input.
    CommandError
        If nothing can be written there.
    """
    if output is None or output == "-":
        piped = Format.CSV if table.format is Format.PARQUET else table.format
        return Target(None, piped, table.delimiter)
    path = Path(output)
    _check_apart(output, path, table, option)
    if parts and (output.endswith(("/", os.sep)) or path.is_dir()):
        return _directory(path, table, option)
    check_writable(path, option)
    if path.exists() and not path.is_file():
        return Target(path, table.format, table.delimiter)
    chosen, gzipped = format_of_name(path)
    if chosen is None:
        raise InputError(f"{option} {output}: expected a name that ends in {EXTENSIONS}.")
    if same_file(table, path):
        raise InputError(f"{option} {output} is the input file itself; name another file.")
    if chosen is Format.TSV:
        return Target(path, chosen, "\t", gzipped)
    return Target(path, chosen, table.delimiter if table.format is chosen else ",", gzipped)


def _check_apart(output: str, path: Path, table: Input, option: str) -> None:
    """Refuse results among the tables of a directory: the next run would read them."""
    for folder in table.directories:
        if without_links(path).is_relative_to(without_links(folder)):
            raise InputError(
                f"{option} {output} lies in the input directory {folder}, where the next run would read it as data; "
                "name a place outside."
            )


def _directory(path: Path, table: Input, option: str) -> Target:
    taken: dict[Path, str] = {}
    for file in table.files:
        part = path / file.relative
        if file.source.path is None:
            raise InputError(f"{option} {path} is a directory; for {file.source.name} expected a file name.")
        if same_file(table, part):
            raise InputError(f"{option} {path}: {part} is an input file itself; name another directory.")
        if part in taken:
            raise InputError(
                f"{option} {path}: {taken[part]} and {file.source.name} have the same name and would become one file; "
                "name a common directory of theirs as input, or write to one file."
            )
        taken[part] = file.source.name
    above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise CommandError(f"{path} cannot be written: no permission to write in {above}.")
    return Target(path, table.format, table.delimiter, is_directory=True)


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
    writer = target.writer(stream, cells.schema)
    for batch in cells.to_batches(max_chunksize=ROWS_PER_BATCH):
        writer.write(batch)
    writer.close()


def save_table(cells: pa.Table, target: Target, path: Path) -> None:
    """Write a table to a file, whole or not at all."""
    file = PartialFile(target, path, cells.schema)
    try:
        for batch in cells.to_batches(max_chunksize=ROWS_PER_BATCH):
            file.write(batch)
        file.finish()
    finally:
        file.discard()
