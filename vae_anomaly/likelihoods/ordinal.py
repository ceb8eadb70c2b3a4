"""Ordered levels: noise between cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, Likelihood, Traits, single
from vae_anomaly.likelihoods.distribution import CellDistribution, OrderedDistribution, mixed
from vae_anomaly.likelihoods.noise import OUTERMOST, check_floor, noise_scale
from vae_anomaly.likelihoods.student_t import StudentT4Noise
from vae_anomaly.likelihoods.student_t4 import DF


@final
class OrdinalDistribution(OrderedDistribution):
    """Levels 0 to K - 1 that are the intervals between cuts, and a tail for what training never saw.

    Parameters
    ----------
    noise : StudentT4Noise
    constants : Constants
        With ``cuts``, ``n_levels`` and ``unseen``.
    """

    def __init__(self, noise: StudentT4Noise, constants: Constants) -> None:
        self.noise = noise
        self.cuts, self.n_levels, self.unseen = constants["cuts"], constants["n_levels"], constants["unseen"]

    @property
    def batch_shape(self) -> torch.Size:
        return self.noise.batch_shape

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of codes; those from K on are the tail of the unseen."""
        last = self.n_levels - 1
        lower, upper = self._interval(value)
        seen = self.noise.log_mass(lower, upper, upper - lower) + torch.log1p(-self.unseen)
        steps = (value - last).clamp(min=1)
        return torch.where(value <= last, seen, self.unseen.log() - steps.log() - (steps + 1).log())

    def tails(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """P(X <= x) and P(X >= x); for an unseen level the probability of the unseen."""
        lower, upper = self._interval(value)
        unseen = value > self.n_levels - 1
        below = torch.where(unseen, self.unseen, self.noise.below(upper))
        return below, torch.where(unseen, self.unseen, self.noise.above(lower))

    def summary(self) -> Tensor:
        """Probabilities of the levels, given that the cell holds one of them: (..., columns, width)."""
        by_level = StudentT4Noise(self.noise.loc.unsqueeze(-1), self.noise.scale.unsqueeze(-1))
        levels = torch.arange(self.cuts.shape[-1] - 1, device=self.cuts.device)
        mass = by_level.mass(self.cuts[..., :-1], self.cuts[..., 1:])
        return mass.where(levels < self.n_levels.unsqueeze(-1), 0.0)

    def point(self, summary: Tensor) -> Tensor:
        """The median."""
        return _level_at(summary, 0.5)

    def quantile(self, probability: float, weights: Tensor) -> Tensor:
        return _level_at(mixed(self.summary(), weights.unsqueeze(-1)), probability)

    def draw(self, generator: torch.Generator) -> Tensor:
        cells = self.noise.draw(generator).unsqueeze(-1)
        below = (cells >= self.cuts[..., 1:]).sum(-1)
        return torch.minimum(below, self.n_levels - 1).to(cells.dtype)

    def _interval(self, value: Tensor) -> tuple[Tensor, Tensor]:
        last = self.n_levels - 1
        code = torch.minimum(value, last).clamp(min=0).floor().long()
        cuts = self.cuts.expand(*code.shape, -1)
        lower, upper = (cuts.gather(-1, (code + end).unsqueeze(-1)).squeeze(-1) for end in (0, 1))
        return torch.where(value < 0, -OUTERMOST, lower), torch.where(value < 0, -OUTERMOST + 1, upper)


def _level_at(probabilities: Tensor, share: float) -> Tensor:
    """The first level at which the summed probabilities reach a share."""
    reached = probabilities.cumsum(-1) >= share * (1 - 1e-6)
    return reached.to(torch.uint8).argmax(-1).to(probabilities.dtype)


@final
@dataclass(frozen=True)
class Ordinal(Likelihood):
    r"""One of K ordered levels: Student-t noise (4 degrees of freedom) between cuts.

    :math:`p(k \mid z) = (1 - u)\,[F((c_{k+1} - \mu(z)) / s) - F((c_k - \mu(z)) / s)]` with the cuts at the quantiles
    of the training frequencies, so that :math:`\mu = 0, s = 1` gives these; the scale is learned for each column.
    As in `Categorical`, :math:`u = 1 / (n + 1)` is kept for levels that training never saw.

    Parameters
    ----------
    floor : float, default=0.05
        Smallest scale of the noise.

    References
    ----------
    McCullagh, "Regression models for ordinal data", JRSS B 42, 1980, eq. 2.1.
    """

    floor: float = 0.05
    traits: ClassVar[Traits] = Traits(support="levels", levels="ordered")

    def __post_init__(self) -> None:
        check_floor(self.floor)

    def n_parameters(self, width: int) -> int:
        return 1

    def n_features(self, width: int) -> int:
        return 1

    def noise_size(self, n_columns: int) -> int:
        return n_columns

    def constants(self, columns: Sequence[ColumnFacts]) -> dict[str, Tensor]:
        return {"cuts": single([_cuts(column) for column in columns])}

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return (2 * values / max(width - 1, 1) - 1).clamp(-1, 2).unsqueeze(-1)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        return (0.0,)

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        codes = torch.minimum(values, constants["n_levels"] - 1).clamp(min=0).long().unsqueeze(-1)
        cuts = constants["cuts"].expand(*values.shape, -1)
        lower, upper = cuts.gather(-1, codes), cuts.gather(-1, codes + 1)
        return (lower + upper) / 2

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> OrdinalDistribution:
        noise = StudentT4Noise(parameters.squeeze(-1), noise_scale(log_noise, constants["floor"]))
        return OrdinalDistribution(noise, constants)

    def marginal(self, parameters: Tensor, constants: Constants) -> CellDistribution:
        return self.distribution(parameters, parameters.new_zeros(1), constants)


def _cuts(column: ColumnFacts) -> tuple[float, ...]:
    """Where the levels begin and end, in units of the noise: ``width + 1`` rising numbers."""
    shares = np.cumsum(column.frequencies)[:-1] / sum(column.frequencies)
    inner = stdtrit(DF, shares).tolist()
    outer = (OUTERMOST * (1 + extra) for extra in range(column.width + 1 - column.n_levels))
    return (-OUTERMOST, *inner, *outer)
