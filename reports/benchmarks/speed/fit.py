"""Seconds of a fit and what it is worth, beside PyOD's VAE, IsolationForest and an earlier commit.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/speed/fit.py
python reports/benchmarks/speed/fit.py --before ../checkout-of-an-earlier-commit --sizes 10000 --runs 3
"""

from __future__ import annotations

from benchmarks.speed.workers import BEFORE, FOREST, OURS, PYOD, all_working, ledger, parser, with_before

SIZES = (10_000, 100_000, 1_000_000)
N_COLUMNS = 30
COLUMNS = ("rows", "method", "run", "fit_s", "auroc", "scaled")
N_EPOCHS, FEW_EPOCHS = 30, 3
# PyOD's VAE takes a fixed number of passes: its time grows with the rows.
MAX_WHOLE, MAX = 10_000, 100_000


def wanted(method: str, size: int, run: int) -> bool:
    return method != PYOD or size <= MAX_WHOLE or (size <= MAX and run == 0)


def main() -> None:
    made = with_before(parser(__doc__))
    made.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="ROWS")
    made.add_argument("--methods", nargs="+", choices=(OURS, FOREST, PYOD), default=[OURS, FOREST, PYOD])
    chosen = made.parse_args()
    methods = [*chosen.methods, *([BEFORE] if chosen.before else [])]

    def again(row: dict[str, str]) -> bool:
        return int(row["rows"]) in chosen.sizes and row["method"] in methods

    with (
        ledger(chosen.out, "fit", COLUMNS, 3, again) as add,
        all_working([(method, None) for method in methods], chosen.before) as workers,
    ):
        for size in chosen.sizes:
            for run in range(chosen.runs):
                for (method, _), worker in workers.items():
                    if not wanted(method, size, run):
                        continue
                    short = method == PYOD and size > MAX_WHOLE
                    settings = {"epoch_num": FEW_EPOCHS} if short else {}
                    fitted = worker.ask("fit", rows=size, columns=N_COLUMNS, settings=settings)
                    factor = N_EPOCHS // FEW_EPOCHS if short else 1
                    quality = worker.ask("auroc", columns=N_COLUMNS)["auroc"]
                    row = {"rows": size, "method": method, "run": run, "fit_s": factor * fitted["fit_s"]}
                    add({**row, "auroc": quality, "scaled": factor})


if __name__ == "__main__":
    main()
