"""Why rows and images are anomalous."""

from __future__ import annotations

from vae_anomaly.explain.conditionals import Conditionals, Reference, conditionals, expected_cells, tail_probability
from vae_anomaly.explain.explanation import NOTABLE_KL, Explanation, ImageExplanation, Reason

__all__ = [
    "NOTABLE_KL",
    "Conditionals",
    "Explanation",
    "ImageExplanation",
    "Reason",
    "Reference",
    "conditionals",
    "expected_cells",
    "tail_probability",
]
