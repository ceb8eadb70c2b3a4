"""Where tables go: a file that is there whole or not at all, a device, or standard output."""

import contextlib
import glob
import gzip
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.sources import EXTENSIONS, Format, TableSource, TableWriter, format_of_name, without_links

ROWS_PER_BATCH = 1 << 16


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
        return self.format.typed

    @property
    def is_file(self) -> bool:
        """Whether the table is written to a hidden file first, which then gets the name."""
        return self.path is not None and not self.is_directory and (self.path.is_file() or not self.path.exists())

    def writer(self, stream: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Begin a table on an open stream."""
        return self.format.writer(stream, schema, self.delimiter)


class PartialFile:
    """A table that is written under a hidden name, in the same directory, and gets its own when it is whole.

    A device is written to as it is.

    Parameters
    ----------
    target : Target
        How it is written.
    path : Path
        Its own name.
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
        """Give the table its name."""
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


def choose_target(output: str | None, table: TableSource, option: str = "--output", *, parts: bool = False) -> Target:
    """Settle where a result goes before any work is done.

    Standard output has the input's format, and CSV where that is no text.

    Parameters
    ----------
    output : str or None
        What the user names; None and `-` are standard output.
    table : TableSource
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
        return Target(None, table.format.piped, table.delimiter)
    path = Path(output)
    table.check_output(option, path)
    if parts and (output.endswith(("/", os.sep)) or path.is_dir()):
        return _directory(path, table, option)
    check_writable(path, option)
    if path.exists() and not path.is_file():
        return Target(path, table.format, table.delimiter)
    chosen, gzipped = format_of_name(path)
    if chosen is None:
        raise InputError(f"{option} {output}: expected a name that ends in {EXTENSIONS}.")
    # What separated the cells of the input separates them again, where the format leaves a choice.
    chooses = table.format is chosen and len(chosen.delimiters) > 1
    return Target(path, chosen, table.delimiter if chooses else chosen.delimiter, gzipped)


def _directory(path: Path, table: TableSource, option: str) -> Target:
    taken: dict[Path, str] = {}
    for file in table.files:
        part = path / file.relative
        if file.path is None:
            raise InputError(f"{option} {path} is a directory; for {file.name} expected a file name.")
        if table.holds(part):
            raise InputError(f"{option} {path}: {part} is an input file itself; name another directory.")
        if part in taken:
            raise InputError(
                f"{option} {path}: {taken[part]} and {file.name} have the same name and would become one file; "
                "name a common directory of theirs as input, or write to one file."
            )
        taken[part] = file.name
    above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise CommandError(f"{path} cannot be written: no permission to write in {above}.")
    return Target(path, table.format, table.delimiter, is_directory=True)


def check_writable(path: Path, option: str = "--output") -> None:
    """Refuse early a path where nothing can be written."""
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
