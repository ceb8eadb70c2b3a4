"""What to fit: the estimator's parameters, resolved."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vae_anomaly.backbones import Backbone, resolve_backbone
from vae_anomaly.columns import Declarations
from vae_anomaly.detector.inputs import resolve_device
from vae_anomaly.errors import SpecificationError
from vae_anomaly.likelihoods import Likelihood, resolve_likelihood
from vae_anomaly.priors import Prior, resolve_prior
from vae_anomaly.scores import Score, resolve_score
from vae_anomaly.steps import Plan

if TYPE_CHECKING:
    from vae_anomaly.detector.estimator import VAEDetector

FEWEST_STEPS, MOST_STEPS, NARROW = 700, 1000, 32


@dataclass(frozen=True)
class Specification:
    """The estimator's parameters with every name replaced by what it stands for."""

    likelihood: Likelihood | None
    declared: Declarations
    model_missing: bool
    prior: Prior
    backbone: Backbone
    score: Score
    hidden_layer_sizes: tuple[int, ...]
    activation: str
    latent_dim: int | None
    n_estimators: int
    max_samples: int | float
    validation_fraction: float
    plan: Plan
    max_iter: int | None
    device: torch.device
    matmul_precision: str | None

    def for_columns(self, n_columns: int) -> Specification:
        """The same for so many columns that vary: where no `max_iter` is given, wider tables get more steps."""
        if self.max_iter is not None:
            return self
        steps = round(FEWEST_STEPS * math.sqrt(n_columns / NARROW))
        return dataclasses.replace(
            self, plan=dataclasses.replace(self.plan, max_iter=min(max(steps, FEWEST_STEPS), MOST_STEPS))
        )


def specification_of(detector: VAEDetector) -> Specification:
    """Look up the names among the parameters.

    Raises
    ------
    SpecificationError
        If a name is in no table, a layer has no units, or the device is not here.
    """
    sizes = tuple(int(size) for size in detector.hidden_layer_sizes)
    if any(size < 1 for size in sizes):
        raise SpecificationError(f"hidden_layer_sizes are positive integers, not {detector.hidden_layer_sizes!r}")
    automatic = isinstance(detector.likelihood, str) and detector.likelihood == "auto"
    return Specification(
        likelihood=None if automatic else resolve_likelihood(detector.likelihood),
        declared={str(name): kind for name, kind in (detector.columns or {}).items()},
        model_missing=bool(detector.model_missing),
        prior=resolve_prior(detector.prior),
        backbone=resolve_backbone(detector.backbone),
        score=resolve_score(detector.row_score),
        hidden_layer_sizes=sizes,
        activation=detector.activation,
        latent_dim=None if detector.latent_dim is None else int(detector.latent_dim),
        n_estimators=detector.n_estimators,
        max_samples=detector.max_samples,
        validation_fraction=detector.validation_fraction,
        max_iter=detector.max_iter,
        device=resolve_device(detector.device),
        matmul_precision=detector.matmul_precision,
        plan=Plan(
            max_iter=FEWEST_STEPS if detector.max_iter is None else detector.max_iter,
            batch_size=detector.batch_size,
            learning_rate_init=detector.learning_rate_init,
            weight_decay=detector.weight_decay,
            kl_warmup=detector.kl_warmup,
            hidden_fraction=detector.hidden_fraction,
            trim_fraction=detector.trim_fraction,
            max_grad_norm=detector.max_grad_norm,
            early_stopping=detector.early_stopping,
            n_iter_no_change=detector.n_iter_no_change,
        ),
    )
