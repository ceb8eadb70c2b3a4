"""Student-t noise whose scale is learned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import torch
from scipy.special import stdtr
from torch import Tensor

from vae_anomaly.likelihoods.base import Constants
from vae_anomaly.likelihoods.gradients import Backward, Kept, LocatedDistribution, StatesGradient, of_parameters
from vae_anomaly.likelihoods.noise import NoiseDistribution, check_floor, noise_scale
from vae_anomaly.likelihoods.student_t4 import (
    DF,
    NARROW,
    LogMass,
    interval_mass,
    log_narrow_mass,
    t_quantile,
    upper_tail,
)
from vae_anomaly.likelihoods.wrappable import NoiseLikelihood


class LogStudentT(torch.autograd.Function):
    """Student-t log-density of cells in few passes over them; the gradient is with location and scale."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, loc: Tensor, scale: Tensor, nu: float) -> Tensor:
        normaliser = math.lgamma(nu / 2) - math.lgamma((nu + 1) / 2) + 0.5 * math.log(nu * math.pi)
        precision = (scale * math.sqrt(nu)).reciprocal_()
        standard = (value - loc).mul_(precision)
        heaviness = torch.addcmul(standard.new_ones(()), standard, standard)
        ctx.nu = nu
        ctx.save_for_backward(standard, heaviness, precision, scale)
        return heaviness.log().mul_(-0.5 * (nu + 1)).sub_(scale.log().add_(normaliser))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        standard, heaviness, precision, scale = ctx.saved_tensors
        pull = (standard / heaviness).mul_(gradients[0] * (ctx.nu + 1))
        by_scale = (pull * standard).sub_(gradients[0]).sum_to_size(scale.shape).div_(scale)
        return None, pull.mul_(precision), by_scale, None


def student_t_log_density(value: Tensor, loc: Tensor, scale: Tensor, df: float) -> Tensor:
    """Log-density of cells, nats."""
    log_density: Tensor = LogStudentT.apply(value, loc, scale, df)  # type: ignore[no-untyped-call]
    return log_density


def student_t_draw(loc: Tensor, scale: Tensor, df: float, generator: torch.Generator) -> Tensor:
    """Cells of a Student-t distribution, drawn by a polar method that is exact for every df.

    References
    ----------
    Bailey, "Polar generation of random variates with the t-distribution", Mathematics of Computation 62, 1994, eq. 2.
    """
    radius = 1 - torch.rand(loc.shape, generator=generator, dtype=loc.dtype)
    angle = torch.rand(loc.shape, generator=generator, dtype=loc.dtype)
    standard = torch.sqrt(df * (radius ** (-2 / df) - 1)) * torch.cos(2 * math.pi * angle)
    return loc + standard * scale


@final
class StudentTDistribution(LocatedDistribution):
    """A Student-t distribution of any degrees of freedom.

    The scale is small: one number per member and column, never expanded to the cells.
    """

    def __init__(self, df: float, loc: Tensor, scale: Tensor) -> None:
        self.df, self.loc, self.scale = df, loc, scale

    @property
    def batch_shape(self) -> torch.Size:
        return self.loc.shape

    @property
    def mean(self) -> Tensor:
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        return student_t_log_density(value, self.loc, self.scale, self.df)

    def log_prob_with_gradient(self, value: Tensor) -> tuple[Tensor, Backward]:
        kept = Kept()

        def backward(by_cells: Tensor) -> tuple[Tensor, Tensor]:
            _, by_location, by_scale, _ = LogStudentT.backward(kept, by_cells)
            assert by_location is not None
            assert by_scale is not None
            return by_location, by_scale

        return LogStudentT.forward(kept, value, self.loc, self.scale, self.df), backward

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        in_scales = ((value - self.loc) / self.scale).cpu().double()
        if self.df == DF:
            # In closed form, which is four times as fast and what explanations take most of their time for.
            return upper_tail(-in_scales).to(value), upper_tail(in_scales).to(value)
        standard = in_scales.numpy()
        lower, upper = stdtr(self.df, standard), stdtr(self.df, -standard)
        return torch.from_numpy(lower).to(value), torch.from_numpy(upper).to(value)

    def draw(self, generator: torch.Generator) -> Tensor:
        return student_t_draw(self.loc, self.scale, self.df, generator)


@final
class StudentT4Noise(NoiseDistribution):
    """Student-t noise of four degrees of freedom, whose intervals have a probability in closed form."""

    def log_prob(self, value: Tensor) -> Tensor:
        return student_t_log_density(value, self.loc, self.scale, DF)

    def below(self, value: Tensor) -> Tensor:
        return upper_tail(-self.standard(value))

    def above(self, value: Tensor) -> Tensor:
        return upper_tail(self.standard(value))

    def mass(self, lower: Tensor, upper: Tensor) -> Tensor:
        return interval_mass(self.standard(lower), self.standard(upper))

    def log_mass(self, lower: Tensor, upper: Tensor, width: Tensor) -> Tensor:
        log_mass: Tensor = LogMass.apply(  # type: ignore[no-untyped-call]
            self.standard(lower), self.standard(upper), width / self.scale
        )
        return log_mass

    def has_narrow(self, half: Tensor) -> Tensor:
        return (half / self.scale).view(-1, len(half)).amax(0) <= NARROW

    def log_narrow_mass(self, middle: Tensor, half: Tensor) -> Tensor:
        return log_narrow_mass(self.standard(middle), half / self.scale)

    def inverse(self, probability: Tensor) -> Tensor:
        return self.loc + self.scale * t_quantile(probability)

    def draw(self, generator: torch.Generator) -> Tensor:
        return student_t_draw(self.loc, self.scale, DF, generator)


@final
@dataclass(frozen=True)
class StudentT(NoiseLikelihood, StatesGradient):
    """Heavy-tailed noise with a scale learned for each column.

    Parameters
    ----------
    df : float, default=4.0
        Degrees of freedom; the tail falls like ``|x| ** -(df + 1)``.
    floor : float, default=0.05
        Smallest scale of the noise, in standard deviations of the column.

    References
    ----------
    Takahashi et al., "Student-t variational autoencoder for robust density estimation", IJCAI 2018.
    """

    df: float = DF
    floor: float = 0.05

    def __post_init__(self) -> None:
        if not self.df > 1:
            raise ValueError(f"df is a number above 1 (the mean must exist), not {self.df!r}")
        check_floor(self.floor)

    def noise_size(self, n_columns: int) -> int:
        return n_columns

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> StudentTDistribution:
        return StudentTDistribution(self.df, parameters.squeeze(-1), noise_scale(log_noise, constants["floor"]))

    def log_prob_with_gradient(
        self, values: Tensor, parameters: Tensor, log_noise: Tensor, constants: Constants
    ) -> tuple[Tensor, Backward]:
        return of_parameters(self.distribution(parameters, log_noise, constants), values, log_noise)

    def around(self, location: Tensor, log_noise: Tensor, constants: Constants) -> StudentT4Noise:
        self.check_wrappable()
        return StudentT4Noise(location, noise_scale(log_noise, constants["floor"]))

    def check_wrappable(self) -> None:
        if self.df != DF:
            raise ValueError(
                f"StudentT(df={self.df!r}) cannot be rounded, bounded or spiked: intervals have a probability in "
                f"closed form for df={DF:g} only. Take df={DF:g} or Gaussian()."
            )
