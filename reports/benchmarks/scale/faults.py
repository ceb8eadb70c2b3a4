"""A worker is killed, all is killed, the disk is full: what is lost, and what is there once it ran again."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.scale.commands import CLI, RAY, RESUMES, SPARK, WORKERS, command
from benchmarks.scale.lake import difference, files_in, results
from benchmarks.scale.watching import Process, Watched, watch

WORKER, DRIVER, DISK = "a worker is killed", "all its processes are killed", "the disk is full"
# Their workers are processes of their own.
HAVE_WORKERS = (RAY, SPARK)
# They write a file of results for each of the input.
WRITE_FILES = (CLI, RAY, SPARK)
# What of the files of results is begun, or of the seconds over, when it is hit; for how much of them there is room.
SHARE = 0.6
Outcome = dict[str, Any]


def outcomes(
    engine: str, lake: Path, model: Path, folder: Path, n_workers: int, expected: pa.Table
) -> Iterator[Outcome]:
    """Each fault, and the run after it.

    Parameters
    ----------
    engine : str
    lake, model, folder : Path
        The last one is made and removed.
    n_workers : int
    expected : pyarrow.Table
        Results of a run that was let be.
    """
    tried = _Tried(engine, lake, model, folder / "out", n_workers)
    start = _Tried(engine, lake.with_name("start"), model, folder / "out", n_workers)
    folder.mkdir()
    start_seconds = start.run().seconds
    tried.clear()
    plain = tried.run()
    said = f"failed: {plain.said}" if plain.code else difference(tried.readable(), expected)
    if said:
        yield {"engine": engine, "fault": "none", "outcome": said}
        return
    n_bytes = sum(path.stat().st_size for path in tried.out.rglob("*") if path.is_file())
    after = start_seconds + SHARE * max(plain.seconds - start_seconds, 0)
    shutil.rmtree(folder)
    for fault in (WORKER, DRIVER, DISK):
        if fault == WORKER and engine not in HAVE_WORKERS:
            continue
        with _disk(folder, int(n_bytes * SHARE) if fault == DISK else None) as more_room:
            if more_room is None:
                yield {"engine": engine, "fault": fault, "outcome": "not tried: only root may mount a small disk"}
                continue
            yield {
                "engine": engine,
                "fault": fault,
                "start_seconds": start_seconds,
                "plain_seconds": plain.seconds,
                **_after(tried, None if fault == DISK else _Hit(tried, fault, after), more_room, expected),
            }


class _Tried:
    """A run of an engine, and its folder of results."""

    def __init__(self, engine: str, lake: Path, model: Path, out: Path, n_workers: int) -> None:
        self.engine, self.lake, self.model, self.out, self.n_workers = engine, lake, model, out, n_workers

    def run(self, hit: Callable[[Sequence[Process], float], None] | None = None, *, resume: bool = False) -> Watched:
        asked = command(self.engine, self.lake, self.model, self.out, self.n_workers, resume=resume)
        return watch(asked.arguments, asked.environment, self.n_workers, asked.worker, hit)

    def clear(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)

    def readable(self) -> pa.Table:
        """Results that a reader of the folder finds; where a file is cut off, none."""
        try:
            return results(self.out)
        except (OSError, ValueError, KeyError):
            return results(self.out / "no such folder")

    def files(self) -> dict[tuple[str, int, int], int]:
        """Rows of whole files, by what changes when they are written again."""
        found = {}
        for path in files_in(self.out):
            with contextlib.suppress(OSError, ValueError):
                status = path.stat()
                found[str(path), status.st_ino, status.st_mtime_ns] = int(pq.read_metadata(path).num_rows)
        return found


def _after(tried: _Tried, hit: _Hit | None, more_room: Callable[[], object], expected: pa.Table) -> Outcome:
    found = tried.run(hit)
    before, resumes = tried.files(), tried.engine in RESUMES
    row: Outcome = {"code": found.code, "seconds": found.seconds, "rows_there": sum(before.values())}
    row |= {"hit": hit is None or hit.done, "said": found.said}
    if found.code:
        more_room()
        if not resumes:
            tried.clear()
        again = tried.run(resume=resumes)
        after = tried.files()
        row |= {"again_code": again.code, "again_seconds": again.seconds}
        row["kept"] = sum(n_rows for key, n_rows in before.items() if key in after)
        row["again_said"] = again.said
    return row | {"outcome": difference(tried.readable(), expected) or "nothing lost, nothing doubled, equal bits"}


class _Hit:
    """Kills once, when so much is done: a worker that scores, or all."""

    def __init__(self, tried: _Tried, fault: str, after: float) -> None:
        self.tried, self.after, self.done = tried, after, False
        self.worker = WORKERS[tried.engine] if fault == WORKER else ""

    def __call__(self, family: Sequence[Process], seconds: float) -> None:
        if self.done or not self._time_has_come(seconds):
            return
        # The first of a family of forks starts the others.
        chosen = [process for process in family if self.worker in process.line()]
        for process in chosen[-1:] if self.worker else chosen:
            process.kill()
            self.done = True

    def _time_has_come(self, seconds: float) -> bool:
        if self.tried.engine not in WRITE_FILES:
            return seconds > self.after
        n_begun = sum(1 for _ in self.tried.out.rglob("*.parquet"))
        return n_begun > SHARE * sum(1 for _ in self.tried.lake.iterdir())


@contextlib.contextmanager
def _disk(place: Path, n_bytes: int | None) -> Iterator[Callable[[], object] | None]:
    """A folder for a while; with a size a disk of its own, too small until the function that this gives is called."""
    place.mkdir(parents=True)
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={max(n_bytes or 0, 1 << 16)}", "none", str(place)]
    try:
        if n_bytes is None:
            yield lambda: None
        elif os.geteuid() or subprocess.run(mounted, capture_output=True, check=False).returncode:
            yield None
        else:
            try:
                yield lambda: subprocess.run(["mount", "-o", "remount,size=2g", str(place)], check=True)
            finally:
                subprocess.run(["umount", "-l", str(place)], check=False)
    finally:
        shutil.rmtree(place, ignore_errors=True)
