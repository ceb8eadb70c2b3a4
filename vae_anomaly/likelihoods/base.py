"""What a likelihood is, and what it may know of a column."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.distribution import CellDistribution

CERTAIN_LOGIT = 30.0
"""Logit of a level or spike that is as good as certain."""

Constants: TypeAlias = Mapping[str, Tensor]
"""What stays the same for a column in all rows, by name: tensors of shape (columns, ...).

Every likelihood finds ``floor`` (smallest standard deviation of the noise, in model units), ``n_levels`` (of
categorical columns, else 0) and ``unseen`` (probability reserved for what training never saw) there, and what its own
`Likelihood.constants` adds.
"""


@dataclass(frozen=True)
class ColumnFacts:
    """What training data taught about a column, as far as a likelihood may know it; in model units.

    Parameters
    ----------
    width : int
        Size of a tensor axis that its levels or spikes share with columns of other sizes.
    n_levels : int
        Levels of a categorical column, else 0.
    unseen : float
        Probability reserved for what training never saw.
    frequencies : tuple of float
        Smoothed relative frequencies of the levels; with spikes, of all other values and of each spike.
    mean : float
        Of the training cells.
    resolution : float
        Smallest distance between two values; 0 on an asinh scale, where it differs from value to value.
    coarseness : float
        Smallest standard deviation of the noise that its parts allow.
    location, scale, asinh_scale : float
        Where `asinh_scale` is 1, model units are ``(asinh(cell) - location) / scale`` of cells in units of the column's
        asinh scale; where it is 0, `location` is 0 and `scale` is 1.
    step : float
        Distance between neighbouring values of a rounded column, in the unit that is divided by `scale`.
    low, high : float
        Lowest and highest possible cell, infinite where there is none.
    spikes : tuple of float
        Values that many cells repeat.
    """

    width: int = 0
    n_levels: int = 0
    unseen: float = 0.0
    frequencies: tuple[float, ...] = ()
    mean: float = 0.0
    resolution: float = 0.0
    coarseness: float = 0.0
    location: float = 0.0
    scale: float = 1.0
    asinh_scale: float = 0.0
    step: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    spikes: tuple[float, ...] = ()


def in_unit_interval(values: Tensor) -> Tensor:
    """Which values are between 0 and 1."""
    return (values >= 0) & (values <= 1)


@dataclass(frozen=True)
class Traits:
    """Which cells a likelihood takes, what a column must know for it, and what its numbers are.

    Parameters
    ----------
    support : str
        The cells that it takes, in words, for error messages.
    supports : callable
        Whether each cell, in data units, has a likelihood at all.
    standardize : bool
        Whether cells are brought to mean 0 and standard deviation 1 before the model sees them.
    density : bool
        Whether the log-likelihood is a density (True) or the logarithm of a probability (False).
    ordered : bool
        Whether cells can be too high or too low.
    counts : bool
        Whether cells are whole numbers, which the model sees as they are.
    rounded : bool
        Whether a cell stands for the interval of one step around it, and the probability is that of the interval.
    bounded, spiked : bool
        Whether it needs a column's lowest and highest possible value, and the values that many cells repeat.
    levels : {"none", "unordered", "ordered"}
        Whether cells are codes of levels.
    max_levels : int, optional
        Largest number of levels that it takes.
    for_pixels : bool
        Whether it suits the channels of images.
    """

    support: str = "numbers"
    supports: Callable[[Tensor], Tensor] = torch.isfinite
    standardize: bool = False
    density: bool = False
    ordered: bool = True
    counts: bool = False
    rounded: bool = False
    bounded: bool = False
    spiked: bool = False
    levels: Literal["none", "unordered", "ordered"] = "none"
    max_levels: int | None = None
    for_pixels: bool = False

    @property
    def in_unit_interval(self) -> bool:
        """Whether cells are numbers between 0 and 1."""
        return self.supports is in_unit_interval


class Likelihood(abc.ABC):
    """p(x_j | z) for columns of one kind: a small frozen description without weights.

    Subclasses are frozen dataclasses.  The decoder gives ``n_parameters`` numbers per column, and `distribution` turns
    them into the distribution of the cells.  Abstract or final: what a class implements no other class changes.
    """

    @property
    @abc.abstractmethod
    def traits(self) -> Traits:
        """Which cells it takes and what its numbers are."""

    @property
    @abc.abstractmethod
    def floor(self) -> float:
        """Smallest scale of the learned noise, in standard deviations of the column."""

    @abc.abstractmethod
    def n_parameters(self, width: int) -> int:
        """Decoder outputs per column."""

    @abc.abstractmethod
    def n_features(self, width: int) -> int:
        """Encoder inputs per column."""

    @abc.abstractmethod
    def noise_size(self, n_columns: int) -> int:
        """Learned noise parameters of a group of `n_columns` columns."""

    @abc.abstractmethod
    def constants(self, columns: Sequence[ColumnFacts]) -> dict[str, Tensor]:
        """What its distribution needs of each column beside floor, number of levels and unseen: (columns, ...)."""

    @abc.abstractmethod
    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        """What the encoder sees of the cells.

        Parameters
        ----------
        values : Tensor of shape (..., columns)
            Model units.
        width : int
            Size of the axis of levels or spikes in this group of columns, 0 if they have none.
        constants : Constants
            Of the columns.

        Returns
        -------
        Tensor of shape (..., columns, n_features)
        """

    @abc.abstractmethod
    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        """Decoder outputs before training, with which it states the column's marginal distribution."""

    @abc.abstractmethod
    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> CellDistribution:
        """The distribution of every cell given the decoder's outputs.

        Parameters
        ----------
        parameters : Tensor of shape (..., columns, n_parameters)
            Outputs of the decoder.
        log_noise : Tensor that broadcasts to (..., columns)
            Logarithm of the learned noise; empty if the likelihood has none.
        constants : Constants
            Of the columns.
        """

    @abc.abstractmethod
    def marginal(self, parameters: Tensor, constants: Constants) -> CellDistribution:
        """The distribution of every cell while nothing is known of its row: what training data taught of its column.

        Parameters
        ----------
        parameters : Tensor of shape (..., columns, n_parameters)
            Decoder outputs before training.
        constants : Constants
            Of the columns.
        """

    @abc.abstractmethod
    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        """Outputs of the decoder that suit the cells best, as those of a model with an output for every cell.

        Parameters
        ----------
        values : Tensor of shape (..., columns)
            Model units.
        width : int
            Size of the axis of levels or spikes in this group of columns, 0 if they have none.
        constants : Constants
            Of the columns.

        Returns
        -------
        Tensor of shape (..., columns, n_parameters)
        """

    @final
    def noise_floor(self, column: ColumnFacts) -> float:
        """Smallest standard deviation of a column's noise, in model units, from the likelihood and the resolution."""
        rounding = 0.0 if self.rounded else column.resolution / math.sqrt(12)
        return math.hypot(self.floor, rounding, column.coarseness)

    @final
    @property
    def standardize(self) -> bool:
        """Whether cells are brought to mean 0 and standard deviation 1 before the model sees them."""
        return self.traits.standardize

    @final
    @property
    def density(self) -> bool:
        """Whether the log-likelihood is a density (True) or the logarithm of a probability (False)."""
        return self.traits.density

    @final
    @property
    def ordered(self) -> bool:
        """Whether cells can be too high or too low."""
        return self.traits.ordered

    @final
    @property
    def rounded(self) -> bool:
        """Whether a cell stands for the interval of one step around it, and the probability is that of the interval."""
        return self.traits.rounded

    @final
    @property
    def is_constant(self) -> bool:
        """Whether its columns take nothing from the network, because they held one value in training."""
        return self.traits.max_levels == 1

    @final
    @property
    def title(self) -> str:
        """Its name in messages; of a likelihood that wraps another one, both names."""
        assert dataclasses.is_dataclass(self)
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return type(self).__name__ + "".join(value.title for value in values if isinstance(value, Likelihood))

    @final
    def supports(self, values: Tensor) -> Tensor:
        """Whether each cell, in data units, has a likelihood at all."""
        return self.traits.supports(values)


class NoiselessLikelihood(Likelihood):
    """A likelihood without learned noise, whose columns differ in nothing but the decoder's outputs."""

    @final
    @property
    def floor(self) -> float:
        return 0.0

    @final
    def noise_size(self, n_columns: int) -> int:
        return 0

    @final
    def constants(self, columns: Sequence[ColumnFacts]) -> dict[str, Tensor]:
        return {}

    @final
    def marginal(self, parameters: Tensor, constants: Constants) -> CellDistribution:
        return self.distribution(parameters, parameters.new_zeros(1), constants)


def single(numbers: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
    """Single precision, whatever PyTorch's default is."""
    return torch.tensor(numbers, dtype=torch.float32)
