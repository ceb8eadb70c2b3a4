"""Tables in files that are there whole or not at all."""

import contextlib
import errno
import gzip
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from vae_anomaly_cli.console import data_stream
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.output.places import Place, open_output, remove_stale
from vae_anomaly_cli.output.targets import Target, in_a_circle
from vae_anomaly_cli.stores import Address

ROWS_PER_BATCH = 1 << 16
Note = Callable[[Path], None]


class PartialFile:
    """A table that is written beside its path, under a hidden name, and takes its name when it is whole.

    A device or a pipe is written to as it is, and an object of a store is put there when it is whole.

    Parameters
    ----------
    target : Target
        How it is written.
    path : Path or Address
        Its name.
    schema : pyarrow.Schema
        Its columns.
    note : callable, optional
        Is told where the unfinished table will be, before it is.
    """

    def __init__(self, target: Target, path: Place, schema: pa.Schema, note: Note | None = None) -> None:
        self.path = path
        self.compressing = contextlib.ExitStack()
        with write_errors(path):
            self.file = open_output(path, note)
            try:
                stream: BinaryIO = self.file.stream
                if target.gzipped:
                    # Without time and name (of the part): the same table gives the same bytes.
                    zipped = gzip.GzipFile("", fileobj=stream, mode="wb", mtime=0)
                    stream = cast(BinaryIO, self.compressing.enter_context(zipped))
                self.writer = target.writer(stream, schema)
            except BaseException:
                self._remove()
                raise

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        with write_errors(self.path):
            self.writer.write(batch)

    def finish(self) -> None:
        """Give the table its name."""
        with write_errors(self.path):
            self.writer.close()
            self.compressing.close()
            self.file.finish()

    def discard(self) -> None:
        """Leave nothing of a table that is not whole; without effect on a finished one."""
        with contextlib.suppress(OSError, pa.ArrowException, ValueError):
            self.writer.close()
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.compressing.close()
        self.file.discard()


@contextlib.contextmanager
def write_errors(path: Place) -> Iterator[None]:
    """Turn failures to write into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(in_a_circle(path)) from error
        if error.errno == errno.ENOSPC and isinstance(path, Address):
            raise CommandError(
                f"{path} cannot be written: {tempfile.gettempdir()}, where it is kept until it is whole, is full. Free "
                "space there, or name another directory with TMPDIR."
            ) from error
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error


def write_table(cells: pa.Table, target: Target, stream: BinaryIO) -> None:
    """Write a table to an open stream in the target's format."""
    writer = target.writer(stream, cells.schema)
    for batch in cells.to_batches(max_chunksize=ROWS_PER_BATCH):
        writer.write(batch)
    writer.close()


def write_to_standard_output(cells: pa.Table, target: Target) -> None:
    """Write a table to standard output in the target's format."""
    with data_stream() as stream:
        write_table(cells, target, stream)


def save_table(cells: pa.Table, target: Target, path: Place, note: Note | None = None) -> None:
    """Write a table to a file, whole or not at all.

    Parameters
    ----------
    cells : pyarrow.Table
        The table.
    target : Target
        How it is written.
    path : Path or Address
        The file.
    note : callable, optional
        Is told where the unfinished table will be. Without it nothing but its name says what a killed run left there,
        and that is removed.
    """
    if note is None:
        remove_stale([path])
    file = PartialFile(target, path, cells.schema, note)
    try:
        for batch in cells.to_batches(max_chunksize=ROWS_PER_BATCH):
            file.write(batch)
        file.finish()
    finally:
        file.discard()
