"""Anomaly detection on ADBench's tables: VAEDetector at its defaults beside peers at theirs.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/detection/run.py --page
python reports/benchmarks/detection/run.py --tables wine glass --methods VAEDetector KNN --seeds 0 1
python reports/benchmarks/detection/run.py --again VAEDetector --page

What is finished is in detection/results.csv; a second run goes on from there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from benchmarks.detection import cells
from benchmarks.detection.measuring import COLUMNS, N_KEYS, NAMES, row_of
from benchmarks.detection.methods import METHODS
from benchmarks.detection.page import write_page
from benchmarks.detection.protocol import SETTINGS, splits, tables
from benchmarks.harness import SEEDS, console


def measure(cell: cells.Cell) -> cells.Row:
    table, setting, seed, name = cell
    return row_of(cell, METHODS[name], splits(table, setting, int(seed)))


def agenda(chosen: argparse.Namespace) -> list[cells.Cell]:
    """Cells in the order of their cost: by kind of method, by seed, small tables first."""
    indices = [
        (method.cost, seed, number, chosen.settings.index(setting), name, table)
        for name, method in METHODS.items()
        for setting in chosen.settings
        for seed in method.seeds(chosen.seeds)
        for number, table in enumerate(tables())
        if name in chosen.methods and setting in method.settings and table in chosen.tables
    ]
    return [(table, chosen.settings[setting], str(seed), name) for _, seed, _, setting, name, table in sorted(indices)]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = tables()
    parser.add_argument("--tables", nargs="+", choices=names, default=names, metavar="TABLE")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=2, help="worker processes, of one thread each")
    parser.add_argument("--again", nargs="+", choices=list(METHODS), default=[], metavar="METHOD")
    parser.add_argument("--page", action="store_true", help="write detection.md and its plots")
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    return parser.parse_args()


def main() -> None:
    chosen = options()
    torch.set_num_threads(1)
    ledger = cells.Ledger(chosen.out / "detection" / "results.csv", COLUMNS, N_KEYS)
    with ledger.alone():
        planned = agenda(chosen)
        if chosen.again:
            again = {cell for cell in planned if cell[-1] in chosen.again}
            n = ledger.forget(lambda row: tuple(row[name] for name in NAMES[:N_KEYS]) in again)
            console.log(f"{n} cells of {', '.join(chosen.again)} will be measured again")
        cells.fill(ledger, planned, measure, chosen.jobs)
    if chosen.page:
        write_page(ledger.frame(), chosen.out)


if __name__ == "__main__":
    main()
