"""What to fit on windows: the estimator's parameters, resolved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from vae_anomaly.decisions import FixedScore
from vae_anomaly.detectors.parameters import checked_layer_sizes
from vae_anomaly.detectors.patch.windows import Windows
from vae_anomaly.errors import SpecificationError
from vae_anomaly.fitting import MAX_LATENTS, FitConfig, NetworkConfig, SplitConfig
from vae_anomaly.model import MLP, UNCHANGED, StandardNormal, TrainingConfig, resolve_device
from vae_anomaly.scores import ELBO, Reconstruction

MASKED, WHOLE = "masked", "whole"
WINDOW_ACTIVATION = "silu"
N_DRAWS = 2
MASKED_LATENTS, WHOLE_LATENTS = 64, 8
RING, FAR, CELL, MAX_STRIDE = 16, 64, 4, 4
MAX_SMOOTHING = 1000

PARAMETER_CONSTRAINTS: dict[str, Any] = {
    "model": [StrOptions({MASKED, WHOLE})],
    "window": [Interval(Integral, 1, None, closed="left"), "array-like", None],
    "stride": [Interval(Integral, 1, None, closed="left"), None],
    "n_windows": [Interval(Integral, 256, None, closed="left")],
    "position": [StrOptions({"auto", "ignore", "use"})],
    "smoothing": [Interval(Real, 0, MAX_SMOOTHING, closed="both")],
    "top_pixels": [Interval(Integral, 1, None, closed="left"), None],
    "n_estimators": [Interval(Integral, 1, None, closed="left")],
    "latent_dim": [Interval(Integral, 1, MAX_LATENTS, closed="both"), None],
    "hidden_layer_sizes": ["array-like"],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "image_shape": ["array-like", None],
    "augment": [callable, str, "array-like", None],
    "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
    "calibration": [StrOptions({"auto", "split"}), None],
    "device": [StrOptions({"auto", "cpu", "cuda", "mps"})],
    "random_state": ["random_state", np.random.Generator],
    "verbose": ["verbose"],
    "callbacks": [list, tuple, None],
}


@dataclass(frozen=True)
class Geometry:
    """Windows and how far apart they stand where an image is covered with them."""

    windows: Windows
    stride: int


def geometries_of(
    window: int | Sequence[int] | None, stride: int | None, height: int, width: int, *, masked: bool
) -> tuple[Geometry, ...]:
    """Windows of the model: hidden squares with their surroundings, or squares as a whole.

    Parameters
    ----------
    window, stride : int, sequence of int or None
        As given to `PatchDetector`.
    height, width : int
        Of the images; of the windows that no user asked for, those that do not fit into them are left out.
    masked : bool
        Whether squares are hidden and predicted.

    Raises
    ------
    SpecificationError
        If a side is not a positive integer, or windows would leave pixels out.
    DataError
        If the images are smaller than a window.
    """
    given = window
    if given is None:
        given = (8, 16) if masked else (16,)
    sides = tuple(given) if isinstance(given, Iterable) else (given,)
    if not sides or not all(isinstance(side, Integral) and int(side) >= 1 for side in sides):
        raise SpecificationError(f"window={window!r}; expected a positive integer, or several.")
    if window is None:
        sides = tuple(side for side in sides if side <= min(height, width)) or sides[:1]
    if stride is not None and stride > min(sides):
        raise SpecificationError(
            f"stride={stride} leaves pixels between windows of {min(sides)}x{min(sides)} that none covers; "
            f"expected at most {min(sides)}."
        )
    geometries = tuple(
        Geometry(_windows(int(side), masked=masked), stride or max(1, min(int(side) // 2, MAX_STRIDE)))
        for side in sides
    )
    for geometry in geometries:
        geometry.windows.check(height, width)
    return geometries


def default_top_pixels(smoothing: float) -> int:
    """As many pixels as one smoothed point covers, 4 pi sigma ** 2."""
    return max(1, round(4 * math.pi * smoothing**2))


def _windows(side: int, *, masked: bool) -> Windows:
    return Windows(side, side + RING, max(FAR, 3 * side), CELL) if masked else Windows(side, side, side)


def windows_config(
    *,
    masked: bool,
    n_members: int,
    latent_dim: int | None,
    hidden_layer_sizes: Sequence[int],
    max_iter: int,
    batch_size: int,
    learning_rate_init: float,
    device: str,
) -> FitConfig:
    r"""How the windows' model is fitted.

    What is predicted from its surroundings has them for a prior: the latents carry what is known of them, at no cost,
    and :math:`\log p(c \mid s) \ge E_{q(z|s)} \log p(c \mid z)`, by Jensen, without a KL.  Windows have no threshold
    of their own: images have one.
    """
    return FitConfig(
        network=NetworkConfig(
            n_members=n_members,
            latent_dim=latent_dim or (MASKED_LATENTS if masked else WHOLE_LATENTS),
            backbone=MLP(skip_connection=False),
            hidden_layer_sizes=checked_layer_sizes(hidden_layer_sizes),
            activation=WINDOW_ACTIVATION,
            mask_input=False,
        ),
        training=TrainingConfig(
            max_iter=max_iter,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            weight_decay=1e-4,
            kl_warmup=0.1,
            hidden_fraction=0.0,
            trim_fraction=0.0,
            max_grad_norm=1.0,
            early_stopping=True,
            n_iter_no_change=5,
            kl_weight=0.0 if masked else 1.0,
        ),
        split=SplitConfig(max_samples=1.0, validation_fraction=0.1, calibration="none", max_share=1.0),
        prior=StandardNormal(),
        score=Reconstruction(1) if masked else ELBO(N_DRAWS),
        threshold=FixedScore(math.inf),
        device=resolve_device(device),
        matmul_precision=UNCHANGED,
    )
