"""Why rows and images are anomalous."""

from __future__ import annotations

from vae_anomaly.explain.conditionals import Conditionals, conditionals, expected_cells, tail_probability
from vae_anomaly.explain.evidence import Evidence, evidence_of, with_reference
from vae_anomaly.explain.explanation import NOTABLE_KL, Explanation, ImageExplanation, Reason, shown
from vae_anomaly.explain.images import explain_images, impute_images
from vae_anomaly.explain.reconstruction import reconstruct
from vae_anomaly.explain.tables import SUSPICIOUS, explain_table, impute_table, repair_table

__all__ = [
    "NOTABLE_KL",
    "SUSPICIOUS",
    "Conditionals",
    "Evidence",
    "Explanation",
    "ImageExplanation",
    "Reason",
    "conditionals",
    "evidence_of",
    "expected_cells",
    "explain_images",
    "explain_table",
    "impute_images",
    "impute_table",
    "reconstruct",
    "repair_table",
    "shown",
    "tail_probability",
    "with_reference",
]
