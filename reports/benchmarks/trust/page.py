"""The page of `run.py`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from benchmarks.foundation_page import markdown
from benchmarks.harness import surroundings

HERE = Path(__file__).resolve().parent
PAGE_FILE = HERE / "trust.md"
PACKAGES = ("vae-anomaly", "torch", "pyarrow", "pandas", "pillow", "safetensors")
SAYS = {
    "fuzz": "Damaged and forged files. An example holds where what is refused is refused in our words, without the "
    "name of an exception, with exit code 1 or 2; where what is accepted gives the "
    "results that it has to give; and where it takes at most 20 s and 600 MiB.",
    "kill": "Runs that get a signal at a random moment, and disks that fill up. A trial holds where the final name has "
    "the old file or the whole new one, the temporary folder is empty, and a second run, every other time with "
    "--resume, ends with the bytes of a run that was left alone and leaves nothing beside them.",
    "processes": "Methods in forked, spawned and forkserver processes, threads, and other settings of torch.",
    "memory": "Loops of thousands of calls, each in a process of its own, and a file fifty times larger than another.",
    "streams": "Standard streams that are closed or full, sockets that nobody may open, and odd names and locales.",
}

PAGE = """# Trust: what was tried, and what held

Made by `python reports/benchmarks/trust/run.py --page`; edit the scripts, not this page. What is promised is in
[`SECURITY.md`](../../../SECURITY.md); [`results.csv`](results.csv) has these rows. `--quick` takes a few minutes, and
ends with exit code 1 where something does not hold.

{surroundings}

{total}

{suites}
"""


def write(results: Path) -> None:
    table = pd.read_csv(results, keep_default_na=False)
    PAGE_FILE.write_text(
        PAGE.format(surroundings=surroundings(PACKAGES), total=_total(table), suites="\n\n".join(_suites(table))),
        encoding="utf-8",
    )


def _total(table: pd.DataFrame) -> str:
    sums = table.groupby("suite", sort=False)[["tried", "held"]].sum()
    rows = [[name, f"{row['tried']:,}", f"{row['held']:,}"] for name, row in sums.iterrows()]
    return markdown(["suite", "tried", "held"], [[str(cell) for cell in row] for row in rows])


def _suites(table: pd.DataFrame) -> list[str]:
    parts = []
    for suite, found in table.groupby("suite", sort=False):
        seeds = ", ".join(str(seed) for seed in found["seed"].unique())
        rows = [
            [row["case"], f"{row['tried']:,}", f"{row['held']:,}", str(row["note"]).replace("|", "\\|")]
            for _, row in found.iterrows()
        ]
        command = f"python reports/benchmarks/trust/{suite}.py{' --quick' if (found['run'] == 'quick').any() else ''}"
        parts.append(
            f"## {suite}\n\n{SAYS[str(suite)]} `{command} --seed {seeds}`.\n\n"
            + markdown(["case", "tried", "held", "note"], rows)
        )
    return parts
