"""Unfinished files beside outputs: how they are called, who holds them, and which a killed run left."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from vae_anomaly.files.destinations import final_path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Of a file system.
MAX_NAME_BYTES = 255
PART_PATTERN = re.compile(r"\.(?P<output>.+)\.[0-9a-f]{8}\.part", re.DOTALL)
# What a part has around the name of its output.
ACROSS = len("..01234567.part")


def new_part(final: Path) -> Path:
    """Return a hidden name beside a file, for what will take its place."""
    # Not the process's number: in a container it is 1 again in the run after one that was killed.
    return final.with_name(f".{_output_in_part(final.name)}.{secrets.token_hex(4)}.part")


def remove_stale_parts(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Remove what killed runs left of some files: parts of exactly these that no process holds.

    A part that is being written is locked. Where a file system knows no locks nothing is removed.

    Parameters
    ----------
    paths : iterable of path-like
        The files; each folder is searched once.
    """
    folders: dict[Path, Path] = {}
    wanted: dict[Path, set[str]] = {}
    for given in map(Path, paths):
        with contextlib.suppress(OSError):
            if given.is_symlink():
                final = final_path(given)
            else:
                if given.parent not in folders:
                    folders[given.parent] = final_path(given.parent)
                final = folders[given.parent] / given.name
            wanted.setdefault(final.parent, set()).add(_output_in_part(final.name))
    for folder, outputs in wanted.items():
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                found = PART_PATTERN.fullmatch(path.name)
                if found is not None and found["output"] in outputs:
                    _remove_unheld(path, without_locks=False)


def remove_noted_parts(folder: Path, names: Iterable[str]) -> None:
    """Remove parts that a run of ours noted, but for one that a process holds.

    Parameters
    ----------
    folder : Path
        What the names are relative to, without links. Those that lead outside are left alone.
    names : iterable of str
        Of parts; others are left alone.
    """
    for path in (folder / name for name in names):
        if Path(os.path.realpath(path.parent)).is_relative_to(folder) and PART_PATTERN.fullmatch(path.name):
            _remove_unheld(path, without_locks=True)


def lock_part(descriptor: int) -> bool:
    """Hold a part for as long as it is open, and say whether no other process does; True where there are no locks."""
    return _lock(descriptor) is not False


def copy_to_hold(descriptor: int) -> int:
    """Return a second descriptor that keeps a part locked when it is closed; -1 where there are no locks."""
    return -1 if fcntl is None else os.dup(descriptor)


def stands_at(path: Path, descriptor: int) -> bool:
    """Whether an open file has this name."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _output_in_part(name: str) -> str:
    encoded = os.fsencode(name)
    return name if len(encoded) + ACROSS <= MAX_NAME_BYTES else hashlib.sha256(encoded).hexdigest()


def _remove_unheld(path: Path, *, without_locks: bool) -> None:
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    with contextlib.suppress(OSError):
        descriptor = os.open(path, flags)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return
            locked = _lock(descriptor)
            if locked is None and fcntl is None and without_locks:
                # Windows removes no file that is open, be it by us.
                os.close(descriptor)
                descriptor = -1
                path.unlink()
            elif (locked or (locked is None and without_locks)) and stands_at(path, descriptor):
                path.unlink()
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Try to lock an open file: True if it is ours now, False if another process has it, None without locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
