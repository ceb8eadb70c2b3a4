"""Which files an input is: names, patterns that the shell left alone, and directories; of tables, or of images."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath
from typing import TypeVar

from vae_anomaly_cli.console import writable
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.byte_source import ByteSource, open_bytes
from vae_anomaly_cli.sources.database import DATABASES, address_of_file, shown_address
from vae_anomaly_cli.sources.formats import EXTENSIONS, format_of_name, format_to_read, is_surely_table, may_be_table
from vae_anomaly_cli.sources.lake import objects_of
from vae_anomaly_cli.sources.remote import is_remote, path_of, scheme_of
from vae_anomaly_cli.sources.stored_object import StoredObject
from vae_anomaly_cli.stores import Address, is_store

PIPE = "-"
Named = TypeVar("Named")


class Kind(StrEnum):
    """What the data of a command are: decided by names, before anything heavy is loaded."""

    TABLES = "tables"
    IMAGES = "images"


@dataclass(frozen=True)
class FoundFile:
    """One file of an input.

    Attributes
    ----------
    source : ByteSource
        Its bytes.
    relative : PurePath
        Its name under the directory, or under the fixed part of the pattern, that led to it.
    address : str or None
        Of a data base, which has no bytes.
    folder : Address or None
        The folder of a store that led to it.
    """

    source: ByteSource
    relative: PurePath
    address: str | None = None
    folder: Address | None = None


def find_files(data: Sequence[str]) -> list[FoundFile]:
    """Find the files that arguments name, each once, in the order of the arguments and then of the names.

    Raises
    ------
    InputError
        If there is none, or if standard input stands beside files.
    """
    if PIPE in data:
        if len(data) > 1:
            raise InputError("'-' is standard input and cannot stand beside files; name files, or pipe everything.")
        return [FoundFile(open_bytes(PIPE), PurePath("standard-input"))]
    found: dict[str, FoundFile] = {}
    for text in data:
        scheme = scheme_of(text)
        if scheme is None:
            for path, relative in _expanded(text):
                address = address_of_file(path)
                if address is not None:
                    found.setdefault(str(path), _found_database(address, "sqlite"))
                elif str(path) not in found:
                    found[str(path)] = FoundFile(open_bytes(str(path)), relative)
        elif is_remote(text):
            found.setdefault(text, FoundFile(open_bytes(text), PurePath(PurePath(path_of(text)).name or "table")))
        elif scheme.partition("+")[0] not in DATABASES and is_store(scheme):
            for stored, folder, relative in _tables_of_store(text):
                source = ByteSource(str(stored.address), None, state=stored, stored=stored)
                found.setdefault(str(stored.address), FoundFile(source, relative, folder=folder))
        else:
            found.setdefault(text, _found_database(text, scheme))
    return list(found.values())


def _found_database(text: str, scheme: str) -> FoundFile:
    if scheme.partition("+")[0] not in DATABASES:
        raise InputError(
            f"{shown_address(text)}: '{scheme}' is no kind of address that is read; expected http, https, "
            f"s3, gs, abfs or another that fsspec knows, or one of a data base ({', '.join(DATABASES)})."
        )
    return FoundFile(ByteSource(shown_address(text), None), PurePath("table"), text)


def _tables_of_store(text: str) -> list[tuple[StoredObject, Address | None, PurePath]]:
    """Objects that are tables by the rules of files: as they are named, and in folders by their names."""
    address = Address.of(text)
    chosen: list[tuple[StoredObject, Address | None, PurePath]] = []
    folders: dict[PurePath, list[tuple[StoredObject, PurePath]]] = {}
    for stored, folder, relative in objects_of(text):
        if folder is None:
            if is_image(relative):
                raise InputError(f"{stored.address} is an image; those of stores are not read. Copy the folder first.")
            chosen.append((stored, None, relative))
            continue
        if folder not in folders:
            folders[folder] = []
        folders[folder].append((stored, relative))
    for folder, inside in folders.items():
        place = Address(address.scheme, address.host, folder.as_posix(), address.options)
        n_above = len(folder.parts)
        named = [
            (one, PurePath(*PurePath(one[0].address.path).parts[n_above:])) for one in inside
        ]  # fmt: skip
        if not any(may_be_table(name) for _, name in named) and any(is_image(name) for _, name in named):
            raise InputError(f"{place} holds images; those of stores are not read. Copy the folder first.")
        chosen += [(stored, place, relative) for (stored, relative), _ in _chosen_tables(str(place), named)]
    return chosen


def kind_of(data: Sequence[str]) -> Kind:
    """Tell whether arguments name tables, or image files, folders and patterns with images.

    Raises
    ------
    InputError
        If they name both.
    """
    n_images = n_tables = 0
    for text in data:
        files = list(_names(text))
        images = [file for file in files if is_image(file)]
        tables = [file for file in files if not is_image(file) and _is_table(file, is_named=len(files) == 1)]
        if images and tables:
            chosen = f"*{images[0].suffix}"
            if Path(text).is_dir():
                deep = any(len(file.parts) > 1 for file in images)
                chosen = str(Path(text, "**", chosen) if deep else Path(text, chosen))
            raise InputError(f"{text} holds {_both(len(images), len(tables))}, like '{chosen}'.")
        n_images += len(images)
        n_tables += len(tables)
    if n_images and n_tables:
        raise InputError(f"the arguments hold {_both(n_images, n_tables)}, like 'folder/*.png', in one run.")
    return Kind.IMAGES if n_images else Kind.TABLES


def check_found(data: Sequence[str]) -> None:
    """Refuse arguments that name nothing.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if PIPE not in data and kind_of(data) is Kind.TABLES:
        find_files(data)


def is_image(path: PurePath) -> bool:
    """Whether a name is that of an image."""
    if format_of_name(path)[0] is not None:
        # Without the library, whose suffixes are others.
        return False
    from vae_anomaly.data import SUFFIXES

    return path.suffix.lower() in SUFFIXES


def input_directories(data: list[str]) -> list[Path]:
    """Directories among the arguments, and what their patterns match: the tables there are the input."""
    return [path for text in data if scheme_of(text) is None for path in _matched(text) if path.is_dir()]


def without_links(path: Path) -> Path:
    """A path whose links are followed as far as they lead; `Path.resolve` fails where they lead in a circle."""
    return Path(os.path.realpath(path))


def as_text(path: PurePath) -> str:
    r"""A path as text that can be written anywhere; bytes that are no UTF-8 as escapes.

    Examples
    --------
    >>> as_text(PurePath("größe", b"\xff.png".decode("utf-8", "surrogateescape")))
    'größe/\\xff.png'
    """
    return writable(path.as_posix())


def _expanded(text: str) -> list[tuple[Path, PurePath]]:
    path = Path(text)
    if path.is_dir():
        return _tables_in(path)
    if path.exists() or not glob.has_magic(text):
        return [(path, PurePath(path.name))]
    files: list[Path] = []
    for match in _matched(text):
        files += [table for table, _ in _tables_in(match)] if match.is_dir() else [match]
    if not files:
        raise InputError(f"{text} matches no file. Check the pattern, and the directory it starts from.")
    fixed = Path(*before_magic(path))
    return [(file, file.relative_to(fixed)) for file in dict.fromkeys(files)]


def _matched(text: str) -> list[Path]:
    if Path(text).exists():
        return [Path(text)]
    return [Path(match) for match in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 - it may be absolute


def before_magic(path: Path) -> list[str]:
    """Parts of a pattern before the first that is one; the last part is never among them."""
    parts: list[str] = []
    for part in path.parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return parts


def _tables_in(folder: Path) -> list[tuple[Path, PurePath]]:
    """Tables in a directory and below; names that begin with a dot or an underscore are nobody's data.

    JSON, workbooks and archives are tables where nothing else is: they lie beside tables, too.
    """
    inside = ((path, path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    return _chosen_tables(str(folder), ((path, name) for path, name in inside if may_be_table(path) and path.is_file()))


def _chosen_tables(folder: str, inside: Iterable[tuple[Named, PurePath]]) -> list[tuple[Named, PurePath]]:
    """Return what of a folder is a table, by its name below the folder."""
    found = [
        (one, name) for one, name in inside if may_be_table(name) and not any(part[0] in "._" for part in name.parts)
    ]
    tables = [(one, name) for one, name in found if is_surely_table(name)] or found
    if not tables:
        raise InputError(
            f"{folder} is a directory without tables or images; expected files that end in {EXTENSIONS}, or images "
            "such as .png and .jpg."
        )
    formats = {getattr(format_to_read(name), "name", "zip"): name for _, name in reversed(tables)}
    if len(formats) > 1:
        first, second, *_ = sorted(formats.values())
        raise InputError(
            f"{folder} holds tables of several formats ({first.name}, {second.name}); expected one. Name them by a "
            f"pattern, like '{folder.rstrip('/')}/*{second.suffix}'."
        )
    return tables


def _both(n_images: int, n_tables: int) -> str:
    counts = f"{n_images:,} image{'' if n_images == 1 else 's'} and {n_tables:,} table{'' if n_tables == 1 else 's'}"
    return f"{counts}; expected one or the other. Name which by a pattern"


def _is_table(path: Path, *, is_named: bool) -> bool:
    """As for directories of tables, where an underscore hides."""
    return (format_to_read(path) is not None if is_named else is_surely_table(path)) and not any(
        part.startswith("_") for part in path.parts
    )


def _names(text: str) -> Iterator[Path]:
    """Names of files, those in folders relative to them."""
    path = Path(text)
    if text == PIPE or scheme_of(text) is not None:
        yield Path("table.csv")
    elif path.is_dir():
        yield from _names_below(path)
    elif path.exists() or not glob.has_magic(text):
        yield Path(path.name)
    else:
        for match in glob.iglob(text, recursive=True):  # noqa: PTH207 - it may be absolute
            if Path(match).is_dir():
                yield from _names_below(Path(match))
            else:
                yield Path(Path(match).name)


def _names_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name).relative_to(folder) for name in names if not name.startswith("."))
