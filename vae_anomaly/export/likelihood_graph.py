"""What a likelihood is as nodes of a graph."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from vae_anomaly.export.expressions import FLOAT, Array, Value
from vae_anomaly.export.noise_graphs import CellGraph
from vae_anomaly.likelihoods import Likelihood

Constants: TypeAlias = Mapping[str, Array]
LikelihoodT = TypeVar("LikelihoodT", bound=Likelihood)


@dataclass(frozen=True)
class LikelihoodGraph(abc.ABC, Generic[LikelihoodT]):
    """What a likelihood says of a group of columns, as nodes of a graph.

    Parameters
    ----------
    likelihood : Likelihood
    width : int
        Size of the axis of levels or spikes, 0 if the columns have none.
    constants : mapping of str to ndarray
        Of the columns, as `Likelihood.constants` makes them.
    base : LikelihoodGraph, optional
        Of the likelihood that it wraps.
    """

    likelihood: LikelihoodT
    width: int
    constants: Constants
    base: LikelihoodGraph[Any] | None = None

    @property
    def n_columns(self) -> int:
        """Columns of the group."""
        return len(self.constants["floor"])

    @property
    @abc.abstractmethod
    def parts(self) -> tuple[int, ...]:
        """How the decoder's outputs of a column are split up; 0 stands for a single number without an axis."""

    @abc.abstractmethod
    def features(self, values: Value) -> Value | None:
        """What the encoder sees of cells (rows, columns): (rows, features), None where it sees nothing of them."""

    @abc.abstractmethod
    def distribution(self, parts: list[Value], log_noise: Array) -> CellGraph:
        """The distribution of cells for outputs of the decoder of shape (..., rows, columns) and `parts`."""

    def marginal(self, parts: list[Value]) -> CellGraph:
        """The distribution while nothing is known of the row, for the decoder's outputs before training."""
        return self.distribution(parts, np.zeros(1, dtype=np.float32))


class OneNumberGraph(LikelihoodGraph[LikelihoodT]):
    """A likelihood with one output of the decoder for each column."""

    @property
    def parts(self) -> tuple[int, ...]:
        return (0,)


def one_hot(codes: Value, width: int) -> Value:
    """Which of the first levels codes (..., columns) are: (..., columns, width)."""
    return codes.with_axis(-1).equals(np.arange(width))


def log_unseen(unseen: Array, steps: Value) -> Value:
    """Log-probability of what is so many steps beyond all that training saw."""
    return -(steps.log() + (steps + 1.0).log()) + np.log(unseen)


def any_of(flags: Value) -> Value:
    """Whether any of the flags along the last axis is set."""
    return flags.to(FLOAT).sum(-1) > 0.5
