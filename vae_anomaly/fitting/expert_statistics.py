"""Learning what the experts of a pool say of training rows, and of rows some of whose cells are hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vae_anomaly.columns import Batch, Encoder, TableEncoder
from vae_anomaly.decisions import Decisions
from vae_anomaly.fitting.chunks import chunk_rows, map_chunks
from vae_anomaly.fitting.partition import NO_FOLD, IntArray, Partition, TrainingRows
from vae_anomaly.model import VAE, Experts, elbo_terms, missing_share, precise, stretches
from vae_anomaly.scores import PooledELBO

Evaluate = Callable[[Batch, Batch], tuple[Tensor, Tensor]]
"""Surprise of each cell, (experts, rows, columns), and KL, (experts, rows), of rows when others are visible."""

SEED_OF_HIDING = 16
N_HIDINGS, MAX_HIDING_ROWS = 4, 256
MIN_ROWS, MAX_ROWS, MAX_CELLS = 64, 1024, 1 << 18
MIN_UNSEEN, ENOUGH_UNSEEN = 32, 256
# A model that is right has a surprise of a cell that far above the median once in 20,000 cells.
MAX_EXCESS, MAX_SPREADS = 10.0, 10.0
PRIOR_ROWS = 8


@dataclass(frozen=True)
class Cells:
    """Which of the model's columns are missing together.

    Parameters
    ----------
    owners : int Tensor of shape (columns,)
        The column of the user's that each belongs to.
    hideable : bool Tensor of shape (columns,)
        Whether it can be missing: not where it says whether its column is.
    counted : bool Tensor of shape (columns,)
        Whether it is hideable and not constant.
    """

    owners: Tensor
    hideable: Tensor
    counted: Tensor

    @classmethod
    def of(cls, encoder: Encoder) -> Cells:
        """Of the columns of an encoder; pixels are missing one by one."""
        n_columns = encoder.n_model_columns
        varying = torch.arange(n_columns) < encoder.n_varying
        if not isinstance(encoder, TableEncoder):
            return cls(torch.arange(n_columns), torch.ones(n_columns, dtype=torch.bool), varying)
        _, owners = np.unique(encoder.order, return_inverse=True)
        hideable = torch.tensor([column.kind != "missing" for column in encoder.modelled])
        return cls(torch.from_numpy(owners), hideable, varying & hideable)

    def to(self, device: torch.device) -> Cells:
        """The same on another device."""
        return Cells(self.owners.to(device), self.hideable.to(device), self.counted.to(device))

    def hidden(self, rows: Batch, chosen: Tensor) -> Batch:
        """The same rows with further cells missing, and those that say so saying so.

        Parameters
        ----------
        rows : Batch
        chosen : bool Tensor of shape (..., rows, columns of the user's)
        """
        chosen = chosen[..., self.owners]
        values = rows.values.where(~chosen | self.hideable, 1.0)
        missing = chosen & self.hideable
        return Batch(values.where(~missing, 0.0), rows.observed & ~missing)


@dataclass(frozen=True)
class _Costs:
    """Of one expert and some rows, what cells and hidden cells cost.

    Parameters
    ----------
    cells : Tensor of shape (rows, columns)
        Surprise of each cell, nats; NaN where it is missing.
    missing : Tensor of shape (rows,)
        Share of the counted cells that is missing.
    changes : tuple of Tensor of shape (some rows, hidings)
        Nats that the rest of the row, with its KL, costs less when cells are hidden.
    shares : tuple of Tensor of shape (some rows, hidings, 2)
        Share of the counted cells that is missing before and after.
    """

    cells: Tensor
    missing: Tensor
    changes: tuple[Tensor, ...]
    shares: tuple[Tensor, ...]


def learn_experts(
    vae: VAE,
    encoder: Encoder,
    rows: TrainingRows,
    parts: Partition,
    score: PooledELBO,
    noise: Tensor,
    seed: int,
    *,
    crossed: bool,
) -> Experts:
    """What each expert's bound is expected to have had of missing cells, and the median of the bounds.

    A member learns what missing cells cost from rows that it was not trained on and that do not calibrate it: those
    that no member has seen; where these are few and every member leaves out a fold, also from what the other members
    find in theirs.  (They were trained on the fold of this member, which so has a small part in what its rows are
    charged for missing cells, and none in the score of a whole row.)  Where both are too few, from rows that it was
    trained on, whose exemplars do not count for them; on small tables it then charges too little, by up to a third of a
    standard deviation of the scores.  The other experts learn it, and all experts their medians, from rows that no
    member has seen, or where these are too few from rows that do not calibrate.

    Parameters
    ----------
    vae : VAE
        With its fitted prior, and kernels where the score has them.
    encoder : Encoder
        Of the rows.
    rows : TrainingRows
    parts : Partition
        The part that every row plays.
    score : PooledELBO
        Whose experts they are.
    noise : Tensor of shape (members, draws, 1, latents)
        The stored noise.
    seed : int
        Of the choice of rows and of cells to hide.
    crossed : bool
        Whether every member leaves out a fold.
    """
    rng = np.random.default_rng([seed, SEED_OF_HIDING])
    cells = Cells.of(encoder).to(noise.device)
    n_wanted = int(np.clip(MAX_CELLS // encoder.n_model_columns, MIN_ROWS, MAX_ROWS))

    def drawn(pool: IntArray, n_rows: int) -> IntArray:
        return np.sort(rng.choice(pool, min(len(pool), n_rows), replace=False))

    unseen = drawn(_unseen(rows, parts), n_wanted)
    own, others = _of_each_member(parts, len(unseen), n_wanted, drawn, crossed=crossed)

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(int(rng.integers(1 << 62)))

    def measured(chosen: Batch, *, trained: bool) -> list[_Costs]:
        evaluated = partial(_members_evaluated, vae, noise)
        return _measured(evaluated, cells, chosen.to(noise.device), generator(), trained=trained)

    of_members: list[list[_Costs]] = [[] for _ in range(vae.n_members)]
    if len(unseen):
        for known, one in zip(of_members, measured(rows.encode(unseen), trained=False), strict=True):
            known.append(one)
    if own and len(own[0]):
        of_own = measured(rows.encode(np.concatenate(own)).take(_by_member(own)), trained=not others)
        for member, known in enumerate(of_members):
            known += [one for owner, one in enumerate(of_own) if (owner != member) == others]
    of_all = unseen if len(unseen) >= MIN_UNSEEN else drawn(not_calibrating(rows, parts), n_wanted)
    judged = rows.encode(of_all).to(noise.device)
    of_others: list[list[_Costs]] = []
    if len(score.weights) > 1:
        evaluated = partial(_others_evaluated, vae, noise, score)
        of_others = [[one] for one in _measured(evaluated, cells, judged, generator(), trained=True)]
    fitted = [_fitted(costs, int(cells.counted.sum())) for costs in of_members + of_others]
    vae.experts = Experts(
        torch.stack([of_cells for of_cells, _ in fitted]).float(),
        torch.stack([combination for _, combination in fitted]).float(),
        torch.zeros(len(fitted), dtype=torch.float64),
        cells.counted,
    ).to(noise.device)
    bounds = map_chunks(partial(_bounds, score), vae, noise, judged)[0]
    vae.experts.medians.copy_(bounds.median(0).values)
    return vae.experts


def _of_each_member(
    parts: Partition, n_unseen: int, n_wanted: int, drawn: Callable[[IntArray, int], IntArray], *, crossed: bool
) -> tuple[list[IntArray], bool]:
    """Rows of each member's own, beside those that no member has seen, and whether it is the others that see them."""
    n_members, own, n_rows = len(parts.members), list[IntArray](), n_unseen
    folds = [fold for fold in parts.folds if crossed and len(fold) and n_unseen < ENOUGH_UNSEEN]
    others = len(folds) == n_members > 1
    if others:
        n_each = min(max(n_wanted - n_rows, MIN_ROWS) // (n_members - 1), *map(len, folds))
        own = [drawn(fold, n_each) for fold in folds]
        n_rows += n_each * (n_members - 1)
    if n_rows < MIN_UNSEEN:
        return [drawn(member, MIN_ROWS) for member in parts.members], False
    return own, others


def not_calibrating(rows: TrainingRows, parts: Partition) -> IntArray:
    """Rows that are in no fold."""
    free = np.ones(rows.n_rows, dtype=bool)
    for fold in parts.folds:
        free[fold] = False
    if rows.folds is not None:
        free &= rows.folds == NO_FOLD
    return np.flatnonzero(free)


def _bounds(score: PooledELBO, vae: VAE, noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    return (score.bounds(elbo_terms(vae, part, noise), vae, part).T,)


def _by_member(own: list[IntArray]) -> Tensor:
    return torch.arange(sum(map(len, own))).view(len(own), -1)


def _unseen(rows: TrainingRows, parts: Partition) -> IntArray:
    """Rows that no member was trained on and that do not calibrate; if possible, not even by an earlier fit."""
    unseen = np.setdiff1d(not_calibrating(rows, parts), parts.members)
    before: Decisions | None = rows.before
    if before is None or rows.held_out is not None or not len(unseen):
        return unseen
    new = unseen[before.unseen(rows.encode(unseen).fingerprints().numpy())]
    return new if len(new) >= MIN_UNSEEN else unseen


def _measured(
    evaluated: Evaluate, cells: Cells, rows: Batch, generator: torch.Generator, *, trained: bool
) -> list[_Costs]:
    """What cells and hidden cells cost each expert; rows are the same for all, or each expert's own."""
    surprise, kl = evaluated(rows, rows)
    of_cells = surprise.where(rows.observed, torch.nan)
    n_columns = int(cells.owners.max()) + 1
    missing = missing_share(rows.observed, cells.counted).expand(len(kl), -1)

    some = torch.arange(0, len(rows), -(-len(rows) // MAX_HIDING_ROWS), device=rows.values.device)
    part = rows.at(some)
    changes, shares = [], []
    for number in range(N_HIDINGS):
        hidden = cells.hidden(part, _chosen(part, n_columns, number, generator))
        # The exemplar or kernel of a row that was trained on must not count for the same row with cells hidden.
        after, kl_after = evaluated(part if trained else hidden, hidden)
        left = (surprise[:, some] - after).where(hidden.observed & cells.hideable, 0.0).sum(-1)
        changes.append(left + kl[:, some] - kl_after)
        after_hiding = missing_share(hidden.observed, cells.counted).expand(len(kl), -1)
        shares.append(torch.stack([missing[:, some], after_hiding], -1))

    nothing = torch.ones(n_columns, dtype=torch.bool, device=rows.values.device)
    empty = cells.hidden(rows.at(slice(0, 1)), nothing)
    all_hidden = kl - evaluated(empty, empty)[1]
    from_here_to_all = torch.stack([missing, torch.ones_like(missing)], -1)
    return [
        _Costs(
            of_cells[expert].cpu(),
            missing[expert].cpu(),
            (torch.stack(changes, -1)[expert].cpu(), all_hidden[expert].unsqueeze(-1).cpu()),
            (torch.stack(shares, -2)[expert].cpu(), from_here_to_all[expert].unsqueeze(-2).cpu()),
        )
        for expert in range(len(kl))
    ]


def _members_evaluated(vae: VAE, noise: Tensor, rows: Batch, visible: Batch) -> tuple[Tensor, Tensor]:
    surprises, kls = [], []
    with torch.inference_mode():
        for begin in range(0, len(rows), size := chunk_rows(vae, noise.shape[1])):
            some = slice(begin, begin + size)
            part, read = rows.at(some), visible.at(some)
            terms = elbo_terms(vae, part, noise, vae.inputs(read))
            surprises.append(-precise(terms.log_likelihood).mean(1))
            kls.append(precise(terms.kl))
    return torch.cat(surprises, 1), torch.cat(kls, 1)


def _others_evaluated(vae: VAE, noise: Tensor, score: PooledELBO, rows: Batch, visible: Batch) -> tuple[Tensor, Tensor]:
    surprises, kls = [], []
    # Kernels leave the row itself out, also where some of its cells are hidden.
    visible = Batch(visible.values, visible.observed, rows.fingerprints())
    with torch.inference_mode():
        for begin in range(0, len(visible), size := chunk_rows(vae, noise.shape[1])):
            terms = score.other_terms(vae, visible.at(slice(begin, begin + size)))
            surprises.append(torch.stack([-of_cells for of_cells, _ in terms]))
            kls.append(torch.stack([kl for _, kl in terms]))
    return torch.cat(surprises, 1), torch.cat(kls, 1)


def _chosen(rows: Batch, n_columns: int, number: int, generator: torch.Generator) -> Tensor:
    """Columns of the user's to hide in each row, at random, more the higher the number: (..., rows, columns)."""
    shape = (*rows.values.shape[:-1], n_columns)
    share = (number + torch.rand(shape[:-1], generator=generator)) / N_HIDINGS
    n_hidden = (share * n_columns).round().clamp(1, n_columns)
    order = torch.rand(shape, generator=generator).argsort(-1).argsort(-1)
    return (order < n_hidden.unsqueeze(-1)).to(rows.values.device)


def _fitted(costs: list[_Costs], n_counted: int) -> tuple[Tensor, Tensor]:
    """What each cell costs on average, and what is charged beside at all knots but the first.

    Hidden at random, the cells of a row cost their means; but where training rows miss cells themselves, the cells of
    those that miss more cost more, because less is known of these rows: a line through what they cost says how much.
    """
    surprise = _without_gross(torch.cat([of.cells for of in costs]))
    of_cells = surprise.nanmean(0).nan_to_num()
    excess = (surprise - of_cells).nanmean(1).nan_to_num()
    missing = torch.cat([of.missing for of in costs])
    spread = (missing - missing.mean()).square().sum()
    slope = ((missing - missing.mean()) * excess).sum() / spread.clamp(min=1e-9)

    changes = [_without_gross(torch.cat(kind)).flatten() for kind in zip(*(of.changes for of in costs), strict=True)]
    shares = [torch.cat(kind).flatten(0, 1) for kind in zip(*(of.shares for of in costs), strict=True)]
    before, after = torch.cat(shares).unbind(-1)
    n_hidden = (after - before) * n_counted
    target = torch.cat(changes) + n_hidden * (excess.mean() + slope * (before - missing.mean()))

    # Where training rows miss so many cells that none says what the first cost, these are taken to cost nothing beside.
    stretch = stretches(after) - stretches(before)
    design = torch.cat([stretch, PRIOR_ROWS**0.5 * torch.eye(stretch.shape[1], dtype=target.dtype)])
    target = torch.cat([target, torch.zeros(stretch.shape[1], dtype=target.dtype)])
    steps = torch.linalg.lstsq(design, target.unsqueeze(1)).solution.squeeze(1)
    return of_cells, steps.cumsum(0)


def _without_gross(nats: Tensor) -> Tensor:
    """Nats of (rows, columns), those cut that are so far from the column's median that the model does not hold."""
    low, middle, high = torch.nanquantile(nats, torch.tensor([0.25, 0.5, 0.75], dtype=nats.dtype), dim=0)
    limit = (MAX_SPREADS * (high - low)).clamp(min=MAX_EXCESS)
    return torch.minimum(torch.maximum(nats, middle - limit), middle + limit)
