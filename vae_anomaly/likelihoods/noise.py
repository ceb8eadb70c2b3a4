"""Noise around a location, with the probabilities of intervals: the distributions that wrappers build on."""

from __future__ import annotations

import abc
from typing import Self, final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.distribution import NumberDistribution

OUTERMOST = 1e4
"""Further from the location, in model units, than intervals reach that have an end."""
MIN_MASS = 1e-37


def noise_scale(log_noise: Tensor, floor: Tensor) -> Tensor:
    """Standard deviation whose square is the learned variance plus the squared floor."""
    return torch.sqrt(torch.exp(2 * log_noise) + floor**2)


def noise_slope(log_noise: Tensor, scale: Tensor) -> Tensor:
    """Derivative of `noise_scale` with regard to the logarithm of the learned noise."""
    return torch.exp(2 * log_noise) / scale


def check_floor(floor: float) -> None:
    """Refuse a negative floor."""
    if not floor >= 0:
        raise ValueError(f"floor is a number of at least 0, not {floor!r}")


class WrappableDistribution(NumberDistribution):
    """A distribution of numbers that spikes may stand beside."""

    @abc.abstractmethod
    def cell_width(self, value: Tensor) -> Tensor | None:
        """Length of the interval that cells stand for, in model units; None where `log_prob` is a density."""


class NoiseDistribution(WrappableDistribution):
    """Noise around a location, with the probabilities of intervals.

    The scale is small: one number per member and column, never expanded to the cells.

    Parameters
    ----------
    loc : Tensor of shape (..., columns)
        Model units.
    scale : Tensor that broadcasts to (..., columns)
        Model units.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale

    @abc.abstractmethod
    def below(self, value: Tensor) -> Tensor:
        """P(X <= x), accurate where it is small."""

    @abc.abstractmethod
    def above(self, value: Tensor) -> Tensor:
        """P(X >= x), accurate where it is small."""

    @abc.abstractmethod
    def mass(self, lower: Tensor, upper: Tensor) -> Tensor:
        """P(lower <= X <= upper), accurate also in the tails."""

    @abc.abstractmethod
    def log_mass(self, lower: Tensor, upper: Tensor, width: Tensor) -> Tensor:
        """log P(lower <= X <= upper), nats; `width` is the distance of the ends, known better than as a difference."""

    @abc.abstractmethod
    def has_narrow(self, half: Tensor) -> Tensor:
        """For which columns `log_narrow_mass` is exact, of intervals that reach so far: bool, (columns,)."""

    @abc.abstractmethod
    def log_narrow_mass(self, middle: Tensor, half: Tensor) -> Tensor:
        """log P(middle - half <= X <= middle + half), nats, for narrow intervals; see `has_narrow`.

        Parameters
        ----------
        middle : Tensor of shape (..., columns)
            Model units.
        half : Tensor of shape (columns,)
            Model units.
        """

    @final
    def of_columns(self, columns: Tensor) -> Self:
        """The same noise of some columns."""
        return type(self)(self.loc[..., columns], self.scale[..., columns])

    @final
    def of_cells(self, rows: Tensor, columns: Tensor) -> Self:
        """The same noise of some cells: (..., cells)."""
        n_rows = int(rows.amax()) + 1
        loc, scale = (
            part.expand(*part.shape[:-2], n_rows, -1) if part.dim() > 1 and part.shape[-2] == 1 else part
            for part in (self.loc, self.scale)
        )
        return type(self)(loc[..., rows, columns], scale[..., rows, columns] if scale.dim() > 1 else scale[columns])

    @abc.abstractmethod
    def inverse(self, probability: Tensor) -> Tensor:
        """The cell that the noise stays below with a probability."""

    @final
    @property
    def batch_shape(self) -> torch.Size:
        return self.loc.shape

    @final
    @property
    def mean(self) -> Tensor:
        return self.loc

    @final
    def standard(self, cells: Tensor) -> Tensor:
        """Cells in model units to units of the noise."""
        return (cells - self.loc) / self.scale

    @final
    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        return self.below(value), self.above(value)

    @final
    def cell_width(self, value: Tensor) -> Tensor | None:
        return None
