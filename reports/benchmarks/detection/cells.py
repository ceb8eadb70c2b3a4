"""Work that can be stopped and taken up again: one row of a CSV for each finished cell."""

from __future__ import annotations

import csv
import fcntl
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from benchmarks.detection.protocol import stop
from benchmarks.foundation_page import git
from benchmarks.harness import console

import vae_anomaly

Cell = tuple[str, ...]
Row = dict[str, Any]

OK = "ok"
FAILED = "failed: "
OVER = f"{FAILED}over "
REASON_LENGTH = 120
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class GaveUp(Exception):
    """The time limit is over."""


class Ledger:
    """The rows of a CSV, one a cell, written whole after each new row.

    Parameters
    ----------
    path : Path
        The CSV; rows that are there count as done.
    names : sequence of str
        Columns of the CSV.
    n_keys : int
        The first so many name the cell.
    """

    def __init__(self, path: Path, names: Sequence[str], n_keys: int) -> None:
        self.path, self.names, self.n_keys = path, tuple(names), n_keys
        self.rows: dict[Cell, dict[str, str]] = {}

    def read(self) -> None:
        if self.path.exists():
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            self.rows = {tuple(row[name] for name in self.names[: self.n_keys]): row for row in rows}

    def add(self, row: Row) -> None:
        said = {name: _shown(row.get(name)) for name in self.names}
        self.rows[tuple(said[name] for name in self.names[: self.n_keys])] = said
        self.write()

    def forget(self, unwanted: Callable[[Mapping[str, str]], bool]) -> int:
        """Drop the rows that are to be measured again, and say how many."""
        before = len(self.rows)
        self.rows = {cell: row for cell, row in self.rows.items() if not unwanted(row)}
        if len(self.rows) < before:
            self.write()
        return before - len(self.rows)

    def write(self) -> None:
        """Beside the file first, then renamed: whoever stops this keeps every row."""
        beside = self.path.with_name(f".{self.path.name}.part")
        with beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.names, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows[cell] for cell in sorted(self.rows))
        beside.replace(self.path)

    def frame(self) -> pd.DataFrame:
        return pd.read_csv(self.path)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Read what is there; no second run writes the same file inside."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(f".{self.path.name}.lock")
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                stop(f"another run is writing {self.path}; wait for it or stop it.")
            try:
                self.read()
                yield
            finally:
                lock.unlink(missing_ok=True)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def fill(ledger: Ledger, cells: Sequence[Cell], work: Callable[[Cell], Row], jobs: int) -> None:
    """Measure in worker processes, in the order given, the cells that the ledger has not.

    A cell that ran over its time limit is not tried again with other seeds.  Ctrl-C loses the cells under way only.
    """
    os.environ.update(ONE_THREAD)
    waiting = [cell for cell in cells if cell not in ledger.rows]
    console.log(f"{len(cells) - len(waiting)} of {len(cells)} cells are there, {len(waiting)} to go")
    if not waiting:
        return
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    running: dict[Future[Row], Cell] = {}
    ahead, n_done = iter(waiting), 0
    try:
        while True:
            while len(running) < jobs and (cell := next(ahead, None)) is not None:
                if slow := _given_up(ledger, cell):
                    names = dict(zip(ledger.names, cell, strict=False))
                    ledger.add({**slow, **names})
                    n_done += 1
                    continue
                running[pool.submit(work, cell)] = cell
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                cell, row = running.pop(future), future.result()
                ledger.add({**row, "commit": commit()})
                n_done += 1
                took = f"{row['fit_s']:.2f} s" if row["status"] == OK else row["status"]
                console.log(f"{n_done}/{len(waiting)} {', '.join(cell)}: {took}", highlight=False)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        console.log(f"stopped; {ledger.path} has what is finished, the same command without --again goes on")
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
        if running:
            for worker in active_children():
                worker.terminate()
        pool.shutdown(wait=not running, cancel_futures=True)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)


def _given_up(ledger: Ledger, cell: Cell) -> Row | None:
    """The row of the same cell with another seed, if that took too long."""
    seed = ledger.names.index("seed")
    for other, row in ledger.rows.items():
        same = all(
            there == here for number, (there, here) in enumerate(zip(other, cell, strict=True)) if number != seed
        )
        if same and row["status"].startswith(OVER):
            said = row["status"] if "seed" in row["status"] else f"{row['status']} (seed {other[seed]})"
            return {**row, "status": said}
    return None


@cache
def commit() -> str:
    """Of the library that is measured, with a plus if it was changed since."""
    folder = Path(vae_anomaly.__file__).parent
    changed = "+" if git("status", "--porcelain", ".", folder=folder) else ""
    return (git("rev-parse", "--short", "HEAD", folder=folder) or "unknown") + changed


@contextmanager
def time_limit(seconds: int | None) -> Iterator[None]:
    """Raises GaveUp inside after so many seconds; in the main thread of a process only."""

    def give_up(*_: object) -> None:
        raise GaveUp

    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(work: Callable[[], Row], seconds: int | None) -> Row:
    """What `work` returns with the status "ok", or the status "failed: " and why."""
    try:
        with warnings.catch_warnings(), time_limit(seconds):
            warnings.simplefilter("ignore")
            return {**work(), "status": OK}
    except GaveUp:
        return {"status": f"{OVER}{seconds} s"}
    except Exception as error:  # noqa: BLE001
        reason = " ".join(str(error).split()) or type(error).__name__
        return {"status": f"{FAILED}{reason}"[:REASON_LENGTH]}
