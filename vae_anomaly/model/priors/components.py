"""Mixtures of normal components, one for each member, whose logarithms at a point are one matrix product."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model.matmul import batch_invariant_matmul
from vae_anomaly.model.priors.base import LOG_2PI, FittedPrior, Posterior, precise

SINGLE_PRECISION_LOG_VARIANCE = -6.1
NEGLIGIBLE = 60.0


@dataclass(frozen=True)
class Components:
    r"""Normal components arranged so that the logarithms of all of them at a point are one matrix product.

    With the moments :math:`(E[(z - o)^2], E[z - o])` of a point about an origin o near the components, the product
    with `matrix` plus `offset` is :math:`\log w_k - \tfrac12 \sum_l E[(z_l - \mu_{kl})^2] / s_{kl}^2 + \log s_{kl}^2`.

    Parameters
    ----------
    origin : Tensor of shape (members, 1, latents)
    matrix : Tensor of shape (members, 2 latents, components)
    offset : Tensor of shape (members, 1, components)
    """

    origin: Tensor
    matrix: Tensor
    offset: Tensor

    @classmethod
    def of(cls, mean: Tensor, log_variance: Tensor, log_weight: Tensor | None = None) -> Components:
        """Of means and log-variances of shape (members, components, latents), and weights (members, components)."""
        # Squares of means over small variances cancel: at a log-variance of -10 single precision would lose a
        # tenth of a nat, at -6 a thousandth.
        dtype = precise(mean).dtype if bool((log_variance < SINGLE_PRECISION_LOG_VARIANCE).any()) else mean.dtype
        mean, log_variance = precise(mean), precise(log_variance)
        origin = mean.mean(1, keepdim=True)
        mean, precision = mean - origin, torch.exp(-log_variance)
        offset = -0.5 * (mean.square() * precision + log_variance).sum(-1)
        if log_weight is not None:
            offset = offset + precise(log_weight)
        matrix = torch.cat([-0.5 * precision, mean * precision], -1).mT
        return cls(origin.to(dtype), matrix.to(dtype).contiguous(), offset.unsqueeze(1).to(dtype))

    def at(self, mean: Tensor, variance: Tensor | float) -> Tensor:
        """Logarithms of the components, but for a constant: (members, rows, latents) to (members, rows, components)."""
        distance = mean.to(self.origin.dtype) - self.origin
        moments = torch.cat([distance.square() + variance, distance], -1)
        return batch_invariant_matmul(moments, self.matrix, self.offset)


def log_sum(log_components: Tensor) -> Tensor:
    """log of the sum of components, over the last axis; changes its argument."""
    largest = log_components.amax(-1)
    # Below exp(-60) a component adds nothing, and numbers too small for the format slow every operation down.
    torch.maximum(log_components, (largest - NEGLIGIBLE).unsqueeze(-1), out=log_components)
    # The largest component less its logarithmic share is the logarithm of the sum; that of the softmax is made row by
    # row in fast memory, at half the cost of logsumexp.
    return largest - log_components.log_softmax(-1).amax(-1)


class FittedComponents(FittedPrior):
    """A mixture of normal components with diagonal covariances, one mixture per member.

    Parameters
    ----------
    mean, log_variance : Tensor of shape (members, components, latents)
    """

    mean: Tensor
    log_variance: Tensor

    def __init__(self, mean: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("log_variance", log_variance)
        self._arranged: Components | None = None

    @abc.abstractmethod
    def _arrange(self) -> Components:
        """The components as a matrix."""

    @abc.abstractmethod
    def _log_mixture(self, log_components: Tensor, batch: Batch) -> Tensor:
        """log of the density but for a constant, from (members, ..., rows, components), which it may change."""

    @abc.abstractmethod
    def _chosen(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Components drawn by their weights: int64, (members, n_rows)."""

    @final
    @property
    def n_components(self) -> int:
        return self.mean.shape[1]

    @final
    @property
    def components(self) -> Components:
        """The components as a matrix, arranged on first use."""
        if self._arranged is None:
            self._arranged = self._arrange()
        return self._arranged

    @final
    def kl(self, posterior: Posterior, batch: Batch) -> Tensor:
        variance = torch.exp(posterior.log_variance)
        # -KL(q || p_k) but for the row's own constant.
        mixture = self._log_mixture(self.components.at(posterior.mean, variance), batch)
        of_row = posterior.log_variance.sum(-1) + posterior.mean.shape[-1]
        return (-mixture - 0.5 * of_row).to(posterior.mean.dtype)

    @final
    def log_prob(self, z: Tensor, batch: Batch) -> Tensor:
        log_components = self.components.at(z.flatten(1, 2), 0.0)
        # (members, draws, rows, components)
        mixture = self._log_mixture(log_components.unflatten(1, z.shape[1:3]), batch)
        return (mixture - 0.5 * LOG_2PI * z.shape[-1]).to(z.dtype)

    @final
    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        n_members, _, latent_dim = self.mean.shape
        chosen = self._chosen(n_rows, generator).unsqueeze(-1).expand(-1, -1, latent_dim)
        noise = torch.randn(n_members, n_rows, latent_dim, generator=generator, dtype=self.mean.dtype)
        scale = torch.exp(0.5 * self.log_variance.cpu().gather(1, chosen))
        return self.mean.cpu().gather(1, chosen) + scale * noise

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FittedComponents:
        self._arranged = None
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._arranged = None
        super()._load_from_state_dict(*arguments)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_arranged": None}
