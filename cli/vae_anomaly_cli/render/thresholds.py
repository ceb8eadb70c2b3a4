"""Thresholds and what they promise, for people and for programs."""

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table as RichTable

from vae_anomaly_cli.render.drawings import percent, table_of

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.decisions import Threshold


def describe_threshold(threshold: "Threshold") -> dict[str, Any]:
    """Describe a threshold for programs: what it was found by, what is expected of it, and the sentence."""
    described = dataclasses.asdict(dataclasses.replace(threshold, parameters={}))
    return described | {"parameters": dict(threshold.parameters), "sentence": threshold.sentence()}


@dataclass(frozen=True)
class ThresholdTable:
    """Thresholds by false-alarm rate.

    Attributes
    ----------
    frame : DataFrame
        As the library has it.
    n_calibration : int
        Calibration rows that they follow from.
    confidence : float
        Of the bounds.
    """

    frame: "pd.DataFrame"
    n_calibration: int
    confidence: float

    def objects(self) -> list[dict[str, Any]]:
        """Describe each for programs; what is missing is null, with the rows that it takes."""
        from vae_anomaly.decisions import rows_needed

        return [
            {"rate": float(row["rate"])}
            | {name: _number(row[name]) for name in ("threshold", "alerts_per_million", "rate_bound")}
            | {"model_based": bool(row["model_based"]), "rows_needed": rows_needed(float(row["rate"]))}
            for row in self.frame.reset_index().to_dict("records")
        ]

    def drawn(self) -> RichTable:
        """Lay them out, the rarest alerts first."""
        headings = (
            "false-alarm\nrate",
            "threshold\n(nats)",
            "alerts per\nmillion rows",
            f"{percent(self.confidence)} sure:\nat most",
            "",
        )
        rows = []
        for row in self.objects():
            note = ""
            if row["model_based"]:
                note = "tail model, nothing promised"
            elif row["threshold"] is None:
                note = f"needs {row['rows_needed']:,} calibration rows; there are {self.n_calibration:,}"
            score, alerts = row["threshold"], row["alerts_per_million"]
            rows.append(
                (
                    percent(row["rate"]),
                    "" if score is None else f"{score:,.2f}",
                    "" if alerts is None else f"{alerts:,.0f}",
                    percent(row["rate_bound"], upwards=True),
                    note,
                )
            )
        drawn = table_of(headings, rows, n_names=0)
        drawn.columns[-1].justify = "left"
        return drawn


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
