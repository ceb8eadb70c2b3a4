"""Which files an input is: names, patterns that the shell left alone, and directories of tables."""

import glob
import os
from dataclasses import dataclass
from pathlib import Path, PurePath

from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import EXTENSIONS, Format, Source, format_of_name, open_source

PIPE = "-"


@dataclass(frozen=True)
class Found:
    """One file of an input.

    Attributes
    ----------
    source : Source
        Its bytes.
    relative : PurePath
        Its name under the directory, or under the fixed part of the pattern, that led to it.
    """

    source: Source
    relative: PurePath


def find_files(data: list[str]) -> list[Found]:
    """Find the files that arguments name, each once, in the order of the arguments and then of the names.

    Raises
    ------
    InputError
        If there is none, or if standard input stands beside files.
    """
    if PIPE in data:
        if len(data) > 1:
            raise InputError("'-' is standard input and cannot stand beside files; name files, or pipe everything.")
        return [Found(open_source(PIPE), PurePath("standard-input"))]
    found: dict[Path, PurePath] = {}
    for text in data:
        for path, relative in _expanded(text):
            found.setdefault(path, relative)
    return [Found(open_source(str(path)), relative) for path, relative in found.items()]


def input_directories(data: list[str]) -> list[Path]:
    """Directories among the arguments, and what their patterns match: the tables there are the input."""
    return [path for text in data for path in _matched(text) if path.is_dir()]


def without_links(path: Path) -> Path:
    """A path whose links are followed as far as they lead; `Path.resolve` fails where they lead in a circle."""
    return Path(os.path.realpath(path))


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
    """Tables in a directory and below; names that begin with a dot or an underscore are nobody's data."""
    tables: list[tuple[Path, PurePath]] = []
    formats: dict[Format, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        table_format, _ = format_of_name(path)
        if table_format is None or not path.is_file() or any(part[0] in "._" for part in relative.parts):
            continue
        formats.setdefault(table_format, path)
        tables.append((path, relative))
    if not tables:
        raise InputError(
            f"{folder} is a directory without tables or images; expected files that end in {EXTENSIONS}, or images "
            "such as .png and .jpg."
        )
    if len(formats) > 1:
        first, second, *_ = formats.values()
        raise InputError(
            f"{folder} holds tables of several formats ({first.name}, {second.name}); expected one. Name them by a "
            f"pattern, like '{folder}/*{second.suffix}'."
        )
    return tables
