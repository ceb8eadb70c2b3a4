"""What a file holds: to notice a change while it is read, and to know it again in a later run."""

import hashlib
import io
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vae_anomaly_cli.errors import InputChanged

BLOCK_BYTES = 1 << 15
# Files of an input share so many bytes that are compared; each has its head, its middle and its tail in any case.
COMPARED_BYTES, MIN_BLOCKS = 1 << 26, 3
# Times of change are no finer than this on some file systems: what was written just now may be written again unseen.
TICK_NS = 2_000_000_000
TRIES = 3


@dataclass(frozen=True)
class FileState:
    """A file as it was before it was read.

    Attributes
    ----------
    path : Path
        Where it is.
    size : int
        Bytes; 0 where it is not there.
    stamp : tuple of int
        Its number on its device, and when content and record were changed, in ns; empty where it is not there.
    digest : str
        SHA-256 of its size and content, or of blocks of it; empty where it cannot be read.
    is_whole : bool
        Whether all of its content is in the digest.
    is_settled : bool
        Whether it was older than the smallest difference between times of change.
    n_compared : int
        How many bytes are compared.
    """

    path: Path
    size: int
    stamp: tuple[int, ...]
    digest: str
    is_whole: bool
    is_settled: bool
    n_compared: int

    @classmethod
    def of(cls, path: Path, n_compared: int = COMPARED_BYTES) -> "FileState":
        """Look at a file, again where it changes meanwhile."""
        found = cls._of(path, n_compared)
        for _ in range(TRIES):
            if _look(path) == (found.size, found.stamp):
                break
            found = cls._of(path, n_compared)
        return found

    @classmethod
    def _of(cls, path: Path, n_compared: int) -> "FileState":
        size, stamp = _look(path)
        is_settled = max(stamp[2:], default=0) + TICK_NS < time.time_ns()
        return cls(path, size, stamp, _digest(path, size, n_compared), size <= n_compared, is_settled, n_compared)

    @property
    def held(self) -> tuple[int, str]:
        """Size and digest of the content; of a file that is not there as of an empty one."""
        return self.size, self.digest if self.size else ""

    def change(self) -> str:
        """Say how the file changed since; empty where it holds what it held, be it touched, moved or copied over."""
        size, stamp = _look(self.path)
        if (size, stamp) == (self.size, self.stamp) and self.is_settled:
            return ""
        if not stamp or not self.stamp:
            return "" if stamp == self.stamp else "it is not there any more" if self.stamp else "it was not there"
        if size != self.size:
            return f"it was {'cut' if size < self.size else 'appended to'}, from {self.size:,} to {size:,} bytes"
        if _digest(self.path, size, self.n_compared) != self.digest:
            return "another file took its place" if stamp[:2] != self.stamp[:2] else "its content was overwritten"
        # Another machine may know a shared file by other numbers.
        if stamp[2:] == self.stamp[2:] or self.is_whole:
            return ""
        return "its time of change moved, and too large a file is not compared whole"

    def check(self, name: str) -> None:
        """Refuse to go on with a file that changed since.

        Parameters
        ----------
        name : str
            How messages call it.

        Raises
        ------
        InputChanged
            If it did.
        """
        change = self.change()
        if change:
            raise InputChanged(
                f"{name} changed while it was read: {change}. Run again when nobody writes to it, or on a copy."
            )


def states_of(paths: Sequence[Path]) -> Iterator[FileState]:
    """Look at the files of an input."""
    n_compared = max(MIN_BLOCKS * BLOCK_BYTES, COMPARED_BYTES // max(1, len(paths)))
    return (FileState.of(path, n_compared) for path in paths)


def _look(path: Path) -> tuple[int, tuple[int, ...]]:
    try:
        found = path.stat()
    except OSError:
        return 0, ()
    return found.st_size, (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def _digest(path: Path, size: int, n_compared: int) -> str:
    digest = hashlib.sha256(size.to_bytes(8, "little"))
    if not path.is_file():
        # A pipe among images would be waited for.
        return ""
    try:
        with path.open("rb", buffering=0) as stream:
            for block in _blocks(stream, size, n_compared):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def _blocks(stream: io.FileIO, size: int, n_compared: int) -> Iterator[bytes]:
    """Read all of a file, or blocks in equal distances from its head to its tail."""
    if size <= n_compared:
        while block := stream.read(1 << 20):
            yield block
        return
    last = n_compared // BLOCK_BYTES - 1
    for number in range(last + 1):
        stream.seek((size - BLOCK_BYTES) * number // last, os.SEEK_SET)
        yield stream.read(BLOCK_BYTES)
