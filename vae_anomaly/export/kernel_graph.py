"""The bound of kernels at training rows as nodes of a graph."""

from __future__ import annotations

import math

import numpy as np

from vae_anomaly.export.expressions import DOUBLE, Value, as_array
from vae_anomaly.export.fingerprints import leave_one_out
from vae_anomaly.export.network import TermsGraph
from vae_anomaly.model import LEVEL_SMOOTHING, ArrangedKernels, Kernels

OF_ANY_LEVEL = math.log(LEVEL_SMOOTHING)


def kernel_graph(terms: TermsGraph, kernels: Kernels) -> Value:
    """log p(x) of the kernels in the units of the data, `kernel_bound`: (rows,), float64, nats."""
    arranged = kernels.arranged()
    seen = 1.0 - terms.missing
    marginal, slope = terms.marginal_cells, terms.log_slope.to(DOUBLE)
    ordered = terms.graph.constant(as_array(kernels.bandwidths) > 0)
    of_row = (ordered.where(slope, marginal) * seen).sum(-1)
    total = leave_one_out(terms.fingerprints, as_array(kernels.fingerprints)[None])
    if len(arranged.numeric):
        total = total + _of_numbers(terms, arranged, seen, marginal - slope)
    # The log-Jacobian of levels is that of parts of dates.
    share = (as_array(terms.vae.log_jacobian).astype(np.float64) - marginal).exp()
    gain = ((share * (1 - LEVEL_SMOOTHING) + LEVEL_SMOOTHING).log() - OF_ANY_LEVEL) * seen
    if len(arranged.few):
        total = total + _of_few_levels(terms, arranged, seen, gain)
    for column, position in enumerate(as_array(arranged.many).tolist()):
        own = np.array([position])
        matches = terms.values.take(own, 1).equals(as_array(kernels.values)[:, position]).to(DOUBLE)
        of_level = seen.take(own, 1) * OF_ANY_LEVEL + matches * gain.take(own, 1)
        total = total + of_level * as_array(arranged.present_many)[column]
    return total.logsumexp(1) - math.log(kernels.n_centres) + of_row


def _of_numbers(terms: TermsGraph, arranged: ArrangedKernels, seen: Value, alone: Value) -> Value:
    """Of the columns with an order: (rows, centres)."""
    places = as_array(arranged.numeric)
    seen, cells = seen.take(places, 1), terms.values.take(places, 1).to(DOUBLE)
    powers = [cells.square() * seen, cells * seen, seen]
    if not arranged.whole:
        powers.append(alone.take(places, 1) * seen)
    return terms.graph.concat(powers, 1).matmul(as_array(arranged.coefficients)[: len(powers) * len(places)])


def _of_few_levels(terms: TermsGraph, arranged: ArrangedKernels, seen: Value, gain: Value) -> Value:
    """Of the columns without an order of whose levels the centres hold few: (rows, centres)."""
    places, n_slots = as_array(arranged.few), as_array(arranged.n_slots)
    owners = np.repeat(places, n_slots)
    levels = np.concatenate([np.arange(n) for n in n_slots])
    matches = terms.values.take(owners, 1).equals(levels).to(DOUBLE) * gain.take(owners, 1)
    present = (seen.take(places, 1) * OF_ANY_LEVEL).matmul(as_array(arranged.present_few))
    return present + matches.matmul(as_array(arranged.one_hot)[:-1])
