"""Noise around a location as nodes of a graph: densities, tails, and the probabilities of intervals."""

from __future__ import annotations

import abc
import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.polynomial.chebyshev import cheb2poly, chebinterpolate
from scipy.special import erfcx

from vae_anomaly.export.expressions import DOUBLE, FLOAT, Array, Value
from vae_anomaly.likelihoods import MIN_MASS

# Below this width, in units of the noise and of its slope, the probability of an interval is a series.
NARROW = 0.3
# Of a polynomial that is within 7e-9 nats, which intervals that are not narrow multiply by 4 at most.
DEGREE = 12


class CellGraph(abc.ABC):
    """The distribution of cells, whose log-probability is nodes of a graph."""

    of_latents: ClassVar[bool] = True
    """Whether it differs between members and draws."""

    @abc.abstractmethod
    def log_prob(self, value: Value) -> Value:
        """Nats in model units, of cells (rows, columns): (..., rows, columns)."""


@dataclass(frozen=True)
class NoiseGraph(CellGraph):
    """Noise around a location.

    Parameters
    ----------
    loc : Value
        (..., rows, columns), or a constant.
    scale : ndarray
        Broadcasts to (..., rows, columns).
    """

    loc: Value
    scale: Array

    @abc.abstractmethod
    def below(self, value: Value) -> Value:
        """P(X <= x)."""

    @abc.abstractmethod
    def above(self, value: Value) -> Value:
        """P(X >= x)."""

    @abc.abstractmethod
    def log_mass(self, lower: Value, upper: Value, width: Value) -> Value:
        """log P(lower <= X <= upper), nats."""

    def standard(self, cells: Value) -> Value:
        """Cells in model units to units of the noise."""
        return (cells - self.loc) / self.scale


class NormalGraph(NoiseGraph):
    """Normal noise."""

    def log_prob(self, value: Value) -> Value:
        peak = -(np.log(self.scale) + np.float32(0.5 * math.log(2 * math.pi)))
        return peak - ((value - self.loc) * (np.float32(math.sqrt(0.5)) / self.scale)).square()

    def below(self, value: Value) -> Value:
        return log_ndtr(self.standard(value).to(DOUBLE)).exp().to(FLOAT)

    def above(self, value: Value) -> Value:
        return log_ndtr(-self.standard(value).to(DOUBLE)).exp().to(FLOAT)

    def log_mass(self, lower: Value, upper: Value, width: Value) -> Value:
        lower, upper = self.standard(lower), self.standard(upper)
        # Moved to the left of the median, where the distribution function is not near 1.
        end, span = (lower + upper > 0).where(-lower, upper).to(DOUBLE), (width / self.scale).to(DOUBLE)
        graph = end.graph
        # Both ends at once: half as many nodes, of which a single row's time consists.
        both = log_ndtr(graph.concat([end.with_axis(0), (end - span).with_axis(0)], 0))
        above, below = both.take(np.array(0), 0), both.take(np.array(1), 0)
        wide = above + (1.0 - (below - above).exp()).log()
        middle, square = (end - span * 0.5).square(), span.square()
        series = (middle - 1.0) / 24 + square * (middle.square() - 6 * middle + 3.0) / 1920
        narrow = span.log() - middle * 0.5 - 0.5 * math.log(2 * math.pi) + (1.0 + square * series).log()
        return (span * (end.abs() + 1.0) < NARROW).where(narrow, wide).to(FLOAT)


@dataclass(frozen=True)
class StudentTGraph(NoiseGraph):
    """Student-t noise; tails and intervals are those of four degrees of freedom."""

    df: float

    def log_prob(self, value: Value) -> Value:
        nu = self.df
        normaliser = math.lgamma(nu / 2) - math.lgamma((nu + 1) / 2) + 0.5 * math.log(nu * math.pi)
        heaviness = ((value - self.loc) * (1 / (self.scale * np.float32(math.sqrt(nu))))).square() + 1.0
        return heaviness.log() * (-0.5 * (nu + 1)) - (np.log(self.scale) + np.float32(normaliser))

    def below(self, value: Value) -> Value:
        return upper_tail(-self.standard(value))

    def above(self, value: Value) -> Value:
        return upper_tail(self.standard(value))

    def log_mass(self, lower: Value, upper: Value, width: Value) -> Value:
        return interval_mass(self.standard(lower), self.standard(upper), width / self.scale).at_least(MIN_MASS).log()


def log_ndtr(x: Value) -> Value:
    """The logarithm of the normal distribution function, in double precision, which has no such operation."""
    u = x.abs() * math.sqrt(0.5)
    t = 2.0 / (u + 2.0)
    y = t * 2.0 - 1.0
    first, *others = log_erfcx_polynomial()
    polynomial = y * first + others[0]
    for coefficient in others[1:]:
        polynomial = polynomial * y + coefficient
    tail = t.log() + polynomial - u.square() - math.log(2)
    return (x > 0).where((1.0 - tail.exp()).log(), tail)


@functools.cache
def log_erfcx_polynomial() -> tuple[float, ...]:
    """log erfcx(u) - log t with t = 2 / (2 + u), u from 0 on, by powers of 2 t - 1, the highest first.

    In t the function is smooth up to the end, where u is infinite.
    """

    def remainder(y: Any) -> Any:
        t = (y + 1) / 2
        return np.log(erfcx(2 * (1 - t) / t)) - np.log(t)

    return tuple(cheb2poly(chebinterpolate(remainder, DEGREE))[::-1].tolist())


def upper_tail(standard: Value) -> Value:
    """P(T >= t) of a Student-t variable with four degrees of freedom: see `vae_anomaly.likelihoods.student_t4`."""
    square = standard.square() + 4.0
    sine = standard / square.sqrt()
    rest = (standard > 0).where(4.0 / (square * (sine.at_least(0.0) + 1.0)), 1.0 - sine)
    return rest.square() * (sine + 2.0) * 0.25


def interval_mass(lower: Value, upper: Value, width: Value) -> Value:
    """P(lower <= T <= upper) of the same variable, accurate also in the tails."""
    mirrored = lower + upper < 0
    near, far = mirrored.where(-upper, lower), mirrored.where(-lower, upper)
    root_near, root_far = (near.square() + 4.0).sqrt(), (far.square() + 4.0).sqrt()
    sine_near, sine_far = near / root_near, far / root_far
    beyond = near.at_least(0.0)
    root_beyond = (beyond.square() + 4.0).sqrt()
    roots = root_beyond * root_far
    same_side = width * 4.0 * (far + beyond) / ((far * root_beyond + beyond * root_far) * roots)
    on_one_side = near > 0
    gap = on_one_side.where(same_side, sine_far - sine_near)
    from_one = (beyond.square() * 4.0 + 16.0 + far.square() * 4.0) / (roots * (roots + beyond * far))
    slope = on_one_side.where(
        4.0 / root_far.square() + 4.0 / root_beyond.square() + from_one,
        3.0 - sine_near.square() - sine_far.square() - sine_near * sine_far,
    )
    return gap * slope * 0.25
