"""p(z): the distribution of the latent variables before a row is seen."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vae_anomaly.columns import Batch
from vae_anomaly.model.matmul import batch_invariant_matmul
from vae_anomaly.registry import resolve

LOG_2PI = math.log(2 * math.pi)
KERNEL_WIDTHS = (1.0, 1.4, 2.0, 2.8, 4.0)
LEAVE_ONE_OUT_ROWS = 512
SINGLE_PRECISION_LOG_VARIANCE = -6.1
NEGLIGIBLE = 60.0


def precise(tensor: Tensor) -> Tensor:
    """Float64 for sums that cancel or are long, where the device has it."""
    return tensor if tensor.device.type == "mps" else tensor.double()


@dataclass(frozen=True)
class Posterior:
    """q(z | x): independent normal latents for every member and row.

    Parameters
    ----------
    mean, log_variance : Tensor of shape (members, rows, latents)
    """

    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Latents at given standard normal noise.

        Parameters
        ----------
        noise : Tensor of shape (members, draws, rows or 1, latents)

        Returns
        -------
        Tensor of shape (members, draws, rows, latents)
        """
        scale = torch.exp(0.5 * self.log_variance)
        return self.mean.unsqueeze(1) + scale.unsqueeze(1) * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x) in nats for draws of shape (members, draws, rows, latents): (members, draws, rows)."""
        log_variance = self.log_variance.unsqueeze(1)
        squared = (z - self.mean.unsqueeze(1)) ** 2 * torch.exp(-log_variance)
        return -0.5 * (squared + log_variance + LOG_2PI).sum(-1)


class FittedPrior(nn.Module, abc.ABC):
    """A prior with the tensors that it learned; what the model holds."""

    @property
    @abc.abstractmethod
    def n_kernels(self) -> int:
        """Components of a member's mixture, 0 if it is none."""

    @abc.abstractmethod
    def kl(self, posterior: Posterior, batch: Batch) -> Tensor:
        """An upper bound of KL(q(z | x) || p(z)) in nats, exact where it has a closed form: (members, rows)."""

    @abc.abstractmethod
    def log_prob(self, z: Tensor, batch: Batch) -> Tensor:
        """log p(z) in nats for draws of shape (members, draws, rows, latents): (members, draws, rows)."""

    @abc.abstractmethod
    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Latents drawn with a local generator: (members, n_rows, latents)."""


class Prior(abc.ABC):
    """A frozen description of a prior, without tensors."""

    @property
    @abc.abstractmethod
    def max_rows(self) -> int:
        """Training rows per member that `fit` makes use of."""

    @abc.abstractmethod
    def fit(self, posterior: Posterior, batch: Batch) -> FittedPrior:
        """The prior for these training rows.

        Parameters
        ----------
        posterior : Posterior
            Of every member's own training rows, (members, rows, latents).
        batch : Batch
            The same rows, (members, rows, columns).
        """

    @abc.abstractmethod
    def empty(self, n_members: int, latent_dim: int, n_rows: int) -> FittedPrior:
        """A prior of the right shapes, to be filled from a model file."""


class FittedStandardNormal(FittedPrior):
    """N(0, I)."""

    def __init__(self, n_members: int, latent_dim: int) -> None:
        super().__init__()
        self.n_members = n_members
        self.latent_dim = latent_dim

    @property
    def n_kernels(self) -> int:
        return 0

    def kl(self, posterior: Posterior, batch: Batch) -> Tensor:
        mean, log_variance = posterior.mean, posterior.log_variance
        return 0.5 * (torch.addcmul(log_variance.exp() - log_variance, mean, mean).sum(-1) - mean.shape[-1])

    def log_prob(self, z: Tensor, batch: Batch) -> Tensor:
        return -0.5 * (z**2 + LOG_2PI).sum(-1)

    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        return torch.randn(self.n_members, n_rows, self.latent_dim, generator=generator, dtype=torch.float32)


@dataclass(frozen=True)
class StandardNormal(Prior):
    """N(0, I), the prior that every model is trained with.

    References
    ----------
    Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B.
    """

    @property
    def max_rows(self) -> int:
        return 1

    def fit(self, posterior: Posterior, batch: Batch) -> FittedPrior:
        n_members, _, latent_dim = posterior.mean.shape
        return self.empty(n_members, latent_dim, 0)

    def empty(self, n_members: int, latent_dim: int, n_rows: int) -> FittedPrior:
        return FittedStandardNormal(n_members, latent_dim)


@dataclass(frozen=True)
class _Kernels:
    r"""Exemplars arranged so that the logarithms of all kernels at a point are one matrix product.

    With the moments :math:`(E[(z - o)^2], E[z - o])` of a point about an origin o near the exemplars, the product
    with `matrix` plus `offset` is :math:`-\tfrac12 \sum_l E[(z_l - \mu_l)^2] / s_l^2 + \log s_l^2`.

    Parameters
    ----------
    origin : Tensor of shape (members, 1, latents)
    matrix : Tensor of shape (members, 2 latents, exemplars)
    offset : Tensor of shape (members, 1, exemplars)
    sorted_fingerprints : int64 Tensor of shape (members, exemplars)
    order : int64 Tensor of shape (members, exemplars)
        Exemplars in the order of their fingerprints.
    """

    origin: Tensor
    matrix: Tensor
    offset: Tensor
    sorted_fingerprints: Tensor
    order: Tensor

    def at(self, mean: Tensor, variance: Tensor | float) -> Tensor:
        """Logarithms of the kernels, but for a constant, at (members, rows, latents): (members, rows, exemplars)."""
        distance = mean.to(self.origin.dtype) - self.origin
        moments = torch.cat([distance.square() + variance, distance], -1)
        return batch_invariant_matmul(moments, self.matrix, self.offset)

    def copies(self, fingerprints: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        r"""Exemplars that equal a row, and what leaving one of them out does to each.

        Parameters
        ----------
        fingerprints : int64 Tensor of shape (rows,), or (members, rows)

        Returns
        -------
        member, row, exemplar : int64 Tensor of shape (pairs,)
        discount : Tensor of shape (pairs,)
            :math:`\log((c - 1) / c)` where there are c copies: their kernels are equal, so leaving one out multiplies
            each by (c - 1) / c.  None where no exemplar equals any row.
        """
        wanted = fingerprints.expand(len(self.order), -1).contiguous()
        first = torch.searchsorted(self.sorted_fingerprints, wanted)
        n_copies = torch.searchsorted(self.sorted_fingerprints, wanted, right=True) - first
        if not n_copies.any():
            return None
        member, row = n_copies.nonzero(as_tuple=True)
        count, begin = n_copies[member, row], first[member, row]
        pair = torch.arange(len(count), device=count.device).repeat_interleave(count)
        within = torch.arange(len(pair), device=count.device) - (count.cumsum(0) - count)[pair]
        exemplar = self.order[member[pair], begin[pair] + within]
        return member[pair], row[pair], exemplar, torch.log1p(-1 / count[pair].to(torch.float32))


class FittedExemplar(FittedPrior):
    """A mixture of the training rows' posteriors, one mixture per member."""

    mean: Tensor
    log_variance: Tensor
    fingerprints: Tensor

    def __init__(self, mean: Tensor, log_variance: Tensor, fingerprints: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("log_variance", log_variance)
        self.register_buffer("fingerprints", fingerprints)
        self._arranged: _Kernels | None = None

    @property
    def n_kernels(self) -> int:
        return self.mean.shape[1]

    def kl(self, posterior: Posterior, batch: Batch) -> Tensor:
        variance = torch.exp(posterior.log_variance)
        # -KL(q || p_m) but for the row's own constant.
        mixture = self._log_mixture(self.kernels.at(posterior.mean, variance), batch)
        of_row = posterior.log_variance.sum(-1) + posterior.mean.shape[-1]
        return (-mixture - 0.5 * of_row).to(posterior.mean.dtype)

    def log_prob(self, z: Tensor, batch: Batch) -> Tensor:
        kernels = self.kernels.at(z.flatten(1, 2), 0.0)
        # (members, draws, rows, exemplars)
        mixture = self._log_mixture(kernels.unflatten(1, z.shape[1:3]), batch)
        return (mixture - 0.5 * LOG_2PI * z.shape[-1]).to(z.dtype)

    @property
    def kernels(self) -> _Kernels:
        """The exemplars as a matrix, arranged on first use."""
        if self._arranged is None:
            # Squares of means over small variances cancel: at a log-variance of -10 single precision would lose a
            # tenth of a nat, at -6 a thousandth.
            small = bool((self.log_variance < SINGLE_PRECISION_LOG_VARIANCE).any())
            mean, log_variance = precise(self.mean), precise(self.log_variance)
            origin = mean.mean(1, keepdim=True)
            mean, precision = mean - origin, torch.exp(-log_variance)
            offset = -0.5 * (mean.square() * precision + log_variance).sum(-1).unsqueeze(1)
            matrix = torch.cat([-0.5 * precision, mean * precision], -1).mT
            dtype = origin.dtype if small else self.mean.dtype
            self._arranged = _Kernels(
                origin.to(dtype), matrix.to(dtype).contiguous(), offset.to(dtype), *self.fingerprints.sort(dim=1)
            )
        return self._arranged

    def _log_mixture(self, log_kernels: Tensor, batch: Batch) -> Tensor:
        """log of the mean kernel, one copy of the row itself left out of the sum but not of the divisor.

        Changes its argument, (members, ..., rows, exemplars).
        """
        n_exemplars = self.mean.shape[1]
        copies = self.kernels.copies(batch.fingerprints()) if n_exemplars > 1 else None
        if copies is not None:
            member, row, exemplar, discount = copies
            log_kernels.movedim(-2, 1)[member, row, ..., exemplar] += discount.to(log_kernels.dtype).view(
                -1, *[1] * (log_kernels.dim() - 3)
            )
        largest = log_kernels.amax(-1)
        # Below exp(-60) a kernel adds nothing, and numbers too small for the format slow every operation down.
        torch.maximum(log_kernels, (largest - NEGLIGIBLE).unsqueeze(-1), out=log_kernels)
        # The largest kernel less its logarithmic share is the logarithm of the sum; that of the softmax is made row by
        # row in fast memory, at half the cost of logsumexp.
        return largest - log_kernels.log_softmax(-1).amax(-1) - math.log(n_exemplars)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FittedExemplar:
        self._arranged = None
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._arranged = None
        super()._load_from_state_dict(*arguments)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_arranged": None}

    def draw(self, n_rows: int, generator: torch.Generator) -> Tensor:
        n_members, n_exemplars, latent_dim = self.mean.shape
        chosen = torch.randint(n_exemplars, (n_members, n_rows, 1), generator=generator)
        chosen = chosen.expand(-1, -1, latent_dim)
        noise = torch.randn(n_members, n_rows, latent_dim, generator=generator, dtype=self.mean.dtype)
        scale = torch.exp(0.5 * self.log_variance.cpu().gather(1, chosen))
        return self.mean.cpu().gather(1, chosen) + scale * noise


@dataclass(frozen=True)
class Exemplar(Prior):
    r"""The aggregated posterior of the training rows: a kernel density estimate in latent space.

    The mixture :math:`p(z) = \frac1M \sum_m N(z;\ \mu_m,\ c^2 \sigma_m^2)` over the posteriors of a member's own
    training rows, fitted after training.  Its KL is bounded in closed form, without sampling:

    .. math:: KL(q \,\|\, p) \le -\log \frac1M \sum_m e^{-KL(q \| p_m)}.

    Parameters
    ----------
    kernel_width : float, optional
        :math:`c`.  By default the width with the best leave-one-out bound on up to 512 exemplars, for each member.
    max_exemplars : int, default=512
        At most this many training rows per member.

    Notes
    -----
    A training row must not raise its own density: for a row that equals an exemplar in every cell, one such exemplar is
    left out of the sum while the divisor stays M.  That is leave-one-out for training rows, and still a lower bound
    of the log-likelihood for every row.  Further copies stay, because a value that recurs among the training rows
    is evidence that it recurs: a row seen in half of the table is normal, and an anomaly that was recorded
    twice profits from its twin by at most ``log M`` nats.

    References
    ----------
    Tomczak and Welling, "VAE with a VampPrior", AISTATS 2018, eq. 8.
    Norouzi, Fleet and Norouzi, "Exemplar VAE", NeurIPS 2020, eq. 8.
    Hershey and Olsen, "Approximating the KL divergence between Gaussian mixture models", ICASSP 2007, eq. 20.
    """

    kernel_width: float | None = None
    max_exemplars: int = 512

    def __post_init__(self) -> None:
        if self.kernel_width is not None and not self.kernel_width > 0:
            raise ValueError(f"kernel_width is None or a number above 0, not {self.kernel_width!r}")
        if not self.max_exemplars >= 2:
            raise ValueError(f"max_exemplars is an integer of at least 2, not {self.max_exemplars!r}")

    @property
    def max_rows(self) -> int:
        return self.max_exemplars

    def fit(self, posterior: Posterior, batch: Batch) -> FittedPrior:
        kept = slice(0, self.max_exemplars)
        mean, log_variance = posterior.mean[:, kept], posterior.log_variance[:, kept]
        exemplars = batch.at(kept)
        fingerprints = exemplars.fingerprints()
        widths = torch.tensor(
            KERNEL_WIDTHS if self.kernel_width is None else (self.kernel_width,), dtype=mean.dtype, device=mean.device
        )
        shifts = 2 * widths.log()
        if len(widths) > 1:
            bounds = [
                self._leave_one_out(mean[one], log_variance[one], exemplars.of_members(one), shifts)
                for one in torch.arange(len(mean), device=mean.device).split(1)
            ]
            shifts = shifts[torch.stack(bounds).argmax(1)]
        return FittedExemplar(mean.clone(), log_variance + shifts[:, None, None], fingerprints)

    def _leave_one_out(self, mean: Tensor, log_variance: Tensor, exemplars: Batch, shifts: Tensor) -> Tensor:
        """Mean bound of some of a member's exemplars, each scored without itself, for every width."""
        fingerprints = exemplars.fingerprints()
        some = slice(0, LEAVE_ONE_OUT_ROWS)
        own = Posterior(mean[:, some], log_variance[:, some])
        rows = exemplars.at(some)
        priors = [FittedExemplar(mean, log_variance + shift, fingerprints) for shift in shifts]
        return torch.stack([-prior.kl(own, rows).mean() for prior in priors])

    def empty(self, n_members: int, latent_dim: int, n_rows: int) -> FittedPrior:
        shape = (n_members, n_rows, latent_dim)
        return FittedExemplar(
            torch.zeros(shape, dtype=torch.float32),
            torch.zeros(shape, dtype=torch.float32),
            torch.zeros(n_members, n_rows, dtype=torch.int64),
        )


PRIORS: dict[str, type[Prior]] = {"standard_normal": StandardNormal, "exemplar": Exemplar}


def resolve_prior(prior: str | Prior) -> Prior:
    """A prior by its name in `PRIORS`, or the instance itself.

    Raises
    ------
    SpecificationError
        If it is neither.

    Examples
    --------
    >>> resolve_prior("standard_normal")
    StandardNormal()
    """
    return resolve(prior, Prior, PRIORS, "prior")
