"""The KL to each prior as nodes of a graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from vae_anomaly.errors import SpecificationError
from vae_anomaly.export.expressions import DOUBLE, FLOAT, Value, as_array
from vae_anomaly.export.fingerprints import leave_one_out
from vae_anomaly.model import FittedExemplar, FittedMixture, FittedPrior, FittedStandardNormal


def _of_standard_normal(prior: FittedStandardNormal, mean: Value, log_variance: Value, _fingerprints: Value) -> Value:
    return ((mean.square() + log_variance.exp() - log_variance).sum(-1) - float(prior.latent_dim)) * 0.5


def _of_mixture(prior: FittedMixture, mean: Value, log_variance: Value, _fingerprints: Value) -> Value:
    return _of_components(prior, mean, log_variance, None)


def _of_exemplar(prior: FittedExemplar, mean: Value, log_variance: Value, fingerprints: Value) -> Value:
    n_exemplars = prior.mean.shape[1]
    known = as_array(prior.fingerprints)[:, None]
    # A training row must not raise its own density.
    without = leave_one_out(fingerprints, known) if n_exemplars > 1 else None
    return _of_components(prior, mean, log_variance, without) + math.log(n_exemplars)


def _of_components(
    prior: FittedMixture | FittedExemplar, mean: Value, log_variance: Value, without: Value | None
) -> Value:
    components = prior.components
    dtype = FLOAT if components.matrix.dtype == torch.float32 else DOUBLE
    distance = mean.to(dtype) - as_array(components.origin)
    moments = mean.graph.concat([distance.square() + log_variance.exp().to(dtype), distance], -1)
    log_components = moments.matmul(as_array(components.matrix)) + as_array(components.offset)
    mixture = (log_components if without is None else log_components + without.to(dtype)).logsumexp(-1)
    of_row = log_variance.sum(-1) + float(prior.mean.shape[-1])
    return (-mixture - of_row.to(dtype) * 0.5).to(FLOAT)


PRIOR_GRAPHS: dict[type[FittedPrior], Callable[[Any, Value, Value, Value], Value]] = {
    FittedExemplar: _of_exemplar,
    FittedMixture: _of_mixture,
    FittedStandardNormal: _of_standard_normal,
}


def kl_graph(prior: FittedPrior, mean: Value, log_variance: Value, fingerprints: Value) -> Value:
    """KL(q(z | x) || p(z)), or its bound, for a posterior of shape (members, rows, latents): (members, rows), nats.

    Raises
    ------
    SpecificationError
        If the prior has no graph.
    """
    if type(prior) not in PRIOR_GRAPHS:
        raise SpecificationError(
            f"the prior {type(prior).__name__.removeprefix('Fitted')} has no ONNX graph; expected one of "
            f"{', '.join(sorted(known.__name__.removeprefix('Fitted') for known in PRIOR_GRAPHS))}. Fit with another "
            "prior, or score with the model file."
        )
    return PRIOR_GRAPHS[type(prior)](prior, mean, log_variance, fingerprints)
