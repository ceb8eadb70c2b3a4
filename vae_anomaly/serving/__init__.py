"""A model behind an endpoint: rows in, scores, p-values, flags and reasons out."""

from vae_anomaly.serving.asgi import scoring_app
from vae_anomaly.serving.limits import ServingLimits

__all__ = ["ServingLimits", "scoring_app"]
