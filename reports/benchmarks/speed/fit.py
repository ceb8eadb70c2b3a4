"""CPU seconds of a fit and what it is worth, beside PyOD's VAE, IsolationForest and an earlier commit.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/speed/fit.py
python reports/benchmarks/speed/fit.py --before ../checkout-of-an-earlier-commit --sizes 10000 --runs 3
python reports/benchmarks/speed/fit.py --pyod-sizes 10000 100000
"""

from __future__ import annotations

from benchmarks.detection.cells import Row
from benchmarks.speed.workers import BEFORE, FOREST, OURS, PYOD, all_working, ledger, parser, with_before

SIZES, PYOD_SIZES = (10_000, 100_000, 1_000_000), (10_000,)
N_COLUMNS = 30
COLUMNS = ("rows", "method", "run", "fit_s", "auroc", "scaled", "clock")
CPU, WALL = "cpu", "wall"
# PyOD's VAE takes a fixed number of passes: its time grows with the rows, and half a minute is enough of it.
N_EPOCHS, FEW_EPOCHS, MAX_WHOLE = 30, 3, 10_000


def main() -> None:
    made = with_before(parser(__doc__))
    made.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="ROWS")
    made.add_argument("--pyod-sizes", type=int, nargs="*", default=list(PYOD_SIZES), metavar="ROWS", help="once each")
    chosen = made.parse_args()
    methods = [OURS, FOREST, PYOD, *([BEFORE] if chosen.before else [])]

    def sizes(method: str) -> list[int]:
        found: list[int] = chosen.pyod_sizes if method == PYOD else chosen.sizes
        return found

    def again(row: Row) -> bool:
        return row["method"] in methods and int(row["rows"]) in sizes(row["method"])

    with (
        ledger(chosen.out, "fit", COLUMNS, 3, again) as add,
        all_working([(method, 1) for method in methods], chosen.before) as workers,
    ):
        for size in sorted({*chosen.sizes, *chosen.pyod_sizes}):
            for run in range(chosen.runs):
                for (method, _), worker in workers.items():
                    if size not in sizes(method) or (method == PYOD and run):
                        continue
                    short = method == PYOD and size > MAX_WHOLE
                    settings = {"epoch_num": FEW_EPOCHS} if short else {}
                    fitted = worker.ask("fit", rows=size, columns=N_COLUMNS, settings=settings)
                    factor = N_EPOCHS // FEW_EPOCHS if short else 1
                    quality = worker.ask("auroc", columns=N_COLUMNS)["auroc"]
                    row = {"rows": size, "method": method, "run": run, "fit_s": factor * fitted["fit_s"]}
                    add({**row, "auroc": quality, "scaled": factor, "clock": CPU})


if __name__ == "__main__":
    main()
