"""Rows scored a second, the wait for one row and rows of several threads at once, beside peers and an earlier commit.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/speed/score.py
python reports/benchmarks/speed/score.py --before ../checkout-of-an-earlier-commit --runs 3
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from benchmarks.detection.cells import Row
from benchmarks.harness import fit_warnings
from benchmarks.speed.counting import Subject, seconds, torch_threads
from benchmarks.speed.work import TEST_SEED, table
from benchmarks.speed.workers import BEFORE, FOREST, OURS, PYOD, all_working, ledger, parser, with_before

from vae_anomaly.columns import Batch
from vae_anomaly.model import FittedStandardNormal, elbo_terms

FITTED_ROWS, N_COLUMNS = 10_000, 30
COLUMNS = ("method", "threads", "run", "rows_s", "row_ms")
AT_ONCE_COLUMNS = ("threads", "run", "rows_s", "identical")
TERM_COLUMNS = ("term", "run", "us_row")
AT_ONCE, AT_ONCE_ROWS = (1, 2, 4), 10_000


def at_once(subject: Subject, n_threads: int) -> Row:
    """Every thread scores all rows, with products of one thread; a caller's own threads are what is looked at."""
    X, _ = table(AT_ONCE_ROWS, N_COLUMNS, TEST_SEED)
    with torch_threads(1):
        alone = subject.detector.score_samples(X)
        with ThreadPoolExecutor(n_threads) as pool:
            begin = time.perf_counter()
            found = list(pool.map(lambda _: subject.detector.score_samples(X), range(n_threads)))
            taken = time.perf_counter() - begin
    same = all(np.array_equal(scores, alone) for scores in found)
    return {"threads": n_threads, "rows_s": n_threads * len(X) / taken, "identical": same}


def terms(subject: Subject) -> Row:
    """Microseconds a row: the network with its likelihood, and the KL to the exemplars."""
    vae, noise = subject.detector.vae_, subject.detector.noise_
    batch = subject.batch.take(slice(0, subject.chunk))
    exemplars, standard = vae.prior, FittedStandardNormal(vae.n_members, vae.latent_dim)
    with torch_threads(1), torch.inference_mode():
        posterior = vae.posterior(batch)
        vae.prior = standard
        network = seconds(lambda: elbo_terms(vae, batch, noise), 0.5)
        vae.prior = exemplars
        kl = seconds(lambda: exemplars.kl(posterior, Batch(batch.values, batch.observed)), 0.5)
        whole = seconds(lambda: subject.score(1), 0.5)
    return {
        "encoder, decoder, likelihood": 1e6 * network / len(batch),
        "exemplars": 1e6 * kl / len(batch),
        "a whole chunk": 1e6 * whole / len(batch),
    }


def main() -> None:
    made = with_before(parser(__doc__))
    made.add_argument("--rows", type=int, default=50_000, help="rows that are scored")
    made.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    chosen = made.parse_args()
    methods: list[tuple[str, int | None]] = [
        (method, threads)
        for method in (OURS, FOREST, PYOD, *([BEFORE] if chosen.before else []))
        for threads in chosen.threads
        if method != FOREST or threads == 1
    ]

    def again(row: Row) -> bool:
        return (row["method"], int(row["threads"])) in methods

    with (
        ledger(chosen.out, "score", COLUMNS, 3, again) as add,
        all_working(methods, chosen.before) as workers,
    ):
        for worker in workers.values():
            worker.ask("fit", rows=FITTED_ROWS, columns=N_COLUMNS, settings={})
        for run in range(chosen.runs):
            for (method, threads), worker in workers.items():
                rate = worker.ask("score", rows=chosen.rows, columns=N_COLUMNS)["rows_s"]
                wait = worker.ask("one_row", columns=N_COLUMNS)["row_ms"]
                add({"method": method, "threads": threads, "run": run, "rows_s": rate, "row_ms": wait})
    with fit_warnings():
        subject = Subject(FITTED_ROWS, N_COLUMNS)
    with ledger(chosen.out, "at_once", AT_ONCE_COLUMNS, 2, lambda _: True) as add:
        for run in range(chosen.runs):
            for n_threads in AT_ONCE:
                add({**at_once(subject, n_threads), "run": run})
    with ledger(chosen.out, "terms", TERM_COLUMNS, 2, lambda _: True) as add:
        for run in range(chosen.runs):
            for term, taken in terms(subject).items():
                add({"term": term, "run": run, "us_row": taken})


if __name__ == "__main__":
    main()
