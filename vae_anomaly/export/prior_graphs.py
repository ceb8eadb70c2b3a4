"""The KL to each prior as nodes of a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vae_anomaly.errors import SpecificationError
from vae_anomaly.export.expressions import Value
from vae_anomaly.model import FittedPrior, FittedStandardNormal


def _of_standard_normal(prior: FittedStandardNormal, mean: Value, log_variance: Value, _fingerprints: Value) -> Value:
    return ((mean.square() + log_variance.exp() - log_variance).sum(-1) - float(prior.latent_dim)) * 0.5


PRIOR_GRAPHS: dict[type[FittedPrior], Callable[[Any, Value, Value, Value], Value]] = {
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
