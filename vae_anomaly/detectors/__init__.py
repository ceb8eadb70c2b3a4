"""Estimators with scikit-learn's interface."""

from __future__ import annotations

from vae_anomaly.detectors.feature_map import FeatureMapDetector
from vae_anomaly.detectors.image_features import ImageFeatures
from vae_anomaly.detectors.inputs import as_pandas, new_seed, read_table
from vae_anomaly.detectors.patch import PatchDetector
from vae_anomaly.detectors.patch.maps import PositionLevels, top_mean
from vae_anomaly.detectors.patch.patch_config import WHOLE, Reading, specification_of
from vae_anomaly.detectors.patch.window_encoder import WindowEncoder
from vae_anomaly.detectors.patch.window_model import WindowModel
from vae_anomaly.detectors.patch.windows import Windows
from vae_anomaly.detectors.vae_detector import VAEDetector

__all__ = [
    "WHOLE",
    "FeatureMapDetector",
    "ImageFeatures",
    "PatchDetector",
    "PositionLevels",
    "Reading",
    "VAEDetector",
    "WindowEncoder",
    "WindowModel",
    "Windows",
    "as_pandas",
    "fitting",
    "new_seed",
    "read_table",
    "specification_of",
    "top_mean",
]
