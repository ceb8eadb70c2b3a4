"""Whole grey levels as intervals under a mixture of logistic distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, Likelihood, Traits, single
from vae_anomaly.likelihoods.distribution import CellDistribution, OrderedDistribution, bisected_quantile

STEPS_OF_MIN_SCALE = 0.05
MAX_LOG_SCALE = 5.0


@final
class LogisticMixture(OrderedDistribution):
    """A mixture of logistic distributions, of which every cell is an interval of one step.

    Parameters
    ----------
    log_weights, loc, scale : Tensor of shape (..., columns, components)
        Normalised weights, and locations and scales in model units.
    constants : Constants
        ``step``, ``low`` and ``high``; what is beyond an end belongs to the end.
    """

    def __init__(self, log_weights: Tensor, loc: Tensor, scale: Tensor, constants: Constants) -> None:
        self.log_weights, self.loc, self.scale = log_weights, loc, scale
        self.step, self.low, self.high = constants["step"], constants["low"], constants["high"]

    @property
    def batch_shape(self) -> torch.Size:
        return self.loc.shape[:-1]

    @property
    def mean(self) -> Tensor:
        """Expected cells, as if there were no ends, within the ends."""
        expected = (self.log_weights.exp() * self.loc).sum(-1)
        return self._within(expected)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats.

        With the standardised ends a < b of the interval,
        ``sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b))``: products, of which none cancels.
        """
        lower, upper = self._ends(value)
        width = self.step.unsqueeze(-1) / self.scale
        inner = torch.log(-torch.expm1(-width))
        below = functional.logsigmoid(upper).where(~self._at_top(value), 0.0)
        above = functional.logsigmoid(-lower).where(~self._at_bottom(value), 0.0)
        ends = self._at_top(value) | self._at_bottom(value)
        return torch.logsumexp(self.log_weights + below + above + inner.where(~ends, 0.0), -1)

    def summary(self) -> Tensor:
        return self.mean.unsqueeze(-1)

    def point(self, summary: Tensor) -> Tensor:
        return summary.squeeze(-1)

    def quantile(self, probability: float, weights: Tensor) -> Tensor:
        return self._within(bisected_quantile(self, probability, weights))

    def draw(self, generator: torch.Generator) -> Tensor:
        """Cells drawn with a local generator; decoding rounds them."""
        uniform = torch.rand((2, *self.loc.shape), generator=generator, dtype=self.loc.dtype).clamp(1e-6, 1 - 1e-6)
        gumbel = -torch.log(-torch.log(uniform[0]))
        chosen = (self.log_weights + gumbel).argmax(-1, keepdim=True)
        return self._within((self.loc + self.scale * torch.logit(uniform[1])).gather(-1, chosen).squeeze(-1))

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self._ends(value)
        weights = self.log_weights.exp()
        below = torch.where(self._at_top(value), 1.0, torch.sigmoid(upper))
        above = torch.where(self._at_bottom(value), 1.0, torch.sigmoid(-lower))
        return (weights * below).sum(-1), (weights * above).sum(-1)

    def _within(self, cells: Tensor) -> Tensor:
        """Cells between the lowest and the highest one."""
        return torch.maximum(torch.minimum(cells, self.high), self.low)

    def _ends(self, value: Tensor) -> tuple[Tensor, Tensor]:
        half = self.step / 2
        return tuple(((value + side * half).unsqueeze(-1) - self.loc) / self.scale for side in (-1, 1))  # type: ignore[return-value]

    def _at_bottom(self, value: Tensor) -> Tensor:
        return (value <= self.low + self.step / 4).unsqueeze(-1)

    def _at_top(self, value: Tensor) -> Tensor:
        return (value >= self.high - self.step / 4).unsqueeze(-1)


@final
@dataclass(frozen=True)
class DiscretizedLogistic(Likelihood):
    """Whole grey levels with a location and scale from the decoder for each pixel, or several of them.

    The probability of a level is that of the interval of one step around it, and the lowest and highest level take what
    is beyond them.

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
    traits: ClassVar[Traits] = Traits(standardize=True, rounded=True, for_pixels=True)
    floor: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not self.n_components >= 1:
            raise ValueError(f"n_components is an integer of at least 1, not {self.n_components!r}")

    def n_parameters(self, width: int) -> int:
        return 3 * self.n_components if self.n_components > 1 else 2

    def n_features(self, width: int) -> int:
        return 1

    def noise_size(self, n_columns: int) -> int:
        return 0

    def constants(self, columns: Sequence[ColumnFacts]) -> dict[str, Tensor]:
        names = ("step", "low", "high")
        return {name: single([getattr(column, name) for column in columns]) for name in names}

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return values.unsqueeze(-1)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        if self.n_components == 1:
            return (column.mean, -1.0)
        offsets = torch.linspace(-1, 1, self.n_components).tolist()
        return (*[column.mean + offset for offset in offsets], *[-1.0] * self.n_components, *[0.0] * self.n_components)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> LogisticMixture:
        loc, log_scale, *logits = parameters.split(self.n_components, -1)
        scale = log_scale.clamp(max=MAX_LOG_SCALE).exp() + STEPS_OF_MIN_SCALE * constants["step"].unsqueeze(-1)
        log_weights = functional.log_softmax(logits[0], -1) if logits else torch.zeros_like(loc)
        return LogisticMixture(log_weights, loc, scale, constants)

    def marginal(self, parameters: Tensor, constants: Constants) -> CellDistribution:
        return self.distribution(parameters, parameters.new_zeros(1), constants)

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        loc = values.unsqueeze(-1).expand(*values.shape, self.n_components)
        parts = [loc, torch.full_like(loc, -math.inf)]
        return torch.cat([*parts, torch.zeros_like(loc)] if self.n_components > 1 else parts, -1)
