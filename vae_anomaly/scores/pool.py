"""The default for tables: the soft minimum of several bounds of the log-density."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model import MAX_KERNELS, VAE, Terms, kernel_bound, kernel_terms, marginal_terms, precise
from vae_anomaly.scores.base import AdditiveScore, Shares
from vae_anomaly.scores.bounds import ELBO, chosen_members

MISSING = ("expected", "ignored")
MAX_SHARPNESS = 1e3
ALL = slice(None)


@dataclass(frozen=True)
class PooledELBO(AdditiveScore):
    r"""The evidence lower bound of the members, pooled with bounds of models that are rigid or local.

    The soft minimum over experts k of their bounds :math:`l_k(x)` about the medians :math:`m_k` of training rows,

    .. math:: S(x) = \sum_k w_k m_k - \frac1b \log \sum_k w_k e^{-b (l_k(x) - m_k)},

    which is their weighted mean for b = 0.  The experts are the members, whose bound is the mean of their ELBOs; an
    independence model, in which columns are independent; and, if they have a weight, kernels at training rows.  A row
    is anomalous if one of them says so: where the training rows hold anomalies, flexible members learn them as well,
    the independence model does not, and for it what is extreme in its own column stays extreme; kernels see gaps in
    the data that members smooth over.

    Parameters
    ----------
    n_draws : int, default=1
        Latent draws per row and member.
    independence : float, default=0.4
        Weight of the independence model, from 0 to below 1.
    kernels : float, default=0.0
        Weight of the kernels; both weights add up to less than 1, and what is left is the weight of the members.
    sharpness : float, default=0.1
        :math:`b`, per nat: how much an expert that finds the row less likely than the others do counts more than they;
        0 pools by the mean.
    n_kernels : int, default=512
        Training rows with a kernel, at most; up to 16,384.
    missing : {"expected", "ignored"}, default="expected"
        What a missing cell costs: what it is expected to, so that it is neutral, or nothing, as in the plain sum.

    Notes
    -----
    *A bound.*  A power mean of densities with a negative exponent is at most their geometric mean, and that at most
    their mixture.  So S is a lower bound of the log-density of a mixture of the experts, with the weights
    :math:`w_k e^{b m_k} / Z`, up to the constant :math:`\frac1b \log Z - \sum_k w_k m_k`, which is the same for all
    rows.  The pool ranks rows better than the ELBO and bounds the log-likelihood less tightly; take
    `ImportanceWeighted` where the number itself is to be near the log-density.

    *Additive.*  By convex duality the soft minimum is a weighted mean with weights of the row's own,

    .. math:: S(x) = \sum_k w_k m_k + \min_r \sum_k r_k (l_k(x) - m_k) + \frac1b KL(r \,\|\, w), \qquad
              r_k \propto w_k e^{-b (l_k(x) - m_k)},

    so a cell's share of the score is the mean of its shares of the bounds with the weights r.

    *Missing cells.*  A sum over observed cells compares rows with different cells missing by the units of their
    columns: a missing cell of density 1000 takes 7 nats from the score, one of density .001 gives 7.  With
    ``missing="expected"``, the bound of an expert of a row whose cells :math:`M` are missing is instead

    .. math:: l(x_{obs}) - \sum_{j \in M} c_j - r(s), \qquad c_j = E[-\log p(x_j)], \qquad
              r(s) = E[l(x_{obs}) - l(x) - \sum_{j \in M} \log p(x_j)],

    with :math:`\log p(x_j)` the expert's term of a cell, and s the share of the cells that is missing.  :math:`c_j` is
    what the cell would have cost, and r, linear between a few shares, what is not additive: the KL saved, less what the
    other cells now cost more, because the expert knows less about the row.  All are learned once, in the fit, from rows
    that the member was not trained on, some of whose cells are hidden at random: so that the mean of each bound does
    not depend on how many cells are missing, whatever the units, if cells are missing completely at random and rows are
    like those of training.  Whole rows have the plain sum, to the last bit.  What it does not do: the spread of the
    scores shrinks with the cells that are known, so that fewer rows with missing cells than whole ones are above a high
    threshold; and where cells are missing because of what they hold, the mean is another one.

    References
    ----------
    Genest and Zidek, "Combining probability distributions: a critique and an annotated bibliography",
    Statistical Science 1(1), 1986, section 3 (logarithmic opinion pools).
    Hardy, Littlewood and Polya, "Inequalities", 1934, theorem 16 (power means).
    """

    n_draws: int = 1
    independence: float = 0.4
    kernels: float = 0.0
    sharpness: float = 0.1
    n_kernels: int = 512
    missing: str = "expected"
    is_density: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("independence", "kernels"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a number from 0 to below 1, not {getattr(self, name)!r}")
        if not self.independence + self.kernels < 1:
            raise ValueError(
                f"independence and kernels add up to less than 1, not to {self.independence + self.kernels!r}"
            )
        if not 0 <= self.sharpness <= MAX_SHARPNESS:
            raise ValueError(f"sharpness is a number from 0 to {MAX_SHARPNESS:g}, not {self.sharpness!r}")
        if not 2 <= self.n_kernels <= MAX_KERNELS:
            raise ValueError(f"n_kernels is an integer from 2 to {MAX_KERNELS:,}, not {self.n_kernels!r}")
        if self.missing not in MISSING:
            raise ValueError(f"missing is one of {MISSING}, not {self.missing!r}")

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the members together, and of the independence model and the kernels where they have one."""
        others = tuple(weight for weight in (self.independence, self.kernels) if weight)
        return (1 - sum(others), *others)

    @property
    def uses_experts(self) -> bool:
        """Whether it needs ``vae.experts``: what each bound is like for training rows."""
        return self.missing == "expected" or self.sharpness > 0

    def n_experts(self, n_members: int) -> int:
        """Experts of a model with so many members."""
        return n_members + len(self.weights) - 1

    def other_terms(self, vae: VAE, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """What the experts beside the members say of each cell, and what they take off for the row.

        Returns
        -------
        list of (Tensor of shape (rows, columns), Tensor of shape (rows,)), float64
            log p(x_j), 0 where it is missing, and the KL; nats.
        """
        marginal = precise(marginal_terms(vae, batch))
        others = [(marginal, torch.zeros_like(marginal[:, 0]))] if self.independence else []
        if self.kernels:
            assert vae.kernels is not None
            others.append(kernel_terms(vae, batch, vae.kernels, marginal))
        return others

    def _other_bounds(self, vae: VAE, batch: Batch) -> Tensor:
        """The bounds of the experts beside the members: (others, rows)."""
        if not (self.independence or self.kernels):
            return precise(batch.values.new_empty(0, len(batch)))
        marginal = precise(marginal_terms(vae, batch))
        others = [marginal.sum(-1)] if self.independence else []
        if self.kernels:
            assert vae.kernels is not None
            others.append(kernel_bound(vae, batch, vae.kernels, marginal))
        return torch.stack(others)

    def bounds(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        """The bound of each expert, charged for missing cells: (experts, rows), nats."""
        bounds = torch.cat([ELBO(self.n_draws).by_member(terms, vae, batch), self._other_bounds(vae, batch)])
        charges = self._charges(vae, batch)
        return bounds if charges is None else bounds - charges.sum(0)

    def reduce(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        members = ELBO(self.n_draws).by_member(terms, vae, batch)
        return self._pooled(members, self._other_bounds(vae, batch), self._charges(vae, batch), vae)[0]

    def by_member(self, terms: Terms, vae: VAE, batch: Batch) -> Tensor:
        return self.of_all_and_by_member(terms, vae, batch)[1]

    def of_all_and_by_member(self, terms: Terms, vae: VAE, batch: Batch) -> tuple[Tensor, Tensor]:
        members, others = ELBO(self.n_draws).by_member(terms, vae, batch), self._other_bounds(vae, batch)
        pooled = self._pooled(members, others, self._charges(vae, batch), vae, each=True)
        return pooled[0], pooled[1:]

    def by_cell(self, terms: Terms, vae: VAE, batch: Batch, member: int | None = None) -> Shares:
        chosen = chosen_members(member)
        others = self.other_terms(vae, batch)
        of_members = precise(terms.log_likelihood[chosen]).mean((0, 1))
        cells = torch.stack([of_members, *(of_cells for of_cells, _ in others)])
        members = ELBO(self.n_draws).by_member(terms, vae, batch)[chosen]
        of_others = torch.stack([of_cells.sum(-1) - kl for of_cells, kl in others]) if others else members[:0]
        charges = self._charges(vae, batch)
        if charges is not None and member is not None:
            charges = torch.cat([charges[:, chosen], charges[:, vae.n_members :]], 1)
        pooled = self._pooled(members, of_others, charges, vae, chosen=chosen)[0]
        share = self._share(members, of_others, charges, vae, chosen)
        if not self.uses_experts or vae.experts is None:
            of_cells = (share.unsqueeze(-1) * cells).sum(0)
            return Shares(of_cells, of_cells.sum(-1) - pooled, torch.zeros_like(pooled))
        costs = self._of_pool(precise(vae.experts.cells), vae.n_members, chosen).unsqueeze(1)
        # About what cells are expected to cost each expert, so that an expert that counts more shifts no typical cell.
        expected = (self._weights(pooled).view(-1, 1, 1) * costs).sum(0)
        observed = precise(batch.observed)
        of_cells = (share.unsqueeze(-1) * (cells + observed * costs)).sum(0) - expected
        charged = torch.zeros_like(pooled)
        if self.missing == "ignored":
            of_cells = of_cells + (1 - observed) * expected
        elif charges is not None:
            charged = ((1 - observed) * expected).sum(-1) + (share * self._of_pool(charges[1], len(members))).sum(0)
        return Shares(of_cells, of_cells.sum(-1) - pooled, charged)

    def _charges(self, vae: VAE, batch: Batch) -> Tensor | None:
        """What experts charge for missing cells, and for their combination: (2, experts, rows); None for whole rows."""
        charges = vae.experts.charges(batch) if self.uses_experts and vae.experts is not None else None
        return None if charges is None else torch.stack(charges)

    def _pooled(
        self,
        members: Tensor,
        others: Tensor,
        charges: Tensor | None,
        vae: VAE,
        *,
        each: bool = False,
        chosen: slice = ALL,
    ) -> Tensor:
        """The soft minimum of the members together and the others, then where asked for that of each member and them.

        Parameters
        ----------
        members : Tensor of shape (members, rows)
            Bounds.
        others : Tensor of shape (others, rows)
        charges : Tensor of shape (2, experts, rows), optional
        vae : VAE
        each : bool, default=False
        chosen : slice, optional
            Which of the members of `vae` these are; all by default.

        Returns
        -------
        Tensor of shape (1, rows), or (1 + members, rows)
        """
        weight, *other_weights = self.weights
        firsts, lasts, charged = self._charged(members, others, charges, each=each)
        if self.sharpness == 0:
            pooled = weight * firsts
            for other_weight, bound in zip(other_weights, lasts, strict=True):
                pooled = pooled + other_weight * bound
        else:
            assert vae.experts is not None
            medians = precise(vae.experts.medians)
            of_firsts = self._together(medians[: vae.n_members][chosen].unsqueeze(1), each=each)
            exponents = math.log(weight) - self.sharpness * (firsts - of_firsts)
            centre = weight * of_firsts
            for other_weight, bound, median in zip(other_weights, lasts, medians[vae.n_members :], strict=True):
                exponents = torch.logaddexp(exponents, math.log(other_weight) - self.sharpness * (bound - median))
                centre = centre + other_weight * median
            pooled = centre - exponents / self.sharpness
        return pooled if charged is None or self.missing == "expected" else pooled + charged

    def _share(self, members: Tensor, others: Tensor, charges: Tensor | None, vae: VAE, chosen: slice = ALL) -> Tensor:
        """How much the members together and each of the others count in the soft minimum: (1 + others, rows)."""
        firsts, lasts, _ = self._charged(members, others, charges, each=False)
        bounds, weights = torch.cat([firsts, lasts]), self._weights(members).unsqueeze(1)
        if self.sharpness == 0:
            return weights.expand_as(bounds)
        assert vae.experts is not None
        medians = self._of_pool(precise(vae.experts.medians), vae.n_members, chosen).unsqueeze(1)
        return (weights.log() - self.sharpness * (bounds - medians)).softmax(0)

    def _charged(
        self, members: Tensor, others: Tensor, charges: Tensor | None, *, each: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Bounds of the members together, and of each, and of the others, charged; and what the pool is charged."""
        firsts = self._together(members, each=each)
        if charges is None:
            return firsts, others, None
        of_members, of_others = charges.sum(0).tensor_split([len(members)])
        of_firsts = self._together(of_members, each=each)
        charged = self.weights[0] * of_firsts
        for weight, of_other in zip(self.weights[1:], of_others, strict=True):
            charged = charged + weight * of_other
        return firsts - of_firsts, others - of_others, charged

    @staticmethod
    def _together(of_members: Tensor, *, each: bool) -> Tensor:
        """The mean of the members, and where asked for each of them: (1, ...), or (1 + members, ...)."""
        mean = of_members.mean(0, keepdim=True)
        return torch.cat([mean, of_members]) if each else mean

    @staticmethod
    def _of_pool(of_experts: Tensor, n_members: int, chosen: slice = ALL) -> Tensor:
        """From (experts, ...) to (1 + others, ...): the mean of the members that are chosen before the others."""
        return torch.cat([of_experts[:n_members][chosen].mean(0, keepdim=True), of_experts[n_members:]])

    def _weights(self, like: Tensor) -> Tensor:
        return torch.tensor(self.weights, dtype=like.dtype, device=like.device)
