"""Likelihoods of levels without an order: what was seen in training, and the tail of what was not."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.base import CERTAIN_LOGIT, ColumnFacts, Constants, NoiselessLikelihood, Traits
from vae_anomaly.likelihoods.distribution import UnorderedDistribution, mixed


class LevelDistribution(UnorderedDistribution):
    """Levels 0 to K - 1, and a tail for what training never saw.

    Parameters
    ----------
    n_levels : Tensor of shape (columns,)
        K.
    unseen : Tensor of shape (columns,)
        u.
    """

    def __init__(self, n_levels: Tensor, unseen: Tensor) -> None:
        self.n_levels, self.unseen = n_levels, unseen

    @property
    @abc.abstractmethod
    def probs(self) -> Tensor:
        """Probabilities of the levels, given that the cell holds one of them: (..., columns, levels)."""

    @final
    def log_unseen(self, value: Tensor) -> Tensor:
        """Log-probability of the codes from K on."""
        steps = (value - self.n_levels + 1).clamp(min=1)
        return self.unseen.log() - steps.log() - (steps + 1).log()

    @final
    def summary(self) -> Tensor:
        return self.probs

    @final
    def point(self, summary: Tensor) -> Tensor:
        """The most probable level."""
        return summary.argmax(-1).to(summary.dtype)

    @final
    def tail_probability(self, values: Tensor, weights: Tensor) -> Tensor:
        """The probability of all levels that are at most as probable."""
        probabilities = mixed(self.probs, weights.unsqueeze(-1))
        code = torch.minimum(values, self.n_levels - 1).clamp(min=0).long().unsqueeze(-1)
        own = probabilities.gather(-1, code)
        at_most = torch.where(probabilities <= own * (1 + 1e-5), probabilities, 0.0).sum(-1)
        steps = (values - self.n_levels + 1).clamp(min=1)
        unseen = self.unseen
        return torch.where(values < self.n_levels, (1 - unseen) * at_most + unseen, unseen / steps).clamp(max=1)

    @final
    def draw(self, generator: torch.Generator) -> Tensor:
        probabilities = self.probs
        flat = probabilities.reshape(-1, probabilities.shape[-1])
        codes = torch.multinomial(flat, 1, generator=generator).reshape(probabilities.shape[:-1])
        return codes.to(probabilities.dtype)


@final
class CategoricalDistribution(LevelDistribution):
    r"""Levels 0 to K - 1, and a tail for what training never saw.

    With :math:`u` the probability of the unseen and :math:`\lambda` the smoothing,

    .. math:: p(k) = (1 - u) \left[(1 - \lambda)\, \mathrm{softmax}(\ell)_k + \lambda / K\right], \quad k < K,

    and code :math:`K - 1 + i` stands for a value :math:`i = 1, 2, \dots` steps away from the nearest seen level, with
    probability :math:`u / (i (i + 1))`.  The probabilities of all codes sum to 1.

    Parameters
    ----------
    logits : Tensor of shape (..., columns, width)
        Of the levels; a column with K < width levels has -inf behind them.
    n_levels : Tensor of shape (columns,)
        K.
    unseen : Tensor of shape (columns,)
        u.
    smoothing : float
        Lambda.
    """

    def __init__(self, logits: Tensor, n_levels: Tensor, unseen: Tensor, smoothing: float) -> None:
        self.logits = logits
        self.smoothing = smoothing
        super().__init__(n_levels, unseen)

    @property
    def batch_shape(self) -> torch.Size:
        return self.logits.shape[:-1]

    @property
    def probs(self) -> Tensor:
        """Probabilities of the levels, given that the cell holds one of them."""
        levels = torch.arange(self.logits.shape[-1], device=self.logits.device)
        uniform = (levels < self.n_levels.unsqueeze(-1)) / self.n_levels.unsqueeze(-1)
        return (1 - self.smoothing) * self.logits.softmax(-1) + self.smoothing * uniform

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of codes; those from K on are the tail of the unseen."""
        last = self.n_levels - 1
        shape = torch.broadcast_shapes(value.shape, self.logits.shape[:-1])
        code = torch.minimum(value, last).clamp(min=0).long().expand(shape).unsqueeze(-2)
        # Levels before columns: a softmax over a short last axis is several times slower.
        logits = self.logits.mT.expand(*shape[:-1], -1, -1)
        if self.smoothing > 0:
            fitted = logits.softmax(-2).gather(-2, code).squeeze(-2)
            smoothed = torch.log((1 - self.smoothing) * fitted + self.smoothing / self.n_levels)
        else:
            smoothed = logits.log_softmax(-2).gather(-2, code).squeeze(-2)
        return torch.where(value <= last, smoothed + torch.log1p(-self.unseen), self.log_unseen(value))


class LogOfTwo(torch.autograd.Function):
    """log(offset + slope * sigmoid(sign * logit)), in few passes over the cells; the gradient is with the logit."""

    @staticmethod
    def forward(ctx: Any, logit: Tensor, sign: Tensor, slope: Tensor, offset: Tensor) -> Tensor:
        share = (logit * sign).sigmoid_()
        probability = torch.addcmul(offset, share, slope)
        ctx.save_for_backward(share, sign, slope, probability)
        return probability.log()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        share, sign, slope, probability = ctx.saved_tensors
        logit = torch.addcmul(share, share, share, value=-1).mul_(slope).mul_(sign).div_(probability).mul_(gradients[0])
        return logit, None, None, None


@final
class BinaryDistribution(LevelDistribution):
    r"""Levels 0 and 1, and a tail for what training never saw: `CategoricalDistribution` for K = 2 with one logit.

    The softmax of two logits depends on their difference alone, :math:`\mathrm{softmax}(a, b)_1 = \sigma(b - a)`.

    Parameters
    ----------
    logit : Tensor of shape (..., columns)
        Of level 1 over level 0.
    n_levels, unseen : Tensor of shape (columns,)
        2, and u.
    smoothing : float
        Lambda.
    """

    def __init__(self, logit: Tensor, n_levels: Tensor, unseen: Tensor, smoothing: float) -> None:
        self.logit = logit
        self.smoothing = smoothing
        super().__init__(n_levels, unseen)

    @property
    def batch_shape(self) -> torch.Size:
        return self.logit.shape

    @property
    def probs(self) -> Tensor:
        """Probabilities of the levels, given that the cell holds one of them."""
        both = torch.stack([-self.logit, self.logit], -1).sigmoid()
        return (1 - self.smoothing) * both + self.smoothing / 2

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of codes; those from 2 on are the tail of the unseen."""
        sign = value.mul(2).sub_(1)
        if self.smoothing > 0:
            seen = 1 - self.unseen
            cells: Tensor = LogOfTwo.apply(  # type: ignore[no-untyped-call]
                self.logit, sign, (1 - self.smoothing) * seen, self.smoothing / 2 * seen
            )
        else:
            cells = torch.nn.functional.logsigmoid(sign * self.logit) + torch.log1p(-self.unseen)
        if value.device.type == "cpu" and value.numel() and value.amax() <= 1:
            return cells
        return torch.where(value <= 1, cells, self.log_unseen(value))


def one_hot(values: Tensor, width: int) -> Tensor:
    """Codes (..., columns) to ones at their level: (..., columns, width)."""
    levels = torch.arange(width, dtype=values.dtype, device=values.device)
    return (values.unsqueeze(-1) == levels).to(values.dtype)


def check_smoothing(smoothing: float) -> None:
    """Refuse a smoothing that is no share."""
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing is a share in [0, 1), not {smoothing!r}")


@final
@dataclass(frozen=True)
class Categorical(NoiselessLikelihood):
    """One of K levels, text or number, with a finite surprise for levels that training never saw.

    Parameters
    ----------
    smoothing : float, default=1e-3
        Share of a uniform distribution mixed into the network's, so that no seen level costs more than
        ``log(K / smoothing)`` nats.

    Notes
    -----
    The probability of an unseen level is ``1 / (n + 1)`` for a column with n observed cells in training: the next
    cell is new about as often as one new thing in n + 1 trials.  It is halved for every level of a text column, and
    falls with the squared distance (in steps of the column) for numeric levels.

    Examples
    --------
    >>> Categorical().n_parameters(5)
    5
    """

    smoothing: float = 1e-3
    traits: ClassVar[Traits] = Traits(support="levels", ordered=False, levels="unordered")

    def __post_init__(self) -> None:
        check_smoothing(self.smoothing)

    def n_parameters(self, width: int) -> int:
        return width

    def n_features(self, width: int) -> int:
        return width

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return one_hot(values, width)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        empty = column.width - column.n_levels
        return *(math.log(frequency) for frequency in column.frequencies), *[-math.inf] * empty

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return CERTAIN_LOGIT * one_hot(values, width)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> CategoricalDistribution:
        return CategoricalDistribution(parameters, constants["n_levels"], constants["unseen"], self.smoothing)


@final
@dataclass(frozen=True)
class Binary(NoiselessLikelihood):
    """One of two levels, text or number: `Categorical` with one decoder output and one encoder input per column.

    Parameters
    ----------
    smoothing : float, default=1e-3
        Share of one half mixed into the network's probability, so that no seen level costs more than
        ``log(2 / smoothing)`` nats.

    Examples
    --------
    >>> Binary().n_parameters(2), Binary().n_features(2)
    (1, 1)
    """

    smoothing: float = 1e-3
    traits: ClassVar[Traits] = Traits(support="two levels", ordered=False, levels="unordered", max_levels=2)

    def __post_init__(self) -> None:
        check_smoothing(self.smoothing)

    def n_parameters(self, width: int) -> int:
        return 1

    def n_features(self, width: int) -> int:
        return 1

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        """-1 and 1 for the levels, and 0 for what training never saw."""
        return torch.where(values > 1, 0.0, 2 * values - 1).unsqueeze(-1)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        share = column.frequencies[1]
        return (math.log(share / (1 - share)),)

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return CERTAIN_LOGIT * self.features(values, width, constants)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> BinaryDistribution:
        return BinaryDistribution(parameters.squeeze(-1), constants["n_levels"], constants["unseen"], self.smoothing)
