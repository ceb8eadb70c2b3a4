"""Standard input, output and error as a process may get them: closed, full, without a reader or an encoding."""

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from vae_anomaly_cli.errors import CommandError, ReaderLeft

INPUT, OUTPUT, MESSAGES = 0, 1, 2
# Text that a person could not read back is shown as escapes instead of ending the work.
ERRORS = "backslashreplace"


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make the three streams fit to be used, whatever they are, and put back what stood there.

    A closed one gets the null device, opened the wrong way round, so that the next file that is opened does not get
    its place, and that to use it is an error still. Messages that nobody can read are dropped. What cannot be
    written to standard output raises `ReaderLeft` or `CommandError`, in whichever place it is written.
    """
    _open_closed()
    output, messages = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _guarded(output, _Output), _guarded(messages, _Messages)
    try:
        yield
    finally:
        with contextlib.suppress(CommandError, ReaderLeft, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        sys.stdout, sys.stderr = output, messages


def drop_output() -> None:
    """Send what is left for standard output to nowhere: to write it would fail again, or wait for ever."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = sys.stdout.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)


class _Descriptor(io.RawIOBase):
    """What is written to a descriptor, which somebody else closes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def _write(self, data: Any) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                # A parent may have left the descriptor non-blocking.
                select.select([], [self._descriptor], [])


class _Output(_Descriptor):
    """Standard output."""

    def write(self, data: Any, /) -> int:
        try:
            return self._write(data)
        except BrokenPipeError:
            drop_output()
            raise ReaderLeft from None
        except OSError as error:
            drop_output()
            why = "it is closed" if error.errno == errno.EBADF else error.strerror or error
            raise CommandError(f"standard output cannot be written: {why}.") from error


class _Messages(_Descriptor):
    """Standard error: what cannot be said does not end the work."""

    def write(self, data: Any, /) -> int:
        try:
            return self._write(data)
        except OSError:
            return memoryview(data).nbytes


def _guarded(stream: TextIO, kind: type[_Descriptor]) -> TextIO:
    """Return a stream that writes where another does; that other one where it has no descriptor, as in memory."""
    try:
        descriptor = stream.fileno()
        stream.flush()
    except (OSError, ValueError):
        return stream
    written = io.BufferedWriter(kind(descriptor))
    by_line = kind is _Messages or written.isatty()
    return io.TextIOWrapper(written, encoding=stream.encoding or "utf-8", errors=ERRORS, line_buffering=by_line)


def _open_closed() -> None:
    for descriptor, flags in ((INPUT, os.O_WRONLY), (OUTPUT, os.O_RDONLY), (MESSAGES, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, flags)
                if null != descriptor:
                    os.dup2(null, descriptor)
                    os.close(null)
    if sys.stdin is None:
        sys.stdin = _text(INPUT, "r")
    if sys.stdout is None:
        sys.stdout = _text(OUTPUT, "w")
    if sys.stderr is None:
        sys.stderr = _text(MESSAGES, "w")


def _text(descriptor: int, mode: str) -> TextIO:
    return cast(TextIO, open(descriptor, mode, encoding="utf-8", errors=ERRORS, closefd=False))
