"""What the suites share: what a case found, commands in this process, and the command line of each suite."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

from benchmarks.harness import console

Finding = dict[str, Any]
Measure = Callable[[bool, int], list[Finding]]
FIELDS = ("suite", "case", "tried", "held", "note")
MAX_NOTED, MAX_LETTERS = 3, 160
# The names of Python's exceptions, and of those of libraries, which a person should never read.
EXCEPTION_NAME = re.compile(r"\b[A-Za-z_]+(?:Error|Exception|Warning)\b|\bArrow[A-Z]\w+|\bTraceback\b|_DEBUG=1")
FOLDER = re.compile(r"/\S*/")
# What differs between two failures of a kind: random names and numbers.
PARTICULAR = re.compile(r"\b(?=\w*\d)[0-9a-f]{8,}\b|\d+")
MIB = 1 << 20


def record(suite: str, case: str, tried: int, failures: Sequence[str], note: str = "") -> Finding:
    """How often a case held, with the first of what did not; shown as soon as it is known."""
    kinds: dict[str, str] = {}
    for failure in failures:
        text = FOLDER.sub("", " ".join(failure.split()))[:MAX_LETTERS]
        kinds.setdefault(PARTICULAR.sub("", text), text)
    shown = list(kinds.values())[:MAX_NOTED]
    noted = "; ".join(shown) + (f"; {len(kinds) - MAX_NOTED} more kinds" if len(kinds) > MAX_NOTED else "")
    held = tried - len(failures)
    found = dict(zip(FIELDS, (suite, case, tried, held, noted or note), strict=True))
    show(found)
    return found


def holds(findings: Sequence[Finding]) -> bool:
    return all(found["held"] == found["tried"] for found in findings)


def show(found: Finding) -> None:
    sign = "holds" if found["held"] == found["tried"] else "FAILS"
    text = f"{sign} {found['suite']}: {found['case']}: {found['held']} of {found['tried']}. {found['note']}"
    console.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)


def one_suite(doc: str | None, measure: Measure) -> None:
    """The command line of a suite alone; exit code 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    findings = measure(chosen.quick, chosen.seed)
    sys.exit(0 if holds(findings) else 1)


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: bytes
    err: str

    def trouble(self, codes: Sequence[int] = (0, 1, 2)) -> str:
        """What is wrong with how it ended, whatever it did: nothing, or a sentence."""
        said = self.err.strip().splitlines()[-1] if self.err.strip() else "nothing"
        if self.code not in codes:
            return f"exit code {self.code}; said {said}"
        if self.code in (1, 2) and not said.startswith("error: "):
            return f"exit code {self.code} without a line that says why; said {said}"
        if EXCEPTION_NAME.search(self.err):
            found = next(line for line in self.err.splitlines() if EXCEPTION_NAME.search(line))
            return f"names an exception: {found} ... {said}"
        return ""


def command(*arguments: str | Path, stdin: bytes = b"") -> Ended:
    """Run a command in this process."""
    from vae_anomaly_cli.main import main

    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(argument) for argument in arguments])
    finally:
        sys.stdin = before
    out.flush()
    return Ended(code, out.buffer.getvalue(), err.getvalue())


class TooLong(BaseException):
    """An example did not end in its time; no ``except Exception`` swallows it."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `TooLong` in the block after so many seconds."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooLong(f"no end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    # A test runner may have an alarm of its own.
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, before)


def status_of(field: str, process: int | str = "self") -> int:
    """A number that Linux tells of a process: VmRSS and VmHWM in KiB, Threads."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1])


class Peak:
    """The most memory since the block began, in MiB above what there was then; 0 where the system does not say."""

    def __enter__(self) -> Self:
        self._there = os.access("/proc/self/clear_refs", os.W_OK)
        if self._there:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._before = status_of("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def mib(self) -> float:
        return (status_of("VmHWM") - self._before) / 1024 if self._there else 0.0


def limit_memory(above_mib: int) -> None:
    """Have allocations fail that would take this process so far above what it has now."""
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + above_mib * MIB, most))
