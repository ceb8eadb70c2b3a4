"""What reviewed rows taught: nats to add to the anomaly score of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae_anomaly.columns import Batch, Encoder, ImageEncoder, TableEncoder
from vae_anomaly.model.priors import precise

MAX_BLOCKS, MIN_BLOCK_SIDE = 8, 4
MAX_DEVIATION = 100.0
MAX_NATS = 1e4


@dataclass(frozen=True)
class OffsetFeatures:
    """What an offset is a linear function of, and where each number of it is.

    Columns of a table are the groups of a table, with all parts that the model sees of them; blocks of pixels those of
    images.

    Parameters
    ----------
    group_of : tuple of int
        The group of each model column.
    sloped : tuple of bool
        Which model columns hold numbers, whose deviation counts.
    starts, n_levels : tuple of int
        Of each model column: its first number among the levels, and how many it has; 0 of columns without levels.
    """

    group_of: tuple[int, ...]
    sloped: tuple[bool, ...]
    starts: tuple[int, ...]
    n_levels: tuple[int, ...]

    @classmethod
    def of(cls, encoder: Encoder) -> OffsetFeatures:
        """Those of tables or images."""
        if isinstance(encoder, ImageEncoder):
            blocks = _blocks(encoder.height, encoder.width) * len(encoder.columns)
            nothing = (0,) * len(blocks)
            return cls(blocks, (True,) * len(blocks), nothing, nothing)
        assert isinstance(encoder, TableEncoder)
        columns = encoder.modelled
        # One more for levels that training did not have.
        n_levels = [len(column.levels) + 1 if column.levels else 0 for column in columns]
        starts = [sum(n_levels[:index]) for index in range(len(columns))]
        return cls(encoder.order, tuple(not column.levels for column in columns), tuple(starts), tuple(n_levels))

    @property
    def n_groups(self) -> int:
        """Columns of the user's, set aside ones included, or blocks."""
        return max(self.group_of) + 1

    @property
    def size(self) -> int:
        """Numbers of an offset: a weight and a slope for each group, the weight of the whole row, and the levels."""
        return 2 * self.n_groups + 1 + sum(self.n_levels)


class LearnedOffset(nn.Module):
    r"""Nats that reviewed rows taught to add to the anomaly score of a row.

    .. math:: \delta(x) = \sum_j \big(w_j (c_j(x) - \bar c_j) + v_j d_j(x) + u_{j, x_j}\big) + w_0 (r(x) - \bar r)

    with :math:`c_j` what column j adds to the anomaly score and :math:`\bar c_j` what it adds in training rows,
    :math:`r` what the row as a whole adds, :math:`d_j` the deviation of a number from the middle of its column in units
    of its scale, and a number for each level of other columns.  A missing cell adds nothing.

    Parameters
    ----------
    weights : Tensor of shape (groups,), float64
        :math:`w_j`: how many times more than once the nats of a column count.
    slopes : Tensor of shape (groups,), float64
        :math:`v_j`, nats for each deviation.
    levels : Tensor of shape (levels,), float64
        :math:`u`, nats.
    of_row : Tensor of shape (1,), float64
        :math:`w_0`.
    typical : Tensor of shape (model columns + 1,), float64
        :math:`\bar c_j` by model column, and :math:`\bar r`.
    features : OffsetFeatures
        Where each number is.
    """

    weights: Tensor
    slopes: Tensor
    levels: Tensor
    of_row: Tensor
    typical: Tensor
    group_of: Tensor
    share_of_group: Tensor
    starts: Tensor
    n_levels: Tensor

    def __init__(
        self,
        weights: Tensor,
        slopes: Tensor,
        levels: Tensor,
        of_row: Tensor,
        typical: Tensor,
        features: OffsetFeatures,
    ) -> None:
        super().__init__()
        for name, tensor in (
            ("weights", weights),
            ("slopes", slopes),
            ("levels", levels),
            ("of_row", of_row),
            ("typical", typical),
        ):
            self.register_buffer(name, tensor)
        self.features = features
        group_of, sloped = torch.tensor(features.group_of), torch.tensor(features.sloped)
        counts = torch.bincount(group_of[sloped], minlength=features.n_groups).clamp(min=1)
        self.register_buffer("group_of", group_of, persistent=False)
        self.register_buffer("share_of_group", precise(sloped) / counts[group_of], persistent=False)
        self.register_buffer("starts", torch.tensor(features.starts), persistent=False)
        self.register_buffer("n_levels", torch.tensor(features.n_levels), persistent=False)

    @classmethod
    def empty(cls, features: OffsetFeatures) -> LearnedOffset:
        """Of the right shapes, to be filled from a model file; adds nothing."""

        def zeros(n: int) -> Tensor:
            return torch.zeros(n, dtype=torch.float64)

        n_groups = features.n_groups
        typical = zeros(len(features.group_of) + 1)
        return cls(zeros(n_groups), zeros(n_groups), zeros(sum(features.n_levels)), zeros(1), typical, features)

    @classmethod
    def of(cls, coefficients: Tensor, typical: Tensor, features: OffsetFeatures) -> LearnedOffset:
        """Of the coefficients of `design`, in its order."""
        n_groups = features.n_groups
        sizes = [n_groups, 1, n_groups, sum(features.n_levels)]
        weights, of_row, slopes, levels = (part.clone() for part in coefficients.split(sizes))
        return cls(weights, slopes, levels, of_row, typical, features)

    def by_cell(self, nats: Tensor, of_row: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is added for each cell of rows, and for each row as a whole.

        Parameters
        ----------
        nats : Tensor of shape (rows, columns), float64
            What each cell adds to the anomaly score.
        of_row : Tensor of shape (rows,), float64
            What the row as a whole adds.
        batch : Batch

        Returns
        -------
        cells : Tensor of shape (rows, columns), float64
        rows : Tensor of shape (rows,), float64
        """
        excess, deviations, codes = self._numbers(nats, batch)
        cells = excess * self.weights[self.group_of] + deviations * self.slopes[self.group_of]
        if len(self.levels):
            has_levels = batch.observed & (self.n_levels > 0)
            cells = cells + self.levels[codes].where(has_levels, 0.0)
        return cells, self._excess_of_row(of_row) * self.of_row

    def design(self, nats: Tensor, of_row: Tensor, batch: Batch) -> Tensor:
        """What the offset is a linear function of: (rows, features), float64; weights, whole row, slopes, levels.

        Parameters
        ----------
        nats, of_row, batch
            See `by_cell`.
        """
        excess, deviations, codes = self._numbers(nats, batch)
        n_rows, n_groups = len(excess), self.features.n_groups

        def by_group(terms: Tensor) -> Tensor:
            return terms.new_zeros(n_rows, n_groups).index_add(1, self.group_of, terms)

        parts = [by_group(excess), self._excess_of_row(of_row).unsqueeze(1), by_group(deviations)]
        levels = excess.new_zeros(n_rows, len(self.levels))
        if len(self.levels):
            rows, columns = (batch.observed & (self.n_levels > 0)).nonzero(as_tuple=True)
            levels[rows, codes[rows, columns]] = 1.0
        return torch.cat([*parts, levels], 1)

    def _numbers(self, nats: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Nats above what is typical, deviations, and where the levels are: each (rows, columns)."""
        observed = precise(batch.observed)
        excess = (nats - self.typical[:-1]).clamp(-MAX_NATS, MAX_NATS) * observed
        values = precise(batch.values)
        # 0 where a cell is missing, as the values of a batch are.
        deviations = values.clamp(-MAX_DEVIATION, MAX_DEVIATION) * self.share_of_group
        codes = self.starts + values.long().clamp(min=0).minimum((self.n_levels - 1).clamp(min=0))
        return excess, deviations, codes.clamp(max=max(len(self.levels) - 1, 0))

    def _excess_of_row(self, of_row: Tensor) -> Tensor:
        return (of_row - self.typical[-1]).clamp(-MAX_NATS, MAX_NATS)


def _blocks(height: int, width: int) -> tuple[int, ...]:
    """The block of each pixel of a channel, line by line."""
    n_high, n_wide = (min(MAX_BLOCKS, max(1, side // MIN_BLOCK_SIDE)) for side in (height, width))
    rows: Sequence[int] = [line * n_high // height for line in range(height)]
    return tuple(row * n_wide + column * n_wide // width for row in rows for column in range(width))
