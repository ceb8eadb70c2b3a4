"""Image files as the input of a command: a row for each, with the names that people know them by."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa

from vae_anomaly.caching import cached_property
from vae_anomaly.files import file_numbers
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.sources.base import Location
from vae_anomaly_cli.sources.file_state import FileState, states_of
from vae_anomaly_cli.sources.find import as_text, before_magic, without_links
from vae_anomaly_cli.sources.formats import FORMATS, Format
from vae_anomaly_cli.stores import Address

PATH, FOLDER = "path", "folder"
IMAGES_PER_BATCH = 1024


@dataclass(frozen=True)
class ImageBatch:
    """Consecutive files of an input.

    Attributes
    ----------
    cells : pyarrow.RecordBatch
        Columns `path` and `folder`.
    paths : tuple of Path
        The files.
    indices : sequence of int
        Which files of the input they are.
    """

    cells: pa.RecordBatch
    paths: tuple[Path, ...]
    indices: Sequence[int]

    @property
    def first(self) -> int:
        """Index of its first file in the input."""
        return self.indices[0]

    @property
    def n_rows(self) -> int:
        """Number of files."""
        return len(self.paths)

    @property
    def size(self) -> int:
        """The same, for progress."""
        return len(self.paths)

    def position(self, row: int) -> tuple[int, int]:
        """Index of a file in the input; it is one row."""
        return self.indices[row], 0


@dataclass(frozen=True)
class ImageSource:
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
    states : tuple of FileState
        What the files held before they were read.
    """

    name: str
    paths: tuple[Path, ...]
    root: Path
    folders: tuple[Path, ...]
    searched: tuple[Path, ...] = ()
    states: tuple[FileState, ...] = ()

    @property
    def n_files(self) -> int:
        """Number of files."""
        return len(self.paths)

    @property
    def size(self) -> int:
        """The same, for progress."""
        return len(self.paths)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the rows."""
        return pa.schema({PATH: pa.string(), FOLDER: pa.string()})

    @property
    def format(self) -> Format:
        """The format of results that do not say which."""
        return FORMATS["csv"]

    @property
    def delimiter(self) -> str:
        """What separates cells of results."""
        return self.format.delimiter

    def batches(self, names: Sequence[str] | None = None) -> Iterator[ImageBatch]:
        """List all files, some at a time."""
        return self.batches_of(range(self.n_files), IMAGES_PER_BATCH, names)

    def batches_of(
        self, indices: Sequence[int], n_per_batch: int, names: Sequence[str] | None = None
    ) -> Iterator[ImageBatch]:
        """List some files, so many at a time."""
        for start in range(0, len(indices), n_per_batch):
            part = indices[start : start + n_per_batch]
            paths = tuple(self.paths[index] for index in part)
            columns = {
                PATH: pa.array([as_text(self.relative(path)) for path in paths], pa.string()),
                FOLDER: pa.array([self._folder(path) for path in paths], pa.string()),
            }
            kept = self.schema.names if names is None else names
            yield ImageBatch(pa.RecordBatch.from_pydict({name: columns[name] for name in kept}), paths, part)

    def locate(self, file: int, row: int) -> Location:
        """Say which file it is."""
        return Location(str(self.paths[file]), "")

    def identity(self) -> dict[str, Any]:
        """What says that two runs had the same images: names and content."""
        names = [as_text(self.relative(path)) for path in self.paths]
        files = [[name, state.size, state.digest] for name, state in zip(names, self.states, strict=True)]
        return {"read as": ["images"], "input": files}

    def check_unchanged(self, indices: Iterable[int] | None = None) -> None:
        """Refuse to go on with files that changed since they were first looked at: some, or all.

        Raises
        ------
        InputChanged
            If one did.
        """
        for index in range(self.n_files) if indices is None else indices:
            self.states[index].check(str(self.paths[index]))

    def check_output(self, option: str, path: Path | Address) -> None:
        """Refuse a table among the images: the next run would find one there.

        Raises
        ------
        InputError
            If it lies there.
        """
        if isinstance(path, Address):
            # Images are files.
            return
        self._check_apart(option, path, self.folders)

    def check_image_output(self, option: str, path: Path) -> None:
        """Refuse images among the images, also where a pattern may find them: the next run would read them.

        Raises
        ------
        InputError
            If they lie there.
        """
        self._check_apart(option, path, (*self.folders, *self.searched))

    def relative(self, path: Path) -> PurePath:
        """The name of a file under the root."""
        return PurePath(os.path.relpath(path, self.root))

    def holds(self, path: Path | Address) -> bool:
        """Whether a path is one of the files, by any of its names."""
        return isinstance(path, Path) and not self._numbers.isdisjoint(file_numbers([path]))

    def includes(self, paths: Iterable[Path]) -> bool:
        """Whether a file of the input is among some, links followed."""
        return not self._resolved.isdisjoint(map(str, _resolved(paths)))

    def _check_apart(self, option: str, path: Path, folders: Iterable[Path]) -> None:
        for folder in folders:
            if without_links(path).is_relative_to(without_links(folder)):
                raise InputError(
                    f"{option} {path} lies in the input folder {folder}, where the next run would find it; name a "
                    "directory outside."
                )
        if self.holds(path):
            raise InputError(f"{option} {path} is an input file itself; name another file.")

    def _folder(self, path: Path) -> str:
        """The sub-folder that a file lies in; empty for the root itself."""
        parent = self.relative(path).parent
        return "" if parent == PurePath() else as_text(parent)

    @cached_property
    def _numbers(self) -> frozenset[tuple[int, int]]:
        return file_numbers(self.paths)

    @cached_property
    def _resolved(self) -> frozenset[str]:
        return frozenset(map(str, _resolved(self.paths)))


def open_images(data: Sequence[str]) -> ImageSource:
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
    paths = tuple(found.values())
    return ImageSource(name, paths, root, tuple(_folders(data)), searched, tuple(states_of(paths)))


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


def _folders(data: Sequence[str]) -> Iterator[Path]:
    for text in data:
        path = Path(text)
        if path.is_dir():
            yield path
        elif _is_pattern(text):
            matches = map(Path, glob.iglob(text, recursive=True))  # noqa: PTH207 - it may be absolute
            yield from (match for match in matches if match.is_dir())
