"""Who may read a file: what a new one takes over from the one whose place it takes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

ACCESS_LIST = "system.posix_acl_access"
# Others are of the system, or say something of the bytes that were there.
_KEPT_ATTRIBUTES = ("user.", "security.selinux")
_EVERYBODY, _OTHERS = 0o777, 0o077
_NO_MODES = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def take_over_permissions(final: Path, descriptor: int) -> None:
    """Give an open file the mode of another one, and its owner, group, access list and attributes as far as allowed.

    Whoever may read it is among those who could read the other one: where the group stays another, the group gets what
    all others have, and where an access list cannot be set, only the owner gets anything.

    Parameters
    ----------
    final : Path
        The other one; nothing is taken over where none is there.
    descriptor : int
        The open file.
    """
    try:
        known = os.lstat(final)
    except FileNotFoundError:
        return
    mode = stat.S_IMODE(known.st_mode) & _EVERYBODY
    if not hasattr(os, "fchown"):  # Windows
        return
    own = os.fstat(descriptor)
    if own.st_uid != known.st_uid:
        with contextlib.suppress(OSError):
            os.fchown(descriptor, known.st_uid, -1)
    if own.st_gid != known.st_gid:
        try:
            os.fchown(descriptor, -1, known.st_gid)
        except OSError:
            mode &= 0o707 | (mode & 0o007) << 3
    if hasattr(os, "getxattr"):
        mode = _take_over_attributes(final, descriptor, mode)
    _set_mode(descriptor, mode)


def _set_mode(descriptor: int, mode: int) -> None:
    """Set a mode; where a file system has none of its own, what it gives is taken if nobody else may read for it."""
    if stat.S_IMODE(os.fstat(descriptor).st_mode) == mode:
        return
    try:
        os.fchmod(descriptor, mode)
    except OSError as error:
        lets_in = stat.S_IMODE(os.fstat(descriptor).st_mode) & ~mode & _OTHERS
        if error.errno not in _NO_MODES or lets_in:
            raise


def _take_over_attributes(final: Path, descriptor: int, mode: int) -> int:
    """Copy an access list and attributes, and return the mode that keeps within the list."""
    with contextlib.suppress(OSError):
        for name in os.listxattr(final):
            if name.startswith(_KEPT_ATTRIBUTES):
                with contextlib.suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(final, name))
    try:
        entries = os.getxattr(final, ACCESS_LIST)
    except OSError as error:
        # The folder may have given the new file a list that the other one does not have.
        with contextlib.suppress(OSError):
            os.removexattr(descriptor, ACCESS_LIST)
        return mode if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.EOPNOTSUPP) else mode & 0o700
    try:
        os.setxattr(descriptor, ACCESS_LIST, entries)
    except OSError:
        return mode & 0o700
    return mode
