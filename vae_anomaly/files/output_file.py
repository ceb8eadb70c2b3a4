"""A file that has its name when all of it is on the disk, and of which nothing is left where it never is."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from vae_anomaly.files.destinations import descriptor_of, final_path, is_replaced
from vae_anomaly.files.folders import sync_folder
from vae_anomaly.files.permissions import take_over_permissions
from vae_anomaly.files.stale_parts import copy_to_hold, lock_part, new_part, stands_at

_WRITE = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_PRIVATE, _AS_UMASK_SAYS = 0o600, 0o666
_N_NAMES = 100
# What is no file may be on no disk.
_NO_DISK = {errno.EINVAL, errno.EROFS, errno.ENOTSUP, errno.EOPNOTSUPP}


class OutputFile:
    """A file that is written beside its path, under a hidden name, and takes its place when it is whole.

    Links are followed to their end and stay. A file that is replaced hands down its mode, before the first byte is
    written, and its owner, group, access list and attributes where the system allows it. Bits that set the user or the
    group of a process, times and hard links are not kept: another name of the file keeps what it had. A device, a pipe,
    a socket or an open file such as ``/dev/stdout`` is never replaced: it is written through, and what is out is out.

    Parameters
    ----------
    path : path-like
        Its name.
    note : callable, optional
        Is told where the unfinished file will be, before it is.

    Attributes
    ----------
    path : Path
        As given.
    part : Path or None
        The unfinished file; None where it is written through.
    stream : BufferedWriter
        Takes what is written.

    Raises
    ------
    OSError
        If nothing can be written there, also because links lead in a circle or a folder is there.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.bin"
    >>> with OutputFile(path) as file:
    ...     n_bytes = file.stream.write(b"whole")
    ...     before = path.exists()
    >>> before, path.read_bytes()
    (False, b'whole')
    """

    def __init__(self, path: str | os.PathLike[str], note: Callable[[Path], None] | None = None) -> None:
        self.path = Path(path)
        self.part: Path | None = None
        with _naming(self.path):
            if is_replaced(path):
                self._final = final_path(path)
                self._open_part(note)
            else:
                self._final = self.path
                self.stream = os.fdopen(_open_through(path), "wb")
                self._drop = weakref.finalize(self, partial(_close_stream, self.stream))

    def finish(self) -> None:
        """Give the file its name, when all of it is on the disk; leave nothing where that fails.

        Raises
        ------
        OSError
            If it cannot be written to the end, or something else than a file took its place meanwhile.
        """
        with _naming(self.path):
            try:
                self.stream.flush()
                if self.part is None:
                    _sync_through(self.stream.fileno())
                    self.stream.close()
                    return
                self._check_final()
                take_over_permissions(self._final, self.stream.fileno())
                os.fsync(self.stream.fileno())
                # It stays locked: not locked it would look as if a killed run had left it.
                self.stream.close()
                self.part.replace(self._final)
            except BaseException:
                self.discard()
                raise
            self._drop()
            sync_folder(self._final.parent)

    def discard(self) -> None:
        """Leave nothing of a file that is not whole; without effect on a finished one."""
        self._drop()

    def __enter__(self) -> Self:
        """Take the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the file its name, or leave nothing of it after an error."""
        if kind is None:
            self.finish()
            return
        self.discard()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(self.path)

    def _open_part(self, note: Callable[[Path], None] | None) -> None:
        for _ in range(_N_NAMES):
            part = new_part(self._final)
            if note is not None:
                note(part)
            # Nobody else reads the new file before it is known who may.
            mode = _PRIVATE if self._final.exists() else _AS_UMASK_SAYS
            try:
                descriptor = os.open(part, _WRITE | _NEW, mode)
            except FileExistsError:
                continue
            except BaseException:
                # The system may have made it when a signal came in between.
                _unlink(part)
                raise
            held = -1
            try:
                held = copy_to_hold(descriptor)
                if lock_part(descriptor) and stands_at(part, descriptor):
                    take_over_permissions(self._final, descriptor)
                    self.part = part
                    self.stream = os.fdopen(descriptor, "wb")
                    self._drop = weakref.finalize(self, partial(_drop_part, self.stream, part, held, os.getpid()))
                    return
            except BaseException:
                _close(descriptor, held)
                _unlink(part)
                raise
            # Another run took it for one that a killed run left, in the moment before it was locked.
            _close(descriptor, held)
        raise FileExistsError(errno.EEXIST, "No name is free for an unfinished file")

    def _check_final(self) -> None:
        """Refuse to put a file in the place of what came there since, and is none."""
        try:
            mode = os.lstat(self._final).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISREG(mode):
            raise FileExistsError(errno.EEXIST, "Something else than a file took its place")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have errors name the file that is wanted, whatever stands in its place until it is whole."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def _open_through(path: str | os.PathLike[str]) -> int:
    number = descriptor_of(path)
    # Not opened again: that would cut a file that output is appended to.
    return os.open(path, _WRITE) if number is None else os.dup(number)


def _sync_through(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DISK:
            raise


def _drop_part(stream: io.BufferedWriter, part: Path, held: int, process: int) -> None:
    """Remove a part that did not become the file, and then the lock on it."""
    _close_stream(stream)
    # The child of a fork ends, too, and it is not its file.
    if os.getpid() == process:
        _unlink(part)
    _close(held)


def _close_stream(stream: io.BufferedWriter) -> None:
    """Close without what is still held back: a pipe may take it never, and a full disk neither."""
    with contextlib.suppress(OSError, ValueError):
        stream.raw.close()


def _unlink(part: Path) -> None:
    with contextlib.suppress(OSError):
        part.unlink()


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor < 0:
            continue
        with contextlib.suppress(OSError):
            os.close(descriptor)
