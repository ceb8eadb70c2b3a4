"""The page of `run.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from benchmarks.foundation_page import markdown
from benchmarks.harness import console, surroundings
from benchmarks.missing.missing_cells import (
    COLUMN,
    EMPTY,
    HERE,
    MAX_ANOMALIES,
    MAX_NORMAL,
    MAX_TRAINING,
    MIXED,
    MIXTURE,
    RESULTS,
    SEEDS,
    SHARES,
    TRAININGS,
)
from benchmarks.missing.missing_scores import EXPECTED, METHODS, N_DRAWS

PACKAGES = ("vae-anomaly", "torch", "scikit-learn", "numpy")
DETECTED = ("0", "0.1", "0.25", "0.5", MIXED)
SHIFTED = ("0.1", "0.25", "0.5", "0.75", "0.9", EMPTY, COLUMN)
IGNORED = "ignored"


def table_of(found: pd.DataFrame, columns: Sequence[str], cell: str) -> pd.DataFrame:
    """Means over tables and seeds: a line per method, a column per kind of missing cells."""
    means = found.pivot_table(cell, "method", "missing")
    return means.loc[list(METHODS), list(columns)]


def cell(table: Any, row: str, column: str) -> float:
    """A cell of a table of figures."""
    return float(table.loc[row, column])


def detection(found: pd.DataFrame) -> str:
    auroc, ap = (table_of(found, DETECTED, metric) for metric in ("auroc", "ap"))
    header = ["AUROC / AP", *DETECTED]
    return markdown(
        header,
        [[name, *(f"{cell(auroc, name, at):.3f} / {cell(ap, name, at):.3f}" for at in DETECTED)] for name in METHODS],
    )


def by_table(found: pd.DataFrame) -> str:
    half = found[found["missing"].isin(["0", "0.5", MIXED])]
    means = half.groupby(["table", "missing", "method"])["auroc"].mean()
    lines = [
        [
            table,
            f"{means[table, '0', EXPECTED]:.3f}",
            *(
                f"{means[table, missing, EXPECTED]:.3f} / {means[table, missing, IGNORED]:.3f}"
                for missing in ("0.5", MIXED)
            ),
        ]
        for table in sorted(found["table"].unique())
    ]
    return markdown(["table", "whole", "half missing", MIXED], lines)


def shifts(found: pd.DataFrame) -> str:
    size = found.assign(size=found["shift"].abs())
    mean = table_of(size, SHIFTED, "size")
    largest = size.pivot_table("size", "method", "missing", "max")
    return markdown(
        ["mean (largest) shift in sd", *SHIFTED],
        [
            [name, *(f"{cell(mean, name, at):.2f} ({cell(largest, name, at):.2f})" for at in SHIFTED)]
            for name in METHODS
        ],
    )


def shift_by_table(found: pd.DataFrame) -> str:
    means = found[found["method"] == EXPECTED].pivot_table("shift", "table", "missing")
    return markdown(
        ["table", *SHIFTED], [[table, *(f"{cell(means, table, at):+.3f}" for at in SHIFTED)] for table in means.index]
    )


def alarms(found: pd.DataFrame) -> str:
    shown = [f"{share:g}" for share in SHARES if share]
    five, one = (100 * table_of(found, shown, column) for column in ("flagged_5", "flagged_1"))
    return markdown(
        ["flagged at 5 % / 1 %", *shown],
        [[name, *(f"{cell(five, name, at):.1f} / {cell(one, name, at):.1f}" for at in shown)] for name in METHODS],
    )


def says(whole: pd.DataFrame, holes: pd.DataFrame) -> str:
    auroc = table_of(whole, DETECTED, "auroc")
    size = whole.assign(size=whole["shift"].abs())
    near = size[(size["method"] == EXPECTED) & size["missing"].isin(["0.1", "0.25", "0.5"])]["size"]
    far = size[(size["method"] == EXPECTED) & size["missing"].isin(["0.75", "0.9"])]["size"]
    plain = size[(size["method"] == IGNORED) & (size["missing"] == "0.5")]["size"]
    five = 100 * table_of(whole, ["0.5"], "flagged_5")["0.5"]
    best = auroc["0.5"].idxmax()
    with_holes = table_of(holes, DETECTED, "auroc")
    whole_rows, half, mixed = (cell(auroc, EXPECTED, at) for at in ("0", "0.5", MIXED))
    lines = [
        f"With half of the cells missing, the default has an AUROC of {half:.3f}, the plain sum",
        f"{cell(auroc, IGNORED, '0.5'):.3f} (whole rows: {whole_rows:.3f}); best is {best} with",
        f"{auroc['0.5'].max():.3f}. In mixed rows {mixed:.3f} against {cell(auroc, IGNORED, MIXED):.3f}; trained with",
        f"holes, half of the cells missing, {cell(with_holes, EXPECTED, '0.5'):.3f} against",
        f"{cell(with_holes, IGNORED, '0.5'):.3f}.\n*",
        f"The mean score moves by {near.mean():.3f} standard deviations on average up to half of the cells missing",
        f"(at most {near.max():.2f}), the plain sum by {plain.mean():.2f} at half. At 75 and 90 % missing it is",
        f"{far.mean():.3f} on average and at most {far.max():.2f}: few rows say what the last cells cost, and the",
        "encoder never saw such rows in training.\n*",
        f"Fewer normal rows with half of their cells missing are flagged than whole ones: {five[EXPECTED]:.1f} % at a",
        "nominal 5 %. The charge moves the mean, not the spread.",
    ]
    return f"* {' '.join(lines)}"


def write_page() -> None:
    found = pd.read_csv(RESULTS, dtype={"missing": str})
    whole, holes = (found[found["training"] == training] for training in TRAININGS)
    page = (
        (HERE / "template.md")
        .read_text(encoding="utf-8")
        .format(
            surroundings=surroundings(PACKAGES),
            commits=", ".join(sorted(found["commit"].astype(str).unique())),
            n_tables=found["table"].nunique(),
            n_seeds=len(set(found["seed"]) & set(SEEDS)),
            max_training=MAX_TRAINING,
            max_normal=MAX_NORMAL,
            max_anomalies=MAX_ANOMALIES,
            mixture=", ".join(f"{share:g}" for share in MIXTURE),
            n_draws=N_DRAWS,
            says=says(whole, holes),
            detection=detection(whole),
            by_table=by_table(whole),
            detection_holes=detection(holes),
            shift=shifts(whole),
            shift_holes=shifts(holes),
            shift_by_table=shift_by_table(whole),
            alarms=alarms(whole),
        )
    )
    target = HERE.parent / "missing.md"
    target.write_text(page, encoding="utf-8")
    console.log(f"wrote {target}")
