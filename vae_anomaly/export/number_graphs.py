"""Numbers as nodes of a graph: noise, rounded, bounded, and beside spikes."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from vae_anomaly.export.expressions import DOUBLE, FLOAT, Array, Value
from vae_anomaly.export.likelihood_graph import (
    Constants,
    LikelihoodGraph,
    LikelihoodT,
    OneNumberGraph,
    any_of,
    log_unseen,
)
from vae_anomaly.export.noise_graphs import CellGraph, NoiseGraph, NormalGraph, StudentTGraph
from vae_anomaly.likelihoods import (
    LINEAR_RANGE,
    MAX_ANGLE,
    MIN_MASS,
    OUTERMOST,
    PEAK,
    TOLERANCE,
    Bounded,
    Gaussian,
    InputOnly,
    Rounded,
    Spiked,
    StudentT,
    UnitGaussian,
)


def bounded_features(values: Value) -> Value:
    """Identity up to ten standard deviations, logarithmic beyond."""
    magnitude = values.abs()
    excess = (magnitude - LINEAR_RANGE).at_least(0.0)
    return values.unary("Sign") * (magnitude.at_most(LINEAR_RANGE) + (excess + 1.0).log())


class NumberGraph(OneNumberGraph[LikelihoodT]):
    """Numbers around a location."""

    def features(self, values: Value) -> Value | None:
        return bounded_features(values)

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return self.around(parts[0], log_noise)

    def marginal(self, parts: list[Value]) -> CellGraph:
        return self.marginal_around(parts[0])

    @abc.abstractmethod
    def around(self, location: Value, log_noise: Array) -> CellGraph:
        """The distribution around a location."""

    @abc.abstractmethod
    def marginal_around(self, location: Value) -> CellGraph:
        """The distribution around a location while nothing is known of the row."""


class BaseNoiseGraph(NumberGraph[LikelihoodT]):
    """Learned noise, which wrappers build on."""

    @abc.abstractmethod
    def around(self, location: Value, log_noise: Array) -> NoiseGraph:
        """The noise around a location."""

    def marginal_around(self, location: Value) -> NoiseGraph:
        return NormalGraph(location, self.scale(np.zeros(1, dtype=np.float32)))

    def scale(self, log_noise: Array) -> Array:
        """Standard deviation of the noise: see `vae_anomaly.likelihoods.noise.noise_scale`."""
        return np.asarray(np.sqrt(np.exp(2 * log_noise) + self.constants["floor"] ** 2))


class GaussianGraph(BaseNoiseGraph[Gaussian]):
    """`Gaussian`."""

    def around(self, location: Value, log_noise: Array) -> NoiseGraph:
        return NormalGraph(location, self.scale(log_noise))


class LearnedStudentTGraph(BaseNoiseGraph[StudentT]):
    """`StudentT`."""

    def around(self, location: Value, log_noise: Array) -> NoiseGraph:
        return StudentTGraph(location, self.scale(log_noise), self.likelihood.df)


class WrapperGraph(NumberGraph[LikelihoodT]):
    """What wraps noise."""

    @property
    def noise(self) -> BaseNoiseGraph[Any]:
        """The noise that it wraps."""
        assert isinstance(self.base, BaseNoiseGraph)
        return self.base


class UnitGaussianGraph(OneNumberGraph[UnitGaussian]):
    """`UnitGaussian`."""

    def features(self, values: Value) -> Value | None:
        return values

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return NormalGraph(parts[0], np.ones(1, dtype=np.float32))


@dataclass(frozen=True)
class RoundedCells(CellGraph):
    """Cells that stand for one step around them: `vae_anomaly.likelihoods.rounded`."""

    noise: NoiseGraph
    constants: Constants

    def log_prob(self, value: Value) -> Value:
        low, unseen = self.constants["low"], self.constants["unseen"]
        below_low = np.where(low > -OUTERMOST, np.log1p(-unseen), np.float32(0.0))
        seen = self.noise.log_mass(*self._ends(value)) + below_low
        if not (low > -np.inf).any():
            return seen
        lowest = self._numbers(value.graph.constant(np.maximum(low, np.float32(-OUTERMOST))))
        steps = ((lowest - self._numbers(value)) / self.constants["step"]).at_least(1.0)
        return (value < low).where(log_unseen(unseen, steps), seen)

    def _ends(self, cells: Value) -> tuple[Value, Value, Value]:
        step, scale, low = (self.constants[name] for name in ("step", "scale", "low"))
        straight = 0.5 * step / scale
        curved = self.constants["asinh_scale"] > 0
        down = up = width = cells.graph.constant(straight)
        if curved.any():
            angle = self._angle(cells).to(DOUBLE)
            half = np.where(curved, 0.5 * step, 1.0).astype(np.float64)
            size = sinh(angle.abs())
            outward, inward = asinh_distance(size, half), -asinh_distance(size, -half)
            to_right = angle >= 0.0
            up, down = (
                cells.graph.constant(curved).where(to_right.where(*ways) / scale.astype(np.float64), straight).to(FLOAT)
                for ways in ((outward, inward), (inward, outward))
            )
            width = down + up
        else:
            width = cells.graph.constant(2 * straight)
        upper = cells + up
        lowest = cells <= low
        return lowest.where(-OUTERMOST, cells - down), upper, lowest.where(upper + OUTERMOST, width)

    def _angle(self, cells: Value) -> Value:
        angle = cells * self.constants["scale"] + self.constants["location"]
        angle = angle.at_least(-MAX_ANGLE).at_most(MAX_ANGLE)
        return cells.graph.constant(self.constants["asinh_scale"] > 0).where(angle, 0.0)

    def _numbers(self, cells: Value) -> Value:
        """Cells in the unit of the step."""
        straight = cells * self.constants["scale"] + self.constants["location"]
        curved = self.constants["asinh_scale"] > 0
        if not curved.any():
            return straight
        return cells.graph.constant(curved).where(sinh(self._angle(cells).to(DOUBLE)).to(FLOAT), straight)


class RoundedGraph(WrapperGraph[Rounded]):
    """`Rounded`."""

    def around(self, location: Value, log_noise: Array) -> CellGraph:
        return RoundedCells(self.noise.around(location, log_noise), self.constants)

    def marginal_around(self, location: Value) -> CellGraph:
        return RoundedCells(self.noise.marginal_around(location), self.constants)


@dataclass(frozen=True)
class BoundedCells(CellGraph):
    """Cells between two bounds: `vae_anomaly.likelihoods.bounded`."""

    noise: NoiseGraph
    constants: Constants

    def log_prob(self, value: Value) -> Value:
        low, high = (value.graph.constant(self.constants[name]) for name in ("low", "high"))
        density = self.noise.log_prob(value)
        outside = self.noise.below(low) + self.noise.above(high)
        leak = outside.at_most(self.constants["unseen"])
        within = density - self.noise.log_mass(low, high, high - low) + (1.0 - leak).log()
        beyond = density + (leak / outside.at_least(MIN_MASS)).at_least(MIN_MASS).log()
        return ((value >= low) & (value <= high)).where(within, beyond)


class BoundedGraph(WrapperGraph[Bounded]):
    """`Bounded`."""

    def around(self, location: Value, log_noise: Array) -> CellGraph:
        return BoundedCells(self.noise.around(location, log_noise), self.constants)

    def marginal_around(self, location: Value) -> CellGraph:
        return self.around(location, np.zeros(1, dtype=np.float32))


@dataclass(frozen=True)
class SpikedCells(CellGraph):
    """Spikes beside noise: `vae_anomaly.likelihoods.spiked`."""

    logits: Value
    noise: CellGraph
    heights: Array
    rounded: bool
    spikes: Array

    def log_prob(self, value: Value) -> Value:
        at = is_at(value, self.spikes)
        log_shares = self.logits.unary("LogSoftmax", axis=-1)
        spike = at.where(log_shares.take(np.arange(1, self.spikes.shape[-1] + 1), -1), 0.0).sum(-1)
        noise = log_shares.take(np.array(0), -1) + self.noise.log_prob(value)
        if self.rounded:
            larger = spike.at_least(noise)
            spike = larger + ((-(spike - noise).abs()).exp() + 1.0).log()
        return any_of(at).where(spike + at.where(value.graph.constant(self.heights), 0.0).sum(-1), noise)


class SpikedGraph(LikelihoodGraph[Spiked]):
    """`Spiked`."""

    @property
    def beside(self) -> NumberGraph[Any]:
        """Of the cells beside the spikes."""
        assert isinstance(self.base, NumberGraph)
        return self.base

    @property
    def parts(self) -> tuple[int, ...]:
        return (0, self.width + 1)

    def features(self, values: Value) -> Value | None:
        base = self.beside.features(values)
        assert base is not None
        both = values.graph.concat([base.with_axis(-1), is_at(values, self.constants["spikes"]).to(FLOAT)], -1)
        return both.reshaped((0, self.n_columns * (1 + self.width)))

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return self._beside(parts[1], self.beside.around(parts[0], log_noise))

    def marginal(self, parts: list[Value]) -> CellGraph:
        return self._beside(parts[1], self.beside.marginal_around(parts[0]))

    def _beside(self, logits: Value, noise: CellGraph) -> CellGraph:
        spikes = self.constants["spikes"]
        tensors = {name: torch.from_numpy(array) for name, array in self.constants.items()}
        parameters = torch.zeros(len(spikes), self.likelihood.n_parameters(self.width), dtype=torch.float32)
        heights = self.likelihood.marginal(parameters, tensors).log_heights
        return SpikedCells(
            logits,
            noise,
            np.full_like(spikes, math.log(PEAK)) if heights is None else heights.numpy(),
            heights is not None,
            spikes,
        )


def is_at(values: Value, spikes: Array) -> Value:
    """Which cells (rows, columns) are at which spikes (columns, width): (rows, columns, width)."""
    at: Value = (values.with_axis(-1) - spikes).abs() <= np.float32(TOLERANCE) * (1 + np.abs(spikes))
    return at


def sinh(angle: Value) -> Value:
    """The hyperbolic sine, in double precision, which has no such operation."""
    grown = angle.exp()
    return (grown - 1.0 / grown) * 0.5


def asinh_distance(size: Value, step: Array) -> Value:
    """``asinh(size + step) - asinh(size)`` for a size of at least 0, in double precision."""
    moved = size + step
    root, moved_root = (size.square() + 1.0).sqrt(), (moved.square() + 1.0).sqrt()
    distance: Value = ((step + (size * (2 * step) + step**2) / (root + moved_root)) / (size + root) + 1.0).log()
    return distance


@dataclass(frozen=True)
class FreeCells(CellGraph):
    """Cells that cost nothing."""

    of_latents: ClassVar[bool] = False

    def log_prob(self, value: Value) -> Value:
        return value * 0.0


class InputOnlyGraph(LikelihoodGraph[InputOnly]):
    """`InputOnly`."""

    @property
    def parts(self) -> tuple[int, ...]:
        return ()

    def features(self, values: Value) -> Value | None:
        return bounded_features(values)

    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        return FreeCells()
