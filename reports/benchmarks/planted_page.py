"""The page of the planted errors."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from benchmarks import runs
from benchmarks.foundation_page import plus_minus
from benchmarks.planted_errors import CELL_SHARE, MAX_ROWS, ROW_SHARE

BASELINES = ("marginal tail", "ECOD, by column", "IsolationForest, occlusion")
FILLS = ("column mean or mode", "5 nearest rows")
# Names of our detector's presets; the first is the one for a table that is fitted and judged.
OWN = {"VAEDetector robust": "robust", "VAEDetector": "default"}


def write_page(found: pd.DataFrame, path: Path) -> None:
    results = runs.last(found)
    made = (
        f"Made by `python reports/benchmarks/planted_cells.py` (number of seeds: {results['seed'].nunique()}); edit "
        "the scripts, not this page. [`planted_cells.csv`](planted_cells.csv) has every figure of every run; those "
        f"here are from the last run of each method, on the same tables:\n\n{runs.told(results)}"
    )
    what = (
        f"Of each table at most {MAX_ROWS:,} rows; in {ROW_SHARE:.0%} of them {CELL_SHARE:.0%} of the cells are "
        "corrupted: swapped with another row's, shifted by 2 to 5 standard deviations, multiplied by a power of ten, "
        "negated; text by another level or a typo. Detectors are fitted on the corrupted table, at their defaults, and "
        'judge the same rows. That is what `preset="robust"` is for, which `vae-anomaly explain` takes there by '
        "itself; the default, for new rows, is beside it. "
        "Cell AP is the average precision of finding the corrupted cells among all observed ones; row AUROC that "
        "of finding rows that hold one, by their most anomalous cell."
    )
    known = (
        "Where the wrong cells are known, they are hidden and filled: RMSE of numbers in standard deviations of the "
        "clean column, share of wrong levels."
    )
    moved = (
        "Means over tables and seeds: the run before → the last, VAEDetector with the default preset. The tables of "
        "the run before differ in one kind of typo: an only letter was dropped there, which left a blank cell. Now it "
        "is doubled: a blank is read as missing, and missing is not wrong."
    )
    parts = [
        "# Errors planted in known cells",
        made.rstrip(),
        what,
        "## Cells found: average precision, mean and standard deviation over seeds",
        _table(results, "cell AP"),
        *(_margin(results, method) for method in OWN),
        "(The aim was +0.100 on each table.)",
        "## Rows found: AUROC by the most anomalous cell",
        _table(results, "row AUROC"),
        "## By kind of error: cell AP, mean over tables and seeds",
        _kinds(results),
        "## Repair",
        known,
        _table(results, "repair RMSE"),
        _table(results, "repair, wrong levels"),
        "On its own, `repair` decides which cells to change:",
        *(_own(results, method) for method in OWN),
        "## Beside the run before",
        moved,
        _moved(runs.before(found, results), results),
    ]
    path.write_text("\n\n".join(parts).rstrip() + "\n", encoding="utf-8")


def _moved(earlier: pd.DataFrame, results: pd.DataFrame) -> str:
    """By road and measure, kinds of errors left out."""
    kept = earlier[~earlier["measure"].str.startswith("cell AP, ")]
    return runs.moved(kept, results, ["method", "measure"], {"value": "mean"})


def _table(results: pd.DataFrame, measure: str) -> str:
    chosen = results[results["measure"] == measure]
    tables = list(dict.fromkeys(chosen["table"]))
    lines = [f"| {measure} | {' | '.join(tables)} | mean |", "|---" * (len(tables) + 2) + "|"]
    for method, rows in chosen.groupby("method", sort=False):
        by_table = rows.groupby("table")["value"]
        cells = [plus_minus(by_table.get_group(table)) for table in tables]
        lines.append(f"| {method} | {' | '.join(cells)} | {by_table.mean().mean():.3f} |")
    return "\n".join(lines)


def _margin(results: pd.DataFrame, method: str) -> str:
    means = results[results["measure"] == "cell AP"].pivot_table(index="table", columns="method", values="value")
    margin = means[f"{method}, cell_scores"] - means[list(BASELINES)].max(axis=1)
    shown = ", ".join(f"{table} {value:+.3f}" for table, value in margin.items())
    return f"Margin of the cell_scores of {method} over the best baseline: {shown}."


def _kinds(results: pd.DataFrame) -> str:
    chosen = results[results["measure"].str.startswith("cell AP, ")]
    means = chosen.pivot_table(index="method", columns="measure", values="value", sort=False)
    kinds = [str(name).removeprefix("cell AP, ") for name in means.columns]
    lines = [f"| method | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    lines += [f"| {method} | {' | '.join(f'{value:.3f}' for value in row)} |" for method, row in means.iterrows()]
    return "\n".join(lines)


def _own(results: pd.DataFrame, method: str) -> str:
    chosen = results[results["method"] == f"{method}.repair"]
    means = chosen.pivot_table(index="measure", columns="table", values="value", sort=False)
    lines = [f"| {method} | {' | '.join(means.columns)} |", "|---" * (len(means.columns) + 1) + "|"]
    lines += [f"| {measure} | {' | '.join(f'{value:.3f}' for value in row)} |" for measure, row in means.iterrows()]
    return "\n".join(lines)
