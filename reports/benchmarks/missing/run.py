"""What missing cells do to the scores of rows: detection, the mean, false alarms, by ways to count them.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/missing/run.py --page
python reports/benchmarks/missing/run.py --tables Pima --seeds 0 --again

What is finished is in missing/results.csv; a second run goes on from there.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping

import torch
from benchmarks.detection.cells import Ledger
from benchmarks.harness import console
from benchmarks.missing.missing_cells import AFTER, KEYS, RESULTS, SEEDS, TABLES, TRAININGS, VALUES, measured
from benchmarks.missing.missing_scores import EXPECTED
from benchmarks.missing.page import write_page


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="TABLE")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--again", action="store_true", help="measure what is there anew")
    parser.add_argument("--page", action="store_true", help="write missing.md")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    torch.set_num_threads(1)
    ledger = Ledger(RESULTS, (*KEYS, *VALUES, *AFTER), len(KEYS))
    planned = [(table, training, seed) for seed in chosen.seeds for table in chosen.tables for training in TRAININGS]

    def is_planned(row: Mapping[str, str]) -> bool:
        return (row["table"], row["training"], int(row["seed"])) in planned

    with ledger.alone():
        if chosen.again:
            ledger.forget(is_planned)
        done = {(row["table"], row["training"], int(row["seed"])) for row in ledger.rows.values()}
        for cell in planned:
            if cell in done:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = list(measured(*cell))
            for row in found:
                ledger.add(row)
            said = {row["missing"]: row["shift"] for row in found if row["method"] == EXPECTED}
            console.log(*cell, f"{found[0]['fit_s']:.1f} s", {name: round(shift, 3) for name, shift in said.items()})
    if chosen.page:
        write_page()


if __name__ == "__main__":
    main()
