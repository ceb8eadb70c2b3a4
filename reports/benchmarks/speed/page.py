"""The page of this folder's CSVs.

python reports/benchmarks/speed/page.py
"""

from __future__ import annotations

import argparse
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
from benchmarks.foundation_page import markdown
from benchmarks.harness import console, surroundings
from benchmarks.speed import plots, sections
from benchmarks.speed.aims import aims
from benchmarks.speed.figures import processor, read
from benchmarks.speed.workers import FOLDER

PACKAGES = ("vae-anomaly", "torch", "scikit-learn", "pyod", "numpy", "pyarrow")
CSVS = ("score", "at_once", "tables", "fit", "start", "scaling", "files", "search", "gpu")

PAGE = """# Speed

Made by `python reports/benchmarks/speed/page.py` from the CSVs in `speed/`, which the scripts there fill; edit the
scripts, not this page. Every part has one command, below; `--runs` and other options take a part of it. Times are CPU
seconds, which other work on the machine hardly changes, unless they are said to be seconds by the clock.

{surroundings} {commits} {processor}

## What this says

{says}
{aims}
## Scoring

`python reports/benchmarks/speed/score.py --before CHECKOUT`

{score}
## Real tables

`python reports/benchmarks/speed/tables.py`

{tables}
## Fit

`python reports/benchmarks/speed/fit.py --before CHECKOUT`

{fit}
## Start

`python reports/benchmarks/speed/start.py --before CHECKOUT`

{start}
## How it grows

`python reports/benchmarks/speed/scaling.py`

{scaling}
## Files

`python reports/benchmarks/speed/files.py`

{files}
## Search

`python reports/benchmarks/speed/search.py`

{search}
## GPU

`python reports/benchmarks/speed/gpu.py`

{gpu}
{tried}"""


def commits(parts: dict[str, pd.DataFrame]) -> str:
    """Which versions of the library the figures are of."""
    counts: dict[str, list[str]] = {}
    for name, part in parts.items():
        for commit in part.get("commit", pd.Series(dtype=str)).drop_duplicates():
            counts.setdefault(str(commit), []).append(name)
    said = "; ".join(f"{', '.join(names)} at {commit}" for commit, names in counts.items())
    return f"Measured: {said} (+: with local changes to the library)."


def is_installed(package: str) -> bool:
    """Whether its version can be told; PyOD may be there as files alone."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csvs", type=Path, default=FOLDER, help="folder of the CSVs")
    parser.add_argument("--out", type=Path, default=FOLDER.parent)
    chosen = parser.parse_args()
    found = {name: read(chosen.csvs, name) for name in CSVS}
    parts = {name: part for name, part in found.items() if part is not None}
    folder = chosen.out / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    if "fit" in parts:
        plots.fits(parts["fit"], parts.get("scaling"), folder / "fit.png")
    if "score" in parts:
        plots.rates(parts["score"], folder / "score.png")
    if "scaling" in parts:
        plots.scaling(parts["scaling"], folder / "scaling.png")
    text = PAGE.format(
        surroundings=surroundings(filter(is_installed, PACKAGES)),
        commits=commits(parts),
        processor=f"Processor: {processor()}." if processor() else "",
        says=(FOLDER / "says.md").read_text(encoding="utf-8"),
        aims=markdown(("aim", "asked for", "measured", "met"), aims(parts)),
        **{name: section(parts) for name, section in sections.SECTIONS.items()},
        tried=(FOLDER / "tried.md").read_text(encoding="utf-8"),
    )
    (chosen.out / "speed.md").write_text(text, encoding="utf-8")
    console.log(f"wrote {chosen.out / 'speed.md'}")


if __name__ == "__main__":
    main()
