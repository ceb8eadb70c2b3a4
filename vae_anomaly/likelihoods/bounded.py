"""Numbers between two bounds: noise that is cut off there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, Traits, single
from vae_anomaly.likelihoods.noise import MIN_MASS, NoiseDistribution, WrappableDistribution
from vae_anomaly.likelihoods.wrappable import NoiseLikelihood, WrappableLikelihood, checked_noise


@final
class BoundedDistribution(WrappableDistribution):
    """Cells between two bounds; the noise is cut off there.

    Parameters
    ----------
    noise : NoiseDistribution
        Without the bounds.
    constants : Constants
        With ``low``, ``high`` and ``unseen``.
    """

    def __init__(self, noise: NoiseDistribution, constants: Constants) -> None:
        self.noise = noise
        self.low, self.high, self.unseen = constants["low"], constants["high"], constants["unseen"]

    @property
    def batch_shape(self) -> torch.Size:
        return self.noise.batch_shape

    @property
    def mean(self) -> Tensor:
        """Where the noise is centred, between the bounds."""
        return self.noise.loc.clamp(self.low, self.high)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Cells between the bounds, by the inverse of the distribution function."""
        loc = self.noise.loc
        below, inside = self.noise.below(self.low), self.noise.mass(self.low, self.high)
        share = below + inside * torch.rand(loc.shape, generator=generator, dtype=loc.dtype)
        return self.noise.inverse(share).clamp(self.low, self.high)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in model units.

        Inside, that of the noise given that it is between the bounds.  Beyond them its own density, scaled down to
        the probability of the unseen where it would hold more.
        """
        density = self.noise.log_prob(value)
        outside = self.noise.below(self.low) + self.noise.above(self.high)
        leak = torch.minimum(outside, self.unseen)
        inside = self.noise.log_mass(self.low, self.high, self.high - self.low)
        within = density - inside + torch.log1p(-leak)
        beyond = density + (leak / outside.clamp(min=MIN_MASS)).clamp(min=MIN_MASS).log()
        return torch.where((value >= self.low) & (value <= self.high), within, beyond)

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        inside = self.noise.mass(self.low, self.high).clamp(min=MIN_MASS)
        cell = value.clamp(self.low, self.high)
        below = self.noise.mass(self.low, cell) / inside
        above = self.noise.mass(cell, self.high) / inside
        own = torch.minimum(self.unseen, torch.exp(self.log_prob(value)))
        lower = torch.where(value < self.low, own, below)
        return lower.clamp(max=1), torch.where(value > self.high, own, above).clamp(max=1)

    def cell_width(self, value: Tensor) -> Tensor | None:
        return None


@final
@dataclass(frozen=True)
class Bounded(WrappableLikelihood):
    """Noise cut off at two bounds, for shares and percentages.

    A cell beyond a bound has a small but positive density, at most that of the noise without bounds and in all at most
    the probability of the unseen, 1 / (n + 1).  `saturated` centres the noise at the cell; next to a bound the density
    would be up to half a nat higher with noise that is centred beyond it.

    Parameters
    ----------
    base : NoiseLikelihood
        Of the numbers without the bounds.

    Examples
    --------
    >>> from vae_anomaly.likelihoods import StudentT
    >>> Bounded(StudentT(floor=0.1)).traits.bounded
    True
    """

    base: NoiseLikelihood

    def __post_init__(self) -> None:
        checked_noise(self.base, "Bounded")

    @property
    def traits(self) -> Traits:
        # Nothing is known of the bounds where pixels are floats.
        return replace(self.base.traits, bounded=True, for_pixels=False)

    @property
    def floor(self) -> float:
        return self.base.floor

    def noise_size(self, n_columns: int) -> int:
        return self.base.noise_size(n_columns)

    def constants(self, columns: Sequence[ColumnFacts]) -> dict[str, Tensor]:
        return {name: single([getattr(column, name) for column in columns]) for name in ("low", "high")}

    def best_location(self, values: Tensor, constants: Constants) -> Tensor:
        return values

    def around(self, location: Tensor, log_noise: Tensor, constants: Constants) -> BoundedDistribution:
        return BoundedDistribution(self.base.around(location, log_noise, constants), constants)

    def marginal_around(self, location: Tensor, constants: Constants) -> BoundedDistribution:
        # Cells pile up at bounds, which a cut-off normal distribution fits no better than the noise.
        return self.around(location, location.new_zeros(1), constants)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> BoundedDistribution:
        return self.around(parameters.squeeze(-1), log_noise, constants)

    def marginal(self, parameters: Tensor, constants: Constants) -> BoundedDistribution:
        return self.marginal_around(parameters.squeeze(-1), constants)
