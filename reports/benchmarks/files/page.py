"""The page of `run.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from benchmarks.files.judging import OUTCOMES, RIGHT, SAID, WRONG, corpus
from benchmarks.foundation_page import markdown
from benchmarks.harness import surroundings

HERE = Path(__file__).resolve().parent
PAGE_FILE = HERE.parent / "files.md"
READERS = ("before", "now", "pandas", "DuckDB")
PACKAGES = ("vae-anomaly", "torch", "pandas", "pyarrow", "duckdb")

PAGE = """# Files as offices export them

Made by `python reports/benchmarks/files/run.py --page`, with `--old CHECKOUT` for the column before; edit the scripts,
not this page. [`files/results.csv`](files/results.csv) has a row per case and reader, with what differs.

{surroundings}

## What was measured

{n_cases} cases in `tests/files`, each a file of 30 to 300 rows with an anomaly that a person would see (in most an
amount thirty times too high, or an age of 455), and what a person would read in it: rows, what each column is, what
some cells mean, the place among the most anomalous rows that the planted one has to reach (in most the first three),
the words that a message has to have, or that it has to be refused. `tests/files/make.py` writes them all.
They were written without the code that reads the files. About twenty were changed after a run, where the expectation
was at fault or could be met in two ways; those that may be debated are listed below.

Each case goes through the real command: `fit FILE -o MODEL`, `info MODEL --json` (what each column is), `explain
FILE -m MODEL --row ... --json` (what cells mean), `score FILE -m MODEL --json --top 3`. How each column of the
table was fitted: {trained}. `explain` need not list a cell that costs no more than usual: such cells are not
compared, nor are the cells of a row that gets no score for what one of them holds.

| outcome | is |
|---|---|
| right | read, or refused, as a person would, the anomaly found, and said what has to be said |
| refused | an error that names its cause, where a person would have read the file |
| said | something differs, and standard error names the column (or the row or line) that it is about |
| wrong | something differs, or the anomaly is missed, and nobody is told |
| failed | an error that does not name its cause in the file, or no end within two minutes |

pandas (`read_csv`, `read_excel`, ... by the extension) and DuckDB (`read_csv_auto`, `read_json_auto`, `read_parquet`)
read the same files with their defaults; judged are rows, numbers and dates that became text, and cells and levels
that are no longer what the file says. They rank nothing, and what they refuse where a refusal is expected counts as
right.

## What this says

{says}

## Outcomes

{totals}

## By kind of trouble

Right / refused / said / wrong or failed.

{by_kind}

## What is not right now

{left}

## Expectations that may be debated

{debated}
"""


def counts(reader: str, outcomes: Sequence[str]) -> str:
    found = Counter(outcomes)
    return f"{reader}: " + ", ".join(f"{found[outcome]} {outcome}" for outcome in OUTCOMES) + f" of {len(outcomes)}"


def write(results: Path, folder: Path) -> None:
    table = pd.read_csv(results, keep_default_na=False)
    cases = corpus(folder)
    says = _says(table)
    PAGE_FILE.write_text(
        PAGE.format(
            surroundings=surroundings(PACKAGES),
            n_cases=len(cases),
            says=says,
            trained=_trained(table),
            totals=_totals(table),
            by_kind=_by_kind(table),
            left=_left(table),
            debated="\n".join(f"* `{case['file']}`: {case['what']}; {case['why']}." for case in cases if "why" in case),
        ),
        encoding="utf-8",
    )


def _says(table: pd.DataFrame) -> str:
    """A line for each reader that was measured."""
    outcomes = {reader: table.loc[table["reader"] == reader, "outcome"].tolist() for reader in _readers(table)}
    return "\n".join(f"* {counts(reader, found)}." for reader, found in outcomes.items())


def _trained(table: pd.DataFrame) -> str:
    ours = table[table["reader"].isin(READERS[:2])]
    found = ours.value_counts(["reader", "training"], sort=False).reset_index()
    return "; ".join(f"{row.reader}, {row.training} ({row.count} cases)" for row in found.itertuples())


def _readers(table: pd.DataFrame) -> list[str]:
    return [reader for reader in READERS if (table["reader"] == reader).any()]


def _totals(table: pd.DataFrame) -> str:
    rows = []
    for reader in _readers(table):
        found = table.loc[table["reader"] == reader, "outcome"].value_counts()
        rows.append([reader, *(str(found.get(outcome, 0)) for outcome in OUTCOMES), str(found.sum())])
    return markdown(["reader", *OUTCOMES, "cases"], rows)


def _by_kind(table: pd.DataFrame) -> str:
    rows = []
    for kind in dict.fromkeys(table["kind"]):
        cells = []
        for reader in _readers(table):
            found = table.loc[(table["reader"] == reader) & (table["kind"] == kind), "outcome"].value_counts()
            parts = [found.get(RIGHT, 0), found.get("refused", 0), found.get(SAID, 0)]
            cells.append(" / ".join(map(str, [*parts, found.get(WRONG, 0) + found.get("failed", 0)])))
        n_cases = table.loc[table["kind"] == kind, "file"].nunique()
        rows.append([kind, str(n_cases), *cells])
    return markdown(["kind", "cases", *_readers(table)], rows)


def _left(table: pd.DataFrame) -> str:
    if not (table["reader"] == "now").any():
        return "Not measured yet."
    chosen = table[(table["reader"] == "now") & (table["outcome"] != RIGHT)]
    lines = [f"* `{row.file}`: {row.outcome}; {row.differs}" for row in chosen.itertuples()]
    return "\n".join(lines) or "Nothing."
