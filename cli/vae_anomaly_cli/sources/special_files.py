"""Pipes, sockets and devices as input: what can be read to its end, and never waited for without a word."""

import os
import select
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError

PATIENCE_SECONDS = 1.0
WAKE_MILLISECONDS = 500
# Windows has neither it nor pipes with names.
NON_BLOCKING: int = getattr(os, "O_NONBLOCK", 0)


def open_special(name: str, path: Path) -> BinaryIO:
    """Open what is no regular file.

    Parameters
    ----------
    name : str
        How messages call it.
    path : Path
        Where it is.

    Raises
    ------
    InputError
        If it is a device without an end.
    OSError
        If it cannot be opened, as a socket cannot.
    """
    # To open a pipe for reading waits for a writer, and a process that waits there says nothing.
    descriptor = os.open(path, os.O_RDONLY | NON_BLOCKING)
    try:
        check_has_end(name, descriptor)
        if NON_BLOCKING:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                _wait_for_writer(name, descriptor)
            os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def check_has_end(name: str, descriptor: int) -> None:
    """Refuse devices other than terminals, which people end, and the null device: most have no end.

    Raises
    ------
    InputError
        If it is such a device.
    """
    known = os.fstat(descriptor)
    if not (stat.S_ISCHR(known.st_mode) or stat.S_ISBLK(known.st_mode)):
        return
    if not os.isatty(descriptor) and known.st_rdev != Path(os.devnull).stat().st_rdev:
        raise InputError(f"{name} is a device, which may have no end; expected a file or a pipe with a table.")


def wait_for_data(descriptor: int) -> None:
    """Wait until there is something to read, or the end; a signal is heard meanwhile.

    A read does not hear one that arrives after Python last looked for signals and before the system begins to wait.
    """
    if not hasattr(select, "poll"):
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not poll.poll(WAKE_MILLISECONDS):
        pass


def kind_of_special(mode: int) -> str:
    """Name what a path leads to that is no regular file."""
    kinds = {
        stat.S_ISDIR: "a directory",
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((kind for test, kind in kinds.items() if test(mode)), "no regular file")


def _wait_for_writer(name: str, descriptor: int) -> None:
    if sys.platform != "linux":
        # Elsewhere, a pipe that nobody has opened for writing seems to be at its end.
        return
    if not select.select([descriptor], [], [], PATIENCE_SECONDS)[0]:
        Messages(quiet=False).answer(f"waiting for {name}: a pipe to which nothing has been written; Ctrl-C ends this")
        wait_for_data(descriptor)
