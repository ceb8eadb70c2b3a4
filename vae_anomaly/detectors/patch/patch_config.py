"""What to fit on windows: the estimator's parameters, resolved."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from vae_anomaly.data import FloatArray
from vae_anomaly.detectors.patch.maps import top_mean
from vae_anomaly.detectors.patch.windows import Windows
from vae_anomaly.errors import SpecificationError
from vae_anomaly.fitting import MAX_LATENTS, Specification
from vae_anomaly.model import MLP, Plan, StandardNormal, resolve_device
from vae_anomaly.scores import ELBO, Reconstruction

if TYPE_CHECKING:
    from vae_anomaly.detectors.patch.patch_detector import PatchDetector

MASKED, WHOLE = "masked", "whole"
N_DRAWS = 2
RING, FAR, CELL, COARSEST_STRIDE = 16, 64, 4, 4

PARAMETER_CONSTRAINTS: dict[str, Any] = {
    "model": [StrOptions({MASKED, WHOLE})],
    "window": [Interval(Integral, 1, None, closed="left"), "array-like", None],
    "stride": [Interval(Integral, 1, None, closed="left"), None],
    "n_windows": [Interval(Integral, 256, None, closed="left")],
    "position": [StrOptions({"auto", "ignore", "use"})],
    "smoothing": [Interval(Real, 0, None, closed="left")],
    "top_pixels": [Interval(Integral, 1, None, closed="left"), None],
    "n_estimators": [Interval(Integral, 1, None, closed="left")],
    "latent_dim": [Interval(Integral, 1, MAX_LATENTS, closed="both"), None],
    "hidden_layer_sizes": ["array-like"],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "image_shape": ["array-like", None],
    "augment": [callable, None],
    "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
    "device": [StrOptions({"auto", "cpu", "cuda", "mps"})],
    "random_state": ["random_state", np.random.Generator],
    "verbose": ["verbose"],
}


@dataclass(frozen=True)
class Geometry:
    """Windows and how far apart they stand where an image is covered with them."""

    windows: Windows
    stride: int


def geometries_of(detector: PatchDetector, height: int, width: int) -> tuple[Geometry, ...]:
    """Windows of the model: hidden squares with their surroundings, or squares as a whole.

    Parameters
    ----------
    detector : PatchDetector
    height, width : int
        Of the images; of the windows that no user asked for, those that do not fit into them are left out.

    Raises
    ------
    SpecificationError
        If a side is not a positive integer, or windows would leave pixels out.
    DataError
        If the images are smaller than a window.
    """
    masked = detector.model == MASKED
    given = detector.window
    if given is None:
        given = (8, 16) if masked else (16,)
    sides = tuple(given) if isinstance(given, Iterable) else (given,)
    if not sides or not all(isinstance(side, Integral) and int(side) >= 1 for side in sides):
        raise SpecificationError(f"window={detector.window!r}; expected a positive integer, or several.")
    if detector.window is None:
        sides = tuple(side for side in sides if side <= min(height, width)) or sides[:1]
    if detector.stride is not None and detector.stride > min(sides):
        raise SpecificationError(
            f"stride={detector.stride} leaves pixels between windows of {min(sides)}x{min(sides)} that none covers; "
            f"expected at most {min(sides)}."
        )
    geometries = tuple(
        Geometry(_windows(int(side), masked=masked), detector.stride or max(1, min(int(side) // 2, COARSEST_STRIDE)))
        for side in sides
    )
    for geometry in geometries:
        geometry.windows.check(height, width)
    return geometries


def _windows(side: int, *, masked: bool) -> Windows:
    return Windows(side, side + RING, max(FAR, 3 * side), CELL) if masked else Windows(side, side, side)


@dataclass(frozen=True)
class Reading:
    """How a map becomes a score.

    Parameters
    ----------
    smoothing : float
        Standard deviation of the filter, in pixels.
    top_pixels : int
        How many of the largest values the score is the mean of.
    """

    smoothing: float
    top_pixels: int

    @classmethod
    def of(cls, detector: PatchDetector) -> Reading:
        """As the parameters say; by default as many pixels as one smoothed point covers, 4 pi sigma ** 2."""
        smoothing = float(detector.smoothing)
        return cls(smoothing, detector.top_pixels or max(1, round(4 * math.pi * smoothing**2)))

    def score(self, one: FloatArray) -> float:
        """Nats per pixel of a smoothed map."""
        return top_mean(one, self.top_pixels)


def specification_of(detector: PatchDetector) -> Specification:
    r"""How the windows' model is fitted.

    What is predicted from its surroundings has them for a prior: the latents carry what is known of them, at no cost,
    and :math:`\log p(c \mid s) \ge E_{q(z|s)} \log p(c \mid z)`, by Jensen, without a KL.
    """
    masked = detector.model == MASKED
    return Specification(
        likelihood=None,
        declared={},
        model_missing=False,
        prior=StandardNormal(),
        backbone=MLP(skip_connection=False),
        score=Reconstruction(1) if masked else ELBO(N_DRAWS),
        hidden_layer_sizes=tuple(int(size) for size in detector.hidden_layer_sizes),
        activation="silu",
        latent_dim=detector.latent_dim or (64 if masked else 8),
        most_latents=64,
        n_estimators=detector.n_estimators,
        max_samples=1.0,
        samples_by_default=False,
        validation_fraction=0.1,
        max_iter=detector.max_iter,
        batch_size=detector.batch_size,
        most_steps=detector.max_iter,
        device=resolve_device(detector.device),
        matmul_precision=None,
        mask_input=False,
        plan=Plan(
            max_iter=detector.max_iter,
            batch_size=detector.batch_size,
            learning_rate_init=detector.learning_rate_init,
            weight_decay=1e-4,
            kl_warmup=0.1,
            hidden_fraction=0.0,
            trim_fraction=0.0,
            max_grad_norm=1.0,
            early_stopping=True,
            n_iter_no_change=5,
            kl_weight=0.0 if masked else 1.0,
        ),
    )
