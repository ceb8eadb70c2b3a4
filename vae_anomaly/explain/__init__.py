"""Why rows and images are anomalous."""

from __future__ import annotations

from vae_anomaly.explain.conditionals import expected_cells
from vae_anomaly.explain.evidence import with_reference
from vae_anomaly.explain.explanation import NO_REASON, NOTABLE_KL, Explanation, ImageExplanation, Reason
from vae_anomaly.explain.image_explanation import explain_images, impute_images
from vae_anomaly.explain.learned_report import LearnedWeights, learned_weights
from vae_anomaly.explain.patterns import Patterns, find_patterns
from vae_anomaly.explain.reconstruction import reconstruct
from vae_anomaly.explain.sensitivity import Change, Sensitivity, find_sensitivity
from vae_anomaly.explain.table_explanation import SUSPICIOUS, explain_table, impute_table, repair_table

__all__ = [
    "NOTABLE_KL",
    "NO_REASON",
    "SUSPICIOUS",
    "Change",
    "Explanation",
    "ImageExplanation",
    "LearnedWeights",
    "Patterns",
    "Reason",
    "Sensitivity",
    "expected_cells",
    "explain_images",
    "explain_table",
    "find_patterns",
    "find_sensitivity",
    "impute_images",
    "impute_table",
    "learned_weights",
    "reconstruct",
    "repair_table",
    "with_reference",
]
