"""What the parameters of `VAEDetector` may be, and what their automatic values stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Final

import numpy as np
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions

from vae_anomaly.columns import Augment, BaselineSpecification, Encoder, resolve_augment
from vae_anomaly.decisions import MIN_DEVIATION, Contamination, FixedScore, RobustFence, ThresholdRule
from vae_anomaly.detectors.reading import Reading
from vae_anomaly.detectors.training_plan import TrainingPlan
from vae_anomaly.errors import SpecificationError
from vae_anomaly.fitting import MAX_LATENTS, can_stop
from vae_anomaly.likelihoods import Likelihood, resolve_likelihood
from vae_anomaly.model import (
    ACTIVATIONS,
    MLP,
    Backbone,
    Convolutional,
    Exemplar,
    Mixture,
    Prior,
    resolve_backbone,
    resolve_prior,
)
from vae_anomaly.scores import PooledELBO, Score, Surprise, resolve_score

AUTO = "auto"
DEFAULT: Final = "default"
ACCURATE: Final = "accurate"
ROBUST: Final = "robust"
WIDE_COLUMNS = 32
UNSTOPPED_STEPS, USUAL_FRACTION = 100, 0.1
MAX_FLAT_PIXELS = 4096
MIN_SAMPLES, MAX_CELLS = 256, 1 << 28
BATCH_ROWS, MIN_BATCH_IMAGES, BATCH_PIXELS = 128, 16, 1 << 19

PARAMETER_CONSTRAINTS: dict[str, Any] = {
    "preset": [StrOptions({DEFAULT, ACCURATE, ROBUST})],
    "n_estimators": [Interval(Integral, 1, None, closed="left"), None],
    "max_samples": [Interval(Integral, 2, None, closed="left"), Interval(RealNotInt, 0, 1, closed="right"), None],
    "latent_dim": [Interval(Integral, 1, MAX_LATENTS, closed="both"), None],
    "hidden_layer_sizes": ["array-like", None],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "backbone": [str, Backbone],
    "likelihood": [str, Likelihood],
    "columns": [Mapping, None],
    "reading": [Reading, None],
    "missing_values": "no_validation",
    "model_missing": ["boolean"],
    "image_shape": ["array-like", None],
    "augment": [callable, str, "array-like", None],
    "prior": [str, Prior],
    "row_score": [str, Score],
    "batch_size": [Interval(Integral, 1, None, closed="left"), None],
    "max_iter": [Interval(Integral, 1, None, closed="left"), None],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither"), None],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "training": [TrainingPlan, None],
    "contamination": [StrOptions({AUTO}), Interval(Real, 0, 0.5, closed="right")],
    "calibration": [StrOptions({AUTO, "split", "cross"}), None],
    "calibration_groups": [str, None],
    "baseline_by": [str, "array-like", None],
    "baseline_time": [str, None],
    "baseline_units": [StrOptions({"data", "group"})],
    "strict_columns": ["boolean"],
    "device": [StrOptions({"auto", "cpu", "cuda", "mps"})],
    "warm_start": ["boolean"],
    "random_state": ["random_state", np.random.Generator],
    "verbose": ["verbose"],
    "callbacks": [list, tuple, None],
    "n_jobs": [Interval(Integral, 1, None, closed="left"), Interval(Integral, None, -1, closed="right"), None],
}


def resolved_baseline(by: Any, time: str | None, units: str) -> BaselineSpecification | None:
    """What numbers are compared by; None where they are not.

    Raises
    ------
    SpecificationError
        If a key is no name.
    """
    keys = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    wrong = next((key for key in keys if not isinstance(key, str)), None)
    if wrong is not None:
        raise SpecificationError(f"baseline_by names columns by text, not {wrong!r}. Columns of arrays are x0, x1, ...")
    if not keys and time is None:
        return None
    return BaselineSpecification(tuple(map(str, keys)), time, own_units=units == "data")


@dataclass(frozen=True)
class Defaults:
    """What automatic parameters stand for.

    Parameters
    ----------
    n_estimators, max_samples : int
    max_share : float
        Largest share of all rows that a member trains on.
    max_latent_dim : int
        Rows with fewer columns that vary have as many latent variables as these.
    min_iter, max_iter : int
        Steps for narrow and for wide rows.
    learning_rate_init, hidden_fraction, trim_fraction : float
    prior : Prior
    score : Score
    """

    n_estimators: int
    max_samples: int
    max_share: float
    max_latent_dim: int
    min_iter: int
    max_iter: int
    learning_rate_init: float
    hidden_fraction: float
    trim_fraction: float
    prior: Prior
    score: Score


FOR_TABLES = Defaults(
    n_estimators=4,
    max_samples=4096,
    max_share=1.0,
    max_latent_dim=16,
    min_iter=700,
    max_iter=1000,
    learning_rate_init=0.02,
    hidden_fraction=0.6,
    trim_fraction=0.0,
    prior=Mixture(),
    score=PooledELBO(),
)
CLOSE = PooledELBO(independence=0.1, kernels=0.45, sharpness=0.0, n_kernels=4096)
"""Half of it kernels at training rows, which follow the data closely, anomalies among them included."""
# What the training rows are taken for: see `VAEDetector`.
PRESETS: dict[str, Defaults] = {
    DEFAULT: FOR_TABLES,
    ACCURATE: replace(FOR_TABLES, score=CLOSE),
    ROBUST: replace(FOR_TABLES, max_share=0.5, min_iter=300, max_iter=300, trim_fraction=0.15),
}
FOR_IMAGES = Defaults(
    n_estimators=1,
    max_samples=16_384,
    max_share=1.0,
    max_latent_dim=16,
    min_iter=1200,
    max_iter=1200,
    learning_rate_init=0.003,
    hidden_fraction=0.0,
    trim_fraction=0.0,
    prior=Exemplar(),
    score=Surprise(),
)


def defaults_for(preset: str, *, images: bool) -> Defaults:
    """What automatic parameters stand for.

    Parameters
    ----------
    preset : str
        In `PRESETS`.
    images : bool
        Whether the rows are images, which have one preset.
    """
    return FOR_IMAGES if images else PRESETS[preset]


def resolved_likelihood(likelihood: str | Likelihood) -> Likelihood | None:
    """The likelihood of numeric columns or pixels; None where it goes by what they hold."""
    return None if _is_auto(likelihood) else resolve_likelihood(likelihood)


def resolved_backbone(backbone: str | Backbone, encoder: Encoder) -> Backbone:
    """By default fully connected layers for tables and small images; larger ones would need millions of weights.

    On images of 28 x 28 pixels convolutions were slower and no better: ``reports/benchmarks/images.md``.
    """
    if not _is_auto(backbone):
        return resolve_backbone(backbone)
    large = encoder.takes_images and encoder.n_model_columns > MAX_FLAT_PIXELS
    return Convolutional() if large else MLP()


def resolved_layer_sizes(sizes: Sequence[int] | None, backbone: Backbone, encoder: Encoder) -> tuple[int, ...]:
    """Hidden layers of the encoder; by default those of the backbone.

    Raises
    ------
    SpecificationError
        If a layer has no units.
    """
    return backbone.layer_sizes(encoder.grid) if sizes is None else checked_layer_sizes(sizes)


def checked_layer_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Hidden layers as they were given.

    Raises
    ------
    SpecificationError
        If a layer does not have a positive whole number of units.
    """
    if any(not isinstance(size, Real) or not size >= 1 or size % 1 for size in sizes):
        raise SpecificationError(f"hidden_layer_sizes are positive integers, not {sizes!r}")
    return tuple(int(size) for size in sizes)


def resolved_latent_dim(latent_dim: int | None, encoder: Encoder, defaults: Defaults) -> int:
    """By default the number of columns that vary, up to a limit."""
    if latent_dim is not None:
        return int(latent_dim)
    return min(max(encoder.n_varying, 1), defaults.max_latent_dim)


def resolved_max_iter(
    max_iter: int | None, encoder: Encoder, defaults: Defaults, n_rows: int, validation_fraction: float
) -> int:
    """Optimisation steps; by default wide rows get more, with the square root of their width.

    Tables with too few rows to stop by get few: of 59 rows 700 steps left a held-out bound 22 nats below that of 100.
    """
    if max_iter is not None:
        return max_iter
    steps = round(defaults.min_iter * math.sqrt(encoder.n_varying / WIDE_COLUMNS))
    steps = min(max(steps, defaults.min_iter), defaults.max_iter)
    enough = encoder.takes_images or can_stop(n_rows, max(validation_fraction, USUAL_FRACTION))
    return steps if enough else min(steps, UNSTOPPED_STEPS)


def resolved_batch_size(batch_size: int | None, encoder: Encoder) -> int:
    """Rows of a mini-batch; by default fewer large images."""
    if batch_size is not None:
        return batch_size
    if not encoder.takes_images:
        return BATCH_ROWS
    return max(MIN_BATCH_IMAGES, min(BATCH_PIXELS // encoder.n_varying, BATCH_ROWS))


def resolved_max_samples(max_samples: int | float | None, encoder: Encoder, defaults: Defaults) -> int | float:
    """Rows per member; by default fewer large images."""
    if max_samples is not None:
        return max_samples
    default = defaults.max_samples
    return min(default, max(MIN_SAMPLES, MAX_CELLS // encoder.n_varying)) if encoder.takes_images else default


def resolved_max_share(max_samples: int | float | None, defaults: Defaults) -> float:
    """Largest share of all rows that a member trains on; the number of rows is as it is given."""
    return defaults.max_share if max_samples is None else 1.0


def resolved_score(row_score: str | Score, defaults: Defaults) -> Score:
    """What rows are scored by.

    Raises
    ------
    SpecificationError
        If there is no such score.
    """
    return defaults.score if _is_auto(row_score) else resolve_score(row_score)


def resolved_prior(prior: str | Prior, defaults: Defaults) -> Prior:
    """p(z) that rows are scored against.

    Raises
    ------
    SpecificationError
        If there is no such prior.
    """
    return defaults.prior if _is_auto(prior) else resolve_prior(prior)


def check_names(
    row_score: str | Score,
    backbone: str | Backbone,
    likelihood: str | Likelihood,
    prior: str | Prior,
    augment: Augment | Sequence[str] | None,
) -> None:
    """Refuse names that are in no table.

    Raises
    ------
    SpecificationError
        If one is not.
    """
    if not _is_auto(row_score):
        resolve_score(row_score)
    if not _is_auto(backbone):
        resolve_backbone(backbone)
    resolved_likelihood(likelihood)
    if not _is_auto(prior):
        resolve_prior(prior)
    resolve_augment(augment)


def check_suits_images(preset: str) -> None:
    """Refuse presets that are for tables alone.

    Raises
    ------
    SpecificationError
        If it is one.
    """
    if preset != DEFAULT:
        raise SpecificationError(
            f"preset={preset!r} is for rows of a table, and the rows are images. Take 'default'; row_score says what "
            "images are scored by."
        )


def check_suits_tables(
    row_score: str | Score, backbone: str | Backbone, augment: Augment | Sequence[str] | None
) -> None:
    """Refuse what is for images alone.

    Raises
    ------
    SpecificationError
        If the score, the backbone or `augment` is.
    """
    if resolve_augment(augment) is not None:
        raise SpecificationError("augment changes images, and the rows are of a table. Leave it out.")
    if not _is_auto(backbone):
        resolve_backbone(backbone).layer_sizes(None)
    if not _is_auto(row_score) and resolve_score(row_score).for_images:
        raise SpecificationError(
            f"row_score={type(resolve_score(row_score)).__name__} compares pixels with their neighbours, and the rows "
            "are of a table. Take 'elbo', 'debiased_elbo', 'likelihood_regret' or 'likelihood_path'."
        )


def resolved_threshold(contamination: str | float, score: Score) -> ThresholdRule:
    """How the threshold is found: "auto" goes by the meaning of the score, or by the spread of the scores."""
    if score.fixed_offset is not None and isinstance(contamination, str):
        return FixedScore(-score.fixed_offset, "fixed")
    return resolved_rule(contamination)


def resolved_rule(contamination: str | float, min_deviation: float = MIN_DEVIATION) -> ThresholdRule:
    """How the threshold of a score without one of its own is found."""
    return RobustFence(min_deviation) if isinstance(contamination, str) else Contamination(contamination)


def _is_auto(given: object) -> bool:
    return isinstance(given, str) and given == AUTO
