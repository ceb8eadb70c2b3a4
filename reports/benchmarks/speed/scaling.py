"""CPU seconds, rows scored in one and memory as rows, columns, members and latents grow; a process for every cell.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/speed/scaling.py
python reports/benchmarks/speed/scaling.py --axes rows columns --largest 100000

Ten million rows take about 8 GiB of memory.
"""

from __future__ import annotations

from benchmarks.detection.cells import Row
from benchmarks.speed.workers import OURS, ledger, parser, working

N_COLUMNS = 30
COLUMNS = ("axis", "value", "run", "rows", "columns", "fit_s", "rows_s", "data_mib", "idle_mib", "peak_mib")
AXES = {
    "rows": (1_000, 10_000, 100_000, 1_000_000, 10_000_000),
    "columns": (10, 30, 100, 300, 1_000),
    "members": (1, 2, 4, 8, 16),
    "latents": (2, 4, 8, 16, 32, 64),
}
PARAMETERS = {"members": "n_estimators", "latents": "latent_dim"}
FEW_ROWS, SCORED_CELLS, MAX_SCORED_ROWS = 5_000, 1_500_000, 20_000
# A cell that takes longer is measured once.
LONG = 20.0


def measured(axis: str, value: int) -> Row:
    rows = value if axis == "rows" else FEW_ROWS
    columns = value if axis == "columns" else N_COLUMNS
    settings = {PARAMETERS[axis]: value} if axis in PARAMETERS else {}
    scored = min(MAX_SCORED_ROWS, SCORED_CELLS // columns)
    with working(OURS, threads=1) as worker:
        idle = worker.ask("memory")["peak_mib"]
        fitted = worker.ask("fit", rows=rows, columns=columns, settings=settings, dtype="float32")
        rate = worker.ask("score", rows=scored, columns=columns, dtype="float32")["rows_s"]
    sizes = {"rows": rows, "columns": columns, "data_mib": 4 * rows * columns / 2**20, "idle_mib": idle}
    return {"axis": axis, "value": value, **sizes, **fitted, "rows_s": rate}


def main() -> None:
    made = parser(__doc__, runs=1)
    made.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    made.add_argument("--largest", type=int, default=1_000_000, help="no cells beyond this value")
    chosen = made.parse_args()

    def again(row: Row) -> bool:
        return row["axis"] in chosen.axes and int(row["value"]) <= chosen.largest

    with ledger(chosen.out, "scaling", COLUMNS, 3, again) as add:
        slow = set()
        for run in range(chosen.runs):
            for axis in chosen.axes:
                for value in AXES[axis]:
                    if value > chosen.largest or (axis, value) in slow:
                        continue
                    row = measured(axis, value)
                    if row["fit_s"] > LONG:
                        slow.add((axis, value))
                    add({**row, "run": run})


if __name__ == "__main__":
    main()
