"""From scores to decisions: the threshold between normal and anomalous."""

from __future__ import annotations

from vae_anomaly.decisions.thresholds import (
    MIN_DEVIATION,
    ContaminationThreshold,
    FixedThreshold,
    RobustThreshold,
    Threshold,
    contamination_offset,
    robust_offset,
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
