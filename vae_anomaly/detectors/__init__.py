"""Estimators with scikit-learn's interface."""

from __future__ import annotations

from vae_anomaly.detectors.base import copied_parameters
from vae_anomaly.detectors.calibrated import Compared, decisions_frame
from vae_anomaly.detectors.containers import as_rows
from vae_anomaly.detectors.drift_report import DriftReport
from vae_anomaly.detectors.feature_maps import FeatureMapDetector, MapGroup, PositionDensity, Smoothness, TopTail
from vae_anomaly.detectors.grouped import OWN, POOLED, GroupedDetector, groups_table
from vae_anomaly.detectors.image_features import ImageFeatures
from vae_anomaly.detectors.inputs import new_seed, read_table
from vae_anomaly.detectors.known_groups import KnownGroups, group_names, rows_by_group
from vae_anomaly.detectors.parameters import MAX_FLAT_PIXELS, defaults_for, resolved_baseline, resolved_prior
from vae_anomaly.detectors.patch import (
    MAX_IMAGE_VALUES,
    MAX_SMOOTHING,
    WHOLE,
    WINDOW_ACTIVATION,
    MapReduction,
    PatchDetector,
    PositionLevels,
    WindowEncoder,
    WindowModel,
    Windows,
    top_mean,
)
from vae_anomaly.detectors.reading import Reading
from vae_anomaly.detectors.training_plan import TrainingPlan
from vae_anomaly.detectors.vae_detector import VAEDetector, fit_config

__all__ = [
    "MAX_FLAT_PIXELS",
    "MAX_IMAGE_VALUES",
    "MAX_SMOOTHING",
    "OWN",
    "POOLED",
    "WHOLE",
    "WINDOW_ACTIVATION",
    "Compared",
    "DriftReport",
    "FeatureMapDetector",
    "GroupedDetector",
    "ImageFeatures",
    "KnownGroups",
    "MapGroup",
    "MapReduction",
    "PatchDetector",
    "PositionDensity",
    "PositionLevels",
    "Reading",
    "Smoothness",
    "TopTail",
    "TrainingPlan",
    "VAEDetector",
    "WindowEncoder",
    "WindowModel",
    "Windows",
    "as_rows",
    "copied_parameters",
    "decisions_frame",
    "defaults_for",
    "fit_config",
    "group_names",
    "groups_table",
    "new_seed",
    "read_table",
    "resolved_baseline",
    "resolved_prior",
    "rows_by_group",
    "top_mean",
]
