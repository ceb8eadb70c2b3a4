"""The guarantees of thresholds, p-values, selections, audits and drift tests, tried with known laws and real tables.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/guarantees/run.py --page
python reports/benchmarks/guarantees/run.py --parts beta fdr
python reports/benchmarks/guarantees/run.py --parts real --seeds 0 --again

What is finished is in guarantees/*.csv, one file a part; a second run goes on from there.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial

import torch
from benchmarks.detection import cells
from benchmarks.guarantees.parts import PARTS
from benchmarks.guarantees.studies import HERE
from benchmarks.harness import console


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default all of a part")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes, of one thread each")
    parser.add_argument("--again", action="store_true", help="measure what is there anew")
    parser.add_argument("--page", action="store_true", help="write guarantees.md and its plots")
    return parser.parse_args()


def is_among(planned: set[cells.Cell], keys: tuple[str, ...], row: Mapping[str, str]) -> bool:
    return tuple(row[key] for key in keys) in planned


def main() -> None:
    chosen = options()
    torch.set_num_threads(1)
    for name in chosen.parts:
        study = PARTS[name]
        console.log(name)
        ledger = cells.Ledger(HERE / f"{name}.csv", study.columns, len(study.keys))
        with ledger.alone():
            planned = study.chosen(chosen.seeds)
            if chosen.again:
                ledger.forget(partial(is_among, set(planned), study.keys))
            cells.fill(ledger, planned, study.row, chosen.jobs)
    if chosen.page:
        from benchmarks.guarantees.page import write_page

        write_page()


if __name__ == "__main__":
    main()
