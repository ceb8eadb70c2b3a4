"""Latent positions, samples, and the terms of the ELBO before anything is summed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.columns import Batch, Encoder, TableEncoder
from vae_anomaly.data import FloatArray, Images, Table
from vae_anomaly.display import Described, counted
from vae_anomaly.fitting.chunks import chunk_rows, map_chunks
from vae_anomaly.fitting.fitted_model import FittedModel
from vae_anomaly.model import VAE, elbo_terms, exact_products, one_thread, precise


@dataclass(frozen=True, repr=False)
class ELBOTerms(Described):
    """The ELBO of every member and row, by cell.

    Parameters
    ----------
    log_likelihood : ndarray of shape (members, rows, columns)
        E_q[log p(x_j | z)] in nats, in the user's column order; 0 where the cell is missing or the column set aside.
        For images the columns are the pixels, channel after channel and line by line.
    kl : ndarray of shape (members, rows)
        KL to the fitted prior, nats.
    """

    log_likelihood: FloatArray
    kl: FloatArray

    def _summary(self) -> str:
        n_members, n_rows, n_cells = self.log_likelihood.shape
        return f"{counted(n_members, 'member')}, {counted(n_rows, 'row')}, {counted(n_cells, 'cell')} each"

    @property
    def elbo(self) -> FloatArray:
        """The bound, (members, rows), nats."""
        bound: FloatArray = self.log_likelihood.sum(-1) - self.kl
        return bound


def latent_means(model: FittedModel[Encoder], data: Table | Images) -> FloatArray:
    """Posterior means, member after member: (rows, members * latents)."""
    return map_chunks(_latent_means, model.vae, model.noise, model.encoder.encode(data))[0].numpy()


def _latent_means(vae: VAE, _noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    return (vae.posterior(part).mean.transpose(0, 1).flatten(1),)


def terms_by_member(model: FittedModel[Encoder], data: Table | Images) -> ELBOTerms:
    """The ELBO by member, row and cell."""
    batch = model.encoder.encode(data)
    cells, kl = map_chunks(_terms_by_member, model.vae, model.noise, batch)
    if batch.units is not None:
        cells = cells + batch.units.of_cells(batch.observed, charges_missing=False).unsqueeze(1)
    log_likelihood = np.ascontiguousarray(cells.transpose(0, 1).numpy())
    return ELBOTerms(model.encoder.by_column(log_likelihood), np.ascontiguousarray(kl.T.numpy()))


def _terms_by_member(vae: VAE, noise: Tensor, part: Batch) -> tuple[Tensor, ...]:
    terms = elbo_terms(vae, part, noise)
    return precise(terms.log_likelihood).mean(1).transpose(0, 1), precise(terms.kl).T


def sample_rows(model: FittedModel[Encoder], n_samples: int, seed: int) -> list[npt.NDArray[Any]] | npt.NDArray[Any]:
    """Rows drawn from the mixture of the members, each by way of z from its prior: columns of a table, or images."""
    generator = torch.Generator().manual_seed(seed)
    vae = copy.deepcopy(model.vae).cpu()
    parts = []
    size = chunk_rows(vae, 1)
    with torch.inference_mode(), one_thread(), exact_products():
        for begin in range(0, n_samples, size):
            n = min(size, n_samples - begin)
            member = torch.randint(vae.n_members, (n,), generator=generator)
            distributions = vae.decode(vae.prior.draw(n, generator).unsqueeze(1))
            cells = [one.draw(generator)[member, 0, torch.arange(n)] for one in distributions]
            parts.append(torch.cat(cells, -1))
    values, encoder = torch.cat(parts).double().numpy(), model.encoder
    return encoder.decode(values, encoder.units_of_drawn(values) if isinstance(encoder, TableEncoder) else None)
