"""Pictures as overlapping windows."""

from vae_anomaly.patches.estimator import PatchDetector

__all__ = ["PatchDetector"]
