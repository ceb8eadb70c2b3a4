"""From scores to decisions: p-values, thresholds and selections with a guarantee, and drift."""

from __future__ import annotations

from vae_anomaly.decisions.calibration import Calibration, Kind, Suspects
from vae_anomaly.decisions.false_alarms import (
    CalibrationTooSmall,
    band,
    largest_rank,
    rate_bound,
    rows_needed,
    smallest_rate,
)
from vae_anomaly.decisions.record import NO_THRESHOLD, Decisions, rule_of
from vae_anomaly.decisions.selection import FamilyCounts, Method, Selection, benjamini_hochberg, select, storey
from vae_anomaly.decisions.sorted_scores import SortedScores
from vae_anomaly.decisions.thresholds import (
    MIN_DEVIATION,
    RULES,
    AlertBudget,
    Contamination,
    FalseAlarmRate,
    FixedScore,
    LabelledCost,
    RobustFence,
    Threshold,
    ThresholdRule,
    threshold_table,
)

__all__ = [
    "MIN_DEVIATION",
    "NO_THRESHOLD",
    "RULES",
    "AlertBudget",
    "Calibration",
    "CalibrationTooSmall",
    "Contamination",
    "Decisions",
    "FalseAlarmRate",
    "FamilyCounts",
    "FixedScore",
    "Kind",
    "LabelledCost",
    "Method",
    "RobustFence",
    "Selection",
    "SortedScores",
    "Suspects",
    "Threshold",
    "ThresholdRule",
    "band",
    "benjamini_hochberg",
    "largest_rank",
    "rate_bound",
    "rows_needed",
    "rule_of",
    "select",
    "smallest_rate",
    "storey",
    "threshold_table",
]
