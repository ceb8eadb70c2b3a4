"""From scores to decisions: where the line between normal and anomalous is drawn."""

from __future__ import annotations

from vae_anomaly.decisions.thresholds import MIN_DEVIATION, fence_offset, share_offset

__all__ = [
    "MIN_DEVIATION",
    "fence_offset",
    "share_offset",
]
