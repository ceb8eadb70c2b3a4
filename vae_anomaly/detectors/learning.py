"""What a fit leaves on the estimator."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from torch import Tensor

from vae_anomaly.columns import Batch, Column, Encoder, ImageEncoder
from vae_anomaly.decisions import fence_offset, share_offset
from vae_anomaly.detectors.image_results import map_scale
from vae_anomaly.detectors.inputs import new_seed
from vae_anomaly.detectors.training_progress import training_progress
from vae_anomaly.explain import Reference
from vae_anomaly.fitting import FitReport, Rows, Specification, fit_model, score_rows
from vae_anomaly.model import VAE, History
from vae_anomaly.scores import Score

FloatArray = npt.NDArray[np.float64]

MAX_OFFSET_ROWS = 2048


class LearningMixin(BaseEstimator):
    """How the detector learns from rows, whatever they are made of."""

    vae_: VAE
    noise_: Tensor
    encoder_: Encoder
    columns_: tuple[Column, ...]
    offset_: float
    n_iter_: int
    row_score_: Score
    fitted_parameters_: dict[str, Any]
    history_: History
    fit_report_: FitReport
    reference_: Reference | None
    reference_rows_: Batch | None
    map_scale_: tuple[float, float]
    contamination: str | float
    random_state: Any
    verbose: bool

    def _learn(self, encoder: Encoder, rows: Rows, specification: Specification, before: VAE | None) -> None:
        with training_progress(specification.plan.max_iter, enabled=bool(self.verbose)) as on_check:
            model = fit_model(encoder, rows, specification, new_seed(self.random_state), on_check, before)
        self.columns_, self.encoder_ = encoder.columns, encoder
        self.vae_, self.noise_ = model.vae, model.noise
        self.reference_, self.reference_rows_ = None, model.reference_rows
        self.history_, self.fit_report_ = model.history, model.report
        self.n_iter_, self.row_score_ = model.report.n_iter, specification.score
        self.fitted_parameters_ = self.get_params(deep=False)
        self.offset_ = self._find_offset(rows)
        if isinstance(encoder, ImageEncoder):
            self.map_scale_ = map_scale(self.vae_, encoder, model.reference_rows, self.noise_)
        for warning in self.fit_report_.warnings():
            warnings.warn(warning, stacklevel=3)

    def _score(self, batch: Batch) -> FloatArray:
        return score_rows(self.vae_, batch, self.row_score_, self.noise_).numpy()

    def _find_offset(self, rows: Rows) -> float:
        if isinstance(self.contamination, str) and self.row_score_.fence is not None:
            return self.row_score_.fence
        if isinstance(self.contamination, str):
            every = max(1, rows.n_rows // MAX_OFFSET_ROWS)
            return fence_offset(self._score(rows.encode(np.arange(0, rows.n_rows, every))))
        return share_offset(self._score(rows.encode(np.arange(rows.n_rows))), self.contamination)
