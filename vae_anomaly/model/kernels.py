"""Kernels in the space of the data, a product of them at each of some training rows: an expert that is local."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vae_anomaly.model.priors import LOG_2PI, precise

# Each takes the memory of four numbers of double precision for each column.
MAX_KERNELS = 1 << 14


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
    observed : bool Tensor of shape (centres, columns)
    widths : Tensor of shape (centres,)
        Of each centre's kernels, in bandwidths.
    bandwidths : Tensor of shape (columns,)
        Of columns with an order, in model units; 0 of the others.
    min_deviations : Tensor of shape (columns,)
        Smallest standard deviation of a kernel, in model units.
    fingerprints : int64 Tensor of shape (centres,)
    """

    values: Tensor
    observed: Tensor
    widths: Tensor
    bandwidths: Tensor
    min_deviations: Tensor
    fingerprints: Tensor

    def __init__(
        self,
        values: Tensor,
        observed: Tensor,
        widths: Tensor,
        bandwidths: Tensor,
        min_deviations: Tensor,
        fingerprints: Tensor,
    ) -> None:
        super().__init__()
        self.register_buffer("values", values)
        self.register_buffer("observed", observed)
        self.register_buffer("widths", widths)
        self.register_buffer("bandwidths", bandwidths)
        self.register_buffer("min_deviations", min_deviations)
        self.register_buffer("fingerprints", fingerprints)
        self._arranged: ArrangedKernels | None = None

    @classmethod
    def empty(cls, n_centres: int, n_columns: int) -> Kernels:
        """Of the right shapes, to be filled from a model file."""
        return cls(
            torch.zeros(n_centres, n_columns, dtype=torch.float32),
            torch.zeros(n_centres, n_columns, dtype=torch.bool),
            torch.ones(n_centres, dtype=torch.float32),
            torch.zeros(n_columns, dtype=torch.float32),
            torch.ones(n_columns, dtype=torch.float32),
            torch.zeros(n_centres, dtype=torch.int64),
        )

    @property
    def n_centres(self) -> int:
        """Training rows with a kernel."""
        return len(self.values)

    @property
    def arranged(self) -> ArrangedKernels:
        """The kernels as matrices, arranged on first use."""
        if self._arranged is None:
            self._arranged = ArrangedKernels.of(self)
        return self._arranged

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
        self._arranged = None
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._arranged = None
        super()._load_from_state_dict(*arguments)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_arranged": None}


@dataclass(frozen=True)
class ArrangedKernels:
    """Kernels of numbers as the coefficients of a polynomial in the cells, so that a product adds them up.

    Parameters
    ----------
    numeric : int64 Tensor of shape (numeric columns,)
        Their positions.
    coefficients : Tensor of shape (4 numeric columns, centres), float64
        Of the squares, of the cells, of 1, and of the column's own log-density, one after the other.
    whole : bool
        Whether no centre misses a number.
    present : Tensor of shape (columns, centres), float64
        1 where the centre's cell is there.
    """

    numeric: Tensor
    coefficients: Tensor
    whole: bool
    present: Tensor

    @classmethod
    def of(cls, kernels: Kernels) -> ArrangedKernels:
        numeric = kernels.bandwidths.nonzero().squeeze(1)
        centres, present = precise(kernels.values[:, numeric]), precise(kernels.observed[:, numeric])
        bandwidths, floor = precise(kernels.bandwidths[numeric]), precise(kernels.min_deviations[numeric])
        deviation = torch.maximum(precise(kernels.widths).unsqueeze(1) * bandwidths, floor)
        precision = present / deviation.square()
        constant = -0.5 * (precision * centres.square() + present * (2 * deviation.log() + LOG_2PI))
        coefficients = torch.cat([-0.5 * precision, precision * centres, constant, 1 - present], 1).T.contiguous()
        return cls(numeric, coefficients, bool(present.all()), precise(kernels.observed).T.contiguous())
