"""Numbers that are whole multiples of a step: noise behind intervals of one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, Traits, single
from vae_anomaly.likelihoods.noise import MIN_MASS, OUTERMOST, NoiseDistribution, WrappableDistribution
from vae_anomaly.likelihoods.wrappable import NoiseLikelihood, WrappableLikelihood, checked_noise

MAX_ANGLE = 30.0
FULL_CELLS = 32


@final
class RoundedDistribution(WrappableDistribution):
    """Cells that stand for one step around them.

    Parameters
    ----------
    noise : NoiseDistribution
        Of the numbers before they were rounded.
    constants : Constants
        With ``location``, ``scale``, ``asinh_scale``, ``step`` and ``low``, as `ColumnFacts` has them, and ``unseen``.
    """

    def __init__(self, noise: NoiseDistribution, constants: Constants) -> None:
        self.noise = noise
        self.unseen = constants["unseen"]
        self.location, self.scale, self.asinh_scale = (constants[name] for name in ("location", "scale", "asinh_scale"))
        self.step, self.low = constants["step"], constants["low"]

    @property
    def batch_shape(self) -> torch.Size:
        return self.noise.batch_shape

    @property
    def mean(self) -> Tensor:
        """Where the noise is centred, not below the lowest possible value."""
        return torch.maximum(self.noise.loc, self.low)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Cells drawn with a local generator; decoding rounds them."""
        return torch.maximum(self.noise.draw(generator), self.low)

    def ends(self, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where the interval of each cell begins and ends, and its width, in model units.

        What reaches below the lowest possible value belongs to that value.
        """
        on_asinh_scale = self.asinh_scale > 0
        lowest = cells <= self.low
        if cells.device.type == "cpu" and not on_asinh_scale.any():
            half = 0.5 * self.step / self.scale
            upper = cells + half
            return (
                torch.where(lowest, -OUTERMOST, cells - half),
                upper,
                torch.where(lowest, upper + OUTERMOST, 2 * half),
            )
        # A column without an asinh scale goes the same way with sizes that cannot overflow, and drops the result.
        angle = self._angle(cells)
        half = (0.5 * self.step / self.asinh_scale.where(on_asinh_scale, 1.0)).where(on_asinh_scale, 1.0)
        size = torch.sinh(angle.abs())
        outward, inward = (asinh_distance(size, sign * half) for sign in (1.0, -1.0))
        straight = 0.5 * self.step
        up = torch.where(on_asinh_scale, torch.where(angle >= 0, outward, -inward), straight) / self.scale
        down = torch.where(on_asinh_scale, torch.where(angle >= 0, -inward, outward), straight) / self.scale
        upper = cells + up
        return torch.where(lowest, -OUTERMOST, cells - down), upper, torch.where(lowest, upper + OUTERMOST, down + up)

    def cell_width(self, value: Tensor) -> Tensor:
        """Length of a step upwards from cells, in model units."""
        return 2 * (self.ends(value)[1] - value)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of the cell's interval; below the lowest possible value, the tail of the unseen."""
        seen = self._log_mass(value) + torch.log1p(-self.unseen).where(self.low > -OUTERMOST, 0.0)
        if value.device.type == "cpu" and not (value < self.low).any():
            return seen
        steps = ((self._numbers(self.low.clamp(min=-OUTERMOST)) - self._numbers(value)) / self.step).clamp(min=1)
        return torch.where(value < self.low, self.unseen.log() - steps.log() - (steps + 1).log(), seen)

    def _log_mass(self, value: Tensor) -> Tensor:
        """Log-probability of the intervals of cells; the columns apart whose intervals are narrow, where that pays."""
        half = 0.5 * self.step / self.scale
        if torch.is_grad_enabled() or value.device.type != "cpu" or value.dim() != 2:
            return self.noise.log_mass(*self.ends(value))
        narrow = self.noise.has_narrow(half) & (self.asinh_scale == 0)
        if not narrow.any():
            return self.noise.log_mass(*self.ends(value))
        if narrow.all():
            return self._narrow_log_mass(value, half)
        shape = torch.broadcast_shapes(self.noise.loc.shape, value.shape)
        first, second = narrow.nonzero().squeeze(1), (~narrow).nonzero().squeeze(1)
        rest = self.of_columns(second)
        log_mass = self.noise.loc.new_empty(shape)
        log_mass[..., first] = self.of_columns(first)._narrow_log_mass(value[:, first], half[first])
        log_mass[..., second] = rest.noise.log_mass(*rest.ends(value[:, second]))
        return log_mass

    def _narrow_log_mass(self, value: Tensor, half: Tensor) -> Tensor:
        log_mass = self.noise.log_narrow_mass(value, half)
        # What reaches below the lowest possible value belongs to that value.
        rows, columns = (value <= self.low).nonzero(as_tuple=True)
        if len(rows):
            # Filled up, so that no cell is among the last of a tensor, which PyTorch computes with other instructions.
            filled = torch.arange(len(rows) + -len(rows) % FULL_CELLS).clamp(max=len(rows) - 1)
            rows, columns = rows[filled], columns[filled]
            below = self.noise.of_cells(rows, columns).below(value[rows, columns] + half[columns])
            log_mass[..., rows, columns] = below.clamp(min=MIN_MASS).log()
        return log_mass

    def of_columns(self, columns: Tensor) -> RoundedDistribution:
        """The same of some columns."""
        names = ("location", "scale", "asinh_scale", "step", "low", "unseen")
        constants = {name: getattr(self, name)[columns] for name in names}
        return RoundedDistribution(self.noise.of_columns(columns), constants)

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper, _ = self.ends(value)
        below = torch.where(value < self.low, 0.0, self.noise.below(upper))
        return below, torch.where(value <= self.low, 1.0, self.noise.above(lower))

    def _angle(self, cells: Tensor) -> Tensor:
        """asinh of the cells, in units of the asinh scale; 0 where a column has none."""
        angle = (cells * self.scale + self.location).clamp(-MAX_ANGLE, MAX_ANGLE)
        return angle.where(self.asinh_scale > 0, 0.0)

    def _numbers(self, cells: Tensor) -> Tensor:
        """Cells in the unit of the step."""
        straight = cells * self.scale + self.location
        return torch.where(self.asinh_scale > 0, self.asinh_scale * torch.sinh(self._angle(cells)), straight)


def asinh_distance(size: Tensor, step: Tensor) -> Tensor:
    """``asinh(size + step) - asinh(size)`` for a size of at least 0, written so that nothing cancels."""
    root, moved = torch.sqrt(1 + size.square()), torch.sqrt(1 + (size + step).square())
    return torch.log1p((step + (2 * size * step + step.square()) / (root + moved)) / (size + root))


@final
@dataclass(frozen=True)
class Rounded(WrappableLikelihood):
    r"""Noise behind numbers that are whole multiples of a step.

    The probability of a cell is that of the interval of one step around it, so it cannot exceed 1 however small the
    noise becomes.  Divided by the step it is a density that is constant over the interval; for whole
    numbers the two are the same number.

    Parameters
    ----------
    base : NoiseLikelihood
        Of the numbers before they were rounded.

    References
    ----------
    Theis, van den Oord and Bethge, "A note on the evaluation of generative models", ICLR 2016, section 3.1.

    Examples
    --------
    >>> from vae_anomaly.likelihoods import StudentT
    >>> Rounded(StudentT(floor=0.1)).floor
    0.1
    """

    base: NoiseLikelihood

    def __post_init__(self) -> None:
        checked_noise(self.base, "Rounded")

    @property
    def traits(self) -> Traits:
        return replace(self.base.traits, density=False, rounded=True)

    @property
    def floor(self) -> float:
        return self.base.floor

    def noise_size(self, n_columns: int) -> int:
        return self.base.noise_size(n_columns)

    def constants(self, columns: Sequence[ColumnFacts]) -> dict[str, Tensor]:
        names = ("location", "scale", "asinh_scale", "step", "low")
        return {name: single([getattr(column, name) for column in columns]) for name in names}

    def best_location(self, values: Tensor, constants: Constants) -> Tensor:
        """At the cells; for the lowest possible one, which takes all beyond it, deep below."""
        return torch.where(values <= constants["low"], -OUTERMOST / 2, values)

    def around(self, location: Tensor, log_noise: Tensor, constants: Constants) -> RoundedDistribution:
        return RoundedDistribution(self.base.around(location, log_noise, constants), constants)

    def marginal_around(self, location: Tensor, constants: Constants) -> RoundedDistribution:
        return RoundedDistribution(self.base.marginal_around(location, constants), constants)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> RoundedDistribution:
        return self.around(parameters.squeeze(-1), log_noise, constants)

    def marginal(self, parameters: Tensor, constants: Constants) -> RoundedDistribution:
        return self.marginal_around(parameters.squeeze(-1), constants)
