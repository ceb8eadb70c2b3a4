"""Rows of real tables scored a CPU second, beside IsolationForest in the same process, in turn.

pip install -c constraints.txt -e .
python reports/benchmarks/speed/tables.py
python reports/benchmarks/speed/tables.py --tables mushroom cover --runs 1

The tables are not in the repository; those that are not on this machine are left out.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from benchmarks.harness import DATA, console
from benchmarks.speed.workers import FOREST, OURS, ledger, parser
from sklearn.ensemble import IsolationForest
from sklearn.preprocessing import OrdinalEncoder

from vae_anomaly import VAEDetector

COLUMNS = ("table", "method", "run", "kind", "rows", "columns", "fit_s", "rows_s")
MAX_FITTED_ROWS, WARM_ROWS = 10_000, 1_000


@dataclass(frozen=True)
class Source:
    """A table in the folder of the data.

    Attributes
    ----------
    kind : str
        What is particular about it.
    path : str
        From the folder of the data: a CSV, or arrays with features `X`.
    dropped : tuple of str
        Columns that are no features.
    """

    kind: str
    path: str
    dropped: tuple[str, ...] = ()

    def read(self) -> pd.DataFrame:
        path = DATA / self.path
        if path.suffix == ".npz":
            with np.load(path) as held:
                return pd.DataFrame(held["X"]).rename(columns=str)
        return pd.read_csv(path).drop(columns=[*self.dropped])


SOURCES = {
    "adult": Source("mixed", "adult/adult.csv.gz", ("income", "split", "label")),
    "satimage-2": Source("rounded numbers", "adbench/satimage-2.npz"),
    "mushroom": Source("levels", "mushroom/mushroom.csv.gz", ("poisonous", "label")),
    "thyroid_sick": Source("missing values", "thyroid_sick/sick.csv.gz", ("Class", "label")),
    "mnist": Source("100 columns", "adbench/mnist.npz"),
    "cover": Source("large", "adbench/cover.npz"),
}


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table for a detector that takes numbers alone: levels by their codes."""
    levels = [str(name) for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    if not levels:
        return frame
    coded = frame.copy()
    coded[levels] = OrdinalEncoder().fit_transform(frame[levels])
    return coded.astype(np.float64)


def cpu_seconds(work: Callable[[pd.DataFrame], object], rows: pd.DataFrame) -> float:
    begin = time.process_time()
    work(rows)
    return time.process_time() - begin


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--tables", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    made.add_argument("--rows", type=int, default=20_000, help="rows that are scored: those of the table, repeated")
    chosen = made.parse_args()
    torch.set_num_threads(1)
    with (
        ledger(chosen.out, "tables", COLUMNS, 3, lambda row: row["table"] in chosen.tables) as add,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for name in chosen.tables:
            source = SOURCES[name]
            if not (DATA / source.path).exists():
                console.log(f"{name} is left out: {DATA / source.path} is not on this machine")
                continue
            frame = source.read()
            order = np.random.default_rng(0).permutation(len(frame))
            given = {OURS: frame, FOREST: numbers(frame)}
            models: dict[str, Any] = {OURS: VAEDetector(random_state=0), FOREST: IsolationForest(random_state=0)}
            scored = {method: rows.iloc[np.resize(order, chosen.rows)] for method, rows in given.items()}
            seconds = {}
            for method, model in models.items():
                seconds[method] = cpu_seconds(model.fit, given[method].iloc[order[:MAX_FITTED_ROWS]])
                model.score_samples(scored[method].iloc[:WARM_ROWS])
            for run in range(chosen.runs):
                for method, model in models.items():
                    taken = cpu_seconds(model.score_samples, scored[method])
                    row = {"table": name, "method": method, "run": run, "kind": source.kind, "rows": len(frame)}
                    sizes = {"columns": frame.shape[1], "fit_s": seconds[method]}
                    add({**row, **sizes, "rows_s": chosen.rows / taken})


if __name__ == "__main__":
    main()
