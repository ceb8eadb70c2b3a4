"""Where scored rows go while they are scored."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO, Protocol

import pyarrow as pa

from vae_anomaly_cli.console import data_stream
from vae_anomaly_cli.output.journal import Journal
from vae_anomaly_cli.output.partial_file import PartialFile, write_errors
from vae_anomaly_cli.output.places import Place, is_there, make_folder_of, remove_stale
from vae_anomaly_cli.output.targets import PartFile, Target


class Sink(Protocol):
    """Takes the rows of the input in their order."""

    def write(self, file: int, batch: pa.RecordBatch, /) -> None:
        """Append rows of one file of the input."""

    def finish(self) -> None:
        """Give what was written its name."""

    def discard(self) -> None:
        """Leave nothing half done; without effect after `finish`."""


class NoOutput:
    """Where no table is wanted."""

    def write(self, _file: int, _batch: pa.RecordBatch, /) -> None:
        """Drop rows."""

    def finish(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""


class OpenStream:
    """A stream that somebody else opens and closes: standard output."""

    def __init__(self, target: Target, stream: BinaryIO, schema: pa.Schema) -> None:
        self.writer = target.writer(stream, schema)

    def write(self, _file: int, batch: pa.RecordBatch, /) -> None:
        """Append rows."""
        self.writer.write(batch)

    def finish(self) -> None:
        """Write what is left."""
        self.writer.close()

    def discard(self) -> None:
        """Do nothing: what is out is out."""


class OneFile:
    """A file for all rows.

    Parameters
    ----------
    target : Target
        How it is written.
    path : Path or Address
        Its name.
    schema : pyarrow.Schema
        Its columns.
    journal : Journal or None
        Notes the name of the unfinished file.
    """

    def __init__(self, target: Target, path: Place, schema: pa.Schema, journal: Journal | None) -> None:
        if journal is None:
            remove_stale([path])
        self.file = PartialFile(target, path, schema, None if journal is None else journal.note_file)

    def write(self, _file: int, batch: pa.RecordBatch, /) -> None:
        """Append rows."""
        self.file.write(batch)

    def finish(self) -> None:
        """Give the file its name."""
        self.file.finish()

    def discard(self) -> None:
        """Leave nothing of a file that is not whole."""
        self.file.discard()


class FileByFile:
    """A directory with a file for each file of the input, under the same names.

    Files take their names as they are finished; those that an interrupted run finished stay.

    Parameters
    ----------
    target : Target
        The directory.
    parts : sequence of PartFile
        The files of the input.
    schema : pyarrow.Schema
        Of every one of them.
    journal : Journal or None
        Knows which are finished, and notes the name of the one that is not.
    """

    def __init__(self, target: Target, parts: Sequence[PartFile], schema: pa.Schema, journal: Journal | None) -> None:
        assert target.path is not None
        self.target, self.schema, self.journal = target, schema, journal
        self.paths: list[Place] = [target.path / part.relative for part in parts]
        self.index = -1
        self.file: PartialFile | None = None
        if journal is None:
            remove_stale(self.paths)

    def write(self, file: int, batch: pa.RecordBatch, /) -> None:
        """Append rows; with the first of another file the one before is finished."""
        self._go_on_to(file)
        if self.file is not None:
            self.file.write(batch)

    def finish(self) -> None:
        """Finish the last file, and those without rows behind it."""
        self._go_on_to(len(self.paths) - 1)
        self._finish_file()

    def discard(self) -> None:
        """Leave nothing of a file that is not whole."""
        if self.file is not None:
            self.file.discard()

    def _go_on_to(self, file: int) -> None:
        while self.index < file:
            self._finish_file()
            self.index += 1
            path = self.paths[self.index]
            if self.journal is not None and self.index in self.journal.finished and is_there(path):
                continue
            with write_errors(path):
                make_folder_of(path)
            gzipped = path.name.lower().endswith(".gz")
            note = None if self.journal is None else self.journal.note_file
            self.file = PartialFile(replace(self.target, gzipped=gzipped), path, self.schema, note)

    def _finish_file(self) -> None:
        if self.file is None:
            return
        self.file.finish()
        self.file = None
        if self.journal is not None:
            self.journal.finish(self.index)


def open_sink(
    target: Target,
    parts: Sequence[PartFile],
    schema: pa.Schema,
    journal: Journal | None,
    closing: contextlib.ExitStack,
) -> Sink:
    """Open what rows go to.

    Parameters
    ----------
    target : Target
        A file, a directory, or standard output.
    parts : sequence of PartFile
        The files of the input.
    schema : pyarrow.Schema
        Of the rows.
    journal : Journal or None
        Knows which files are finished.
    closing : ExitStack
        Flushes standard output in the end.
    """
    if target.path is None:
        return OpenStream(target, closing.enter_context(data_stream()), schema)
    if target.is_directory:
        return FileByFile(target, parts, schema, journal)
    return OneFile(target, target.path, schema, journal)
