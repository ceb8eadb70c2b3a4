"""Images by the feature maps of a network."""

from __future__ import annotations

from vae_anomaly.detectors.feature_maps.feature_map_detector import FeatureMapDetector
from vae_anomaly.detectors.feature_maps.map_group import MapGroup, TopTail
from vae_anomaly.detectors.feature_maps.position_density import PositionDensity, Smoothness

__all__ = ["FeatureMapDetector", "MapGroup", "PositionDensity", "Smoothness", "TopTail"]
