"""Where the name of an output leads, and whether a file that is written there is replaced or written through."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

# As many as Linux follows.
MAX_LINKS = 40
# A link to /proc/N/fd.
OWN_DESCRIPTORS = "/proc/self/fd"

_NUMBER = re.compile(r"[0-9]+")


def final_path(path: str | os.PathLike[str]) -> Path:
    """Return a path whose links are followed to their end, whether something is there or not.

    Raises
    ------
    OSError
        If links lead in a circle, or it cannot be seen what is there.
    """
    # A new file, or a link to one, is none that can be looked at.
    _status(path)
    return Path(os.path.realpath(path))


def is_replaced(path: str | os.PathLike[str]) -> bool:
    """Whether a new file takes the place of what is there: of a regular file, or of nothing.

    A device, a pipe, a socket or an open file like ``/dev/stdout`` stays, and is written through.

    Raises
    ------
    OSError
        If links lead in a circle, or it cannot be seen what is there.
    """
    if descriptor_of(path) is not None:
        return False
    known = _status(path)
    return known is None or stat.S_ISREG(known.st_mode)


def descriptor_of(path: str | os.PathLike[str]) -> int | None:
    """Return the number of the open file of this process that a name like ``/dev/stdout`` stands for, or leads to."""
    name = Path(path)
    for _ in range(MAX_LINKS):
        folder = Path(os.path.realpath(name.parent))
        if _NUMBER.fullmatch(name.name) and _holds_descriptors(folder):
            return int(name.name)
        try:
            # An absolute target stands for itself.
            name = folder / (folder / name.name).readlink()
        except OSError:
            return None
    return None


def are_one_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two names stand for one file, pipe or socket: by links, by hard links, or by the same path.

    A device like ``/dev/null`` takes several outputs.

    Examples
    --------
    >>> are_one_file("no/a.csv", "no/../no/a.csv"), are_one_file("a.csv", "b.csv")
    (True, False)
    """
    try:
        known, also = _status(one), _status(other)
        if known is None or also is None:
            return known is also and final_path(one) == final_path(other)
    except OSError:
        return False
    is_device = stat.S_ISCHR(known.st_mode) or stat.S_ISBLK(known.st_mode)
    return not is_device and os.path.samestat(known, also)


def file_numbers(paths: Iterable[str | os.PathLike[str]]) -> frozenset[tuple[int, int]]:
    """Return device and number of each file that is there: what it has under every name, links followed."""
    found = set()
    for path in paths:
        with contextlib.suppress(OSError):
            known = Path(path).stat()
            found.add((known.st_dev, known.st_ino))
    return frozenset(found)


def _status(path: str | os.PathLike[str]) -> os.stat_result | None:
    """Return what is known of what is there; None where nothing is."""
    try:
        return Path(path).stat()
    except FileNotFoundError:
        return None


def _holds_descriptors(folder: Path) -> bool:
    if folder == Path("/dev/fd"):
        return True
    own = Path(os.path.realpath(OWN_DESCRIPTORS))
    if own == Path(OWN_DESCRIPTORS):
        # Not Linux.
        return False
    return folder == own or (folder.name == "fd" and folder.parent.parent == own.parent / "task")
