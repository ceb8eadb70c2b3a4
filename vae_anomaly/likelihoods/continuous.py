"""Likelihoods that are densities: cells are real numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from scipy.special import stdtr
from torch import Tensor
from torch.distributions import Distribution

from vae_anomaly.likelihoods.base import N_BISECTIONS, ColumnConstants, OrderedLikelihood

LINEAR_RANGE = 10.0
FLAT_LOGIT = 0.01
HALF_LEVEL = 1 / 512


def bounded_features(values: Tensor) -> Tensor:
    """Identity up to ten standard deviations, logarithmic beyond, so that no cell overflows the encoder."""
    magnitude = values.abs()
    excess = (magnitude - LINEAR_RANGE).clamp(min=0)
    return (magnitude.clamp(max=LINEAR_RANGE) + torch.log1p(excess)).copysign(values)


class ColumnNormal(Distribution):
    """A normal distribution whose scale is small: one number a member and column, never expanded to the cells."""

    arg_constraints: ClassVar[dict[str, torch.distributions.constraints.Constraint]] = {}

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.column_scale = loc, scale
        super().__init__(loc.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Expected cells."""
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats."""
        standard = (value - self.loc) * self.column_scale.reciprocal()
        return -0.5 * standard.square() - (self.column_scale.log() + 0.5 * math.log(2 * math.pi))


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
        pull = (standard / heaviness).mul_(ctx.nu + 1).mul_(gradients[0])
        by_scale = (pull * standard).sub_(gradients[0]).sum_to_size(scale.shape).div_(scale)
        return None, pull.mul_(precision), by_scale, None


class ColumnStudentT(Distribution):
    """A Student-t distribution whose scale is small: one number a member and column, never expanded to the cells."""

    arg_constraints: ClassVar[dict[str, torch.distributions.constraints.Constraint]] = {}

    def __init__(self, df: float, loc: Tensor, scale: Tensor) -> None:
        self.degrees, self.loc, self.column_scale = df, loc, scale
        super().__init__(loc.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Expected cells."""
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats."""
        log_prob: Tensor = LogStudentT.apply(  # type: ignore[no-untyped-call]
            value, self.loc, self.column_scale, self.degrees
        )
        return log_prob


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
        # The softplus by way of PyTorch's log-sigmoid, which is the same at every place of a tensor.
        return value * self.logits + torch.nn.functional.logsigmoid(-self.logits) + normaliser

    def below(self, value: Tensor) -> Tensor:
        """P(X <= x) = expm1(l x) / expm1(l), written so that it neither overflows nor cancels."""
        cell = value.clamp(0, 1)
        steep = self.steep.abs()
        share = torch.exp(steep * (cell - 1)) * torch.expm1(-steep * cell) / torch.expm1(-steep)
        mirrored = torch.expm1(-steep * cell) / torch.expm1(-steep)
        return torch.where(self.flat, cell, torch.where(self.steep > 0, share, mirrored))

    def above(self, value: Tensor) -> Tensor:
        """P(X >= x)."""
        return LogitContinuousBernoulli(-self.logits).below(1 - value)

    def icdf(self, value: Tensor) -> Tensor:
        """Quantiles."""
        closed = torch.logaddexp(value.log() + self.steep, torch.log1p(-value)) / self.steep
        return torch.where(self.flat, value, closed)


def noise_scale(log_noise: Tensor, floor: Tensor) -> Tensor:
    """Standard deviation whose square is the learned variance plus the squared floor."""
    return torch.sqrt(torch.exp(2 * log_noise) + floor**2)


def check_floor(floor: float) -> None:
    """Refuse a negative floor."""
    if not floor >= 0:
        raise ValueError(f"floor is a number of at least 0, not {floor!r}")


def student_t_draw(distribution: ColumnStudentT, generator: torch.Generator) -> Tensor:
    """Cells of a Student-t distribution, drawn by a polar method that is exact for every df.

    References
    ----------
    Bailey, "Polar generation of random variates with the t-distribution", Mathematics of Computation 62, 1994, eq. 2.
    """
    shape, dtype, df = distribution.loc.shape, distribution.loc.dtype, distribution.degrees
    radius = 1 - torch.rand(shape, generator=generator, dtype=dtype)
    angle = torch.rand(shape, generator=generator, dtype=dtype)
    standard = torch.sqrt(df * (radius ** (-2 / df) - 1)) * torch.cos(2 * math.pi * angle)
    return distribution.loc + standard * distribution.column_scale


@dataclass(frozen=True)
class Gaussian(OrderedLikelihood):
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
        check_floor(self.floor)

    def noise_size(self, n_columns: int) -> int:
        return n_columns if self.noise == "column" else 1

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return bounded_features(values).unsqueeze(-1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        scale = noise_scale(log_noise, constants.floor)
        return ColumnNormal(parameters.squeeze(-1), scale)

    def summary(self, distribution: Distribution) -> Tensor:
        return distribution.mean.unsqueeze(-1)

    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(distribution, ColumnNormal)
        standard = (values - distribution.loc) / distribution.column_scale
        return torch.special.ndtr(standard), torch.special.ndtr(-standard)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        assert isinstance(distribution, ColumnNormal)
        standard = torch.randn(distribution.mean.shape, generator=generator, dtype=distribution.mean.dtype)
        return distribution.mean + standard * distribution.column_scale


@dataclass(frozen=True)
class UnitGaussian(OrderedLikelihood):
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

    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(distribution, ColumnNormal)
        standard = (values - distribution.loc) / distribution.column_scale
        return torch.special.ndtr(standard), torch.special.ndtr(-standard)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        standard = torch.randn(distribution.mean.shape, generator=generator, dtype=distribution.mean.dtype)
        return distribution.mean + standard


@dataclass(frozen=True)
class StudentT(OrderedLikelihood):
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
        check_floor(self.floor)

    def features(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        return bounded_features(values).unsqueeze(-1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        scale = noise_scale(log_noise, constants.floor)
        return ColumnStudentT(self.df, parameters.squeeze(-1), scale)

    def marginal(self, parameters: Tensor, constants: ColumnConstants) -> Distribution:
        return ColumnNormal(parameters.squeeze(-1), noise_scale(parameters.new_zeros(1), constants.floor))

    def summary(self, distribution: Distribution) -> Tensor:
        assert isinstance(distribution, ColumnStudentT)
        return distribution.loc.unsqueeze(-1)

    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(distribution, ColumnStudentT)
        standard = ((values - distribution.loc) / distribution.column_scale).cpu().double().numpy()
        lower, upper = stdtr(self.df, standard), stdtr(self.df, -standard)
        return torch.from_numpy(lower).to(values), torch.from_numpy(upper).to(values)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        assert isinstance(distribution, ColumnStudentT)
        return student_t_draw(distribution, generator)


@dataclass(frozen=True)
class ContinuousBernoulli(OrderedLikelihood):
    """A density on [0, 1] with one parameter, for grey values and proportions.

    References
    ----------
    Loaiza-Ganem and Cunningham, "The continuous Bernoulli", NeurIPS 2019, eq. 8.
    """

    density: ClassVar[bool] = True
    support: ClassVar[str] = "numbers in [0, 1]"

    def supports(self, values: Tensor) -> Tensor:
        return (values >= 0) & (values <= 1)

    def saturated(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        # At 0 and 1 the density has no maximum: half a grey level of 8 bits is as near as a cell comes.
        cells = values.clamp(HALF_LEVEL, 1 - HALF_LEVEL)
        low, high = torch.full_like(cells, -2 / HALF_LEVEL), torch.full_like(cells, 2 / HALF_LEVEL)
        for _ in range(N_BISECTIONS):
            middle = (low + high) / 2
            enough = LogitContinuousBernoulli(middle).mean >= cells
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return high.unsqueeze(-1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        return LogitContinuousBernoulli(parameters.squeeze(-1))

    def summary(self, distribution: Distribution) -> Tensor:
        return distribution.mean.unsqueeze(-1)

    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(distribution, LogitContinuousBernoulli)
        return distribution.below(values), distribution.above(values)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        assert isinstance(distribution, LogitContinuousBernoulli)
        uniform = torch.rand(distribution.mean.shape, generator=generator, dtype=distribution.mean.dtype)
        return distribution.icdf(uniform).clamp(0, 1)
