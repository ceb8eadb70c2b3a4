"""Measures of detectors side by side, for people and for programs."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly_cli.console import counted
from vae_anomaly_cli.render.drawings import draw

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly import Comparison

OURS = "VAEDetector"
NARROW = 93
CAPTION = "Mean ± standard deviation over splits, seconds means; the [95 % intervals] hold together. More with -o FILE."


def comparison_objects(comparison: "Comparison") -> dict[str, Any]:
    """Describe each setting for programs: rows, verdict, and methods with the highest AUROC first."""
    described = {}
    for setting in comparison.settings:
        verdict = comparison.verdict(setting)
        counts = comparison.measures[comparison.measures["setting"] == setting].iloc[0]
        part = comparison.summary[comparison.summary["setting"] == setting].drop(columns="setting")
        described[setting] = {
            "n_fitted": int(counts["n_fitted"]),
            "n_scored": int(counts["n_scored"]),
            "verdict": {"outcome": verdict.outcome, "method": verdict.method, "text": verdict.text},
            "methods": part.to_dict("records"),
        }
    return described


def show_comparison(comparison: "Comparison", console: Console) -> None:
    """Draw a table and write a verdict for each setting."""
    for setting in comparison.settings:
        measures = comparison.measures[comparison.measures["setting"] == setting]
        draw(
            console,
            Text(_heading(setting, measures), style="bold"),
            _drawn(comparison, setting, int(measures["n_anomalies"].iloc[0]), console),
            f"{comparison.verdict(setting)}\n",
        )
    draw(console, Text(CAPTION, style="dim"))


def _heading(setting: str, measures: "pd.DataFrame") -> str:
    n_fitted, n_scored, n_anomalies = (int(measures[name].iloc[0]) for name in ("n_fitted", "n_scored", "n_anomalies"))
    n_splits = int(measures["split"].nunique())
    if setting == "clean":
        return (
            f"clean: fitted on half of the normal rows ({n_fitted:,}), scored {n_scored:,} others with "
            f"{n_anomalies:,} anomalies; {counted(n_splits, 'split')}"
        )
    own = measures.loc[measures["method"] == OURS, "scored_by"].unique().tolist()
    by = f"; {OURS} by its training_scores_" if own == ["training_scores_"] else ""
    return (
        f"all: fitted on all {n_fitted:,} rows, {n_anomalies:,} anomalies among them, and scored the same{by}; "
        f"{counted(n_splits, 'seed')}"
    )


def _drawn(comparison: "Comparison", setting: str, n_anomalies: int, console: Console) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    columns: dict[str, Callable[[dict[Hashable, Any]], str]] = {
        "\nAUROC": lambda row: _plus_minus(row, "auroc"),
        f"less that\nof {OURS}": _difference,
        "average\nprecision": lambda row: _plus_minus(row, "average_precision"),
        f"precision\nat {n_anomalies}": lambda row: _plus_minus(row, "precision_at_n"),
        "fit\n(s)": lambda row: f"{row['fit_seconds']:.2f}",
        "score\n(s)": lambda row: f"{row['score_seconds']:.2f}",
    }
    if console.width < NARROW:
        columns = dict(list(columns.items())[:3])
    drawn.add_column("\nmethod", no_wrap=True)
    for heading in columns:
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row in comparison.summary[comparison.summary["setting"] == setting].to_dict("records"):
        drawn.add_row(
            Text(str(row["method"])),
            *(Text(cell(row)) for cell in columns.values()),
            style={"better": "green", "worse": "dim", "first": "bold"}.get(row["standing"], ""),
        )
    return drawn


def _difference(row: dict[Hashable, Any]) -> str:
    if row["standing"] == "first":
        return ""
    return f"{row['difference']:+.3f} [{row['lower']:+.3f}, {row['upper']:+.3f}]"


def _plus_minus(row: dict[Hashable, Any], name: str) -> str:
    mean, deviation = row[name], row[f"{name}_sd"]
    return f"{mean:.3f}" if np.isnan(deviation) else f"{mean:.3f} ±{deviation:.3f}"
