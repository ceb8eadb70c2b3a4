"""Whole grey levels as intervals under a mixture of logistic distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional

from vae_anomaly.likelihoods.base import ColumnConstants, OrderedLikelihood

STEPS_OF_MIN_SCALE = 0.05
MAX_LOG_SCALE = 5.0


class LogisticMixture(Distribution):
    """A mixture of logistic distributions, of which every cell is an interval of one step.

    Parameters
    ----------
    log_weights, loc, scale : Tensor of shape (..., columns, components)
        Normalised weights, and locations and scales in model units.
    constants : ColumnConstants
        Step, lowest and highest cell; what lies beyond an end belongs to the end.
    """

    arg_constraints: ClassVar[dict[str, torch.distributions.constraints.Constraint]] = {}

    def __init__(self, log_weights: Tensor, loc: Tensor, scale: Tensor, constants: ColumnConstants) -> None:
        self.log_weights, self.loc, self.scale, self.constants = log_weights, loc, scale, constants
        super().__init__(loc.shape[:-1], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Expected cells, as if there were no ends, within the ends."""
        expected = (self.log_weights.exp() * self.loc).sum(-1)
        return torch.maximum(torch.minimum(expected, self.constants.high), self.constants.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats.

        With the standardised ends a < b of the interval,
        ``sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b))``: products, of which none cancels.
        """
        lower, upper = self._ends(value)
        width = self.constants.step.unsqueeze(-1) / self.scale
        inner = torch.log(-torch.expm1(-width))
        below = functional.logsigmoid(upper).where(~self._at_top(value), 0.0)
        above = functional.logsigmoid(-lower).where(~self._at_bottom(value), 0.0)
        ends = self._at_top(value) | self._at_bottom(value)
        return torch.logsumexp(self.log_weights + below + above + inner.where(~ends, 0.0), -1)

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X >= x)."""
        lower, upper = self._ends(value)
        weights = self.log_weights.exp()
        below = torch.where(self._at_top(value), 1.0, torch.sigmoid(upper))
        above = torch.where(self._at_bottom(value), 1.0, torch.sigmoid(-lower))
        return (weights * below).sum(-1), (weights * above).sum(-1)

    def _ends(self, value: Tensor) -> tuple[Tensor, Tensor]:
        half = self.constants.step / 2
        return tuple(((value + side * half).unsqueeze(-1) - self.loc) / self.scale for side in (-1, 1))  # type: ignore[return-value]

    def _at_bottom(self, value: Tensor) -> Tensor:
        return (value <= self.constants.low + self.constants.step / 4).unsqueeze(-1)

    def _at_top(self, value: Tensor) -> Tensor:
        return (value >= self.constants.high - self.constants.step / 4).unsqueeze(-1)


@dataclass(frozen=True)
class DiscretizedLogistic(OrderedLikelihood):
    """Whole grey levels with a location and scale from the decoder for each pixel, or several of them.

    The probability of a level is that of the interval of one step around it, and the lowest and highest level take what
    lies beyond them.

    Parameters
    ----------
    n_components : int, default=1
        Logistic distributions in the mixture of each pixel.

    Notes
    -----
    The scale follows every pixel, so that smooth images of any kind get a high likelihood: images unlike those of
    training may score as normal. See ``row_score``.

    References
    ----------
    Salimans, Karpathy, Chen and Kingma, "PixelCNN++", ICLR 2017, eq. 2.
    """

    n_components: int = 1
    standardize: ClassVar[bool] = True
    rounded: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.n_components >= 1:
            raise ValueError(f"n_components is an integer of at least 1, not {self.n_components!r}")

    def n_parameters(self, width: int) -> int:
        return 3 * self.n_components if self.n_components > 1 else 2

    def start(self, mean: float) -> tuple[float, ...]:
        if self.n_components == 1:
            return (mean, -1.0)
        places = torch.linspace(-1, 1, self.n_components).tolist()
        return (*[mean + place for place in places], *[-1.0] * self.n_components, *[0.0] * self.n_components)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: ColumnConstants) -> Distribution:
        loc, log_scale, *logits = parameters.split(self.n_components, -1)
        scale = log_scale.clamp(max=MAX_LOG_SCALE).exp() + STEPS_OF_MIN_SCALE * constants.step.unsqueeze(-1)
        log_weights = functional.log_softmax(logits[0], -1) if logits else torch.zeros_like(loc)
        return LogisticMixture(log_weights, loc, scale, constants)

    def saturated(self, values: Tensor, width: int, constants: ColumnConstants) -> Tensor:
        loc = values.unsqueeze(-1).expand(*values.shape, self.n_components)
        parts = [loc, torch.full_like(loc, -math.inf)]
        return torch.cat([*parts, torch.zeros_like(loc)] if self.n_components > 1 else parts, -1)

    def summary(self, distribution: Distribution) -> Tensor:
        return distribution.mean.unsqueeze(-1)

    def tails(self, distribution: Distribution, values: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(distribution, LogisticMixture)
        return distribution.tails(values)

    def quantile(self, distribution: Distribution, probability: float, weights: Tensor) -> Tensor:
        assert isinstance(distribution, LogisticMixture)
        known = distribution.constants
        cells = super().quantile(distribution, probability, weights)
        return torch.maximum(torch.minimum(cells, known.high), known.low)

    def draw(self, distribution: Distribution, generator: torch.Generator) -> Tensor:
        assert isinstance(distribution, LogisticMixture)
        known, shape = distribution.constants, distribution.loc.shape
        uniform = torch.rand((2, *shape), generator=generator, dtype=distribution.loc.dtype).clamp(1e-6, 1 - 1e-6)
        gumbel = -torch.log(-torch.log(uniform[0]))
        chosen = (distribution.log_weights + gumbel).argmax(-1, keepdim=True)
        cells = (distribution.loc + distribution.scale * torch.logit(uniform[1])).gather(-1, chosen).squeeze(-1)
        # Decoding rounds them.
        return torch.maximum(torch.minimum(cells, known.high), known.low)
