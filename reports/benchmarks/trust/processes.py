"""Processes and threads: every pair of what a parent did and a child does ends, with the parent's bits.

python reports/benchmarks/trust/processes.py --quick
python reports/benchmarks/trust/processes.py --seed 1
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import console
from benchmarks.trust.process_pairs import METHODS, PARENTS, QUICK_PARENTS, prepared_folder

SUITE = "processes"
BACKENDS = ("loky", "multiprocessing", "threading")
LIMIT = 1800


def scenarios(*, quick: bool) -> list[tuple[str, str, list[str]]]:
    """Case, kind of scenario, and its arguments; each runs in a process of its own."""
    amount = "few" if quick else "all"
    planned = [
        (f"{method} after {parent}", "pairs", [method, parent, amount])
        for method in METHODS
        for parent in (QUICK_PARENTS if quick else PARENTS)
        if not quick or method == "fork" or parent == "fit"
    ]
    planned.append(("fork while threads score", "while others score", [amount]))
    planned.append(("fork of a fork", "fork of a fork", [amount]))
    for backend in ("multiprocessing",) if quick else BACKENDS:
        planned.append((f"joblib.Parallel, {backend}", "joblib", [backend]))
        planned.append((f"chunks by joblib, {backend}", "chunks", [backend]))
        planned.append((f"GridSearchCV, {backend}", "grid search", [backend]))
    planned.append(("one detector on six threads", "threads", [amount]))
    return planned


def measure(quick: bool, seed: int) -> list[dict[str, Any]]:
    """Run the scenarios: rows of suite, case, tried, held, note."""
    return list(findings(quick=quick, seed=seed))


def findings(*, quick: bool, seed: int) -> Iterator[dict[str, Any]]:
    """The rows of `measure`, one by one."""
    with prepared_folder(seed) as folder:
        for scenario in scenarios(quick=quick):
            yield _measured(*scenario, seed, folder)


def _measured(case: str, kind: str, arguments: list[str], seed: int, folder: str) -> dict[str, Any]:
    given = json.dumps({"kind": kind, "arguments": arguments, "seed": seed, "folder": folder})
    # As a user's process has it: as many threads as there are cores.
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    script = Path(__file__).with_name("process_pairs.py")
    ended = subprocess.run(
        [sys.executable, script, given], capture_output=True, text=True, env=environment, timeout=LIMIT, check=False
    )
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        return {"suite": SUITE, "case": case, "tried": 1, "held": 0, "note": lines[-1][:200]}
    found = json.loads(ended.stdout.splitlines()[-1])
    kinds = Counter(found["wrong"])
    note = "; ".join(f"{text} ({n})" if n > 1 else text for text, n in kinds.most_common(4))
    held = found["tried"] - len(found["wrong"])
    return {"suite": SUITE, "case": case, "tried": found["tried"], "held": held, "note": note[:300]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few pairs")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rows = []
    for row in findings(quick=chosen.quick, seed=chosen.seed):
        console.print(f"{row['case']}: held {row['held']} of {row['tried']} {row['note']}", markup=False)
        rows.append(row)
    tried, held = (sum(row[name] for row in rows) for name in ("tried", "held"))
    console.print(f"held {held} of {tried}, seed {chosen.seed}")
    sys.exit(held < tried)


if __name__ == "__main__":
    main()
