"""From the terms of the ELBO to the score of each row, as nodes of a graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from vae_anomaly.errors import SpecificationError
from vae_anomaly.export.expressions import Value, as_array
from vae_anomaly.export.kernel_graph import kernel_graph
from vae_anomaly.export.network import TermsGraph
from vae_anomaly.model import KNOTS
from vae_anomaly.scores import ELBO, KL, ELBOPerCell, PooledELBO, Reconstruction, Score


def _elbo(_score: Score, terms: TermsGraph) -> Value:
    return terms.log_likelihood - terms.kl


def _elbo_per_cell(score: Score, terms: TermsGraph) -> Value:
    n_observed = (1.0 - terms.missing).sum(-1).at_least(1.0)
    return _elbo(score, terms) / n_observed


def _reconstruction(_score: Score, terms: TermsGraph) -> Value:
    return terms.log_likelihood


def _kl(_score: Score, terms: TermsGraph) -> Value:
    return -terms.kl


def _pooled_elbo(score: PooledELBO, terms: TermsGraph) -> Value:
    weights = np.array(score.weights)
    bounds = [_elbo(score, terms), *([terms.marginal] if score.independence else [])]
    if score.kernels:
        assert terms.vae.kernels is not None
        bounds.append(kernel_graph(terms, terms.vae.kernels))
    # (rows, experts)
    found = terms.graph.concat([bound.with_axis(1) for bound in bounds], 1)
    charged = _charges(terms) if score.uses_experts else None
    if charged is not None:
        found = found - charged
    if score.sharpness == 0:
        pooled = (found * weights).sum(-1)
    else:
        assert terms.vae.experts is not None
        medians = _of_pool(as_array(terms.vae.experts.medians), terms.vae.n_members)
        exponents = (found - medians) * -score.sharpness + np.log(weights)
        pooled = float(weights @ medians) - exponents.logsumexp(1) / score.sharpness
    if charged is not None and score.missing == "ignored":
        pooled = pooled + (charged * weights).sum(-1)
    return pooled


def _charges(terms: TermsGraph) -> Value | None:
    """What each expert charges for missing cells and for their combination: (rows, experts), float64."""
    experts = terms.vae.experts
    if experts is None:
        return None
    n_members = terms.vae.n_members
    counted = as_array(experts.counted).astype(np.float64)
    share = terms.missing.matmul(counted[:, None] / max(counted.sum(), 1.0))
    low, high = (np.array(ends) for ends in zip(*itertools.pairwise(KNOTS), strict=True))
    stretches: Value = ((share - low) / (high - low)).at_least(0.0).at_most(1.0)
    cells, combination = (
        _of_pool(as_array(part).astype(np.float64), n_members) for part in (experts.cells, experts.combination)
    )
    steps = np.diff(combination, axis=-1, prepend=0.0)
    return terms.missing.matmul(cells.T) + stretches.matmul(steps.T)


def _of_pool(of_experts: np.ndarray, n_members: int) -> np.ndarray:
    """From (experts, ...) to (1 + others, ...): the mean of the members before the others."""
    return np.concatenate([of_experts[:n_members].mean(0, keepdims=True), of_experts[n_members:]])


SCORE_GRAPHS: dict[type[Score], Callable[[Any, TermsGraph], Value]] = {
    ELBO: _elbo,
    ELBOPerCell: _elbo_per_cell,
    KL: _kl,
    PooledELBO: _pooled_elbo,
    Reconstruction: _reconstruction,
}


def score_graph(score: Score, terms: TermsGraph) -> Value:
    """The score of each row: (rows,), float64, nats.

    Raises
    ------
    SpecificationError
        If it has no graph.
    """
    if type(score) not in SCORE_GRAPHS:
        raise SpecificationError(
            f"the score {type(score).__name__} has no ONNX graph; expected one of "
            f"{', '.join(sorted(known.__name__ for known in SCORE_GRAPHS))}. Fit with another row_score, or score with "
            "the model file."
        )
    return SCORE_GRAPHS[type(score)](score, terms)
