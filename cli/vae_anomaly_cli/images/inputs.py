"""The images of a command: their files, and the names that people know them by."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from vae_anomaly_cli.console import LEFT_OUT, Messages
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources import before_magic, without_links

SHOWN_PROBLEMS = 20
HERE = "."


@dataclass(frozen=True)
class ImageInput:
    """Image files under one folder.

    Attributes
    ----------
    name : str
        How messages call them.
    paths : tuple of Path
        Each once, in the order of the arguments and then of the names.
    root : Path
        The folder that was given, or the one that several arguments share; absolute.
    folders : tuple of Path
        Folders whose images are the input, those of the next run included.
    searched : tuple of Path
        Folders that patterns search to any depth.
    """

    name: str
    paths: tuple[Path, ...]
    root: Path
    folders: tuple[Path, ...]
    searched: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def relative(self, path: Path) -> PurePath:
        """The name of a file under the root."""
        return PurePath(os.path.relpath(path, self.root))

    def shown(self, path: Path) -> str:
        """The same as text; bytes that are no UTF-8 as escapes."""
        return as_text(self.relative(path))

    def folder(self, path: Path) -> str:
        """The sub-folder that a file lies in; empty for the root itself."""
        parent = self.relative(path).parent
        return "" if parent == PurePath() else as_text(parent)

    @cached_property
    def subfolders(self) -> list[str]:
        """All sub-folders with images."""
        return list(dict.fromkeys(map(self.folder, self.paths)))

    def check_apart(self, option: str, path: Path, *, images: bool = True) -> None:
        """Refuse an output among the images: the next run would read it, or find a table there.

        Parameters
        ----------
        option : str
            Which option names it.
        path : Path
            The output.
        images : bool
            Whether it is images, which a pattern may match.

        Raises
        ------
        InputError
            If it lies there.
        """
        for folder in (*self.folders, *self.searched) if images else self.folders:
            if without_links(path).is_relative_to(without_links(folder)):
                raise InputError(
                    f"{option} {path} lies in the input folder {folder}, where the next run would find it; name a "
                    "place outside."
                )
        if path.exists() and self.holds([path]):
            raise InputError(f"{option} {path} is an input file itself; name another file.")

    def holds(self, paths: Iterable[Path]) -> bool:
        """Whether a file of the input is among some, links followed."""
        return not self._resolved.isdisjoint(map(str, _resolved(paths)))

    @cached_property
    def _resolved(self) -> frozenset[str]:
        return frozenset(map(str, _resolved(self.paths)))


def find_input(data: list[str]) -> ImageInput:
    """Find the images that arguments name.

    Raises
    ------
    InputError
        If an argument names none.
    """
    from vae_anomaly.data import find_images
    from vae_anomaly.errors import DataError

    found: dict[str, Path] = {}
    try:
        for text in data:
            for path in find_images(text):
                found.setdefault(os.path.abspath(path), path)  # noqa: PTH100 - resolve would follow links
    except (DataError, FileNotFoundError) as error:
        raise InputError(error) from error
    roots = [os.path.abspath(_root(text)) for text in data]  # noqa: PTH100 - resolve would follow links
    try:
        root = Path(os.path.commonpath(roots))
    except ValueError as error:
        raise InputError("the images lie on several drives; expected one. Score them one after the other.") from error
    name = data[0] if len(data) == 1 else f"{data[0]} and {len(data) - 1} more"
    searched = tuple(_root(text) for text in data if _is_pattern(text) and "**" in Path(text).parts)
    return ImageInput(name, tuple(found.values()), root, tuple(_folders(data)), searched)


def as_text(path: PurePath) -> str:
    r"""A path as text that can be written anywhere; bytes that are no UTF-8 as escapes.

    Examples
    --------
    >>> as_text(PurePath("größe", b"\xff.png".decode("utf-8", "surrogateescape")))
    'größe/\\xff.png'
    """
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class Problems:
    """Files that cannot be used, told of when the work is done: the first few, and how many there are besides.

    Parameters
    ----------
    messages : Messages
        Who tells.
    """

    def __init__(self, messages: Messages) -> None:
        self.messages = messages
        self.count = 0
        self.first: list[str] = []

    def see(self, problem: object) -> None:
        """Note one of them."""
        self.count += 1
        if len(self.first) < SHOWN_PROBLEMS:
            self.first.append(str(problem))

    def tell(self) -> None:
        """Warn of those that were noted."""
        for problem in self.first:
            self.messages.warning(f"{LEFT_OUT}{problem}")
        if self.count > len(self.first):
            self.messages.warning(f"{LEFT_OUT}{self.count - len(self.first):,} more files that cannot be used.")


def _resolved(paths: Iterable[Path]) -> Iterator[Path]:
    """Paths without links, asking for each folder once."""
    folders: dict[Path, Path] = {}
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = without_links(path.parent)
        yield without_links(path) if path.is_symlink() else folders[path.parent] / path.name


def _root(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        return path
    return Path(*before_magic(path)) if _is_pattern(text) else path.parent


def _is_pattern(text: str) -> bool:
    return not Path(text).exists() and glob.has_magic(text)


def _folders(data: list[str]) -> Iterator[Path]:
    for text in data:
        path = Path(text)
        if path.is_dir():
            yield path
        elif _is_pattern(text):
            matches = map(Path, glob.iglob(text, recursive=True))  # noqa: PTH207 - it may be absolute
            yield from (match for match in matches if match.is_dir())
