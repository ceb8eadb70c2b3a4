"""From rows to a fitted model, and from a fitted model to scores."""

from __future__ import annotations

from vae_anomaly.fitting.fit import OnCheck, TrainingRows, fit_model, learn_encoder
from vae_anomaly.fitting.fit_config import FitConfig, NetworkConfig, SplitConfig
from vae_anomaly.fitting.fit_report import FitReport
from vae_anomaly.fitting.fitted_model import CellReference, FittedModel
from vae_anomaly.fitting.latents import ELBOTerms, latent_means, sample_rows, terms_by_member
from vae_anomaly.fitting.pixel_maps import pixel_excess
from vae_anomaly.fitting.predict import (
    MAX_LATENTS,
    cell_terms,
    chunk_rows,
    map_chunks,
    row_statistics,
    saturated_rows,
    score_rows,
    scoring_noise,
)
from vae_anomaly.fitting.row_sample import MIN_ROWS, RowSample

__all__ = [
    "MAX_LATENTS",
    "MIN_ROWS",
    "CellReference",
    "ELBOTerms",
    "FitConfig",
    "FitReport",
    "FittedModel",
    "NetworkConfig",
    "OnCheck",
    "RowSample",
    "SplitConfig",
    "TrainingRows",
    "cell_terms",
    "chunk_rows",
    "fit_model",
    "latent_means",
    "learn_encoder",
    "map_chunks",
    "pixel_excess",
    "row_statistics",
    "sample_rows",
    "saturated_rows",
    "score_rows",
    "scoring_noise",
    "terms_by_member",
]
