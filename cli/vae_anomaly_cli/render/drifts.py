"""What a check for drift found, for people and for programs."""

import dataclasses
from typing import TYPE_CHECKING, Any

from rich.table import Table as RichTable

from vae_anomaly_cli.render.drawings import percent, table_of

if TYPE_CHECKING:
    from vae_anomaly.decisions import ColumnShift

# What `check_drift` returns.
Report = Any

# Smaller ones are 0 in floating point.
SMALLEST = 1e-300
TITLES = {"values": "median", "levels": "level", "missing": "missing"}


def describe_drift(report: Report) -> dict[str, Any]:
    """Describe it for programs: each test, and the stream."""
    stream = report.stream
    return {
        "alpha": report.alpha,
        "rows": report.n_rows,
        "drifted": report.drifted,
        "sentence": report.sentence(),
        "scores": dataclasses.asdict(report.scores) | {"p_adjusted": report.adjusted[0], "moved": report.scores_moved},
        "alerts": None if report.alerts is None else dataclasses.asdict(report.alerts),
        "columns": report.frame().to_dict("records"),
        "stream": {
            "rows": stream.n_seen,
            "wealth": stream.wealth,
            "largest_wealth": stream.largest_wealth,
            "alarm": stream.alarm(report.alpha),
            "sentence": stream.sentence(report.alpha),
        },
    }


def drawn_drift(report: Report) -> list[str | RichTable]:
    """Lay out what was found: a sentence, the columns that moved, alerts, and the stream."""
    drawings: list[str | RichTable] = [f"{report.sentence()}\n"]
    if report.moved:
        drawings += [_columns(report), ""]
    if report.alerts is not None:
        drawings.append(
            f"Rows above the threshold: {report.alerts.n_alerts:,} of {report.alerts.n_rows:,}, "
            f"{report.alerts.expected:,.1f} expected."
        )
    if not report.stream.alarm(report.alpha):
        drawings.append(report.stream.sentence(report.alpha))
    return drawings


def _columns(report: Report) -> RichTable:
    """Lay out the columns that moved, in their units."""
    frame = report.frame()
    nats = {}
    if "nats_now" in frame:
        nats = {row["column"]: (row["nats_before"], row["nats_now"]) for row in frame.to_dict("records")}
    adjusted = dict(zip(report.columns, report.adjusted[1:], strict=True))
    headings = ["column", "what", "before", "now", *(["nats before", "nats now"] if nats else []), "p (Holm)"]
    rows = [
        [
            shift.column,
            *_change(shift),
            *(f"{value:,.2f}" for value in nats.get(shift.column, ())),
            f"{adjusted[shift]:.2g}" if adjusted[shift] > 0 else f"below {SMALLEST:g}",
        ]
        for shift in report.moved
    ]
    return table_of(headings, rows, n_names=2)


def _change(shift: "ColumnShift") -> tuple[str, str, str]:
    what = TITLES[shift.what]
    if shift.what == "values":
        return what, f"{shift.before:.6g}", f"{shift.now:.6g}"
    if shift.what == "levels":
        what = f"level '{shift.level}'" + (f" ({shift.n_unseen:,} cells unseen before)" if shift.n_unseen else "")
    return what, percent(shift.before), percent(shift.now)
