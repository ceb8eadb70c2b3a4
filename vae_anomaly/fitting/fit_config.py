"""What to fit: the estimator's parameters, resolved."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch

from vae_anomaly.columns import Augment, Declarations, Encoder
from vae_anomaly.data import Images, Table
from vae_anomaly.errors import SpecificationError
from vae_anomaly.likelihoods import Likelihood, resolve_likelihood
from vae_anomaly.model import MLP, Backbone, Convolutional, Plan, Prior, resolve_backbone, resolve_device, resolve_prior
from vae_anomaly.scores import PooledELBO, Score, Surprise, resolve_score

AUTOMATIC = "auto"
MIN_STEPS, MAX_STEPS, NARROW = 700, 1000, 32


@dataclass(frozen=True)
class Defaults:
    """What the parameters that name no value of their own stand for.

    Parameters
    ----------
    n_estimators, max_samples, latent_dim, max_iter : int
        `latent_dim` at most, `max_iter` at least.
    most_steps : int
        `max_iter` for wide rows, at most.
    learning_rate_init, hidden_fraction : float
    score : Score
    """

    n_estimators: int
    max_samples: int
    latent_dim: int
    max_iter: int
    most_steps: int
    learning_rate_init: float
    hidden_fraction: float
    score: Score


FOR_TABLES = Defaults(4, 4096, 16, MIN_STEPS, MAX_STEPS, 0.02, 0.6, PooledELBO())
FOR_IMAGES = Defaults(1, 16_384, 16, 1200, 1200, 0.003, 0.0, Surprise())
MAX_FLAT_PIXELS = 4096
MIN_SAMPLES, MAX_CELLS = 256, 1 << 28
BATCH_ROWS, MIN_IMAGES, BATCH_PIXELS = 128, 16, 1 << 19


@dataclass(frozen=True)
class Specification:
    """The estimator's parameters with every name replaced by what it stands for."""

    likelihood: Likelihood | None
    declared: Declarations
    model_missing: bool
    prior: Prior
    backbone: Backbone | None
    score: Score
    hidden_layer_sizes: tuple[int, ...] | None
    activation: str
    latent_dim: int | None
    most_latents: int
    n_estimators: int
    max_samples: int | float
    samples_by_default: bool
    validation_fraction: float
    plan: Plan
    max_iter: int | None
    batch_size: int | None
    most_steps: int
    device: torch.device
    matmul_precision: str | None
    mask_input: bool | None = None
    augment: Augment | None = None

    def for_encoder(self, encoder: Encoder) -> Specification:
        """The same for what the columns are: wider tables get more steps and latents where none are given."""
        if self.score.for_images and encoder.grid is None:
            raise SpecificationError(
                f"row_score={type(self.score).__name__} compares pixels with their neighbours, and the rows are of a "
                "table. Take 'elbo', 'debiased_elbo', 'likelihood_regret' or 'likelihood_path'."
            )
        if self.augment is not None and encoder.grid is None:
            raise SpecificationError("augment changes images, and the rows are of a table. Leave it out.")
        n_columns = encoder.n_varying
        steps = self.max_iter
        if steps is None:
            steps = round(self.plan.max_iter * math.sqrt(n_columns / NARROW))
            steps = min(max(steps, self.plan.max_iter), self.most_steps)
        backbone, sizes = self.backbone or backbone_for(encoder), self.hidden_layer_sizes
        plan, most_rows = dataclasses.replace(self.plan, max_iter=steps), self.max_samples
        if encoder.grid is not None and self.samples_by_default:
            most_rows = min(most_rows, max(MIN_SAMPLES, MAX_CELLS // n_columns))
        if encoder.grid is not None and self.batch_size is None:
            plan = dataclasses.replace(plan, batch_size=max(MIN_IMAGES, min(BATCH_PIXELS // n_columns, BATCH_ROWS)))
        return dataclasses.replace(
            self,
            plan=plan,
            max_samples=most_rows,
            latent_dim=self.latent_dim or min(max(n_columns, 1), self.most_latents),
            backbone=backbone,
            hidden_layer_sizes=backbone.layer_sizes(encoder.grid) if sizes is None else sizes,
        )


def defaults_for(data: Table | Images) -> Defaults:
    """What automatic parameters stand for, by what is given."""
    return FOR_IMAGES if isinstance(data, Images) else FOR_TABLES


def backbone_for(encoder: Encoder) -> Backbone:
    """Fully connected layers for tables and small images; larger images would need millions of weights for that.

    On images of 28 x 28 pixels convolutions were slower and no better: ``reports/benchmarks/images.md``.
    """
    large = encoder.grid is not None and encoder.n_model_columns > MAX_FLAT_PIXELS
    return Convolutional() if large else MLP()


def specification_of(detector: Any, defaults: Defaults = FOR_TABLES) -> Specification:
    """Look up the names among the parameters.

    Raises
    ------
    SpecificationError
        If a name is in no table, a layer has no units, or the device is not here.
    """
    sizes = detector.hidden_layer_sizes
    if sizes is not None:
        sizes = tuple(int(size) for size in sizes)
        if any(size < 1 for size in sizes):
            raise SpecificationError(f"hidden_layer_sizes are positive integers, not {detector.hidden_layer_sizes!r}")
    rate, hidden = detector.learning_rate_init, detector.hidden_fraction
    return Specification(
        likelihood=None if _automatic(detector.likelihood) else resolve_likelihood(detector.likelihood),
        declared={str(name): kind for name, kind in (detector.columns or {}).items()},
        model_missing=bool(detector.model_missing),
        prior=resolve_prior(detector.prior),
        backbone=None if _automatic(detector.backbone) else resolve_backbone(detector.backbone),
        score=defaults.score if _automatic(detector.row_score) else resolve_score(detector.row_score),
        hidden_layer_sizes=sizes,
        activation=detector.activation,
        latent_dim=None if detector.latent_dim is None else int(detector.latent_dim),
        most_latents=defaults.latent_dim,
        n_estimators=detector.n_estimators or defaults.n_estimators,
        max_samples=detector.max_samples or defaults.max_samples,
        samples_by_default=detector.max_samples is None,
        validation_fraction=detector.validation_fraction,
        max_iter=detector.max_iter,
        batch_size=detector.batch_size,
        most_steps=defaults.most_steps,
        device=resolve_device(detector.device),
        matmul_precision=detector.matmul_precision,
        augment=detector.augment,
        plan=Plan(
            max_iter=defaults.max_iter if detector.max_iter is None else detector.max_iter,
            batch_size=detector.batch_size or BATCH_ROWS,
            learning_rate_init=defaults.learning_rate_init if rate is None else rate,
            weight_decay=detector.weight_decay,
            kl_warmup=detector.kl_warmup,
            hidden_fraction=defaults.hidden_fraction if hidden is None else hidden,
            trim_fraction=detector.trim_fraction,
            max_grad_norm=detector.max_grad_norm,
            early_stopping=detector.early_stopping,
            n_iter_no_change=detector.n_iter_no_change,
        ),
    )


def _automatic(given: object) -> bool:
    return isinstance(given, str) and given == AUTOMATIC
