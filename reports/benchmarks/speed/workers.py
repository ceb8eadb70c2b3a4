"""Methods in processes of their own, which take turns; and what the scripts of this folder have in common."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.detection.cells import Ledger, Row, commit
from benchmarks.harness import console

OURS, BEFORE, FOREST, PYOD = "VAEDetector", "before", "IsolationForest", "PyOD VAE"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
FOLDER = Path(__file__).resolve().parent
RUNS = 5


class Worker:
    """A method that waits for orders.

    Parameters
    ----------
    method : str
        What is measured; `BEFORE` is VAEDetector of another checkout.
    threads : int, optional
        Threads of its numerical libraries; by default what they take themselves.
    checkout : Path, optional
        Of the library that `BEFORE` is measured with.
    """

    def __init__(self, method: str, *, threads: int | None = None, checkout: Path | None = None) -> None:
        environment = dict(os.environ)
        if threads is not None:
            environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        if checkout is not None:
            environment["PYTHONPATH"] = str(checkout.resolve())
        self.method, self.threads = method, threads
        self.process = subprocess.Popen(
            [sys.executable, str(FOLDER / "work.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        answer = self.ask("ready", method=OURS if method == BEFORE else method)
        if checkout is not None and checkout.resolve() not in Path(answer["library"]).parents:
            self.close()
            raise SystemExit(f"the library of {checkout} was not found there, but at {answer['library']}")

    def ask(self, what: str, **arguments: Any) -> Row:
        """Give an order and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.method} ended with exit code {self.process.wait()} while asked to {what}")
        answer: Row = json.loads(line)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def working(method: str, *, threads: int | None = None, checkout: Path | None = None) -> Iterator[Worker]:
    worker = Worker(method, threads=threads, checkout=checkout if method == BEFORE else None)
    try:
        yield worker
    finally:
        worker.close()


@contextmanager
def all_working(
    methods: Sequence[tuple[str, int | None]], checkout: Path | None
) -> Iterator[dict[tuple[str, int | None], Worker]]:
    """One process for each method and number of threads, at the same time; only the one that is asked works."""
    with ExitStack() as stack:
        yield {
            (method, threads): stack.enter_context(working(method, threads=threads, checkout=checkout))
            for method, threads in methods
        }


def parser(doc: str | None, runs: int = RUNS) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=int, default=runs, help="times that everything is measured, in turn")
    made.add_argument("--out", type=Path, default=FOLDER, help="folder of the CSV")
    return made


def with_before(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    made.add_argument("--before", type=Path, metavar="CHECKOUT", help="a checkout of an earlier commit, to measure too")
    return made


@contextmanager
def ledger(
    folder: Path, name: str, columns: Sequence[str], n_keys: int, again: Callable[[Row], bool]
) -> Iterator[Callable[[Row], None]]:
    """A function that adds a row to a CSV, without the rows that this run measures again."""
    book = Ledger(folder / f"{name}.csv", (*columns, "commit"), n_keys)
    with book.alone():
        book.forget(lambda row: again(dict(row)))

        def add(row: Row) -> None:
            book.add({**row, "commit": commit()})
            said = (
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
            console.print(", ".join(said), highlight=False, soft_wrap=True)

        yield add
