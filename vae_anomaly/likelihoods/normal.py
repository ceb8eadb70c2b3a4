"""The normal distribution of cells, and of their intervals."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.gradients import Backward, Kept, LocatedDistribution
from vae_anomaly.likelihoods.noise import NoiseDistribution

NARROW, NARROW_HALF = 1e-4, 2e-3
LOG_PEAK = -0.5 * math.log(2 * math.pi)
MAX_LOG_RATIO = 80.0


class LogNormal(torch.autograd.Function):
    """Normal log-density of cells in few passes over them; the gradient is with location and scale."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        """Nats."""
        precision = scale.reciprocal()
        standard = (value - loc).mul_(precision)
        ctx.save_for_backward(standard, precision)
        return standard.square().mul_(-0.5).sub_(scale.log().sub_(LOG_PEAK))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor]:
        """With regard to location and scale."""
        standard, precision = ctx.saved_tensors
        pull = standard * gradients[0]
        by_scale = (pull * standard).sub_(gradients[0]).sum_to_size(precision.shape).mul_(precision)
        return None, pull.mul_(precision), by_scale


@final
class NormalDistribution(LocatedDistribution):
    """A normal distribution whose scale is small: one number per member and column, never expanded to the cells."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale

    @property
    def batch_shape(self) -> torch.Size:
        return self.loc.shape

    @property
    def mean(self) -> Tensor:
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        log_density: Tensor = LogNormal.apply(value, self.loc, self.scale)  # type: ignore[no-untyped-call]
        return log_density

    def log_prob_with_gradient(self, value: Tensor) -> tuple[Tensor, Backward]:
        kept = Kept()
        return LogNormal.forward(kept, value, self.loc, self.scale), lambda by_cells: LogNormal.backward(
            kept, by_cells
        )[1:]

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        standard = (value - self.loc) / self.scale
        return torch.special.ndtr(standard), torch.special.ndtr(-standard)

    def draw(self, generator: torch.Generator) -> Tensor:
        standard = torch.randn(self.loc.shape, generator=generator, dtype=self.loc.dtype)
        return self.loc + standard * self.scale


class NormalLogMass(torch.autograd.Function):
    """log P(lower <= X <= upper) of a standard normal variable, with its derivatives in closed form."""

    @staticmethod
    def forward(ctx: Any, lower: Tensor, upper: Tensor, width: Tensor) -> Tensor:
        """Log-probability, nats."""
        # The interval is moved to the left of the median, where the distribution function is not near 1.
        end, span = torch.where(lower + upper > 0, -lower, upper), width
        if end.device.type != "mps":
            end, span = end.double(), span.double()
        above, below = torch.special.log_ndtr(end), torch.special.log_ndtr(end - span)
        wide = above + torch.log(-torch.expm1(below - above))
        # The difference of two that are nearly equal vanishes where the density times the width does not.
        narrow = span.log() - 0.5 * (end - span / 2).square() - 0.5 * math.log(2 * math.pi)
        is_narrow = span * (1 + end.abs()) < NARROW
        log_mass = torch.where(is_narrow, narrow, wide)
        ctx.save_for_backward(lower, upper, width, is_narrow, log_mass)
        return log_mass.to(lower.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """By the densities at the ends; where these nearly cancel, by the density in the middle and the width."""
        lower, upper, width, is_narrow, log_mass = ctx.saved_tensors
        (gradient,) = gradients
        ends = []
        for sign, end in ((-1, lower), (1, upper)):
            log_ratio = LOG_PEAK - 0.5 * end.to(log_mass.dtype).square() - log_mass
            ratio = log_ratio.clamp(max=MAX_LOG_RATIO).exp().to(gradient.dtype)
            by_end = torch.where(is_narrow, -0.25 * (lower + upper), sign * ratio)
            ends.append((by_end * gradient).sum_to_size(end.shape))
        by_width = torch.where(is_narrow, gradient / width.where(is_narrow, 1.0), 0.0)
        return ends[0], ends[1], by_width.sum_to_size(width.shape)


@final
class NormalNoise(NoiseDistribution):
    """Normal noise, with the probabilities of intervals."""

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * self.standard(value).square() - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def below(self, value: Tensor) -> Tensor:
        below: Tensor = torch.special.ndtr(self.standard(value))
        return below

    def above(self, value: Tensor) -> Tensor:
        above: Tensor = torch.special.ndtr(-self.standard(value))
        return above

    def mass(self, lower: Tensor, upper: Tensor) -> Tensor:
        return self.log_mass(lower, upper, upper - lower).exp()

    def log_mass(self, lower: Tensor, upper: Tensor, width: Tensor) -> Tensor:
        log_mass: Tensor = NormalLogMass.apply(  # type: ignore[no-untyped-call]
            self.standard(lower), self.standard(upper), width / self.scale
        )
        return log_mass

    def has_narrow(self, half: Tensor) -> Tensor:
        return (half / self.scale).view(-1, len(half)).amax(0) <= NARROW_HALF

    def log_narrow_mass(self, middle: Tensor, half: Tensor) -> Tensor:
        squared, half = self.standard(middle).square_(), half / self.scale
        # The second derivative of the density at the middle; the fourth would add less than 1e-5 within 50 deviations.
        return (
            torch.log1p((half.square() / 6) * (squared - 1)).add_(squared, alpha=-0.5).add_((2 * half).log() + LOG_PEAK)
        )

    def inverse(self, probability: Tensor) -> Tensor:
        standard: Tensor = torch.special.ndtri(probability.clamp(0, 1))
        return self.loc + self.scale * standard

    def draw(self, generator: torch.Generator) -> Tensor:
        standard = torch.randn(self.loc.shape, generator=generator, dtype=self.loc.dtype)
        return self.loc + standard * self.scale
