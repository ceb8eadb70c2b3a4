"""From scores to decisions: p-values, thresholds and selections with a guarantee, and drift."""

from __future__ import annotations

from vae_anomaly.decisions.calibration import Calibration, Kind, Suspects
from vae_anomaly.decisions.drift import (
    AlertShift,
    ColumnShift,
    ScoreShift,
    SimpleJumper,
    alerts_moved,
    holm,
    levels_moved,
    missing_moved,
    scores_moved,
    values_moved,
)
from vae_anomaly.decisions.false_alarms import (
    CalibrationTooSmall,
    band,
    largest_rank,
    rate_bound,
    rows_needed,
    smallest_rate,
)
from vae_anomaly.decisions.former import (
    MIN_DEVIATION,
    ContaminationThreshold,
    FixedThreshold,
    RobustThreshold,
    Threshold,
    contamination_offset,
    robust_offset,
)
from vae_anomaly.decisions.selection import FamilyCounts, Selection, benjamini_hochberg, select, storey
from vae_anomaly.decisions.sorted_scores import SortedScores
from vae_anomaly.decisions.thresholds import (
    RULES,
    AlertBudget,
    Contamination,
    FalseAlarmRate,
    FixedScore,
    LabelledCost,
    RobustFence,
    ThresholdRule,
    threshold_table,
)

__all__ = [
    "MIN_DEVIATION",
    "ContaminationThreshold",
    "FixedThreshold",
    "RobustThreshold",
    "Threshold",
    "contamination_offset",
    "robust_offset",
]
# For the detectors and the command line, which do not import them yet.
__all__ += [
    "RULES",
    "AlertBudget",
    "AlertShift",
    "Calibration",
    "CalibrationTooSmall",
    "ColumnShift",
    "Contamination",
    "FalseAlarmRate",
    "FamilyCounts",
    "FixedScore",
    "Kind",
    "LabelledCost",
    "RobustFence",
    "ScoreShift",
    "Selection",
    "SimpleJumper",
    "SortedScores",
    "Suspects",
    "ThresholdRule",
    "alerts_moved",
    "band",
    "benjamini_hochberg",
    "holm",
    "largest_rank",
    "levels_moved",
    "missing_moved",
    "rate_bound",
    "rows_needed",
    "scores_moved",
    "select",
    "smallest_rate",
    "storey",
    "threshold_table",
    "values_moved",
]
