"""The estimator: it wires the parts together and contains no mathematics."""

from vae_anomaly.detector.estimator import VAEDetector

__all__ = ["VAEDetector"]
