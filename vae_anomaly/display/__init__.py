"""Figures in scikit-learn's convention: made of plain arrays or of an estimator, drawn with matplotlib."""

from __future__ import annotations

from vae_anomaly.display.calibration_display import CalibrationDisplay
from vae_anomaly.display.comparison_display import ComparisonDisplay
from vae_anomaly.display.drawing import shortened
from vae_anomaly.display.explanation_display import ExplanationDisplay
from vae_anomaly.display.heatmap_display import HeatmapDisplay
from vae_anomaly.display.latent_display import LatentDisplay
from vae_anomaly.display.score_display import ScoreDisplay
from vae_anomaly.display.shown import Described, Shown, counted, html_table, number_text, one_line
from vae_anomaly.display.threshold_display import ThresholdDisplay
from vae_anomaly.display.training_display import TrainingDisplay

__all__ = [
    "CalibrationDisplay",
    "ComparisonDisplay",
    "Described",
    "ExplanationDisplay",
    "HeatmapDisplay",
    "LatentDisplay",
    "ScoreDisplay",
    "Shown",
    "ThresholdDisplay",
    "TrainingDisplay",
    "counted",
    "html_table",
    "number_text",
    "one_line",
    "shortened",
]
