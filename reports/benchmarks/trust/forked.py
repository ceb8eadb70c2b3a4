"""Commands as processes that cost no start-up: forked from one that has imported everything and run nothing.

What a forked child does is what the program does from `main` on: its own standard streams, environment, working
folder, default signals, and the functions that Python runs at exit.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import pkgutil
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from benchmarks.trust.trials import Ended

LIMIT = 120.0
CRASHED = 70
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Setup = Callable[[], None]


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone after the block, and that no forked child takes for its own to remove at its exit."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def preload() -> None:
    """Import everything that a command may, and run nothing of it."""
    import torch

    import vae_anomaly
    import vae_anomaly_cli

    torch.set_num_threads(1)
    for package in (vae_anomaly, vae_anomaly_cli):
        _import_all(package)


def _import_all(package: ModuleType) -> None:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            # Some need a library that is installed on demand.
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)


class Child:
    """A command in a process of its own.

    Parameters
    ----------
    arguments : sequence of str or Path
        Those of `vae-anomaly`.
    stdin : Path, optional
        File that is its standard input; by default there is nothing to read.
    environment : mapping of str to str
        Variables on top of ours.
    setup : callable, optional
        What the process does first.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        stdin: Path | None = None,
        environment: Mapping[str, str] | None = None,
        setup: Setup | None = None,
    ) -> None:
        self._streams = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - closed when it has ended
        self.begun = time.monotonic()
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        self.pid = os.fork()
        if self.pid == 0:
            self._become([str(argument) for argument in arguments], stdin, environment or {}, setup)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)

    def _become(
        self, arguments: list[str], stdin: Path | None, environment: Mapping[str, str], setup: Setup | None
    ) -> None:
        code = CRASHED
        try:
            given = os.open(stdin or os.devnull, os.O_RDONLY)
            for number, descriptor in enumerate([given, *(stream.fileno() for stream in self._streams)]):
                os.dup2(descriptor, number)
            os.environ.update(environment)
            tempfile.tempdir = None
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            sys.stdin, sys.stdout, sys.stderr = (
                os.fdopen(number, mode, encoding="utf-8", errors="surrogateescape", closefd=False)
                for number, mode in ((0, "r"), (1, "w"), (2, "w"))
            )
            if setup is not None:
                setup()
            from vae_anomaly_cli.main import main

            try:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
            except KeyboardInterrupt:
                os._exit(128 + signal.SIGINT)
            try:
                code = main(arguments) or 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else CRASHED
            # What is in Python's hands before and after is not ours to answer for.
            signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:  # noqa: BLE001 - what the interpreter would do
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; without effect on a process that has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def alive(self) -> bool:
        """Whether it still runs, without taking note of its end."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self, limit: float = LIMIT) -> Ended:
        """Wait for its end; one that does not come is forced, and has exit code 124.

        The exit code is negative where a signal ended it.
        """
        stopped = False
        while self.alive():
            if time.monotonic() - self.begun > limit:
                self.send(signal.SIGKILL)
                stopped = True
            time.sleep(0.002)
        self.seconds = time.monotonic() - self.begun
        _, status, self.usage = os.wait4(self.pid, 0)
        texts = []
        for stream in self._streams:
            stream.seek(0)
            texts.append(stream.read())
            stream.close()
        code = 124 if stopped else os.waitstatus_to_exitcode(status)
        return Ended(code, texts[0], texts[1].decode("utf-8", "replace"))


def run(*arguments: str | Path, stdin: Path | None = None, setup: Setup | None = None, **environment: str) -> Ended:
    """Run a command to its end."""
    return Child(arguments, stdin=stdin, environment=environment, setup=setup).wait()


def call(function: Callable[[], object], limit: float = 3600.0) -> str:
    """Run a function in a forked process; return what it failed with, or nothing."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - it is reported
                said.write(f"{type(error).__name__}: {error}".encode())
                said.flush()
            finally:
                os._exit(0)
        end = time.monotonic() + limit
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return f"no end within {limit:g} s"
            time.sleep(0.01)
        said.seek(0)
        return said.read().decode("utf-8", "replace")
