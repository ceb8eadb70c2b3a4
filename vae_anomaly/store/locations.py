"""Where model files are: paths, addresses of stores that fsspec knows, open files and bytes."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

from vae_anomaly.errors import ModelFileError, SpecificationError
from vae_anomaly.files import OutputFile, remove_stale_parts

Target: TypeAlias = str | os.PathLike[str] | BinaryIO
Location: TypeAlias = Target | bytes | bytearray | memoryview

# A letter alone is a drive of Windows; "simplecache::s3://" is a chain.
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|://)")
MAX_SHOWN = 200


class NamedBytes(bytes):
    """What was read from somewhere, and where that is.

    Parameters
    ----------
    content : bytes
    name : str
        What messages call it.
    """

    name: str

    def __new__(cls, content: bytes, name: str) -> Self:
        """Bytes with a name."""
        held = super().__new__(cls, content)
        held.name = name
        return held


def read_once(location: Location) -> Location:
    """A location that can be read again and again: a path or bytes; what is elsewhere is read here.

    Parameters
    ----------
    location : path-like, str with an address, binary file or bytes
        Where a model file is.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    is_address = isinstance(location, str) and ADDRESS.match(location)
    if is_address or hasattr(location, "read"):
        with opened(location) as file:
            return NamedBytes(file.read(), name_of(location))
    # The folder that it is relative to may be left meanwhile.
    return Path(location).absolute() if isinstance(location, str | os.PathLike) else location


def name_of(location: Any) -> str:
    """What messages call it."""
    if isinstance(location, NamedBytes):
        return location.name
    if isinstance(location, bytes | bytearray | memoryview):
        return f"the {len(location):,} bytes given"
    if isinstance(location, str | os.PathLike):
        return os.fspath(location)
    name = getattr(location, "name", None)
    return name if isinstance(name, str) else f"the open {type(location).__name__}"


def write_whole(content: bytes, target: Target) -> None:
    """Write a file, whole or not at all.

    Parameters
    ----------
    content : bytes
        All of it.
    target : path-like, str with an address, or binary file
        A file is written from its position on, and cut back to it where writing fails, if it can be.

    Raises
    ------
    SpecificationError
        If it is none of these, or fsspec does not know such addresses.
    OSError
        If it cannot be written.
    """
    if isinstance(target, str) and ADDRESS.match(target):
        _write_to_store(content, target)
    elif isinstance(target, str | os.PathLike):
        _write_file(content, target)
    elif hasattr(target, "write"):
        _write_through(content, target)
    else:
        raise SpecificationError(
            f"a model cannot be saved to an object of type {type(target).__name__}; expected a path, an address such "
            "as s3://bucket/model.vae, or a file that is open for writing bytes."
        )


@contextmanager
def opened(location: Location) -> Iterator[BinaryIO]:
    """A model file to read from, which can be searched and has an end.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ModelFileError
        If it is a folder, a device or a pipe.
    SpecificationError
        If it is no location, or fsspec does not know such addresses.
    OSError
        If it cannot be read.
    """
    if isinstance(location, bytes | bytearray | memoryview):
        yield io.BytesIO(location)
    elif isinstance(location, str) and ADDRESS.match(location):
        yield io.BytesIO(_read_from_store(location))
    elif isinstance(location, str | os.PathLike):
        with _open_file(Path(location)) as file:
            yield file
    elif hasattr(location, "read"):
        yield io.BytesIO(_read_through(location))
    else:
        raise SpecificationError(
            f"a model cannot be loaded from an object of type {type(location).__name__}; expected a path, an address "
            "such as s3://bucket/model.vae, a file that is open for reading bytes, or bytes."
        )


def is_address(location: str) -> bool:
    """Whether a text is an address of a store, and no path."""
    return bool(ADDRESS.match(location))


def read_bytes(location: Location) -> bytes:
    """All of a file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ModelFileError
        If it is a folder, a device or a pipe.
    SpecificationError
        If fsspec does not know such addresses.
    OSError
        If it cannot be read.
    """
    with opened(location) as file:
        return file.read()


def _open_file(source: Path) -> BinaryIO:
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file. Give the path of a file written by save().")
    if source.is_dir():
        raise ModelFileError(f"{source}: this is a folder; a model is one file, written by save().")
    if not source.is_file():
        # To open a FIFO would wait for its writer.
        raise ModelFileError(f"{source}: not a file but a device or pipe; a model is one file, written by save().")
    return source.open("rb", buffering=0)


def _write_file(content: bytes, path: str | os.PathLike[str]) -> None:
    remove_stale_parts([path])
    with OutputFile(path) as file:
        file.stream.write(content)


def _read_through(file: Any) -> bytes:
    content = file.read()
    if not isinstance(content, bytes | bytearray | memoryview):
        raise SpecificationError(f"{name_of(file)} gives text; a model file is bytes. Open it with mode 'rb'.")
    return bytes(content)


def _write_through(content: bytes, file: Any) -> None:
    if isinstance(file, io.TextIOBase):
        raise SpecificationError(f"{name_of(file)} takes text; a model file is bytes. Open it with mode 'wb'.")
    begin = file.tell() if hasattr(file, "seekable") and file.seekable() else None
    view = memoryview(content)
    try:
        while view:
            # A raw file may take less, others take all and may not say so.
            n_bytes = file.write(view)
            view = view[len(view) if n_bytes is None else n_bytes :]
    except BaseException:
        if begin is not None:
            with contextlib.suppress(OSError, ValueError):
                file.seek(begin)
                file.truncate()
        raise


def _write_to_store(content: bytes, address: str) -> None:
    system, path = _store_of(address)
    if _is_local(system):
        _write_file(content, path)
        return
    with _naming(address, "written"), system.transaction, system.open(path, "wb") as file:
        file.write(content)


def _read_from_store(address: str) -> bytes:
    system, path = _store_of(address)
    if _is_local(system):
        with _open_file(Path(path)) as file:
            return file.read()
    try:
        with _naming(address, "read"):
            return bytes(system.cat_file(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{address}: no such file. Give the address of a file written by save().") from error


def _store_of(address: str) -> tuple[Any, str]:
    """The file system of an address, of its own, and the path in it."""
    from fsspec.core import url_to_fs

    try:
        # Those that others use shall not be in a transaction of ours.
        system, path = url_to_fs(address, skip_instance_cache=True)
    except (ImportError, ValueError) as error:
        raise SpecificationError(
            f"{address}: fsspec cannot open such an address ({_one_line(error)}). Install the package that serves it, "
            "or copy the file."
        ) from error
    return system, path


def _is_local(system: Any) -> bool:
    protocol = system.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


@contextmanager
def _naming(address: str, done: str) -> Iterator[None]:
    """Have errors of stores, which may be of any class, name the address and what to do."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise OSError(
            f"{address} cannot be {done}: {type(error).__name__}: {_one_line(error)}. Check the address, the "
            "credentials and the network, or copy the file."
        ) from error


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:MAX_SHOWN]
