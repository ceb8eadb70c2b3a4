"""Model files, tables, images and journals that are damaged or forged: what comes of them is ours, bounded, and right.

python reports/benchmarks/trust/fuzz.py --quick
python reports/benchmarks/trust/fuzz.py --examples 5000 --seed 7 --only forged journal

Each example goes through the functions and commands that a user's file goes through, in this process. It holds where
an error is one of ours, with an exit code of ours, in words that name no exception; where time and memory stay in
bounds; and where what is accepted gives the results that it has to give: the original's, or finite ones where a file
was forged with a right checksum.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis
import torch
from benchmarks.trust.targets import MAX_MIB, Target, Workbench
from benchmarks.trust.trials import Finding, holds, limit_memory, record
from hypothesis import HealthCheck, Phase, given, settings

QUICK, LONG = 60, 1000


def measure(quick: bool, seed: int, examples: int | None = None, only: Sequence[str] = ()) -> list[Finding]:
    """Fuzz each kind of file with so many examples."""
    torch.set_num_threads(1)
    limit_memory(int(4 * MAX_MIB))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        targets = Workbench(Path(folder)).targets()
        chosen = [target for target in targets if not only or any(part in target.name for part in only)]
        return [_tally(target, examples or (QUICK if quick else LONG), seed) for target in chosen]


def _tally(target: Target, n_examples: int, seed: int) -> Finding:
    tried, failures = 0, []

    @hypothesis.seed(seed)
    @settings(
        max_examples=n_examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.examples)
    def judge(example: Any) -> None:
        nonlocal tried
        tried += 1
        wrong = target.judge(example)
        if wrong:
            failures.append(wrong)

    judge()
    return record("fuzz", target.name, tried, failures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} examples of each kind, else {LONG}")
    parser.add_argument("--examples", type=int, help="so many of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=(), help="kinds whose name has one of these in it")
    chosen = parser.parse_args()
    findings = measure(chosen.quick, chosen.seed, chosen.examples, chosen.only)
    sys.exit(0 if holds(findings) else 1)


if __name__ == "__main__":
    main()
