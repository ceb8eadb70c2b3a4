"""From scores to decisions: p-values, thresholds and selections with a guarantee, and drift."""

from __future__ import annotations

from vae_anomaly.decisions.calibration import Calibration, Suspects
from vae_anomaly.decisions.drift import (
    AlertShift,
    ColumnSample,
    ColumnShift,
    ScoreShift,
    SimpleJumper,
    alerts_moved,
    columns_moved,
    holm,
    scores_moved,
)
from vae_anomaly.decisions.evaluation import Evaluation, Measure
from vae_anomaly.decisions.false_alarms import (
    CalibrationTooSmall,
    band,
    largest_rank,
    rate_bound,
    rows_needed,
)
from vae_anomaly.decisions.record import NO_THRESHOLD, Decisions, chance_of_repeats, rule_of
from vae_anomaly.decisions.selection import FamilyCounts, Method, Selection, benjamini_hochberg, select
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
    percent,
    threshold_table,
)

__all__ = [
    "MIN_DEVIATION",
    "NO_THRESHOLD",
    "RULES",
    "AlertBudget",
    "AlertShift",
    "Calibration",
    "CalibrationTooSmall",
    "ColumnSample",
    "ColumnShift",
    "Contamination",
    "Decisions",
    "Evaluation",
    "FalseAlarmRate",
    "FamilyCounts",
    "FixedScore",
    "LabelledCost",
    "Measure",
    "Method",
    "RobustFence",
    "ScoreShift",
    "Selection",
    "SimpleJumper",
    "SortedScores",
    "Suspects",
    "Threshold",
    "ThresholdRule",
    "alerts_moved",
    "band",
    "benjamini_hochberg",
    "chance_of_repeats",
    "columns_moved",
    "holm",
    "largest_rank",
    "percent",
    "rate_bound",
    "rows_needed",
    "rule_of",
    "scores_moved",
    "select",
    "threshold_table",
]
