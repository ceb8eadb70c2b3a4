"""Where tables go: a file, a directory of files, a device, or standard output."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, Protocol

import pyarrow as pa

from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.options import STANDARD_OUTPUT
from vae_anomaly_cli.sources import (
    FORMATS,
    WRITTEN_EXTENSIONS,
    Format,
    Source,
    TableWriter,
    format_of_name,
    is_image,
    without_links,
)


class TabularSource(Source, Protocol):
    """A source with a format and columns.

    Attributes
    ----------
    format : Format
        Of results that do not say which.
    delimiter : str
        What separates their cells.
    schema : pyarrow.Schema
        Its columns.
    """

    @property
    def format(self) -> Format: ...

    @property
    def delimiter(self) -> str: ...

    @property
    def schema(self) -> pa.Schema: ...


class PartFile(Protocol):
    """A file of a source, whose rows can become a file of results.

    Attributes
    ----------
    name : str
        How messages call it.
    path : Path or None
        The file; None for a pipe.
    relative : PurePath
        Its name under the directory or pattern that led to it.
    """

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> Path | None: ...

    @property
    def relative(self) -> PurePath: ...


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
        What separates cells, where the format has delimiters.
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
    def is_file(self) -> bool:
        """Whether the table is written under another name, and takes its own when it is whole."""
        return self.path is not None and not self.is_directory and (self.path.is_file() or not self.path.exists())

    @property
    def is_resumable(self) -> bool:
        """Whether an interrupted run can leave something beside it."""
        return self.is_file or self.is_directory

    def is_same_file(self, other: "Target") -> bool:
        """Whether two files are one, links followed."""
        if self.path is None or other.path is None or not (self.is_file and other.is_file):
            return False
        return without_links(self.path) == without_links(other.path)

    def writer(self, stream: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Begin a table on an open stream."""
        return self.format.codec().open_writer(stream, schema, self.delimiter)


def choose_target(
    output: str | None, source: TabularSource, option: str = "--output", *, parts: Sequence[PartFile] = ()
) -> Target:
    """Settle where a result goes before any work is done.

    Standard output has the input's format, and CSV where that is no text.

    Parameters
    ----------
    output : str or None
        What the user names; None and `-` are standard output.
    source : TabularSource
        What the result is of.
    option : str
        Which option it is.
    parts : sequence of PartFile
        The files of the source, where a directory may be named, for a file of results for each.

    Raises
    ------
    InputError
        If the extension is not one of ours, or the output is or would become part of the input.
    CommandError
        If nothing can be written there.
    """
    if output is None or output == STANDARD_OUTPUT:
        return Target(None, source.format.piped, source.delimiter)
    path = Path(output)
    source.check_output(option, path)
    if parts and (output.endswith(("/", os.sep)) or path.is_dir()):
        _check_parts(path, source, parts, option)
        return Target(path, source.format.written, source.delimiter, is_directory=True)
    check_writable(path, option)
    if path.exists() and not path.is_file():
        return Target(path, source.format.written, source.delimiter)
    chosen, gzipped = _named_format(path, option)
    # What separated the cells of the input separates them again, where the format leaves a choice.
    chooses = source.format is chosen and len(chosen.delimiters) > 1
    return Target(path, chosen, source.delimiter if chooses else chosen.delimiter, gzipped)


def choose_target_alone(output: str | None, option: str = "--output") -> Target:
    """Settle where a table goes that is of no input; standard output has CSV.

    Raises
    ------
    InputError
        If the extension is not one of ours.
    CommandError
        If nothing can be written there.
    """
    written = FORMATS["csv"]
    if output is None or output == STANDARD_OUTPUT:
        return Target(None, written, written.delimiter)
    path = Path(output)
    check_writable(path, option)
    if path.exists() and not path.is_file():
        return Target(path, written, written.delimiter)
    written, gzipped = _named_format(path, option)
    return Target(path, written, written.delimiter, gzipped)


def choose_model_path(output: str, source: Source | None = None, option: str = "--output") -> Path:
    """Settle where a model goes before any work is done.

    Parameters
    ----------
    output : str
        What the user names.
    source : Source, optional
        The input, which a model must not replace.
    option : str
        Which option it is.

    Raises
    ------
    InputError
        If it is named like data, or is the input, a directory or a device.
    CommandError
        If nothing can be written there.
    """
    path = Path(output)
    if format_of_name(path)[0] is not None or is_image(path):
        named = "an image" if is_image(path) else "a table"
        raise InputError(f"{option} {output} is named like {named}; expected a name for a model, like orders.vae.")
    check_writable(path, option)
    if path.exists():
        if not path.is_file():
            raise InputError(f"{option} {path} is not a file, and a model would take its place; name a file.")
        if source is not None:
            source.check_output(option, path)
    return path


def _named_format(path: Path, option: str) -> tuple[Format, bool]:
    """Tell the format of a file by its name, and whether it is compressed."""
    chosen, gzipped = format_of_name(path)
    if chosen is None or not chosen.writable:
        raise InputError(f"{option} {path}: expected a name that ends in {WRITTEN_EXTENSIONS}.")
    return chosen, gzipped


def _check_parts(path: Path, source: Source, parts: Sequence[PartFile], option: str) -> None:
    """Refuse a directory where files of results would collide, or cannot be written."""
    taken: dict[Path, str] = {}
    for file in parts:
        part = path / file.relative
        if file.path is None:
            raise InputError(f"{option} {path} is a directory; for {file.name} expected a file name.")
        if source.holds(part):
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


def check_writable(path: Path, option: str = "--output") -> None:
    """Refuse early a file that cannot be written."""
    if path.is_dir():
        raise InputError(f"{option} {path} is a directory; expected a file name.")
    folder = path.parent
    if not folder.is_dir():
        raise CommandError(f"{path} cannot be written: the directory {folder} does not exist.")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"{path} cannot be written: no permission to write in {folder}.")
