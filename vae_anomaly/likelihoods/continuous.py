"""Likelihoods that are densities: cells are real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal
from torch.distributions import StudentT as StudentTDistribution

from vae_anomaly.likelihoods.specification import ColumnConstants, Likelihood

LINEAR_RANGE = 10.0
FLAT_LOGIT = 0.01


def bounded_features(values: Tensor) -> Tensor:
    """Identity up to ten standard deviations, logarithmic beyond, so that no cell overflows the encoder."""
    magnitude = values.abs()
    excess = (magnitude - LINEAR_RANGE).clamp(min=0)
    return (magnitude.clamp(max=LINEAR_RANGE) + torch.log1p(excess)).copysign(values)


class ColumnNormal(Normal):
    """A normal distribution whose scale is small: one number a member and column, never expanded to the cells."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.column_scale = scale
        super().__init__(loc, scale, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats."""
        standard = (value - self.loc) * self.column_scale.reciprocal()
        return -0.5 * standard.square() - (self.column_scale.log() + 0.5 * math.log(2 * math.pi))


class ColumnStudentT(StudentTDistribution):
    """A Student-t distribution whose scale is small: one number a member and column, never expanded to the cells."""

    def __init__(self, df: float, loc: Tensor, scale: Tensor) -> None:
        self.column_scale = scale
        self.degrees = df
        super().__init__(df, loc, scale, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats."""
        nu = self.degrees
        normaliser = math.lgamma(nu / 2) - math.lgamma((nu + 1) / 2) + 0.5 * math.log(nu * math.pi)
        standard = (value - self.loc) * (self.column_scale * math.sqrt(nu)).reciprocal()
        return -0.5 * (nu + 1) * torch.log1p(standard.square()) - (self.column_scale.log() + normaliser)


class LogitContinuousBernoulli(Distribution):
    """A continuous Bernoulli distribution in terms of its logit, exact also where the probability saturates."""

    arg_constraints: ClassVar[dict[str, torch.distributions.constraints.Constraint]] = {}

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.flat = logits.abs() < FLAT_LOGIT
        # The closed forms divide by the logit; where it is nearly 0 their series takes over.
        self.steep = torch.where(self.flat, FLAT_LOGIT, logits)
        super().__init__(logits.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Expected cells."""
        closed = -1 / torch.expm1(-self.steep) - 1 / self.steep
        return torch.where(self.flat, 0.5 + self.logits / 12, closed)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats: ``x l - softplus(l) + log(l / tanh(l / 2))``."""
        closed = torch.log(self.steep / torch.tanh(self.steep / 2))
        normaliser = torch.where(self.flat, math.log(2) + self.logits.square() / 12, closed)
        return value * self.logits - torch.nn.functional.softplus(self.logits) + normaliser

    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles."""
        closed = torch.logaddexp(value.log() + self.steep, torch.log1p(-value)) / self.steep
        return torch.where(self.flat, value, closed)


def noise_scale(log_noise: Tensor, floor: Tensor) -> Tensor:
    """Standard deviation whose square is the learned variance plus the squared floor."""
    return torch.sqrt(torch.exp(2 * log_noise) + floor**2)


@dataclass(frozen=True)
class Gaussian(Likelihood):
    r"""Normal noise whose scale is learned, once a column or once for all.

    :math:`x_j \mid z \sim N(\mu_j(z),\ e^{2 s_j} + f_j^2)` with :math:`s_j` learned and the floor :math:`f_j`
    taken from the resolution of the column (the variance of a uniform rounding error) and from `floor`.

    Parameters
    ----------
    noise : {"column", "shared"}, default="column"
        One learned scale for each column, or one for all columns of this likelihood.
    floor : float, default=0.05
        Smallest standard deviation of the noise, in standard deviations of the column.

    References
    ----------
    Rybkin, Daniilidis and Levine, "Simple and effective VAE training with calibrated decoders", ICML 2021, eq. 4.

    Examples
    --------
    >>> Gaussian(noise="shared").noise_size(7)
    1
    """

    noise: Literal["column", "shared"] = "column"
    floor: float = 0.05
    standardize: ClassVar[bool] = True
    density: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.noise not in ("column", "shared"):
            raise ValueError(f"noise is 'column' or 'shared', not {self.noise!r}")
        if not self.floor >= 0:
            raise ValueError(f"floor is a number of at least 0, not {self.floor!r}")

    def noise_size(self, n_columns: int) -> int:
        return n_columns if self.noise == "column" else 1

    def features(self, values: Tensor, width: int) -> Tensor:
        return bounded_features(values).unsqueeze(-1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        scale = noise_scale(log_noise, constants.floor)
        return ColumnNormal(parameters.squeeze(-1), scale)

    def summary(self, distribution: Distribution) -> Tensor:
        return distribution.mean.unsqueeze(-1)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        standard = torch.randn(distribution.mean.shape, generator=generator, dtype=distribution.mean.dtype)
        return distribution.mean + standard * distribution.stddev


@dataclass(frozen=True)
class UnitGaussian(Likelihood):
    r"""Normal noise of standard deviation 1 in the units of the data: the textbook decoder.

    The negative log-likelihood is half the summed squared error plus :math:`\tfrac12 \log 2\pi` a column.
    Columns are *not* standardised; put a ``StandardScaler`` in front where their units differ.
    """

    density: ClassVar[bool] = True

    def start(self, mean: float) -> tuple[float, ...]:
        return (mean,)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        return ColumnNormal(parameters.squeeze(-1), torch.ones((), dtype=parameters.dtype, device=parameters.device))

    def summary(self, distribution: Distribution) -> Tensor:
        return distribution.mean.unsqueeze(-1)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        standard = torch.randn(distribution.mean.shape, generator=generator, dtype=distribution.mean.dtype)
        return distribution.mean + standard


@dataclass(frozen=True)
class StudentT(Likelihood):
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

    df: float = 4.0
    floor: float = 0.05
    standardize: ClassVar[bool] = True
    density: ClassVar[bool] = True
    n_noise: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        if not self.df > 1:
            raise ValueError(f"df is a number above 1 (the mean must exist), not {self.df!r}")
        if not self.floor >= 0:
            raise ValueError(f"floor is a number of at least 0, not {self.floor!r}")

    def features(self, values: Tensor, width: int) -> Tensor:
        return bounded_features(values).unsqueeze(-1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        scale = noise_scale(log_noise, constants.floor)
        return ColumnStudentT(self.df, parameters.squeeze(-1), scale)

    def summary(self, distribution: Distribution) -> Tensor:
        assert isinstance(distribution, StudentTDistribution)
        return distribution.loc.unsqueeze(-1)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        assert isinstance(distribution, StudentTDistribution)
        shape, dtype = distribution.loc.shape, distribution.loc.dtype
        radius = 1 - torch.rand(shape, generator=generator, dtype=dtype)
        angle = torch.rand(shape, generator=generator, dtype=dtype)
        # Bailey (1994), Mathematics of Computation 62, eq. 2: a polar method that is exact for every df.
        standard = torch.sqrt(self.df * (radius ** (-2 / self.df) - 1)) * torch.cos(2 * math.pi * angle)
        return distribution.loc + standard * distribution.scale


@dataclass(frozen=True)
class ContinuousBernoulli(Likelihood):
    """A density on [0, 1] with one parameter, for grey values and proportions.

    References
    ----------
    Loaiza-Ganem and Cunningham, "The continuous Bernoulli", NeurIPS 2019, eq. 8.
    """

    density: ClassVar[bool] = True
    support: ClassVar[str] = "numbers in [0, 1]"

    def supports(self, values: Tensor) -> Tensor:
        return (values >= 0) & (values <= 1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        return LogitContinuousBernoulli(parameters.squeeze(-1))

    def summary(self, distribution: Distribution) -> Tensor:
        return distribution.mean.unsqueeze(-1)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        assert isinstance(distribution, LogitContinuousBernoulli)
        uniform = torch.rand(distribution.mean.shape, generator=generator, dtype=distribution.mean.dtype)
        return distribution.icdf(uniform).clamp(0, 1)
