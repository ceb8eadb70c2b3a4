"""Operations and bytes of a row, what this machine's products and copies allow, and what is achieved.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/speed/limits.py
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from benchmarks.detection.cells import Row
from benchmarks.harness import fit_warnings
from benchmarks.speed.counting import (
    N_CHUNKS,
    Subject,
    at_once,
    chunk_bytes,
    copy_rate,
    counted,
    filled_row_flops,
    product_seconds,
    row_flops,
    seconds,
    step_bytes,
    step_flops,
    torch_threads,
)
from benchmarks.speed.shares import fit_parts, scoring_kinds, step_kinds
from benchmarks.speed.workers import ledger, parser

N_ROWS, N_COLUMNS = 10_000, 30
COLUMNS = (
    *("work", "threads", "run", "seconds", "product_s", "copy_bytes_s", "no_work_s"),
    *("n_rows", "flops", "flops_by_layers", "flops_needed", "bytes_needed", "bytes_moved", "operations"),
)
SHARE_COLUMNS = ("work", "kind", "run", "us")
STEPS_A_SAMPLE, FEW_ROWS = 50, 2


def several(subject: Subject, size: int | None = None) -> Callable[[], None]:
    steps = subject.steps(size)

    def work() -> None:
        for step in itertools.islice(steps, STEPS_A_SAMPLE):
            step()

    return work


def training(subject: Subject) -> tuple[Row, Callable[[int], Row]]:
    """What does not change from run to run, and what a run measures with so many threads."""
    vae = subject.detector.vae_
    count = counted(next(subject.steps()))
    fixed: Row = {"work": "training", "n_rows": vae.n_members * subject.plan.batch_size, "flops": count.n_flops}
    fixed |= {"flops_by_layers": step_flops(subject), "flops_needed": step_flops(subject)}
    fixed |= {"bytes_needed": step_bytes(subject), "bytes_moved": count.n_bytes, "operations": count.n_operations}
    work, empty = several(subject), several(subject, FEW_ROWS)

    def run(threads: int) -> Row:
        with torch_threads(threads):
            taken = seconds(work, 1.0) / STEPS_A_SAMPLE
            nothing = seconds(empty) / STEPS_A_SAMPLE
            return {"seconds": taken, "product_s": product_seconds(count.products), "no_work_s": nothing}

    return fixed, run


def scoring(subject: Subject) -> tuple[Row, Callable[[int], Row]]:
    with torch_threads(1):
        subject.score(1)
        count = counted(lambda: subject.score(1))
    fixed: Row = {"work": "scoring", "n_rows": subject.chunk, "flops": count.n_flops}
    fixed |= {"flops_by_layers": subject.chunk * filled_row_flops(subject)}
    fixed |= {"flops_needed": subject.chunk * row_flops(subject), "bytes_needed": chunk_bytes(subject)}
    fixed |= {"bytes_moved": count.n_bytes, "operations": count.n_operations}

    def run(threads: int) -> Row:
        with torch_threads(threads):
            # Whole chunks in threads of Python, a fraction of a chunk's time each.
            taken = seconds(lambda: subject.score(threads * N_CHUNKS), 1.0) / (threads * N_CHUNKS)
        with torch_threads(1):
            products = at_once(lambda: product_seconds(count.products), threads) / threads
        return {"seconds": taken, "product_s": products}

    return fixed, run


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    chosen = made.parse_args()
    with fit_warnings():
        subject = Subject(N_ROWS, N_COLUMNS)
        with ledger(chosen.out, "limits", COLUMNS, 3, lambda row: int(row["threads"]) in chosen.threads) as add:
            parts = [training(subject), scoring(subject)]
            for run in range(chosen.runs):
                for threads in chosen.threads:
                    with torch_threads(threads):
                        copied = copy_rate()
                    for fixed, measured in parts:
                        names = {"threads": threads, "run": run, "copy_bytes_s": copied}
                        add({**fixed, **names, **measured(threads)})
        with ledger(chosen.out, "shares", SHARE_COLUMNS, 3, lambda _: True) as add:
            torch.set_num_threads(1)
            for run in range(chosen.runs):
                for name, work in (("step", step_kinds), ("chunk", scoring_kinds), ("fit", fit_parts)):
                    for kind, taken in work(subject).items():
                        add({"work": name, "kind": kind, "run": run, "us": 1e6 * taken})


if __name__ == "__main__":
    main()
