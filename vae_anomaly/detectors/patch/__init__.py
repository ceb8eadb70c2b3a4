"""Images as overlapping windows."""

from __future__ import annotations

from vae_anomaly.detectors.patch.maps import MapReduction, PositionLevels, smoothed, top_mean
from vae_anomaly.detectors.patch.patch_config import MAX_SMOOTHING, WHOLE, WINDOW_ACTIVATION
from vae_anomaly.detectors.patch.patch_detector import PatchDetector
from vae_anomaly.detectors.patch.window_encoder import NOISE_FLOOR, WindowEncoder
from vae_anomaly.detectors.patch.window_model import WindowModel
from vae_anomaly.detectors.patch.windows import MAX_IMAGE_VALUES, Windows

__all__ = [
    "MAX_IMAGE_VALUES",
    "MAX_SMOOTHING",
    "NOISE_FLOOR",
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
