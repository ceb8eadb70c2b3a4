"""From rows to a fitted model, and from a fitted model to scores."""

from __future__ import annotations

from vae_anomaly.fitting.fit import Rows, fit_model, learn_encoder
from vae_anomaly.fitting.fit_config import MAX_FLAT_PIXELS, Specification, defaults_for, specification_of
from vae_anomaly.fitting.fit_report import FitReport
from vae_anomaly.fitting.predict import (
    MAX_LATENTS,
    cell_terms,
    chunk_rows,
    chunks,
    row_statistics,
    saturated_rows,
    score_rows,
    scoring_noise,
)

__all__ = [
    "MAX_FLAT_PIXELS",
    "MAX_LATENTS",
    "FitReport",
    "Rows",
    "Specification",
    "cell_terms",
    "chunk_rows",
    "chunks",
    "defaults_for",
    "fit_model",
    "learn_encoder",
    "row_statistics",
    "saturated_rows",
    "score_rows",
    "scoring_noise",
    "specification_of",
]
