"""From scores to decisions: where the threshold between normal and anomalous lies."""

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
