"""Where tables go: a file, a directory of files, a device, or standard output."""

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, Protocol

import pyarrow as pa

from vae_anomaly.files import are_one_file, descriptor_of, final_path, is_replaced
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.options import STANDARD_OUTPUT
from vae_anomaly_cli.signing import key_file
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
from vae_anomaly_cli.stores import Address, Place, check_bucket, place_of

# By option, what an output must not be.
Others = Mapping[str, str | Place | None]


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
    is_named : bool
        Whether it has a name that a file of results can take, as no pipe has.
    relative : PurePath
        Its name under the directory or pattern that led to it.
    """

    @property
    def name(self) -> str: ...

    @property
    def is_named(self) -> bool: ...

    @property
    def relative(self) -> PurePath: ...


@dataclass(frozen=True)
class Target:
    """Where a table goes and how it is written there.

    Attributes
    ----------
    path : Path or Address or None
        The file, device or directory, or the object or folder of a store; None for standard output.
    format : Format
        How it is written.
    delimiter : str
        What separates cells, where the format has delimiters.
    gzipped : bool
        Whether it is compressed.
    is_directory : bool
        Whether each file of the input becomes one in that directory.
    """

    path: Place | None
    format: Format
    delimiter: str
    gzipped: bool = False
    is_directory: bool = False

    @property
    def is_file(self) -> bool:
        """Whether the table is written under another name, and takes its own when it is whole."""
        return isinstance(self.path, Path) and not self.is_directory and is_replaced(self.path)

    @property
    def is_resumable(self) -> bool:
        """Whether an interrupted run can leave something beside it: objects are neither appended to nor locked."""
        return self.is_file or (self.is_directory and isinstance(self.path, Path))

    def writer(self, stream: BinaryIO, schema: pa.Schema) -> TableWriter:
        """Begin a table on an open stream."""
        return self.format.codec().open_writer(stream, schema, self.delimiter)


def choose_target(
    output: str | None,
    source: TabularSource,
    option: str = "--output",
    *,
    parts: Sequence[PartFile] = (),
    others: Others | None = None,
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
    others : mapping of str to path-like or None, optional
        By option, what it must not be besides the input: the model, and outputs that were settled before.

    Raises
    ------
    InputError
        If the extension is not one of ours, or the output is the model or another output, or is or would become part of
        the input.
    CommandError
        If nothing can be written there.
    """
    if output is None or output == STANDARD_OUTPUT:
        return Target(None, source.format.piped, source.delimiter)
    path = place_of(output)
    source.check_output(option, path)
    if isinstance(path, Address):
        return _in_store(path, source, parts, option, others or {})
    if parts and (output.endswith(("/", os.sep)) or path.is_dir()):
        check_parts(path, source, parts, option, others or {})
        return Target(path, source.format.written, source.delimiter, is_directory=True)
    check_apart(option, path, others or {})
    check_writable(path, option)
    if not is_replaced(path):
        return Target(path, source.format.written, source.delimiter)
    chosen, gzipped = _named_format(path, option)
    # What separated the cells of the input separates them again, where the format leaves a choice.
    chooses = source.format is chosen and len(chosen.delimiters) > 1
    return Target(path, chosen, source.delimiter if chooses else chosen.delimiter, gzipped)


def choose_target_alone(output: str | None, option: str = "--output", *, others: Others | None = None) -> Target:
    """Settle where a table goes that is of no input; standard output has CSV.

    Parameters
    ----------
    output : str or None
        What the user names; None and `-` are standard output.
    option : str
        Which option it is.
    others : mapping of str to path-like or None, optional
        By option, what it must not be.

    Raises
    ------
    InputError
        If the extension is not one of ours, or it is one of the others.
    CommandError
        If nothing can be written there.
    """
    written = FORMATS["csv"]
    if output is None or output == STANDARD_OUTPUT:
        return Target(None, written, written.delimiter)
    path = place_of(output)
    check_apart(option, path, others or {})
    if isinstance(path, Address):
        check_writable(path, option)
        written, gzipped = _named_format(path, option)
        return Target(path, written, written.delimiter, gzipped)
    check_writable(path, option)
    if not is_replaced(path):
        return Target(path, written, written.delimiter)
    written, gzipped = _named_format(path, option)
    return Target(path, written, written.delimiter, gzipped)


def choose_model_path(output: str, source: Source | None = None, option: str = "--output") -> Place:
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
        If it is named like data, or is the input or a directory.
    CommandError
        If nothing can be written there.
    """
    if output == STANDARD_OUTPUT:
        raise InputError(f"{option} -: a model goes to a file; name one, like orders.vae, or /dev/stdout for a pipe.")
    path = place_of(output)
    name = PurePath(path.name)
    if format_of_name(name)[0] is not None or is_image(name):
        named = "an image" if is_image(name) else "a table"
        raise InputError(f"{option} {path} is named like {named}; expected a name for a model, like orders.vae.")
    if isinstance(path, Address):
        if path.is_folder:
            raise InputError(f"{option} {path} is a folder; expected a name for a model, like {path / 'orders.vae'}.")
        _check_store(path)
        check_apart(option, path, {})
        return path
    check_writable(path, option)
    check_apart(option, path, {})
    if source is not None and path.exists() and is_replaced(path):
        source.check_output(option, path)
    return path


def check_apart(option: str, path: Place, others: Others) -> None:
    """Refuse an output that is the model, its key, another output or what standard input reads, by whatever name.

    Raises
    ------
    InputError
        If it is.
    """
    for other_option, other in {"--key-file": key_file(), **others}.items():
        place = place_of(other) if isinstance(other, str) else other
        if place is not None and _are_one(path, place):
            raise InputError(f"{option} {path} is also {other_option} {place}; name a file of its own.")
    if isinstance(path, Path) and _is_standard_input(path):
        raise InputError(f"{option} {path} is what standard input reads; name another file.")


def _are_one(one: Place, other: Place) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return are_one_file(one, other)
    return isinstance(one, Address) and isinstance(other, Address) and one.key == other.key


def in_a_circle(path: Place) -> str:
    """Say that a path leads nowhere."""
    return f"{path} cannot be written: its links lead in a circle. Name a file."


def _in_store(
    address: Address, source: TabularSource, parts: Sequence[PartFile], option: str, others: Others
) -> Target:
    """Settle where in a store a result goes: a folder where it is written as one is, or an object."""
    if parts and address.is_folder:
        check_parts(address, source, parts, option, others)
        return Target(address, source.format.written, source.delimiter, is_directory=True)
    check_apart(option, address, others)
    chosen, gzipped = _named_format(address, option)
    _check_store(address)
    chooses = source.format is chosen and len(chosen.delimiters) > 1
    return Target(address, chosen, source.delimiter if chooses else chosen.delimiter, gzipped)


def _check_objects(address: Address, source: Source, parts: Sequence[PartFile], option: str, others: Others) -> None:
    taken: dict[tuple[str, str, str], str] = {}
    for file in parts:
        if not file.is_named:
            raise InputError(f"{option} {address} is a folder; for {file.name} expected the name of an object.")
        part = address / file.relative
        if source.holds(part):
            raise InputError(f"{option} {address}: {part} is an input file itself; name another folder.")
        check_apart(option, part, others)
        if part.key in taken:
            raise InputError(
                f"{option} {address}: {taken[part.key]} and {file.name} have the same name and would become one "
                "object; name a common folder of theirs as input, or write to one object."
            )
        taken[part.key] = file.name
    _check_store(address)


def _check_store(address: Address) -> None:
    """Refuse early a store that cannot be written to."""
    try:
        check_bucket(address)
    except OSError as error:
        raise CommandError(f"{address} cannot be written: {error}.") from error


def _named_format(path: Place, option: str) -> tuple[Format, bool]:
    """Tell the format of a file by its name, and whether it is compressed."""
    chosen, gzipped = format_of_name(PurePath(path.name))
    if chosen is None or not chosen.writable:
        folder = ", or in '/' for a folder" if isinstance(path, Address) else ""
        raise InputError(f"{option} {path}: expected a name that ends in {WRITTEN_EXTENSIONS}{folder}.")
    return chosen, gzipped


def check_parts(path: Place, source: Source, parts: Sequence[PartFile], option: str, others: Others) -> None:
    """Refuse a directory where files of results would collide, or cannot be written.

    Raises
    ------
    InputError
        If they would be the input, the model or each other.
    CommandError
        If they cannot be written.
    """
    if isinstance(path, Address):
        _check_objects(path, source, parts, option, others)
        return
    taken: dict[Path, str] = {}
    check_links(path, option)
    for file in parts:
        part = path / file.relative
        if not file.is_named:
            raise InputError(f"{option} {path} is a directory; for {file.name} expected a file name.")
        if source.holds(part):
            raise InputError(f"{option} {path}: {part} is an input file itself; name another directory.")
        check_links(part, option)
        check_apart(option, part, others)
        if part.exists() and not part.is_file():
            raise InputError(f"{option} {path}: {part} is there, and is no file; name another directory.")
        final = without_links(part)
        if final in taken:
            raise InputError(
                f"{option} {path}: {taken[final]} and {file.name} have the same name and would become one file; "
                "name a common directory of theirs as input, or write to one file."
            )
        taken[final] = file.name
    above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise CommandError(f"{path} cannot be written: no permission to write in {above}.")


def check_writable(path: Place, option: str = "--output") -> None:
    """Refuse early a file that cannot be written."""
    if isinstance(path, Address):
        _check_store(path)
        return
    if path.is_dir():
        raise InputError(f"{option} {path} is a directory; expected a file name.")
    check_links(path, option)
    folder = without_links(path).parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        raise CommandError(f"{path} cannot be written: the directory {folder} does not exist.")
    if not is_replaced(path):
        if descriptor_of(path) is None and not os.access(path, os.W_OK):
            raise CommandError(f"{path} cannot be written: no permission to write to it.")
        return
    if not os.access(folder, os.W_OK):
        raise CommandError(f"{path} cannot be written: no permission to write in {folder}.")


def check_links(path: Path, option: str) -> None:
    """Refuse a path whose links lead nowhere, or that may not be looked at.

    Raises
    ------
    InputError
        If its links lead in a circle.
    CommandError
        If it cannot be seen what is there.
    """
    try:
        final_path(path)
    except NotADirectoryError:
        # There is no such folder, which is said where one is needed.
        return
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{option} {in_a_circle(path)}") from error
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error


def _is_standard_input(path: Path) -> bool:
    """Whether a file is the one that standard input comes from."""
    try:
        reads = os.fstat(0)
        return stat.S_ISREG(reads.st_mode) and os.path.samestat(reads, path.stat())
    except OSError:
        return False
