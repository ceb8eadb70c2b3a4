"""The corpus of small files in `tests/files` through the real command, before and after, and through pandas and DuckDB.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/files/run.py --page
python reports/benchmarks/files/run.py --old ../before --page    the code of another checkout as the column "before"
python reports/benchmarks/files/run.py --files money_ odd_ --show

Every case is fitted, looked at with `info` and `explain`, and scored, with default options; each command is a process
of its own. `--quick` trains two small members for 100 steps, `--reading` next to nothing and leaves the ranks out: what
is read does not depend on training.
`files/results.csv` has a row per case and reader; a run replaces the rows that it measures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pandas as pd
from benchmarks.files import page, peers
from benchmarks.files.judging import Case, Command, Ended, Verdict, corpus, judge
from benchmarks.harness import console

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CORPUS = ROOT / "tests" / "files"
RESULTS = HERE / "results.csv"
CODE = (".", "cli", "datasets", "reports")
QUICK = ("--max-iter", "100", "--n-estimators", "2")
READING = ("--max-iter", "1", "--n-estimators", "1", "--calibration", "none")
NOW, BEFORE = "now", "before"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="checkout that the column 'before' is made with, and only that column")
    parser.add_argument("--files", nargs="+", help="cases whose file or kind begins with one of these")
    parser.add_argument("--reading", action="store_true", help="what is read, without ranks")
    parser.add_argument("--quick", action="store_true", help="train little")
    parser.add_argument("--peers", action="store_true", help="pandas and DuckDB only")
    parser.add_argument("--jobs", type=int, default=1, help="cases at a time")
    parser.add_argument("--show", action="store_true", help="show standard error of what is not right")
    parser.add_argument("--dry", action="store_true", help="leave results.csv as it is")
    parser.add_argument("--page", action="store_true", help="write files.md")
    return parser.parse_args()


@contextmanager
def commands_of(checkout: Path) -> Iterator[Command]:
    """Runs commands with the code of a checkout, in the folder of the corpus."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(str(checkout / part) for part in CODE))
    environment |= {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    worker = subprocess.Popen(
        [sys.executable, str(HERE / "worker.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=CORPUS,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    questions, answers = worker.stdin, worker.stdout

    def command(arguments: Sequence[str]) -> Ended:
        questions.write(json.dumps(list(arguments)) + "\n")
        questions.flush()
        return Ended(*json.loads(answers.readline()))

    try:
        yield command
    finally:
        questions.close()
        worker.wait()


def line(verdict: Verdict) -> str:
    return f"{verdict.outcome}: {verdict.file}: {'; '.join(verdict.differs)}"


def part_of(cases: list[Case], checkout: Path, fit_options: Sequence[str]) -> list[Verdict]:
    verdicts = []
    with commands_of(checkout) as command, tempfile.TemporaryDirectory() as folder:
        for case in cases:
            model = Path(folder) / "model.vae"
            verdict = judge(case, Path(), model, command, fit_options, ranks=fit_options != READING)
            verdicts.append(verdict)
            if verdict.differs:
                console.print(line(verdict), markup=False, soft_wrap=True, highlight=False)
    return verdicts


def measured(cases: list[Case], checkout: Path, chosen: argparse.Namespace) -> list[Verdict]:
    parts = [cases[begin :: chosen.jobs] for begin in range(chosen.jobs)]
    with ThreadPoolExecutor(chosen.jobs) as threads:
        fit_options = READING if chosen.reading else QUICK if chosen.quick else ()
        found = threads.map(part_of, parts, repeat(checkout), repeat(fit_options))
        verdicts = {verdict.file: verdict for part in found for verdict in part}
    return [verdicts[case["file"]] for case in cases]


def trained(chosen: argparse.Namespace) -> str:
    if chosen.reading:
        return "one member, one step, no ranks"
    return "two members, 100 steps" if chosen.quick else "default options"


def keep(reader: str, training: str, verdicts: list[Verdict]) -> None:
    new = pd.DataFrame(
        {
            "reader": reader,
            "file": [verdict.file for verdict in verdicts],
            "kind": [verdict.kind for verdict in verdicts],
            "training": training,
            "outcome": [verdict.outcome for verdict in verdicts],
            "differs": ["; ".join(verdict.differs) for verdict in verdicts],
        }
    )
    if RESULTS.exists():
        old = pd.read_csv(RESULTS, keep_default_na=False)
        known = [entry["file"] for entry in corpus(CORPUS)]
        old = old[old["file"].isin(known) & ~((old["reader"] == reader) & old["file"].isin(new["file"]))]
        new = pd.concat([old, new])
        new["place"] = new["file"].map({name: place for place, name in enumerate(known)})
        new = new.sort_values(["reader", "place"], kind="stable").drop(columns="place")
    new.to_csv(RESULTS, index=False)


def main() -> None:
    chosen = options()
    cases = corpus(CORPUS)
    if chosen.files:
        cases = [case for case in cases if case["file"].startswith(tuple(chosen.files)) or case["kind"] in chosen.files]
    readers: dict[str, list[Verdict]] = {}
    if not chosen.peers:
        reader, checkout = (NOW, ROOT) if chosen.old is None else (BEFORE, chosen.old.resolve())
        readers[reader] = measured(cases, checkout, chosen)
    if chosen.old is None and (chosen.peers or not (chosen.reading or chosen.quick)):
        for name, read in peers.READERS.items():
            readers[name] = [peers.judge(case, CORPUS, read) for case in cases]
    for reader, verdicts in readers.items():
        console.print(page.counts(reader, [verdict.outcome for verdict in verdicts]), markup=False)
        for verdict in verdicts:
            if chosen.show and verdict.differs:
                console.print(line(verdict), verdict.err, sep="\n", markup=False, soft_wrap=True, highlight=False)
        if not chosen.dry:
            keep(reader, trained(chosen) if reader in (NOW, BEFORE) else "", verdicts)
    if chosen.page:
        page.write(RESULTS, CORPUS)


if __name__ == "__main__":
    main()
