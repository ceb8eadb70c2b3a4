"""What each parameter of the estimator may be, in scikit-learn's terms."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions

from vae_anomaly.fitting import MAX_LATENTS
from vae_anomaly.likelihoods import Likelihood
from vae_anomaly.model import ACTIVATIONS, PRECISIONS, Backbone, Prior
from vae_anomaly.scores import Score

PARAMETER_CONSTRAINTS: dict[str, Any] = {
    "n_estimators": [Interval(Integral, 1, None, closed="left"), None],
    "max_samples": [Interval(Integral, 2, None, closed="left"), Interval(RealNotInt, 0, 1, closed="right"), None],
    "latent_dim": [Interval(Integral, 1, MAX_LATENTS, closed="both"), None],
    "hidden_layer_sizes": ["array-like", None],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "backbone": [str, Backbone],
    "likelihood": [str, Likelihood],
    "columns": [Mapping, None],
    "model_missing": ["boolean"],
    "image_shape": ["array-like", None],
    "augment": [callable, None],
    "prior": [str, Prior],
    "row_score": [str, Score],
    "batch_size": [Interval(Integral, 1, None, closed="left"), None],
    "max_iter": [Interval(Integral, 1, None, closed="left"), None],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither"), None],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither")],
    "kl_warmup": [Interval(Real, 0, 1, closed="both")],
    "hidden_fraction": [Interval(Real, 0, 1, closed="left"), None],
    "trim_fraction": [Interval(Real, 0, 1, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
    "device": [StrOptions({"auto", "cpu", "cuda", "mps"})],
    "matmul_precision": [StrOptions(set(PRECISIONS)), None],
    "warm_start": ["boolean"],
    "random_state": ["random_state", np.random.Generator],
    "verbose": ["verbose"],
}
