"""What a likelihood must offer, and what a group of columns teaches it."""

from __future__ import annotations

import abc
import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

N_DOUBLINGS = 40
N_BISECTIONS = 30
CERTAIN_LOGIT = 30.0


@dataclass(frozen=True)
class ColumnConstants:
    """What training data taught about the columns of one group, beside what the network learns.

    Parameters
    ----------
    floor : Tensor of shape (columns,)
        Smallest standard deviation of the noise, in model units.
    n_levels : Tensor of shape (columns,)
        Levels of categorical columns, else 0.
    unseen : Tensor of shape (columns,)
        Probability reserved for what training never saw.
    location, scale, asinh_scale : Tensor of shape (columns,)
        Model units are ``(cell - location) / scale``, or ``(asinh(cell / asinh_scale) - location) / scale`` where
        `asinh_scale` is not 0; cells in any unit that single precision can hold.
    step : Tensor of shape (columns,)
        Distance between neighbouring values of a rounded column, in the same unit.
    low, high : Tensor of shape (columns,)
        Lowest and highest possible cell in model units, infinite where there is none.
    cuts : Tensor of shape (columns, levels + 1)
        Where the levels of ordinal columns begin and end, in model units.
    spikes : Tensor of shape (columns, width)
        Values that many cells repeat, in model units; NaN behind the last.
    """

    floor: Tensor
    n_levels: Tensor
    unseen: Tensor
    location: Tensor
    scale: Tensor
    asinh_scale: Tensor
    step: Tensor
    low: Tensor
    high: Tensor
    cuts: Tensor
    spikes: Tensor

    def take(self, places: slice) -> ColumnConstants:
        """The same for some of the columns."""
        return ColumnConstants(*(getattr(self, field.name)[places] for field in dataclasses.fields(self)))


class Likelihood(abc.ABC):
    """p(x_j | z) for columns of one kind: a small frozen description without weights.

    Subclasses are frozen dataclasses.  The decoder gives ``n_parameters`` numbers a column, and
    `distribution` turns them into a `torch.distributions.Distribution` over the cells.
    """

    standardize: ClassVar[bool] = False
    """Whether cells are brought to mean 0 and standard deviation 1 before the model sees them."""
    density: ClassVar[bool] = False
    """Whether the log-likelihood is a density (True) or the logarithm of a probability (False)."""
    rounded: ClassVar[bool] = False
    """Whether a cell stands for the interval of one step around it, and the probability is that of the interval."""
    n_noise: ClassVar[int | None] = 0
    """Learned noise parameters of a group: 0, 1 (shared by its columns), or None for one a column."""
    support: ClassVar[str] = "numbers"
    """The cells that it takes, in words, for error messages."""

    def n_parameters(self, width: int) -> int:
        """Decoder outputs a column."""
        return 1

    def n_features(self, width: int) -> int:
        """Encoder inputs a column."""
        return 1

    def noise_size(self, n_columns: int) -> int:
        """Learned noise parameters for a group of `n_columns` columns."""
        return n_columns if self.n_noise is None else self.n_noise

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        """What the encoder sees of the cells.

        Parameters
        ----------
        values : Tensor of shape (..., columns)
            Model units.
        width : int
            Room for levels or spikes in this group of columns, 0 if they have none.
        constants : ColumnConstants
            What training data taught.

        Returns
        -------
        Tensor of shape (..., columns, n_features)
        """
        return values.unsqueeze(-1)

    def supports(self, values: Tensor) -> Tensor:
        """Whether each cell, in data units, has a likelihood at all."""
        return torch.isfinite(values)

    def start(self, mean: float) -> tuple[float, ...]:
        """Decoder outputs, before training, of a numeric column with this mean in model units."""
        return (0.0,)

    @abc.abstractmethod
    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        """The distribution of every cell given the decoder's outputs.

        Parameters
        ----------
        parameters : Tensor of shape (..., columns, n_parameters)
            Outputs of the decoder.
        log_noise : Tensor that broadcasts to (..., columns)
            Logarithm of the learned noise; empty if the likelihood has none.
        constants : ColumnConstants
            What training data taught.
        """

    def marginal(self, parameters: Tensor, constants: ColumnConstants) -> Distribution:
        """The distribution of every cell while nothing is known of its row: what training data taught of its column.

        Parameters
        ----------
        parameters : Tensor of shape (..., columns, n_parameters)
            Where the decoder's outputs start.
        constants : ColumnConstants
            What training data taught.
        """
        return self.distribution(parameters, parameters.new_zeros(1), constants)

    @abc.abstractmethod
    def saturated(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        """Outputs of the decoder that suit the cells best, as those of a model with an output for every cell.

        Parameters
        ----------
        values : Tensor of shape (..., columns)
            Model units.
        width : int
            Room for levels or spikes in this group of columns, 0 if they have none.
        constants : ColumnConstants
            What training data taught.

        Returns
        -------
        Tensor of shape (..., columns, n_parameters)
        """

    @abc.abstractmethod
    def summary(self, distribution: Distribution) -> Tensor:
        """Numbers whose average over draws and members describes the mixture: (..., columns, size)."""

    def point(self, summary: Tensor) -> Tensor:
        """The cell, in model units, that an averaged `summary` stands for: (..., columns)."""
        return summary.squeeze(-1)

    @abc.abstractmethod
    def tail_probability(self, distribution: Distribution, values: Tensor, weights: Tensor) -> Tensor:
        """How probable it is that a mixture of members and draws gives a cell at least as extreme.

        Parameters
        ----------
        distribution : Distribution
            Of batch shape (members, draws, rows, columns).
        values : Tensor of shape (rows, columns)
            Cells in model units.
        weights : Tensor of shape (members, draws, rows, 1)
            Of the mixture; they sum to 1 over members and draws.

        Returns
        -------
        Tensor of shape (rows, columns)
        """

    @abc.abstractmethod
    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        """Cells, in model units, drawn with a local generator."""


class OrderedLikelihood(Likelihood):
    """A likelihood whose cells can be too high or too low."""

    def saturated(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return values.unsqueeze(-1)

    @abc.abstractmethod
    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X >= x) of cells in model units, accurate where they are small."""

    def tail_probability(self, distribution: Distribution, values: Tensor, weights: Tensor) -> Tensor:
        lower, upper = (mixed(tail, weights) for tail in self.tails(distribution, values))
        return (2 * torch.minimum(lower, upper)).clamp(max=1)

    def quantile(self, distribution: Distribution, probability: float, weights: Tensor) -> Tensor:
        """The cell, in model units, that a mixture of members and draws stays below with `probability`.

        Parameters
        ----------
        distribution : Distribution
            Of batch shape (members, draws, rows, columns).
        probability : float
            In (0, 1).
        weights : Tensor of shape (members, draws, rows, 1)
            Of the mixture; they sum to 1 over members and draws.

        Returns
        -------
        Tensor of shape (rows, columns)
        """
        center = self.point(mixed(self.summary(distribution), weights.unsqueeze(-1)))

        def below(cells: Tensor) -> Tensor:
            return mixed(self.tails(distribution, cells)[0], weights)

        low, high = center - 1, center + 1
        for doubling in range(N_DOUBLINGS):
            width = 2.0**doubling
            too_high, too_low = below(low) >= probability, below(high) < probability
            if not (too_high.any() or too_low.any()):
                break
            low, high = low - width * too_high, high + width * too_low
        for _ in range(N_BISECTIONS):
            middle = (low + high) / 2
            enough = below(middle) >= probability
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return high


def mixed(components: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over members and draws: (members, draws, rows, ...) -> (rows, ...)."""
    return (components * weights).sum((0, 1))
