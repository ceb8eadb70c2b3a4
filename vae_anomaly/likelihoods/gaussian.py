"""Normal noise: learned, or of standard deviation 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from vae_anomaly.likelihoods.base import ColumnFacts, Constants, NoiselessLikelihood, Traits
from vae_anomaly.likelihoods.gradients import Backward, StatesGradient, of_parameters
from vae_anomaly.likelihoods.noise import check_floor, noise_scale
from vae_anomaly.likelihoods.normal import NormalDistribution, NormalNoise
from vae_anomaly.likelihoods.wrappable import NoiseLikelihood


@final
@dataclass(frozen=True)
class Gaussian(NoiseLikelihood, StatesGradient):
    r"""Normal noise whose scale is learned, once per column or once for all.

    :math:`x_j \mid z \sim N(\mu_j(z),\ e^{2 s_j} + f_j^2)` with :math:`s_j` learned and the floor :math:`f_j`
    taken from the resolution of the column (the variance of a uniform rounding error) and from `floor`.

    Parameters
    ----------
    noise : {"column", "shared"}, default="column"
        One learned scale for each column, or one for all columns of this likelihood.
    floor : float, default=0.05
        Smallest standard deviation of the noise, in standard deviations of the column.

    References
    ----------
    Rybkin, Daniilidis and Levine, "Simple and effective VAE training with calibrated decoders", ICML 2021, eq. 4.

    Examples
    --------
    >>> Gaussian(noise="shared").noise_size(7)
    1
    """

    noise: Literal["column", "shared"] = "column"
    floor: float = 0.05

    def __post_init__(self) -> None:
        if self.noise not in ("column", "shared"):
            raise ValueError(f"noise is 'column' or 'shared', not {self.noise!r}")
        check_floor(self.floor)

    def noise_size(self, n_columns: int) -> int:
        return n_columns if self.noise == "column" else 1

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> NormalDistribution:
        return NormalDistribution(parameters.squeeze(-1), noise_scale(log_noise, constants["floor"]))

    def log_prob_with_gradient(
        self, values: Tensor, parameters: Tensor, log_noise: Tensor, constants: Constants
    ) -> tuple[Tensor, Backward]:
        return of_parameters(self.distribution(parameters, log_noise, constants), values, log_noise)

    def around(self, location: Tensor, log_noise: Tensor, constants: Constants) -> NormalNoise:
        return NormalNoise(location, noise_scale(log_noise, constants["floor"]))

    def check_wrappable(self) -> None:
        """Intervals of normal noise have a probability whatever its parameters."""


@final
@dataclass(frozen=True)
class UnitGaussian(NoiselessLikelihood, StatesGradient):
    r"""Normal noise of standard deviation 1 in the units of the data: the textbook decoder.

    The negative log-likelihood is half the summed squared error plus :math:`\tfrac12 \log 2\pi` per column.
    Columns are *not* standardised; put a ``StandardScaler`` in front where their units differ.
    """

    traits: ClassVar[Traits] = Traits(density=True, for_pixels=True)

    def n_parameters(self, width: int) -> int:
        return 1

    def n_features(self, width: int) -> int:
        return 1

    def features(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return values.unsqueeze(-1)

    def start(self, column: ColumnFacts) -> tuple[float, ...]:
        return (column.mean,)

    def saturated(self, values: Tensor, width: int, constants: Constants) -> Tensor:
        return values.unsqueeze(-1)

    def distribution(self, parameters: Tensor, log_noise: Tensor, constants: Constants) -> NormalDistribution:
        scale = torch.ones((), dtype=parameters.dtype, device=parameters.device)
        return NormalDistribution(parameters.squeeze(-1), scale)

    def log_prob_with_gradient(
        self, values: Tensor, parameters: Tensor, log_noise: Tensor, constants: Constants
    ) -> tuple[Tensor, Backward]:
        return of_parameters(self.distribution(parameters, log_noise, constants), values, log_noise)
