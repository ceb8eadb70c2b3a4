"""Tables in files that are there whole or not at all."""

import contextlib
import glob
import gzip
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from vae_anomaly_cli.console import data_stream
from vae_anomaly_cli.errors import CommandError
from vae_anomaly_cli.output.targets import Target
from vae_anomaly_cli.sources import without_links

ROWS_PER_BATCH = 1 << 16


class PartialFile:
    """A table that is written beside its path, under a hidden name, and takes its name when it is whole.

    A device is written to as it is.

    Parameters
    ----------
    target : Target
        How it is written.
    path : Path
        Its name.
    schema : pyarrow.Schema
        Its columns.
    """

    def __init__(self, target: Target, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.final = without_links(path)
        self.part: Path | None = None
        self.closing = contextlib.ExitStack()
        try:
            with write_errors(path):
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
        with write_errors(self.path):
            self.writer.write(batch)

    def finish(self) -> None:
        """Give the table its name."""
        with write_errors(self.path):
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
def write_errors(path: Path) -> Iterator[None]:
    """Turn failures to write into one clear line."""
    try:
        yield
    except OSError as error:
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


def save_table(cells: pa.Table, target: Target, path: Path) -> None:
    """Write a table to a file, whole or not at all."""
    file = PartialFile(target, path, cells.schema)
    try:
        for batch in cells.to_batches(max_chunksize=ROWS_PER_BATCH):
            file.write(batch)
        file.finish()
    finally:
        file.discard()
