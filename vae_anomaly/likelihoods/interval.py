"""Student-t noise behind intervals: rounded numbers, bounded numbers and ordered levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_anomaly.likelihoods.base import ColumnConstants, OrderedLikelihood, mixed
from vae_anomaly.likelihoods.continuous import (
    ColumnStudentT,
    bounded_features,
    check_floor,
    noise_scale,
    student_t_draw,
)
from vae_anomaly.likelihoods.student_t4 import DF, MIN_MASS, LogMass, interval_mass, t_quantile, upper_tail

MAX_ANGLE = 30.0
FAR = 1e4
NARROW = 1e-4


class IntervalStudentT(ColumnStudentT):
    """A Student-t distribution of four degrees of freedom with what its columns' cells stand for."""

    def __init__(self, loc: Tensor, scale: Tensor, constants: ColumnConstants) -> None:
        self.constants = constants
        super().__init__(DF, loc, scale)

    def standard(self, cells: Tensor) -> Tensor:
        """Cells in model units to units of the noise."""
        return (cells - self.loc) / self.column_scale

    @property
    def expected(self) -> Tensor:
        """Where the noise is centred, as far as cells may lie there."""
        return self.loc

    def draw(self, generator: torch.Generator) -> Tensor:
        """Cells drawn with a local generator."""
        return student_t_draw(self, generator)

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X >= x)."""
        standard = self.standard(value)
        return upper_tail(-standard), upper_tail(standard)

    def log_mass(self, lower: Tensor, upper: Tensor, width: Tensor) -> Tensor:
        """Log-probability of intervals in model units."""
        log_mass: Tensor = LogMass.apply(  # type: ignore[no-untyped-call]
            self.standard(lower), self.standard(upper), width / self.column_scale
        )
        return log_mass


class PlainNormal(IntervalStudentT):
    """Normal noise in place of the Student-t distribution's."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats."""
        return -0.5 * self.standard(value).square() - self.column_scale.log() - 0.5 * math.log(2 * math.pi)


class RoundedT(IntervalStudentT):
    """Cells that stand for one step around them."""

    @property
    def expected(self) -> Tensor:
        """Where the noise is centred, not below the lowest possible value."""
        return torch.maximum(self.loc, self.constants.low)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Cells drawn with a local generator; decoding rounds them."""
        return torch.maximum(student_t_draw(self, generator), self.constants.low)

    def ends(self, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where the interval of each cell begins and ends, and its width, in model units.

        What reaches below the lowest possible value belongs to that value.
        """
        known = self.constants
        bent = known.asinh_scale > 0
        lowest = cells <= known.low
        if cells.device.type == "cpu" and not bent.any():
            half = 0.5 * known.step / known.scale
            upper = cells + half
            return torch.where(lowest, -FAR, cells - half), upper, torch.where(lowest, upper + FAR, 2 * half)
        # A straight column takes the same road with sizes that cannot overflow, and drops the result.
        position = self._angle(cells)
        half = (0.5 * known.step / known.asinh_scale.where(bent, 1.0)).where(bent, 1.0)
        size = torch.sinh(position.abs())
        outward, inward = (_asinh_distance(size, sign * half) for sign in (1.0, -1.0))
        straight = 0.5 * known.step
        up = torch.where(bent, torch.where(position >= 0, outward, -inward), straight) / known.scale
        down = torch.where(bent, torch.where(position >= 0, -inward, outward), straight) / known.scale
        upper = cells + up
        return torch.where(lowest, -FAR, cells - down), upper, torch.where(lowest, upper + FAR, down + up)

    def step_at(self, cells: Tensor) -> Tensor:
        """Length of a step upwards from cells, in model units."""
        return 2 * (self.ends(cells)[1] - cells)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of the cell's interval; below the lowest possible value, the tail of the unseen."""
        known = self.constants
        seen = self.log_mass(*self.ends(value)) + torch.log1p(-known.unseen).where(known.low > -FAR, 0.0)
        if value.device.type == "cpu" and not (value < known.low).any():
            return seen
        steps = ((self._numbers(known.low.clamp(min=-FAR)) - self._numbers(value)) / known.step).clamp(min=1)
        return torch.where(value < known.low, known.unseen.log() - steps.log() - (steps + 1).log(), seen)

    def _angle(self, cells: Tensor) -> Tensor:
        """asinh of the cells, in units of the asinh_scale; 0 where a column is straight."""
        known = self.constants
        angle = (cells * known.scale + known.location).clamp(-MAX_ANGLE, MAX_ANGLE)
        return angle.where(known.asinh_scale > 0, 0.0)

    def _numbers(self, cells: Tensor) -> Tensor:
        """Cells in the unit of the step."""
        known = self.constants
        straight = cells * known.scale + known.location
        return torch.where(known.asinh_scale > 0, known.asinh_scale * torch.sinh(self._angle(cells)), straight)

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X >= x)."""
        lower, upper, _ = self.ends(value)
        impossible = value < self.constants.low
        below = torch.where(impossible, 0.0, upper_tail(-self.standard(upper)))
        return below, torch.where(value <= self.constants.low, 1.0, upper_tail(self.standard(lower)))


def best_center(noise: type[IntervalStudentT], cells: Tensor, constants: ColumnConstants) -> Tensor:
    """Where noise is best centred: at the cells; for the lowest possible one, which takes all beyond it, far below."""
    return torch.where(cells <= constants.low, -FAR / 2, cells) if issubclass(noise, RoundedT) else cells


class RoundedNormal(RoundedT):
    """Normal noise behind cells that stand for one step around them."""

    def log_mass(self, lower: Tensor, upper: Tensor, width: Tensor) -> Tensor:
        """Log-probability of intervals in model units."""
        low, high = self.standard(lower), self.standard(upper)
        # The interval is moved to the left of the median, where the distribution function is not near 1.
        end = torch.where(low + high > 0, -low, high)
        span = width / self.column_scale
        if end.device.type != "mps":
            end, span = end.double(), span.double()
        above, below = torch.special.log_ndtr(end), torch.special.log_ndtr(end - span)
        wide = above + torch.log(-torch.expm1(below - above))
        # The difference of two that are nearly equal vanishes where the density times the width does not.
        narrow = span.log() - 0.5 * (end - span / 2).square() - 0.5 * math.log(2 * math.pi)
        log_mass: Tensor = torch.where(span * (1 + end.abs()) < NARROW, narrow, wide).to(low.dtype)
        return log_mass


def _asinh_distance(size: Tensor, step: Tensor) -> Tensor:
    """``asinh(size + step) - asinh(size)`` for a size of at least 0, written so that nothing cancels."""
    root, moved = torch.sqrt(1 + size.square()), torch.sqrt(1 + (size + step).square())
    return torch.log1p((step + (2 * size * step + step.square()) / (root + moved)) / (size + root))


class BoundedT(IntervalStudentT):
    """Cells between two bounds; the noise is cut off there."""

    @property
    def expected(self) -> Tensor:
        """Where the noise is centred, between the bounds."""
        return self.loc.clamp(self.constants.low, self.constants.high)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Cells between the bounds, by the inverse of the distribution function."""
        low, high = self.constants.low, self.constants.high
        below = upper_tail(-self.standard(low))
        inside = interval_mass(self.standard(low), self.standard(high))
        share = below + inside * torch.rand(self.loc.shape, generator=generator, dtype=self.loc.dtype)
        return (self.loc + self.column_scale * t_quantile(share)).clamp(low, high)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in model units.

        Inside, that of the Student-t variable given that it lies between the bounds.  Beyond them its own density,
        scaled down to the probability of the unseen where it would hold more.
        """
        known = self.constants
        density = super().log_prob(value)
        outside = upper_tail(-self.standard(known.low)) + upper_tail(self.standard(known.high))
        leak = torch.minimum(outside, known.unseen)
        within = density - self.log_mass(known.low, known.high, known.high - known.low) + torch.log1p(-leak)
        beyond = density + (leak / outside.clamp(min=MIN_MASS)).clamp(min=MIN_MASS).log()
        return torch.where((value >= known.low) & (value <= known.high), within, beyond)

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X >= x)."""
        known = self.constants
        inside = interval_mass(self.standard(known.low), self.standard(known.high)).clamp(min=MIN_MASS)
        cell = value.clamp(known.low, known.high)
        below = interval_mass(self.standard(known.low), self.standard(cell)) / inside
        above = interval_mass(self.standard(cell), self.standard(known.high)) / inside
        own = torch.minimum(known.unseen, torch.exp(self.log_prob(value)))
        lower = torch.where(value < known.low, own, below)
        return lower.clamp(max=1), torch.where(value > known.high, own, above).clamp(max=1)


class OrdinalT(IntervalStudentT):
    """Levels 0 to K - 1 that are the intervals between cuts."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of codes; those from K on are the tail of the unseen."""
        known = self.constants
        last = known.n_levels - 1
        lower, upper = self._interval(value)
        seen = self.log_mass(lower, upper, upper - lower) + torch.log1p(-known.unseen)
        steps = (value - last).clamp(min=1)
        return torch.where(value <= last, seen, known.unseen.log() - steps.log() - (steps + 1).log())

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X >= x); for an unseen level the probability of the unseen."""
        known = self.constants
        lower, upper = self._interval(value)
        unseen = value > known.n_levels - 1
        below = torch.where(unseen, known.unseen, upper_tail(-self.standard(upper)))
        return below, torch.where(unseen, known.unseen, upper_tail(self.standard(lower)))

    @property
    def probs(self) -> Tensor:
        """Probabilities of the levels, given that the cell holds one of them: (..., columns, width)."""
        known = self.constants
        cuts = (known.cuts - self.loc.unsqueeze(-1)) / self.column_scale.unsqueeze(-1)
        levels = torch.arange(cuts.shape[-1] - 1, device=cuts.device)
        return interval_mass(cuts[..., :-1], cuts[..., 1:]).where(levels < known.n_levels.unsqueeze(-1), 0.0)

    def _interval(self, value: Tensor) -> tuple[Tensor, Tensor]:
        last = self.constants.n_levels - 1
        code = torch.minimum(value, last).clamp(min=0).floor().long()
        cuts = self.constants.cuts.expand(*code.shape, -1)
        lower, upper = (cuts.gather(-1, (code + end).unsqueeze(-1)).squeeze(-1) for end in (0, 1))
        return torch.where(value < 0, -FAR, lower), torch.where(value < 0, -FAR + 1, upper)


@dataclass(frozen=True)
class RoundedStudentT(OrderedLikelihood):
    r"""Student-t noise (4 degrees of freedom) behind numbers that are whole multiples of a step.

    The probability of a cell is that of the interval of one step around it, so it cannot exceed 1 however small the
    noise becomes.  Divided by the step it is a density that is constant over the interval; for whole
    numbers the two are the same number.

    Parameters
    ----------
    floor : float, default=0.05
        Smallest scale of the noise, in standard deviations of the column.

    References
    ----------
    Theis, van den Oord and Bethge, "A note on the evaluation of generative models", ICLR 2016, section 3.1.
    """

    floor: float = 0.05
    standardize: ClassVar[bool] = True
    rounded: ClassVar[bool] = True
    n_noise: ClassVar[int | None] = None
    noise: ClassVar[type[IntervalStudentT]] = RoundedT
    marginal_noise: ClassVar[type[IntervalStudentT]] = RoundedNormal

    def __post_init__(self) -> None:
        check_floor(self.floor)

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return bounded_features(values).unsqueeze(-1)

    def saturated(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return best_center(self.noise, values, constants).unsqueeze(-1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        return self.noise(parameters.squeeze(-1), noise_scale(log_noise, constants.floor), constants)

    def marginal(self, parameters: Tensor, constants: ColumnConstants) -> Distribution:
        scale = noise_scale(parameters.new_zeros(1), constants.floor)
        return self.marginal_noise(parameters.squeeze(-1), scale, constants)

    def summary(self, distribution: Distribution) -> Tensor:
        assert isinstance(distribution, IntervalStudentT)
        return distribution.expected.unsqueeze(-1)

    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(distribution, IntervalStudentT)
        return distribution.tails(values)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        assert isinstance(distribution, IntervalStudentT)
        return distribution.draw(generator)


@dataclass(frozen=True)
class BoundedStudentT(RoundedStudentT):
    """Student-t noise (4 degrees of freedom) cut off at two bounds, for shares and percentages.

    A cell beyond a bound has a small but positive density, at most that of the noise without bounds and in all at most
    the probability of the unseen, 1 / (n + 1).  `saturated` centres the noise at the cell; next to a bound the density
    would be up to half a nat higher with noise that is centred beyond it.

    Parameters
    ----------
    floor : float, default=0.05
        Smallest scale of the noise, in standard deviations of the column.
    """

    density: ClassVar[bool] = True
    rounded: ClassVar[bool] = False
    noise: ClassVar[type[IntervalStudentT]] = BoundedT
    marginal_noise: ClassVar[type[IntervalStudentT]] = BoundedT


@dataclass(frozen=True)
class Ordinal(OrderedLikelihood):
    r"""One of K ordered levels: Student-t noise (4 degrees of freedom) between cuts.

    :math:`p(k \mid z) = (1 - u)\,[F((c_{k+1} - \mu(z)) / s) - F((c_k - \mu(z)) / s)]` with the cuts at the quantiles
    of the training frequencies, so that :math:`\mu = 0, s = 1` gives these; the scale is learned for each column.
    As in `Categorical`, :math:`u = 1 / (n + 1)` is kept for levels that training never saw.

    Parameters
    ----------
    floor : float, default=0.05
        Smallest scale of the noise.

    References
    ----------
    McCullagh, "Regression models for ordinal data", JRSS B 42, 1980, eq. 2.1.
    """

    floor: float = 0.05
    support: ClassVar[str] = "levels"
    n_noise: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        check_floor(self.floor)

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return (2 * values / max(width - 1, 1) - 1).clamp(-1, 2).unsqueeze(-1)

    def saturated(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        codes = torch.minimum(values, constants.n_levels - 1).clamp(min=0).long().unsqueeze(-1)
        cuts = constants.cuts.expand(*values.shape, -1)
        lower, upper = cuts.gather(-1, codes), cuts.gather(-1, codes + 1)
        return (lower + upper) / 2

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        return OrdinalT(parameters.squeeze(-1), noise_scale(log_noise, constants.floor), constants)

    def summary(self, distribution: Distribution) -> Tensor:
        assert isinstance(distribution, OrdinalT)
        return distribution.probs

    def point(self, summary: Tensor) -> Tensor:
        return _level_at(summary, 0.5)

    def quantile(self, distribution: Distribution, probability: float, weights: Tensor) -> Tensor:
        return _level_at(mixed(self.summary(distribution), weights.unsqueeze(-1)), probability)

    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(distribution, OrdinalT)
        return distribution.tails(values)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        assert isinstance(distribution, OrdinalT)
        cells = student_t_draw(distribution, generator).unsqueeze(-1)
        cuts, n_levels = distribution.constants.cuts, distribution.constants.n_levels
        below = (cells >= cuts[..., 1:]).sum(-1)
        return torch.minimum(below, n_levels - 1).to(cells.dtype)


def _level_at(probabilities: Tensor, share: float) -> Tensor:
    """The first level at which the summed probabilities reach a share."""
    reached = probabilities.cumsum(-1) >= share * (1 - 1e-6)
    return reached.to(torch.uint8).argmax(-1).to(probabilities.dtype)
