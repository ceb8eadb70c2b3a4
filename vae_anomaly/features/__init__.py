"""Pictures by way of a network of the user's."""

from vae_anomaly.features.detector import FeatureMapDetector
from vae_anomaly.features.extraction import ImageFeatures

__all__ = ["FeatureMapDetector", "ImageFeatures"]
