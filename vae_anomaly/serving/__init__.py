"""A model behind an endpoint: rows in, scores, p-values, flags and reasons out."""

from vae_anomaly.serving.limits import ServingLimits
from vae_anomaly.serving.scoring_app import scoring_app

__all__ = ["ServingLimits", "scoring_app"]
