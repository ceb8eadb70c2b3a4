"""A worker is killed, the driver is killed, the disk is full: what is lost, and what is there once it ran again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.scale.commands import CLI, RAY, SPARK, command
from benchmarks.scale.lake import difference, results
from benchmarks.scale.watching import Watched, descendants, watch

WORKER, DRIVER, DISK = "a worker is killed", "the driver is killed", "the disk is full"
FAULTS = (WORKER, DRIVER, DISK)
# By what a worker's command line is known.
WORKERS = {RAY: b"ray::Scorer.do", SPARK: b"pyspark.daemon"}
RESUMES = (CLI, RAY)
Outcome = dict[str, Any]


def outcomes(engine: str, lake: Path, model: Path, out: Path, n_workers: int, expected: Any) -> Iterator[Outcome]:
    """Each fault, and the run after it.

    Parameters
    ----------
    engine : str
    lake, model, out : Path
        Files and folder; `out` is made and removed.
    n_workers : int
    expected : pyarrow.Table
        Identifiers and scores of a run that was let be.
    """
    plain = _run(engine, lake, model, out, n_workers)
    if plain.code:
        yield {"engine": engine, "fault": "none", "outcome": f"failed: {plain.said.strip()[-200:]}"}
        return
    n_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    shutil.rmtree(out)
    for fault in FAULTS:
        if fault == WORKER and engine not in WORKERS:
            continue
        with _disk(out, n_bytes * 2 // 5) if fault == DISK else contextlib.nullcontext(lambda: None) as more_room:
            if more_room is None:
                yield {"engine": engine, "fault": fault, "outcome": "not tried: only root may mount a small disk"}
                continue
            hit = _Hit(engine, fault, plain.seconds)
            found = _run(engine, lake, model, out, n_workers, hit)
            row: Outcome = {"engine": engine, "fault": fault, "code": found.code, "seconds": found.seconds}
            row["hit"] = hit.done or fault == DISK
            row["rows_there"] = len(_readable(out))
            if found.code:
                more_room()
                again = _run(engine, lake, model, out, n_workers, resume=engine in RESUMES)
                row |= {"again_code": again.code, "again_seconds": again.seconds}
            row["plain_seconds"] = plain.seconds
            row["outcome"] = difference(_readable(out), expected) or "nothing lost, nothing doubled, equal bits"
            yield row
        shutil.rmtree(out, ignore_errors=True)


def _run(
    engine: str, lake: Path, model: Path, out: Path, n_workers: int, hit: Any = None, *, resume: bool = False
) -> Watched:
    asked = command(engine, lake, model, out, n_workers, resume=resume)
    return watch(asked.arguments, asked.environment, n_workers, hit)


def _readable(out: Path) -> Any:
    """Results that a reader of the folder finds; files that are cut off count for nothing."""
    try:
        return results(out)
    except (OSError, ValueError, KeyError):
        return results(out / "no such folder")


class _Hit:
    """Kills once: a worker as soon as there is one and half of the time is over, or the driver and all below it."""

    def __init__(self, engine: str, fault: str, seconds: float) -> None:
        self.engine, self.fault, self.after = engine, fault, 0.6 * seconds
        self.done = False

    def __call__(self, root: int, seconds: float) -> None:
        if self.done or self.fault == DISK or seconds < self.after:
            return
        family = descendants(root)
        if self.fault == WORKER:
            # The first of a family of forks starts the others.
            family = [process for process in family if _line(process).find(WORKERS[self.engine]) >= 0][-1:]
        for process in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                self.done = True


def _line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""


@contextlib.contextmanager
def _disk(place: Path, n_bytes: int) -> Iterator[Callable[[], object] | None]:
    """A disk of its own, which is too small until the function that this gives is called."""
    place.mkdir(parents=True, exist_ok=True)
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={max(n_bytes, 1 << 16)}", "none", str(place)]
    if os.geteuid() or subprocess.run(mounted, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=2g", str(place)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)
