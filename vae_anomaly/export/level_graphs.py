"""Levels, flags, counts and grey levels as nodes of a graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from vae_anomaly.export.expressions import DOUBLE, FLOAT, INTEGER, Array, Value
from vae_anomaly.export.likelihood_graph import (
    Constants,
    LikelihoodGraph,
    OneNumberGraph,
    log_unseen,
    one_hot,
)
from vae_anomaly.export.noise_graphs import CellGraph, NoiseGraph, StudentTGraph
from vae_anomaly.likelihoods import (
    DF,
    FLAT_LOGIT,
    MAX_LOG_RATE,
    MAX_LOG_SCALE,
    STEPS_OF_MIN_SCALE,
    STIRLING_FROM,
    Bernoulli,
    Binary,
    Categorical,
    Constant,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Ordinal,
    OutputOnly,
    Poisson,
)


def log_sigmoid(logits: Value) -> Value:
    """The logarithm of the logistic function."""
    return logits.at_most(0.0) - ((-logits.abs()).exp() + 1.0).log()


@dataclass(frozen=True)
class CategoricalCells(CellGraph):
    """Levels without an order: `vae_anomaly.likelihoods.categorical`."""

    logits: Value
    width: int
    constants: Constants
    smoothing: float

    def log_prob(self, value: Value) -> Value:
        n_levels, unseen = self.constants["n_levels"], self.constants["unseen"]
        chosen = one_hot(value.at_most(n_levels - 1).at_least(0.0), self.width)
        if self.smoothing > 0:
            fitted = (self.logits.unary("Softmax", axis=-1) * chosen.to(FLOAT)).sum(-1)
            cells = (fitted * (1 - self.smoothing) + self.smoothing / n_levels).log()
        else:
            cells = chosen.where(self.logits.unary("LogSoftmax", axis=-1), 0.0).sum(-1)
        steps = (value - n_levels + 1.0).at_least(1.0)
        return (value <= n_levels - 1).where(cells + np.log1p(-unseen), log_unseen(unseen, steps))


class CategoricalGraph(LikelihoodGraph[Categorical]):
    """`Categorical`."""

    @property
    def parts(self) -> tuple[int, ...]:
        return (self.width,)

    def features(self, values: Value) -> Value | None:
        return one_hot(values, self.width).to(FLOAT).reshaped((0, self.n_columns * self.width))

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return CategoricalCells(parts[0], self.width, self.constants, self.likelihood.smoothing)


@dataclass(frozen=True)
class BinaryCells(CellGraph):
    """Two levels: `vae_anomaly.likelihoods.categorical`."""

    logit: Value
    constants: Constants
    smoothing: float

    def log_prob(self, value: Value) -> Value:
        n_levels, unseen = self.constants["n_levels"], self.constants["unseen"]
        signed = self.logit * (value * 2.0 - 1.0)
        if self.smoothing > 0:
            seen = 1 - unseen
            cells = (signed.unary("Sigmoid") * ((1 - self.smoothing) * seen) + self.smoothing / 2 * seen).log()
        else:
            cells = log_sigmoid(signed) + np.log1p(-unseen)
        steps = (value - n_levels + 1.0).at_least(1.0)
        return (value <= 1.0).where(cells, log_unseen(unseen, steps))


class BinaryGraph(OneNumberGraph[Binary]):
    """`Binary`."""

    def features(self, values: Value) -> Value | None:
        return (values > 1.0).where(0.0, values * 2.0 - 1.0)

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return BinaryCells(parts[0], self.constants, self.likelihood.smoothing)


@dataclass(frozen=True)
class ConstantCells(CellGraph):
    """The one level of training."""

    of_latents: ClassVar[bool] = False
    unseen: Array

    def log_prob(self, value: Value) -> Value:
        seen = value.graph.constant(np.log1p(-self.unseen))
        return (value < 1.0).where(seen, np.log(self.unseen))


class ConstantGraph(LikelihoodGraph[Constant]):
    """`Constant`."""

    @property
    def parts(self) -> tuple[int, ...]:
        return ()

    def features(self, values: Value) -> Value | None:
        return None

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return ConstantCells(self.constants["unseen"])


@dataclass(frozen=True)
class OrdinalCells(CellGraph):
    """Levels that are intervals between cuts: `vae_anomaly.likelihoods.ordinal`."""

    noise: NoiseGraph
    constants: Constants

    def log_prob(self, value: Value) -> Value:
        cuts, last, unseen = self.constants["cuts"], self.constants["n_levels"] - 1, self.constants["unseen"]
        first = np.arange(len(cuts)) * cuts.shape[1]
        place = value.at_most(last).at_least(0.0).to(INTEGER) + first
        flat = value.graph.constant(cuts.reshape(-1))
        lower, upper = flat.take(place, 0), flat.take(place + 1, 0)
        seen = self.noise.log_mass(lower, upper, upper - lower) + np.log1p(-unseen)
        return (value <= last).where(seen, log_unseen(unseen, (value - last).at_least(1.0)))


class OrdinalGraph(OneNumberGraph[Ordinal]):
    """`Ordinal`."""

    def features(self, values: Value) -> Value | None:
        return (values * 2.0 / float(max(self.width - 1, 1)) - 1.0).at_least(-1.0).at_most(2.0)

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        scale = np.sqrt(np.exp(2 * log_noise) + self.constants["floor"] ** 2)
        return OrdinalCells(StudentTGraph(parts[0], scale, DF), self.constants)


@dataclass(frozen=True)
class BernoulliCells(CellGraph):
    """Cells in {0, 1} with the logit of 1."""

    logits: Value

    def log_prob(self, value: Value) -> Value:
        return self.logits * value - self.logits.at_least(0.0) - ((-self.logits.abs()).exp() + 1.0).log()


class BernoulliGraph(OneNumberGraph[Bernoulli]):
    """`Bernoulli`."""

    def features(self, values: Value) -> Value | None:
        return values

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return BernoulliCells(parts[0])


@dataclass(frozen=True)
class PoissonCells(CellGraph):
    """Counts with the logarithm of their rate: `vae_anomaly.likelihoods.discrete`."""

    log_rate: Value

    def log_prob(self, value: Value) -> Value:
        count = value.at_least(1.0)
        wide = count.to(DOUBLE)
        ratio = (self.log_rate - count.log()).to(DOUBLE)
        series = 1.0 / (wide * 12.0) - 1.0 / (wide * wide * wide * 360.0)
        stirling = (wide * (2 * math.pi)).log() * 0.5 + series
        small = torch.arange(1, STIRLING_FROM, dtype=torch.float64)
        table = (torch.lgamma(small + 1) - small * small.log() + small).numpy()
        exact = value.graph.constant(np.r_[table[:1], table]).take(count.at_most(STIRLING_FROM - 1).to(INTEGER), 0)
        positive = wide * (ratio + 1.0 - ratio.exp()) - (count < STIRLING_FROM).where(exact, stirling)
        return (value >= 1.0).where(positive.to(FLOAT), -self.log_rate.exp())


class PoissonGraph(OneNumberGraph[Poisson]):
    """`Poisson`."""

    def features(self, values: Value) -> Value | None:
        return (values + 1.0).log()

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return PoissonCells(parts[0].at_most(MAX_LOG_RATE))


@dataclass(frozen=True)
class ContinuousBernoulliCells(CellGraph):
    """A density on [0, 1]: `vae_anomaly.likelihoods.continuous_bernoulli`."""

    logits: Value

    def log_prob(self, value: Value) -> Value:
        flat = self.logits.abs() < FLAT_LOGIT
        steep = flat.where(FLAT_LOGIT, self.logits)
        closed = (steep / (steep * 0.5).unary("Tanh")).log()
        normaliser = flat.where(self.logits.square() / 12.0 + math.log(2), closed)
        return value * self.logits + log_sigmoid(-self.logits) + normaliser


class ContinuousBernoulliGraph(OneNumberGraph[ContinuousBernoulli]):
    """`ContinuousBernoulli`."""

    def features(self, values: Value) -> Value | None:
        return values

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return ContinuousBernoulliCells(parts[0])


@dataclass(frozen=True)
class LogisticCells(CellGraph):
    """Grey levels as intervals under a mixture of logistic distributions: `vae_anomaly.likelihoods.logistic`."""

    log_weights: Value | None
    loc: Value
    scale: Value
    constants: Constants

    def log_prob(self, value: Value) -> Value:
        step, low, high = (self.constants[name] for name in ("step", "low", "high"))
        lower, upper = (
            ((value + np.float32(side) * step / 2).with_axis(-1) - self.loc) / self.scale for side in (-1, 1)
        )
        width = (step[:, None] / self.scale).to(DOUBLE)
        inner = (1.0 - (-width).exp()).log().to(FLOAT)
        at_bottom, at_top = (value <= low + step / 4).with_axis(-1), (value >= high - step / 4).with_axis(-1)
        below, above = at_top.where(0.0, log_sigmoid(upper)), at_bottom.where(0.0, log_sigmoid(-lower))
        terms = below + above + (at_top | at_bottom).where(0.0, inner)
        return (terms if self.log_weights is None else self.log_weights + terms).logsumexp(-1)


class LogisticGraph(LikelihoodGraph[DiscretizedLogistic]):
    """`DiscretizedLogistic`."""

    @property
    def parts(self) -> tuple[int, ...]:
        n = self.likelihood.n_components
        return (n, n, n) if n > 1 else (1, 1)

    def features(self, values: Value) -> Value | None:
        return values

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        loc, log_scale, *logits = parts
        scale = log_scale.at_most(MAX_LOG_SCALE).exp() + STEPS_OF_MIN_SCALE * self.constants["step"][:, None]
        log_weights = logits[0].unary("LogSoftmax", axis=-1) if logits else None
        return LogisticCells(log_weights, loc, scale, self.constants)


class OutputOnlyGraph(LikelihoodGraph[OutputOnly]):
    """`OutputOnly`."""

    @property
    def parts(self) -> tuple[int, ...]:
        return self._wrapped.parts

    def features(self, values: Value) -> Value | None:
        return None

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return self._wrapped.distribution(parts, log_noise)

    def marginal(self, parts: list[Value]) -> CellGraph:
        return self._wrapped.marginal(parts)

    @property
    def _wrapped(self) -> LikelihoodGraph[Any]:
        assert self.base is not None
        return self.base
