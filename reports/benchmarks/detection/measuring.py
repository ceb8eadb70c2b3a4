"""One detector on one split: quality and seconds, as a row."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
from benchmarks.detection import cells
from benchmarks.detection.methods import Method
from benchmarks.detection.protocol import CONTAMINATED, Split, metrics

NAMES = ("table", "setting", "seed", "method", "auroc", "ap", "fit_s", "score_s", "n_train", "n_test", "n_columns")
COLUMNS = (*NAMES, "status", "commit")
N_KEYS = 4


def detected(method: Method, split: Split, seed: int, *, seen: bool) -> cells.Row:
    """Quality and seconds of one method on one split; `seen` if the scored rows are the training rows."""
    train, test, y = split

    def work() -> cells.Row:
        model = method.make(train, seed)
        begin = time.perf_counter()
        model.fit(train)
        middle = time.perf_counter()
        scores = np.asarray(method.score(model, test, seen), dtype=np.float64)
        end = time.perf_counter()
        if not np.isfinite(scores).all():
            raise ValueError(f"{np.count_nonzero(~np.isfinite(scores))} of {len(scores)} scores are not finite")
        auroc, ap = metrics(y, scores)
        return {"auroc": auroc, "ap": ap, "fit_s": middle - begin, "score_s": end - middle}

    shape = {"n_train": len(train), "n_test": len(test), "n_columns": train.shape[1]}
    return {**cells.attempt(work, method.max_seconds), **shape}


@cache
def warm_up(method: Method) -> None:
    """First calls import and compile, in every process."""
    rows = np.random.default_rng(0).normal(size=(64, 3))
    labels = np.arange(64, dtype=np.int64) % 2
    detected(method, (rows, rows, labels), 0, seen=False)


def row_of(cell: cells.Cell, method: Method, split: Split) -> cells.Row:
    """The whole row of a cell: its names and what was measured."""
    warm_up(method)
    _, setting, seed, _ = cell
    row = detected(method, split, int(seed), seen=setting == CONTAMINATED)
    return {**dict(zip(NAMES, cell, strict=False)), **row}
