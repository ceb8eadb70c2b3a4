"""Whether an input is a table or images: told by names, before anything heavy is loaded."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from vae_anomaly_cli.console import counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.paths import PIPE, find_files
from vae_anomaly_cli.sources import format_of_name

INSTEAD = "for images, vae-anomaly score --heatmaps DIR shows where each of them is anomalous"


def holds_images(data: list[str]) -> bool:
    """Whether arguments name image files, or folders and patterns with images.

    Raises
    ------
    InputError
        If there are tables among them, too.
    """
    n_images = n_tables = 0
    for text in data:
        files = list(_files(text))
        images = [file for file in files if is_image(file)]
        tables = [file for file in files if not is_image(file) and _is_table(file)]
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
    return n_images > 0


def refuse_with_images(given: list[str]) -> None:
    """Refuse options that images do not have.

    Raises
    ------
    InputError
        If there are some.
    """
    if given:
        raise InputError(f"{', '.join(given)} cannot go with images: only tables take that. Leave it out.")


def refuse_with_tables(given: dict[str, object], data: list[str]) -> None:
    """Refuse options, with their values, that tables do not have.

    Raises
    ------
    InputError
        If there are some, or if there is no input.
    """
    names = [name for name, value in given.items() if value]
    if not names:
        return
    if PIPE not in data:
        # What does not exist is no table.
        find_files(data)
    raise InputError(f"{', '.join(names)} cannot go with tables: only images take that. Leave it out.")


def refuse_images(data: list[str], command: str) -> None:
    """Refuse images where a command is for tables alone.

    Raises
    ------
    InputError
        If the input holds images.
    """
    if holds_images(data):
        raise InputError(f"vae-anomaly {command} takes tables, and {data[0]} holds images; {INSTEAD}.")


def is_image(path: Path) -> bool:
    """Whether a name is that of an image."""
    if format_of_name(path)[0] is not None:
        # Without the library, whose suffixes are others.
        return False
    from vae_anomaly.data import SUFFIXES

    return path.suffix.lower() in SUFFIXES


def _both(n_images: int, n_tables: int) -> str:
    counts = f"{counted(n_images, 'image')} and {counted(n_tables, 'table')}"
    return f"{counts}; expected one or the other. Name which by a pattern"


def _is_table(path: Path) -> bool:
    """As for directories of tables, where an underscore hides."""
    return format_of_name(path)[0] is not None and not any(part.startswith("_") for part in path.parts)


def _files(text: str) -> Iterator[Path]:
    """Names of files, those in folders relative to them."""
    path = Path(text)
    if text == PIPE:
        yield Path("standard-input.csv")
    elif path.is_dir():
        yield from _files_below(path)
    elif path.exists() or not glob.has_magic(text):
        yield Path(path.name)
    else:
        for match in glob.iglob(text, recursive=True):  # noqa: PTH207 - it may be absolute
            if Path(match).is_dir():
                yield from _files_below(Path(match))
            else:
                yield Path(Path(match).name)


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name).relative_to(folder) for name in names if not name.startswith("."))
