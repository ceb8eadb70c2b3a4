"""From rows to a fitted model, and from a fitted model to scores."""

from __future__ import annotations

from vae_anomaly.fitting.answers import Answers
from vae_anomaly.fitting.chunks import map_chunks
from vae_anomaly.fitting.expert_statistics import Cells
from vae_anomaly.fitting.fit import fit_model, learn_encoder
from vae_anomaly.fitting.fit_config import FitConfig, NetworkConfig
from vae_anomaly.fitting.fit_report import FitReport
from vae_anomaly.fitting.fitted_model import CalibratingRows, CellReference, FittedModel
from vae_anomaly.fitting.latents import ELBOTerms, latent_means, sample_rows, terms_by_member
from vae_anomaly.fitting.offset_fit import OffsetFit, ReviewedRows, fit_offset, reviewed_rows
from vae_anomaly.fitting.partition import (
    CalibrationKind,
    SplitConfig,
    TrainingRows,
    calibration_kind,
    can_stop,
    drawn_folds,
    rows_set_aside,
)
from vae_anomaly.fitting.pixel_maps import pixel_excess
from vae_anomaly.fitting.predict import (
    MAX_LATENTS,
    finite_scores,
    score_rows,
    score_shares,
    scores_and_comparisons,
)
from vae_anomaly.fitting.row_sample import RowSample

__all__ = [
    "MAX_LATENTS",
    "Answers",
    "CalibratingRows",
    "CalibrationKind",
    "CellReference",
    "Cells",
    "ELBOTerms",
    "FitConfig",
    "FitReport",
    "FittedModel",
    "NetworkConfig",
    "OffsetFit",
    "ReviewedRows",
    "RowSample",
    "SplitConfig",
    "TrainingRows",
    "calibration_kind",
    "can_stop",
    "drawn_folds",
    "finite_scores",
    "fit_model",
    "fit_offset",
    "latent_means",
    "learn_encoder",
    "map_chunks",
    "pixel_excess",
    "reviewed_rows",
    "rows_set_aside",
    "sample_rows",
    "score_rows",
    "score_shares",
    "scores_and_comparisons",
    "terms_by_member",
]
