"""Kernels in the space of the data, a product of them at each of some training rows: an expert that is local."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vae_anomaly.columns import Batch
from vae_anomaly.model.priors import LOG_2PI, precise

# Each takes the memory of four numbers of double precision for each column.
MAX_KERNELS = 1 << 14
# Levels of a column without an order that centres may hold for a product to count matches; beyond, they are compared.
MAX_SLOTS = 64


class Kernels(nn.Module):
    r"""A mixture of products of kernels, one product for each centre.

    .. math:: \log p(x) = \log \frac1M \sum_n \prod_j K_{nj}(x_j)
              = \sum_n r_n \sum_j \log K_{nj}(x_j) - KL(r \,\|\, \tfrac1M),

    a variational autoencoder whose latent variable is the number n of the centre and whose posterior r is exact.  The
    kernel of a number is normal about the centre's; that of a level is the column's own distribution, mixed with the
    centre's level; where the centre's cell is missing, the column's own distribution.  A centre that equals the row is
    left out of the sum once, not of the divisor, as in the exemplar prior: still a lower bound.

    Parameters
    ----------
    values : Tensor of shape (centres, columns)
        Model units.
    observed : uint8 Tensor of shape (centres, columns)
        1 where the centre's cell is there, else 0.
    widths : Tensor of shape (centres,)
        Of each centre's kernels, in bandwidths.
    bandwidths : Tensor of shape (columns,)
        Of columns with an order, in model units; 0 of the others.
    min_deviations : Tensor of shape (columns,)
        Smallest standard deviation of a kernel, in model units.
    fingerprints : int64 Tensor of shape (centres,)
    scores : Tensor of shape (1 + members, centres), float64
        Scores of the centres by all members and by each, for a score that compares rows with them; else empty.
    """

    values: Tensor
    observed: Tensor
    widths: Tensor
    bandwidths: Tensor
    min_deviations: Tensor
    fingerprints: Tensor
    scores: Tensor

    def __init__(
        self,
        values: Tensor,
        observed: Tensor,
        widths: Tensor,
        bandwidths: Tensor,
        min_deviations: Tensor,
        fingerprints: Tensor,
        scores: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("values", values)
        self.register_buffer("observed", observed)
        self.register_buffer("widths", widths)
        self.register_buffer("bandwidths", bandwidths)
        self.register_buffer("min_deviations", min_deviations)
        self.register_buffer("fingerprints", fingerprints)
        none = torch.empty(0, len(values), dtype=torch.float64)
        self.register_buffer("scores", none if scores is None else scores)
        self._arranged: dict[bool, ArrangedKernels] = {}

    @classmethod
    def empty(cls, n_centres: int, n_columns: int, n_scores: int) -> Kernels:
        """Of the right shapes, to be filled from a model file; with so many scores of each centre."""
        return cls(
            torch.zeros(n_centres, n_columns, dtype=torch.float32),
            torch.zeros(n_centres, n_columns, dtype=torch.uint8),
            torch.ones(n_centres, dtype=torch.float32),
            torch.zeros(n_columns, dtype=torch.float32),
            torch.ones(n_columns, dtype=torch.float32),
            torch.zeros(n_centres, dtype=torch.int64),
            torch.zeros(n_scores, n_centres, dtype=torch.float64),
        )

    @property
    def n_centres(self) -> int:
        """Training rows with a kernel."""
        return len(self.values)

    def arranged(self, *, equal_widths: bool = False) -> ArrangedKernels:
        """The kernels as matrices, arranged on first use; with the widths of the centres, or as wide as bandwidths."""
        if equal_widths not in self._arranged:
            widths = torch.ones_like(self.widths) if equal_widths else self.widths
            self._arranged[equal_widths] = ArrangedKernels.of(self, widths)
        return self._arranged[equal_widths]

    @property
    def centres(self) -> Batch:
        """The training rows that have a kernel."""
        return Batch(self.values, self.observed.bool(), self.fingerprints)

    def scaled(self, factor: Tensor | float) -> Kernels:
        """The same centres with other widths."""
        return Kernels(
            self.values,
            self.observed,
            self.widths * factor,
            self.bandwidths,
            self.min_deviations,
            self.fingerprints,
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Kernels:
        self._arranged = {}
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._arranged = {}
        super()._load_from_state_dict(*arguments)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_arranged": {}}


@dataclass(frozen=True)
class ArrangedKernels:
    """Kernels as matrices, so that products add up their logarithms.

    Parameters
    ----------
    numeric : int64 Tensor of shape (numeric columns,)
        Positions of the columns with an order.
    coefficients : Tensor of shape (4 numeric columns, centres), float64
        Of the squares of the cells, of the cells, of 1, and of the column's own log-density, one after the other.
    whole : bool
        Whether no centre misses a number.
    few, many : int64 Tensor of shape (columns,)
        Positions of columns without an order, of whose levels the centres hold few or many.
    present_few, present_many : Tensor of shape (columns, centres), float64
        1 where the centre's cell of such a column is there.
    first_slot, n_slots : int64 Tensor of shape (few,)
        Where the levels of a column begin in `one_hot`, and how many there are.
    one_hot : Tensor of shape (slots + 1, centres), float64
        1 where the centre has the level; the last one is of no level that a centre has.
    """

    numeric: Tensor
    coefficients: Tensor
    whole: bool
    few: Tensor
    many: Tensor
    present_few: Tensor
    present_many: Tensor
    first_slot: Tensor
    n_slots: Tensor
    one_hot: Tensor

    @classmethod
    def of(cls, kernels: Kernels, widths: Tensor) -> ArrangedKernels:
        """Of kernels whose centres have these widths: (centres,)."""
        numeric = kernels.bandwidths.nonzero().squeeze(1)
        centres, present = precise(kernels.values[:, numeric]), precise(kernels.observed[:, numeric])
        bandwidths, floor = precise(kernels.bandwidths[numeric]), precise(kernels.min_deviations[numeric])
        deviation = torch.maximum(precise(widths).unsqueeze(1) * bandwidths, floor)
        precision = present / deviation.square()
        constant = -0.5 * (precision * centres.square() + present * (2 * deviation.log() + LOG_2PI))
        coefficients = torch.cat([-0.5 * precision, precision * centres, constant, 1 - present], 1).T.contiguous()
        # A model file may hold any numbers here: none of them is a position outside of the matrix.
        codes = kernels.values.clamp(0, MAX_SLOTS).long()
        n_levels = codes.amax(0) + 1
        unordered = kernels.bandwidths == 0
        few = (unordered & (n_levels <= MAX_SLOTS)).nonzero().squeeze(1)
        many = (unordered & (n_levels > MAX_SLOTS)).nonzero().squeeze(1)
        n_slots = n_levels[few]
        first_slot = n_slots.cumsum(0) - n_slots
        one_hot = coefficients.new_zeros(int(n_slots.sum()) + 1, len(widths))
        slots = (first_slot.unsqueeze(1) + codes[:, few].T).reshape(-1, len(widths))
        present_few, present_many = (precise(kernels.observed[:, some]).T.contiguous() for some in (few, many))
        one_hot.scatter_(0, slots, present_few)
        return cls(
            numeric,
            coefficients,
            bool(present.all()),
            few,
            many,
            present_few,
            present_many,
            first_slot,
            n_slots,
            one_hot,
        )

    def slots(self, values: Tensor) -> Tensor:
        """Rows of `one_hot` of the levels of cells, (rows, columns): (rows, few)."""
        codes = torch.minimum(values[:, self.few].clamp(min=-1), self.n_slots).long()
        known = (codes >= 0) & (codes < self.n_slots)
        return torch.where(known, self.first_slot + codes, len(self.one_hot) - 1)
