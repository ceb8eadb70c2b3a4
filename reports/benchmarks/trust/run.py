"""All suites of trust: fuzzing, kills and full disks, processes, memory, streams.

pip install -c constraints.txt -e ".[test]"
python reports/benchmarks/trust/run.py --quick          a few minutes; exit code 1 where something does not hold
python reports/benchmarks/trust/run.py --page           all of it; writes results.csv and trust.md
python reports/benchmarks/trust/run.py --only fuzz kill --seed 7

Each suite runs in a process of its own, and alone as well: python reports/benchmarks/trust/kill.py --quick
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
from benchmarks.harness import console
from benchmarks.trust import page
from benchmarks.trust.trials import FIELDS, Finding, Measure, holds

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.csv"
SUITES = ("fuzz", "kill", "processes", "memory", "streams")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few trials of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=SUITES, default=SUITES, metavar="SUITE")
    parser.add_argument("--page", action="store_true", help="keep the results in results.csv, and write trust.md")
    return parser.parse_args()


def measured(suite: str, quick: bool, seed: int) -> list[Finding]:
    measure: Measure = importlib.import_module(f"benchmarks.trust.{suite}").measure
    return measure(quick, seed)


def alone(suite: str, quick: bool, seed: int) -> list[Finding]:
    """Measure in a fresh process; one that dies is a finding as well."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(measured, suite, quick, seed).result()
        except Exception as error:  # noqa: BLE001 - the other suites go on
            note = f"the suite ended with {type(error).__name__}: {error}"
            return [dict(zip(FIELDS, (suite, "the suite itself", 1, 0, note), strict=True))]


def main() -> None:
    chosen = options()
    found: list[Finding] = []
    for suite in chosen.only:
        begun = time.monotonic()
        part = alone(suite, chosen.quick, chosen.seed)
        tried, held = (sum(finding[what] for finding in part) for what in ("tried", "held"))
        text = f"{suite}: {held:,} of {tried:,} held, {time.monotonic() - begun:.0f} s"
        console.print(text, markup=False, highlight=False)
        for finding in part:
            if finding["held"] < finding["tried"]:
                line = f"  {finding['case']}: {finding['held']} of {finding['tried']}. {finding['note']}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        found += part
    if chosen.page:
        keep(found, chosen.seed, quick=chosen.quick)
        page.write(RESULTS)
    sys.exit(0 if holds(found) else 1)


def keep(found: list[Finding], seed: int, *, quick: bool) -> None:
    """Put the rows of the suites that were measured in the place of their earlier ones."""
    new = pd.DataFrame(found, columns=list(FIELDS)).assign(seed=seed, run="quick" if quick else "full")
    if RESULTS.exists():
        old = pd.read_csv(RESULTS, keep_default_na=False)
        new = pd.concat([old[~old["suite"].isin(new["suite"])], new])
    place = new["suite"].map({suite: number for number, suite in enumerate(SUITES)})
    new.assign(place=place).sort_values("place", kind="stable").drop(columns="place").to_csv(RESULTS, index=False)


if __name__ == "__main__":
    main()
