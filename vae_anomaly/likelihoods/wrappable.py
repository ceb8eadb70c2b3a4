"""Likelihoods of numbers around a location, which others wrap: rounded, bounded, with spikes."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, Likelihood, Traits
from vae_anomaly.likelihoods.distribution import CellDistribution
from vae_anomaly.likelihoods.noise import NoiseDistribution, WrappableDistribution, noise_scale
from vae_anomaly.likelihoods.normal import NormalDistribution, NormalNoise

LINEAR_RANGE = 10.0


def bounded_features(values: Tensor) -> Tensor:
    """Identity up to ten standard deviations, logarithmic beyond, so that no cell overflows the encoder."""
    magnitude = values.abs()
    excess = (magnitude - LINEAR_RANGE).clamp(min=0)
    return (magnitude.clamp(max=LINEAR_RANGE) + torch.log1p(excess)).copysign(values)


class WrappableLikelihood(Likelihood):
    """A likelihood of numbers with one decoder output, their location, that spikes may stand beside."""

    @abc.abstractmethod
    def around(self, location: Tensor, log_noise: Tensor, constants: Constants) -> WrappableDistribution:
        """The distribution around locations of shape (..., columns)."""

    @abc.abstractmethod
    def marginal_around(self, location: Tensor, constants: Constants) -> WrappableDistribution:
        """The distribution around locations of shape (..., columns) while nothing is known of the row."""

    @abc.abstractmethod
    def best_location(self, values: Tensor, constants: Constants) -> Tensor:
        """Locations that suit the cells best: (..., columns)."""

    @final
    def n_parameters(self, width: int) -> int:
        return 1

    @final
    def n_features(self, width: int) -> int:
        return 1

    @final
    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return bounded_features(values).unsqueeze(-1)

    @final
    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        return (0.0,)

    @final
    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return self.best_location(values, constants).unsqueeze(-1)


class NoiseLikelihood(WrappableLikelihood):
    """A density of numbers by learned noise around a location, which wrappers build on."""

    traits: ClassVar[Traits] = Traits(standardize=True, density=True, for_pixels=True)

    @abc.abstractmethod
    def around(self, location: Tensor, log_noise: Tensor, constants: Constants) -> NoiseDistribution:
        """The noise around locations of shape (..., columns), with the probabilities of intervals.

        Raises
        ------
        ValueError
            If intervals of this noise have no probability in closed form.
        """

    @abc.abstractmethod
    def check_wrappable(self) -> None:
        """Refuse to be wrapped where `around` would.

        Raises
        ------
        ValueError
            If intervals of this noise have no probability in closed form.
        """

    @final
    def constants(self, columns: Sequence[ColumnFacts]) -> dict[str, Tensor]:
        return {}

    @final
    def best_location(self, values: Tensor, constants: Constants) -> Tensor:
        return values

    @final
    def marginal_around(self, location: Tensor, constants: Constants) -> NoiseDistribution:
        return NormalNoise(location, noise_scale(location.new_zeros(1), constants["floor"]))

    @final
    def marginal(self, parameters: Tensor, constants: Constants) -> CellDistribution:
        return NormalDistribution(parameters.squeeze(-1), noise_scale(parameters.new_zeros(1), constants["floor"]))


def checked_noise(base: object, wrapper: str) -> None:
    """Refuse a base that is no noise with probabilities of intervals."""
    if not isinstance(base, NoiseLikelihood):
        raise TypeError(f"{wrapper} wraps a NoiseLikelihood such as StudentT() or Gaussian(), not {base!r}")
    base.check_wrappable()


def checked_wrappable(base: object, wrapper: str) -> None:
    """Refuse a base that spikes cannot stand beside."""
    if isinstance(base, NoiseLikelihood):
        base.check_wrappable()
    elif not isinstance(base, WrappableLikelihood):
        raise TypeError(
            f"{wrapper} wraps a WrappableLikelihood such as StudentT() or Rounded(StudentT()), not {base!r}"
        )
