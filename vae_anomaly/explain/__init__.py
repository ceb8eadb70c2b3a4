"""Why rows and images are anomalous."""

from __future__ import annotations

from vae_anomaly.explain.cell_p_values import cells_needed, p_values_of_cells, wrong_cells
from vae_anomaly.explain.conditionals import expected_cells
from vae_anomaly.explain.evidence import SUSPICIOUS
from vae_anomaly.explain.explanation import NO_REASON, NOTABLE_KL, Explanation, ImageExplanation, Reason
from vae_anomaly.explain.image_explanation import explain_images, impute_images
from vae_anomaly.explain.learned_report import LearnedWeights, learned_weights
from vae_anomaly.explain.path import Change, PathToNormal, expected_of_each
from vae_anomaly.explain.patterns import PatternCell, Patterns, find_patterns
from vae_anomaly.explain.reconstruction import reconstruct
from vae_anomaly.explain.reference import with_cell_reference, with_reference
from vae_anomaly.explain.sensitivity import PlantedChange, Sensitivity, find_sensitivity
from vae_anomaly.explain.table_explanation import explain_table, impute_table, without_wrong, wrong_by_rarity

__all__ = [
    "NOTABLE_KL",
    "NO_REASON",
    "SUSPICIOUS",
    "Change",
    "Explanation",
    "ImageExplanation",
    "LearnedWeights",
    "PathToNormal",
    "PatternCell",
    "Patterns",
    "PlantedChange",
    "Reason",
    "Sensitivity",
    "cells_needed",
    "expected_cells",
    "expected_of_each",
    "explain_images",
    "explain_table",
    "find_patterns",
    "find_sensitivity",
    "impute_images",
    "impute_table",
    "learned_weights",
    "p_values_of_cells",
    "reconstruct",
    "with_cell_reference",
    "with_reference",
    "without_wrong",
    "wrong_by_rarity",
    "wrong_cells",
]
