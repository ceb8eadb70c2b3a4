"""Measures of a model on labelled rows, for people."""

from typing import TYPE_CHECKING

from rich.table import Table as RichTable

from vae_anomaly.decisions import Evaluation, Measure
from vae_anomaly_cli.render.drawings import percent, table_of

if TYPE_CHECKING:
    from vae_anomaly.decisions import Threshold


def drawn_evaluation(evaluation: Evaluation, threshold: "Threshold") -> RichTable:
    """Lay out measures with their intervals, and the false-alarm rate beside what is expected."""
    rows = [_row(measure) for measure in evaluation.all]
    if evaluation.false_alarm_rate is not None and threshold.expected_rate is not None:
        bound = "" if threshold.rate_bound is None else f"up to {percent(threshold.rate_bound, upwards=True)}"
        rows.append(("expected false-alarm rate", percent(threshold.expected_rate), bound, ""))
    return table_of(("measure", "value", "95 % interval", "rows"), rows)


def _row(measure: Measure) -> tuple[str, str, str, str]:
    if measure.n_rows is None:
        return measure.name, f"{measure.value:.3f}", f"{measure.lower:.3f} to {measure.upper:.3f}", ""
    interval = f"{percent(measure.lower)} to {percent(measure.upper)}"
    return measure.name, percent(measure.value), interval, f"{measure.n_hits:,} of {measure.n_rows:,}"
