"""Each cell of a row, predicted from the row's other cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.fitting import map_chunks
from vae_anomaly.likelihoods import CellDistribution
from vae_anomaly.model import LOG_2PI, VAE, Posterior, precise

OUTER_SHARE = 0.05
MAX_PASSES = 512


@dataclass(frozen=True)
class Conditionals:
    """p(x_j | some other cells) of every cell, from the mixture over members and draws; in the model's order.

    Parameters
    ----------
    log_likelihood : Tensor of shape (rows, columns), float64
        Nats, in the units of the data; 0 where the cell is missing.
    position : Tensor of shape (rows, columns), float64
        Position of the cell in its distribution: log P(X <= x) - log P(X >= x) of ordered columns, and the logarithm of
        the probability of all levels that are at most as probable of the others; NaN where it is missing.
    expected, lower, upper : Tensor of shape (rows, columns)
        Expected cell and the ends of a plausible range, in model units; NaN for ranges that were not asked for or of
        columns without an order.
    """

    log_likelihood: Tensor
    position: Tensor
    expected: Tensor
    lower: Tensor
    upper: Tensor


def conditionals(
    vae: VAE,
    batch: Batch,
    noise: Tensor,
    columns: Sequence[Sequence[int]],
    *,
    hidden: Tensor | None = None,
    ranges: float | None = None,
) -> Conditionals:
    r"""Every cell, predicted from the row's other cells.

    .. math:: p(x_j \mid x_v) \approx \frac{1}{K M} \sum_{k,m} p_m(x_j \mid z_{km}), \qquad z_{km} \sim q_m(z \mid x_v)

    with v the cells that the encoder may see: all observed ones but those of column j, and those that are hidden.

    Parameters
    ----------
    vae : VAE
    batch : Batch
        Rows of shape (rows, columns).
    noise : Tensor of shape (members, draws, 1, latents)
        The stored noise.
    columns : sequence of sequences of int
        Positions, in the model's order, that belong to one column of the user's and are hidden together.
    hidden : bool Tensor of shape (rows, columns), optional
        Cells that the encoder may not see either.
    ranges : float, optional
        Probability that the plausible range holds.

    References
    ----------
    Mattei and Frellsen, "MIWAE: Deep generative modelling and imputation of incomplete data sets", ICML 2019, sec. 3.
    """
    hidden = torch.zeros_like(batch.observed) if hidden is None else hidden
    log_likelihood, *others = map_chunks(
        partial(_of_chunk, columns, ranges), vae, noise, batch, Batch(batch.values, hidden)
    )
    if batch.units is not None:
        log_likelihood = log_likelihood + batch.units.of_cells(batch.observed, charges_missing=False)
    return Conditionals(log_likelihood, *others)


def _of_chunk(
    columns: Sequence[Sequence[int]], ranges: float | None, vae: VAE, noise: Tensor, batch: Batch, masked: Batch
) -> tuple[Tensor, ...]:
    hidden = masked.observed
    features = vae.features(batch)
    shape = batch.values.shape
    log_likelihood = precise(torch.zeros(shape, device=batch.values.device))
    position, expected, lower, upper = (torch.full_like(log_likelihood, math.nan) for _ in range(4))
    weights = _equal_weights(vae, batch, noise)
    for indices in _passes(vae, columns):
        visible = batch.observed & ~hidden
        visible[:, list(indices)] = False
        z = vae.posterior(batch, visible, features).draw(noise).expand(-1, -1, len(batch), -1)
        for index, distribution in zip(indices, vae.decode_columns(z, indices), strict=True):
            cells = batch.values[:, index : index + 1]
            components = precise(distribution.log_prob(cells)).flatten(0, 1)
            mixture = components.logsumexp(0) - math.log(len(components))
            log_likelihood[:, index] = mixture.squeeze(-1)
            position[:, index] = distribution.position(cells, weights).squeeze(-1)
            if ranges is not None:
                for ends, share in ((lower, (1 - ranges) / 2), (upper, (1 + ranges) / 2)):
                    ends[:, index] = distribution.quantile(share, weights).squeeze(-1)
            expected[:, index] = distribution.expected(weights).squeeze(-1)
    log_likelihood = vae.in_data_units(log_likelihood, batch.values)
    return (
        log_likelihood.where(batch.observed, 0.0),
        position.where(batch.observed, math.nan),
        expected,
        lower,
        upper,
    )


def _passes(vae: VAE, columns: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Positions to hide in turn: one pass is enough for all columns that the encoder does not see.

    Of more than `MAX_PASSES` columns those that stand so far apart are hidden together: time grows with the columns
    then and not with their square, and neighbours, which tell most of one another, are still seen.
    """
    hidden_in_turn = [indices for indices in columns if min(indices) < vae.n_varying]
    if len(hidden_in_turn) > MAX_PASSES:
        hidden_in_turn = [sum(map(tuple, hidden_in_turn[first::MAX_PASSES]), ()) for first in range(MAX_PASSES)]
    constant = [index for indices in columns if min(indices) >= vae.n_varying for index in indices]
    return [*hidden_in_turn, constant] if constant else hidden_in_turn


def expected_cells(vae: VAE, batch: Batch, noise: Tensor, *, weighted: bool) -> Tensor:
    r"""What is expected of every cell, observed or not, given the row: the mean over draws and members, or a level.

    Parameters
    ----------
    vae : VAE
    batch : Batch
        Rows of shape (rows, columns).
    noise : Tensor of shape (members, draws, 1, latents)
        The stored noise.
    weighted : bool
        Whether draws count by their importance :math:`p_m(x_{obs} \mid z)\, p(z) / q_m(z \mid x_{obs})` with the prior
        of the training, N(0, I), which lowers the error of imputed cells; otherwise all alike.

    Returns
    -------
    Tensor of shape (rows, columns), float64, on the CPU
        Model units.

    References
    ----------
    Mattei and Frellsen, "MIWAE: Deep generative modelling and imputation of incomplete data sets", ICML 2019, eq. 12.
    """
    return map_chunks(partial(_expected_of_chunk, weighted), vae, noise, batch)[0]


def _expected_of_chunk(weighted: bool, vae: VAE, noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    posterior = vae.posterior(part)
    z = posterior.draw(noise).expand(-1, -1, len(part), -1)
    distributions = vae.decode(z)
    weights = _weights(vae, part, posterior, z, distributions) if weighted else _equal_weights(vae, part, noise)
    return (torch.cat([distribution.expected(weights) for distribution in distributions], -1),)


def _equal_weights(vae: VAE, batch: Batch, noise: Tensor) -> Tensor:
    """Of members and draws: (members, draws, rows, 1)."""
    return noise.new_full((vae.n_members, noise.shape[1], len(batch), 1), 1 / (vae.n_members * noise.shape[1]))


def _weights(
    vae: VAE, batch: Batch, posterior: Posterior, z: Tensor, distributions: Sequence[CellDistribution]
) -> Tensor:
    """Importance of members and draws, normalised: (members, draws, rows, 1)."""
    cells = [
        distribution.log_prob(batch.values[:, group.columns]).where(batch.observed[:, group.columns], 0.0)
        for group, distribution in zip(vae.groups, distributions, strict=True)
    ]
    log_likelihood = precise(torch.cat(cells, -1)).sum(-1)
    log_prior = -0.5 * (precise(z).square() + LOG_2PI).sum(-1)
    log_weights = log_likelihood + log_prior - precise(posterior.log_prob(z))
    return log_weights.flatten(0, 1).softmax(0).view_as(log_weights).unsqueeze(-1).to(z.dtype)


def tail_probability(position: Tensor, reference: Tensor, ordered: Sequence[bool], own: Tensor | None = None) -> Tensor:
    """How rare a position is among training cells of the same column, in (0, 1].

    Two-sided for ordered columns: twice the smaller share of training cells that are at least as far out on a side.
    Beyond the outermost training cell the share falls on exponentially, with the mean excess of the outer
    twentieth, and at least 1, as its scale: the theory's for a calibrated model, whose log-odds are logistic.

    Parameters
    ----------
    position : Tensor of shape (rows, columns)
        NaN gives NaN.
    reference : Tensor of shape (training rows, columns)
        Sorted, NaN last; without any row the model's own probabilities count.
    ordered : sequence of bool
        Of each column.
    own : Tensor of shape (rows, columns), optional
        What each cell has itself in the reference, where it does not count; NaN for those that have nothing there.

    References
    ----------
    Pickands, "Statistical inference using extreme order statistics", Annals of Statistics 3, 1975 (exponential tails).
    """
    result = torch.full_like(position, math.nan)
    for index, two_sided in enumerate(ordered):
        known = reference[:, index].double()
        known = known[~known.isnan()]
        cells = position[:, index].contiguous()
        if len(known):
            mine = None if own is None else own[:, index].double()
            lower = _share_below(cells, known, mine)
            upper = _share_below(-cells, -known.flip(0), None if mine is None else -mine)
        else:
            lower, upper = (cells.sigmoid(), (-cells).sigmoid()) if two_sided else (cells.exp(), cells)
        share = (2 * torch.minimum(lower, upper)).clamp(max=1) if two_sided else lower
        result[:, index] = share.where(~cells.isnan(), math.nan)
    return result


def _share_below(cells: Tensor, known: Tensor, own: Tensor | None = None) -> Tensor:
    # Single precision keeps about seven digits of a position.
    margin = 1e-5 * (1 + cells.nan_to_num(0.0).abs())
    count = torch.searchsorted(known, cells + margin, right=True)
    outer = known[: max(1, int(OUTER_SHARE * len(known)))]
    excess = outer[-1] - outer
    if own is None:
        n, first, scale = torch.tensor(len(known)), known[0], excess.mean()
    else:
        n = len(known) - (~own.isnan()).long()
        count = count - (own <= cells + margin).long()
        first = torch.where(own == known[0], known[1:2] if len(known) > 1 else cells, known[:1])
        own_excess = (outer[-1] - own).nan_to_num(0.0).clamp(min=0)
        scale = (excess.sum() - own_excess) / (len(outer) - (own <= outer[-1]).long()).clamp(min=1)
    beyond = torch.exp(-(first - cells).clamp(min=0) / scale.clamp(min=1.0))
    return torch.where(count == 0, beyond / (n + 1), (count + 1) / (n + 1)).clamp(max=1)
