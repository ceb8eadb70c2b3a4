"""A command and all its processes, watched: seconds, memory of each, bytes read and written, bytes over sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOOK_EVERY = 0.1
LIMIT_SECONDS = 420.0
MIB = 2**20
# A shell that starts a worker has its name in the command line, too.
MIN_MIB = 100.0


@dataclass
class Watched:
    """What was seen of a command.

    Parameters
    ----------
    code : int
        Exit code.
    seconds, cpu_seconds : float
        By the clock, and of all processes.
    peak_mib : float
        Largest sum over processes, shared memory counted once for each that shares it.
    workers_mib : list of float
        Largest resident memory of each process that scores.
    read_bytes, written_bytes : int
        By read and write calls of all processes: files and pipes.
    loopback_bytes : int
        Over the machine's loopback device, by whomever.
    said : str
        Its last line, where it failed: other lines name places of the machine.
    """

    code: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mib: float = 0.0
    workers_mib: list[float] = field(default_factory=list)
    read_bytes: int = 0
    written_bytes: int = 0
    loopback_bytes: int = 0
    said: str = ""


@dataclass
class _Seen:
    rss: float = 0.0
    read: int = 0
    written: int = 0
    cpu: float = 0.0
    scores: bool = False


@dataclass(frozen=True)
class Process:
    """A process: its number is taken again by others, with another time of birth."""

    number: int
    born: int

    def alive(self) -> bool:
        """Whether it is there."""
        return _stat(self.number)[2] == self.born

    def line(self) -> str:
        """Its command line; empty where it has ended."""
        with contextlib.suppress(OSError):
            content = Path(f"/proc/{self.number}/cmdline").read_bytes()
            return content.replace(b"\0", b" ").decode(errors="replace")
        return ""

    def kill(self) -> None:
        """End it at once, if it is there."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.number, signal.SIGKILL)


def watch(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    n_cores: int,
    worker: str,
    meddle: Callable[[Sequence[Process], float], None] | None = None,
) -> Watched:
    """Run a command on some cores to its end, and end what it leaves.

    Parameters
    ----------
    arguments, environment : sequence and mapping of str
    n_cores : int
        Of the machine, the first ones; all its processes have no others.
    worker : str
        What the command line of a process that scores contains.
    meddle : callable, optional
        Called at each look with the processes and the seconds since they began: it may kill.
    """
    found, seen, before = Watched(), dict[Process, _Seen](), _loopback()
    cores = sorted(os.sched_getaffinity(0))[:n_cores]
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            arguments,
            stdout=said,
            stderr=said,
            env={**os.environ, **environment},
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509 - set before anything starts
        )
        try:
            while process.poll() is None and found.seconds < LIMIT_SECONDS:
                family = list(_family(process.pid))
                found.peak_mib = max(found.peak_mib, _look(family, seen, worker))
                if meddle is not None:
                    meddle(family, time.perf_counter() - begin)
                time.sleep(LOOK_EVERY)
                found.seconds = time.perf_counter() - begin
        finally:
            found.seconds = time.perf_counter() - begin
            for each in seen:
                each.kill()
            process.wait()
        found.code = process.returncode
        said.seek(max(said.seek(0, os.SEEK_END) - 2000, 0))
        found.said = last_line(said.read().decode(errors="replace")) if found.code else ""
    found.loopback_bytes = _loopback() - before
    found.read_bytes = sum(each.read for each in seen.values())
    found.written_bytes = sum(each.written for each in seen.values())
    found.cpu_seconds = sum(each.cpu for each in seen.values())
    found.workers_mib = sorted((each.rss for each in seen.values() if each.scores and each.rss > MIN_MIB), reverse=True)
    return found


def _stat(number: int) -> tuple[int, int, int]:
    """Parent, session and time of birth of a process; zeros where it has ended."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        words = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return int(words[1]), int(words[3]), int(words[19])
    return 0, 0, 0


def _family(root: int) -> Iterator[Process]:
    """A process and those that it started, by the session and by parents."""
    stats = {int(path.name): _stat(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    numbers = [root]
    for number in numbers:
        numbers += [
            child
            for child, (parent, session, _) in stats.items()
            if child not in numbers and (parent == number or (number == root and session == root))
        ]
    for number in numbers:
        if stats.get(number, (0, 0, 0))[2]:
            yield Process(number, stats[number][2])


def _look(family: Sequence[Process], seen: dict[Process, _Seen], worker: str) -> float:
    total = 0.0
    for process in family:
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
            folder, each = Path("/proc") / str(process.number), seen.setdefault(process, _Seen())
            pages = int((folder / "statm").read_text().split()[1])
            rss = pages * os.sysconf("SC_PAGE_SIZE") / MIB
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            counts = dict(line.split(": ") for line in (folder / "io").read_text().splitlines())
            each.rss, total = max(each.rss, rss), total + rss
            each.read, each.written = int(counts["rchar"]), int(counts["wchar"])
            each.cpu = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
            each.scores = each.scores or worker in process.line()
    return total


def _loopback() -> int:
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[0])
    return 0


def last_line(text: str) -> str:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
