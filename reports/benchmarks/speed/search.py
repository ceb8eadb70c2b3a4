"""What a second core gives a grid search.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/speed/search.py
"""

from __future__ import annotations

import time
import warnings
from typing import Any

from benchmarks.detection.cells import Row
from benchmarks.speed.work import table
from benchmarks.speed.workers import ledger, parser
from sklearn.model_selection import GridSearchCV

from vae_anomaly import VAEDetector

N_COLUMNS = 30
GRID = {"latent_dim": [2, 4, 8, 16]}
COLUMNS = ("jobs", "run", "rows", "seconds", "best")


def searched(n_rows: int, jobs: int, **settings: Any) -> Row:
    X, _ = table(n_rows, N_COLUMNS, 0)
    begin = time.perf_counter()
    search = GridSearchCV(VAEDetector(**settings), GRID, cv=3, n_jobs=jobs, refit=False).fit(X)
    taken = time.perf_counter() - begin
    return {"jobs": jobs, "rows": n_rows, "seconds": taken, "best": search.best_params_["latent_dim"]}


def main() -> None:
    made = parser(__doc__, runs=1)
    made.add_argument("--rows", type=int, default=10_000)
    made.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    chosen = made.parse_args()
    with (
        ledger(chosen.out, "search", COLUMNS, 2, lambda row: int(row["jobs"]) in chosen.jobs) as add,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        # The first processes are started and import before the clock runs; they are there for the next search too.
        for jobs in chosen.jobs:
            searched(200, jobs, max_iter=20)
        for run in range(chosen.runs):
            for jobs in chosen.jobs:
                add({**searched(chosen.rows, jobs), "run": run})


if __name__ == "__main__":
    main()
