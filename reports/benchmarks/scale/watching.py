"""A command and all its processes, watched: seconds, memory of each, bytes read and written, bytes over sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOOK_EVERY = 0.1
MIB = 2**20


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
        Largest memory of each process that had over 100 MiB of its own.
    read_bytes, written_bytes : int
        By system calls of all processes: files, pipes and local sockets.
    loopback_bytes : int
        Over the machine's loopback device, by whomever.
    said : str
        Its last words.
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


def watch(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    n_cores: int,
    meddle: Callable[[int, float], None] | None = None,
) -> Watched:
    """Run a command on some cores to its end.

    Parameters
    ----------
    arguments, environment : sequence and mapping of str
    n_cores : int
        Of the machine, the first ones; all its processes have no others.
    meddle : callable, optional
        Called at each look with the process and the seconds since it began: it may kill.
    """
    found, seen, before = Watched(), dict[int, _Seen](), _loopback()
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
            while process.poll() is None:
                found.peak_mib = max(found.peak_mib, _look(process.pid, seen))
                if meddle is not None:
                    meddle(process.pid, time.perf_counter() - begin)
                time.sleep(LOOK_EVERY)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        found.seconds = time.perf_counter() - begin
        said.seek(max(said.seek(0, os.SEEK_END) - 2000, 0))
        found.said = said.read().decode(errors="replace")
    found.code = process.returncode
    found.loopback_bytes = _loopback() - before
    found.read_bytes = sum(each.read for each in seen.values())
    found.written_bytes = sum(each.written for each in seen.values())
    found.cpu_seconds = sum(each.cpu for each in seen.values())
    found.workers_mib = sorted((each.rss for each in seen.values() if each.rss > 100), reverse=True)
    return found


def descendants(root: int) -> list[int]:
    """A process and those that it started, by the session and by parents."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            words = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = root if int(words[3]) == root else int(words[1])
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process and child not in found]
    return found


def _look(root: int, seen: dict[int, _Seen]) -> float:
    total = 0.0
    for number in descendants(root):
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
            folder, each = Path("/proc") / str(number), seen.setdefault(number, _Seen())
            pages = int((folder / "statm").read_text().split()[1])
            rss = pages * os.sysconf("SC_PAGE_SIZE") / MIB
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            counts = dict(line.split(": ") for line in (folder / "io").read_text().splitlines())
            each.rss, total = max(each.rss, rss), total + rss
            each.read, each.written = int(counts["rchar"]), int(counts["wchar"])
            each.cpu = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _loopback() -> int:
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[0])
    return 0
