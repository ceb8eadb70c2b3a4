"""Folders that are made for files, and kept on the disk together with the names in them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# Not every system and file system can do it for a folder.
_NOT_POSSIBLE = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR}


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder, and those on the way to it; without effect where it is.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    folder = Path(folder)
    missing = []
    for one in (folder, *folder.parents):
        if one.is_dir():
            break
        missing.append(one)
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can say so.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_POSSIBLE:
            raise
    finally:
        os.close(descriptor)
