"""Images as overlapping windows."""

from __future__ import annotations

from vae_anomaly.detectors.patch.maps import MapReduction, PositionLevels, smoothed, top_mean
from vae_anomaly.detectors.patch.patch_config import WHOLE, WINDOW_ACTIVATION
from vae_anomaly.detectors.patch.patch_detector import PatchDetector
from vae_anomaly.detectors.patch.window_encoder import WindowEncoder
from vae_anomaly.detectors.patch.window_model import WindowModel
from vae_anomaly.detectors.patch.windows import Windows

__all__ = [
    "WHOLE",
    "WINDOW_ACTIVATION",
    "MapReduction",
    "PatchDetector",
    "PositionLevels",
    "WindowEncoder",
    "WindowModel",
    "Windows",
    "smoothed",
    "top_mean",
]
