"""Whether new rows are still like the calibration rows: by stream, by batch and by column."""

from __future__ import annotations

from vae_anomaly.decisions.drift.column_samples import ColumnSample, columns_moved
from vae_anomaly.decisions.drift.martingale import SimpleJumper
from vae_anomaly.decisions.drift.two_sample import (
    AlertShift,
    ColumnShift,
    ScoreShift,
    alerts_moved,
    holm,
    scores_moved,
)

__all__ = [
    "AlertShift",
    "ColumnSample",
    "ColumnShift",
    "ScoreShift",
    "SimpleJumper",
    "alerts_moved",
    "columns_moved",
    "holm",
    "scores_moved",
]
