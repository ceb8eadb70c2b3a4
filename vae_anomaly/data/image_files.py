"""Image files: which there are, what format they share, and their pixels as arrays."""

from __future__ import annotations

import contextlib
import glob
import io
import logging
import os
import re
import stat
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from vae_anomaly.data.image_formats import MAX_LISTED, ImageArray, ImageFormat, Problem, Size, Survey
from vae_anomaly.data.pixels import UnfitError, image_of, levels_of, mode_of, orientation, upright
from vae_anomaly.errors import DataError, PagesLeftOutWarning, callers_level
from vae_anomaly.files import OutputFile, make_folder
from vae_anomaly.forks import at_fork

__all__ = [
    "SUFFIXES",
    "ImageArray",
    "ImageFileError",
    "ImageFormat",
    "Problem",
    "Size",
    "Survey",
    "check_sizes",
    "decode_image",
    "find_images",
    "read_image",
    "read_images",
    "survey",
    "write_png",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm", ".pbm", ".pnm")
N_AHEAD_PER_WORKER = 2
MAX_WORKERS = 8

_WITH_PAGES = ("TIFF", "GIF", "WEBP", "PNG")
# A TIFF's tag that says of a page whether it is a smaller copy of another one.
_SUBFILE_TYPE = 254
# Only these: others, such as PostScript, run programs.
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "PPM")

# Without a handler, Python prints to standard error what Pillow logs of a damaged file.
logging.getLogger("PIL").addHandler(logging.NullHandler())

Result = TypeVar("Result")


class ImageFileError(DataError):
    """A file cannot be used as an image of the wanted format.

    Parameters
    ----------
    path : Path
        The file.
    reason : str
        Why not, and what to do, in one line.

    Examples
    --------
    >>> print(ImageFileError(Path("a.png"), "the file is empty; copy it again."))
    a.png: the file is empty; copy it again.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.args = (path, reason)
        self.path = path
        self.reason = reason


def find_images(source: str | os.PathLike[str]) -> list[Path]:
    """Find image files by their suffix, in natural order: `2.png` comes before `10.png`.

    Parameters
    ----------
    source : path-like
        An image; a folder, with all folders below that are not links; or a pattern such as ``parts/**/*.png``, which
        may match both.  Names in them that begin with a dot are ignored.

    Raises
    ------
    FileNotFoundError
        If the path does not exist.
    DataError
        If there is no image in the folder or among the matches, or if a folder cannot be read.
    """
    text = os.fspath(source)
    top = Path(text)
    # A link without a target is there, so that it is reported as a file that cannot be read.
    if not (top.exists() or top.is_symlink()):
        if not glob.has_magic(text):
            raise FileNotFoundError(f"{text} does not exist; expected an image, a folder of images or a pattern.")
        matches = [Path(match) for match in glob.glob(text, recursive=True)]  # noqa: PTH207 - it may be absolute
        files = [file for match in matches for file in (_files_below(match) if match.is_dir() else [match])]
        if not files:
            raise DataError(f"{text} matches no file. Check the pattern, and the folder that it starts from.")
    elif top.is_dir():
        files = _files_below(top)
        if not files:
            raise DataError(f"{text} is an empty folder; expected images, as {_names(SUFFIXES)}.")
    else:
        files = [top]
    images = {file for file in files if file.suffix.lower() in SUFFIXES}
    if not images:
        others = Counter(file.suffix or "no suffix" for file in files)
        listed = ", ".join(f"{suffix} ({count})" for suffix, count in others.most_common(MAX_LISTED))
        raise DataError(f"{text} has no image among {len(files)} files: {listed}; expected {_names(SUFFIXES)}.")
    return sorted(images, key=_natural)


def survey(paths: Iterable[str | os.PathLike[str]], *, n_workers: int | None = None) -> Survey:
    """Read the headers of image files, without their pixels.

    Parameters
    ----------
    paths : iterable of path-like
        The files.
    n_workers : int, optional
        How many are read at once; by default one for each core, and at most 8.
    """
    sizes: Counter[Size] = Counter()
    modes: Counter[str] = Counter()
    problems: list[Problem] = []
    for path, header in _in_threads(_header, paths, n_workers):
        if isinstance(header, ImageFileError):
            problems.append(Problem(path, header.reason))
        else:
            size, mode = header
            sizes[size] += 1
            modes[mode] += 1
    return Survey(dict(sizes), dict(modes), tuple(problems))


def check_sizes(paths: Sequence[str | os.PathLike[str]], image_format: ImageFormat) -> None:
    """Refuse files none of which has the size of a model that resizes none, by their headers.

    Headers are read up to the first that fits.  Where some fit, the others are named as they are read.

    Parameters
    ----------
    paths : sequence of path-like
        The files.
    image_format : ImageFormat
        Of the model.

    Raises
    ------
    DataError
        If there are images, and none has the size.
    """
    if image_format.resizes:
        return
    first: ImageFileError | None = None
    n_images = 0
    with contextlib.closing(_in_threads(_header, paths, None)) as headers:
        for path, header in headers:
            if isinstance(header, ImageFileError):
                continue
            refusal = image_format.refusal(header[0])
            if refusal is None:
                return
            first = first or ImageFileError(path, refusal)
            n_images += 1
    if n_images > 1:
        raise DataError(f"none of {n_images:,} images has the size that the model takes. The first: {first}")
    if first is not None:
        raise first


def read_image(path: str | os.PathLike[str], image_format: ImageFormat) -> ImageArray:
    """Read the pixels of an image, in the format of a model.

    Of several frames or pages the first counts; `read_images` warns of the others.  EXIF orientation is applied, if it
    is stored before the pixels.  Transparent pixels become white.  Colour profiles are ignored, and colour has 8 bits,
    also where the file has 16.  Grey with 16 bits becomes 8 bits as ``round(level / 257)``; floats are taken as levels
    from 0 (black) to 1 (white).  An image of another size is resized whole where the format says so, so that it is
    distorted if its proportions differ: with a Lanczos window if either side shrinks, bicubic if none does, from the
    nearest pixel if the format is bilevel.

    Parameters
    ----------
    path : path-like
        The file.
    image_format : ImageFormat
        Grey images fit into a colour format, bilevel ones into 8 bits and 16 bits into 8, but not the other way;
        colour images of which all pixels are grey fit into a grey format.

    Returns
    -------
    ndarray of shape (channels, height, width), uint8 or uint16
        Levels from 0, black: to 1, 255 or 65535, as the depth says.

    Raises
    ------
    ImageFileError
        If the file cannot be read, is no image, is damaged, or does not fit the format.
    """
    return _read_page(Path(path), image_format)[0]


def decode_image(content: bytes, image_format: ImageFormat, name: str = "image") -> ImageArray:
    """Read the pixels of an image whose file is in memory, as `read_image` does.

    Parameters
    ----------
    content : bytes
        All of the file.
    image_format : ImageFormat
        The format of a model.
    name : str
        How errors call it.

    Returns
    -------
    ndarray of shape (channels, height, width), uint8 or uint16

    Raises
    ------
    ImageFileError
        If it is no image, is damaged, or does not fit the format.
    """
    with _SILENCE.hold(), _decoding(Path(name), io.BytesIO(content), empty=not content) as stored:
        mode = mode_of(stored)
        stored.load()
        return _fitted(Path(name), upright(stored), mode, image_format)


def read_images(
    paths: Iterable[str | os.PathLike[str]], image_format: ImageFormat, *, n_workers: int | None = None
) -> Iterator[tuple[Path, ImageArray | ImageFileError]]:
    """Read images one after the other, while threads decode the next few.

    Parameters
    ----------
    paths : iterable of path-like
        Taken only as far ahead as is decoded: two for each worker.
    image_format : ImageFormat
        As for `read_image`.
    n_workers : int, optional
        How many are decoded at once; by default one for each core, and at most 8.

    Yields
    ------
    (Path, ndarray or ImageFileError)
        In the order of the paths: the pixels, or why there are none.

    Warns
    -----
    PagesLeftOutWarning
        For each file that has more than one page.
    """
    for path, read in _in_threads(lambda path: _read_page(path, image_format), paths, n_workers):
        if isinstance(read, ImageFileError):
            yield path, read
            continue
        pixels, n_pages = read
        if n_pages > 1:
            warnings.warn(PagesLeftOutWarning(path, n_pages), stacklevel=callers_level())
        yield path, pixels


def write_png(
    image: ImageArray | npt.NDArray[np.bool_] | Image.Image,
    path: str | os.PathLike[str],
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write a PNG file, whole or not at all; folders on the way are made.

    Parameters
    ----------
    image : ndarray of shape (channels, height, width) or (height, width), or PIL image
        Bools for black and white, uint8, or for one channel uint16.
    path : path-like
        The file; an existing one is replaced, and a link followed.
    texts : mapping of str to str, optional
        What the file holds beside the pixels, as the format has keywords for it.

    Raises
    ------
    DataError
        If PNG cannot hold such an array.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    opened = image if isinstance(image, Image.Image) else image_of(image)
    beside = PngInfo()
    for keyword, text in (texts or {}).items():
        beside.add_text(keyword, text)
    try:
        make_folder(path.parent)
        with OutputFile(path) as file:
            opened.save(file.stream, format="PNG", pnginfo=beside)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}. Name another file.") from error


class _Silence:
    """Hides Pillow's warnings while any thread decodes.

    ``warnings.catch_warnings`` would put back the filters of another thread's moment.
    """

    FILTER: Any = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """What a forked process begins with: no holders, and Pillow's warnings as they were before them."""
        self.lock = threading.Lock()
        self.n_holders = 0
        filters: Any = warnings
        if self.FILTER in filters.filters:
            filters.filters.remove(self.FILTER)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """No warnings from Pillow inside."""
        filters: Any = warnings
        with self.lock:
            self.n_holders += 1
            if self.FILTER not in filters.filters:
                filters.filters.insert(0, self.FILTER)
        try:
            yield
        finally:
            with self.lock:
                self.n_holders -= 1
                if not self.n_holders and self.FILTER in filters.filters:
                    filters.filters.remove(self.FILTER)


_SILENCE = _Silence()
at_fork(in_child=_SILENCE.start_anew)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An opened image whose header is read, turning whatever fails inside into an ImageFileError."""
    try:
        # To open a pipe would wait for a writer.
        stream = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - closed below
    except OSError as error:
        raise ImageFileError(path, f"cannot be read: {error.strerror or error}.") from error
    with stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ImageFileError(path, "no regular file but a pipe or a device; copy the image to a file.")
        with _decoding(path, stream, empty=not os.fstat(stream.fileno()).st_size) as opened:
            yield opened


@contextlib.contextmanager
def _decoding(path: Path, stream: BinaryIO, *, empty: bool) -> Iterator[Image.Image]:
    """An image whose header is read from a stream; a damaged one makes Pillow's decoders raise anything."""
    try:
        with Image.open(stream, formats=_FORMATS) as opened:
            yield opened
    except ImageFileError:
        raise
    except Exception as error:
        raise ImageFileError(path, _reason(error, empty=empty)) from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_page(path: Path, image_format: ImageFormat) -> tuple[ImageArray, int]:
    """The pixels of the first page, and how many pages there are."""
    with _SILENCE.hold():
        with _opened(path) as stored:
            mode = mode_of(stored)
            stored.load()
            opened = upright(stored)
        levels = _fitted(path, opened, mode, image_format)
        n_pages = _count_pages(path) if stored.format in _WITH_PAGES else 1
    return levels, n_pages


def _fitted(path: Path, opened: Image.Image, mode: str, image_format: ImageFormat) -> ImageArray:
    """The levels of an image in the format of a model."""
    try:
        levels = levels_of(opened, mode, image_format)
    except UnfitError as error:
        raise ImageFileError(path, str(error)) from None
    except MemoryError as error:
        raise ImageFileError(path, _reason(error, empty=False)) from error
    return np.ascontiguousarray(np.broadcast_to(levels, (image_format.channels, *levels.shape[1:])))


def _count_pages(path: Path) -> int:
    """How many pages or frames a file has, smaller copies of a page not counted; 1 if that cannot be told."""
    with contextlib.suppress(Exception), Image.open(path, formats=_FORMATS) as opened:
        n_frames = getattr(opened, "n_frames", 1)
        if opened.format != "TIFF" or n_frames == 1:
            return int(n_frames)
        return 1 + sum(not _is_smaller_copy(opened, page) for page in range(1, n_frames))
    return 1


def _is_smaller_copy(tiff: Any, page: int) -> bool:
    tiff.seek(page)
    return bool(tiff.tag_v2.get(_SUBFILE_TYPE, 0) & 1)


def _reason(error: Exception, *, empty: bool) -> str:
    if empty:
        return "the file is empty; copy it again or leave it out."
    if isinstance(error, UnidentifiedImageError):
        return f"no image by its first bytes; expected {_names(SUFFIXES)}. Copy it again or leave it out."
    if isinstance(error, Image.DecompressionBombError):
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return f"has more than {limit} pixels, where Pillow suspects a decompression bomb. Shrink or crop it."
    if isinstance(error, MemoryError):
        return "does not fit into memory; shrink or crop it."
    message = " ".join(str(error).split()) or type(error).__name__
    return f"truncated or damaged ({message}); copy it again or leave it out."


def _header(path: Path) -> tuple[Size, str]:
    with _SILENCE.hold(), _opened(path) as opened:
        width, height = opened.size
        return ((width, height) if orientation(opened) >= 5 else (height, width)), mode_of(opened)


def _in_threads(
    read: Callable[[Path], Result], paths: Iterable[str | os.PathLike[str]], n_workers: int | None
) -> Generator[tuple[Path, Result | ImageFileError]]:
    """Results in order, of which at most two for each worker are there or under way before they are asked for."""
    n_workers = n_workers or min(os.cpu_count() or 1, MAX_WORKERS)
    pool = ThreadPoolExecutor(n_workers, thread_name_prefix="images")
    waiting: deque[tuple[Path, Future[Result]]] = deque()
    remaining = map(Path, paths)
    try:
        while True:
            for path in islice(remaining, n_workers * N_AHEAD_PER_WORKER - len(waiting)):
                waiting.append((path, pool.submit(read, path)))
            if not waiting:
                return
            path, future = waiting.popleft()
            try:
                result: Result | ImageFileError = future.result()
            except ImageFileError as error:
                result = error
            del future
            yield path, result
    finally:
        pool.shutdown(cancel_futures=True)


def _files_below(folder: Path) -> list[Path]:
    """Files that are not hidden, links without a target among them, so that they are reported."""

    def refuse(error: OSError) -> None:
        raise DataError(f"folder {error.filename} cannot be read: {error.strerror}. Allow it, or name others.")

    files: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = (Path(parent, name) for name in names if not name.startswith("."))
        files += [file for file in below if file.is_file() or not file.exists()]
    return files


def _natural(path: Path) -> tuple[list[list[tuple[int, str]]], str]:
    """A key that orders digits by their number, and else letters without their case."""
    parts = [re.split(r"([0-9]+)", part.casefold()) for part in path.parts]
    return [[(int(text or 0), "") if odd % 2 else (0, text) for odd, text in enumerate(p)] for p in parts], str(path)


def _names(suffixes: Iterable[str]) -> str:
    return ", ".join(suffix.removeprefix(".") for suffix in suffixes)
