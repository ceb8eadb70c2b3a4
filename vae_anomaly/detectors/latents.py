"""What a VAE can do besides scoring: latent positions, reconstructions, samples and the terms themselves."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from vae_anomaly.columns import Batch, Encoder
from vae_anomaly.detectors.inputs import new_seed, pack_like, read_rows
from vae_anomaly.explain import expected_cells
from vae_anomaly.fitting import chunk_rows, chunks
from vae_anomaly.model import VAE, elbo_terms, one_thread, precise

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ELBOTerms:
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

    @property
    def elbo(self) -> FloatArray:
        """The bound, (members, rows), nats."""
        bound: FloatArray = self.log_likelihood.sum(-1) - self.kl
        return bound


class LatentVariableMixin(TransformerMixin):
    """`transform`, `reconstruct`, `sample` and `elbo_terms` of a fitted detector."""

    vae_: VAE
    noise_: Tensor
    encoder_: Encoder
    feature_names_in_: npt.NDArray[np.object_]

    def transform(self, X: Any) -> FloatArray:
        """Posterior means of the latent variables.

        Every member has a latent space of its own, with axes that mean nothing to the others; they stand side by
        side, member after member.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows.

        Returns
        -------
        ndarray of shape (rows, members * latents)
        """
        parts = []
        with torch.inference_mode(), one_thread():
            for part, n in self._chunks(X):
                mean = self.vae_.posterior(part).mean
                parts.append(mean.transpose(0, 1).flatten(1)[:n].cpu())
        return torch.cat(parts).double().numpy()

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Names of the columns of `transform`: ``member0_latent0``, ``member0_latent1``, ...

        Parameters
        ----------
        input_features : ignored
            For scikit-learn's interface.
        """
        check_is_fitted(self)
        members, latents = range(self.vae_.n_members), range(self.vae_.latent_dim)
        return np.array([f"member{m}_latent{i}" for m in members for i in latents], dtype=object)

    def reconstruct(self, X: Any) -> Any:
        """What the model expects in every cell, given the row: in the units and the container of `X`.

        Numbers are the mean over draws and members of p(x_j | z); levels are the most probable one under the
        members' mixture.  Missing cells are filled; columns that were set aside are NaN.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows.

        Returns
        -------
        ndarray or DataFrame of shape (rows, columns)
        """
        check_is_fitted(self)
        assert isinstance(self, BaseEstimator)
        batch = self.encoder_.encode(read_rows(self, X, fitting=False))
        decoded = self.encoder_.decode(expected_cells(self.vae_, batch, self.noise_, weighted=False).numpy())
        return pack_like(X, decoded)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Rows drawn from the model, in the units of the data.

        The ensemble is a mixture: each row comes from one member, chosen at random, by way of z from its prior.

        Parameters
        ----------
        n_samples : int, default=1
            Rows to draw.
        random_state : int, RandomState, Generator or None, default=None
            Source of randomness; global state is not touched.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, columns)
            A DataFrame if the detector was fitted on one with string names.

        Raises
        ------
        ValueError
            If `n_samples` is not a positive integer.
        """
        check_is_fitted(self)
        if not (isinstance(n_samples, int | np.integer) and n_samples >= 1):
            raise ValueError(f"n_samples is a positive integer, not {n_samples!r}")
        generator = torch.Generator().manual_seed(new_seed(random_state))
        vae = copy.deepcopy(self.vae_).cpu()
        parts = []
        size = chunk_rows(vae, 1)
        with torch.inference_mode(), one_thread():
            for begin in range(0, n_samples, size):
                n = min(size, n_samples - begin)
                member = torch.randint(vae.n_members, (n,), generator=generator)
                distributions = vae.decode(vae.prior.draw(n, generator).unsqueeze(1))
                cells = [one.draw(generator)[member, 0, torch.arange(n)] for one in distributions]
                parts.append(torch.cat(cells, -1))
        decoded = self.encoder_.decode(torch.cat(parts).double().numpy())
        like = (
            pd.DataFrame(index=range(n_samples), columns=self.feature_names_in_)
            if hasattr(self, "feature_names_in_")
            else None
        )
        return pack_like(like, decoded)

    def elbo_terms(self, X: Any) -> ELBOTerms:
        """The ELBO by member, row and cell, before anything is summed.

        The mean over members of ``elbo_terms(X).elbo`` is what `score_samples` returns for ``row_score="elbo"``; the
        default pools it with an independence model.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            Rows.

        Returns
        -------
        ELBOTerms
        """
        likelihoods, kls = [], []
        with torch.inference_mode(), one_thread():
            for part, n in self._chunks(X):
                terms = elbo_terms(self.vae_, part, self.noise_)
                likelihoods.append(precise(terms.log_likelihood).mean(1)[:, :n].cpu().double())
                kls.append(precise(terms.kl)[:, :n].cpu().double())
        log_likelihood = torch.cat(likelihoods, 1).numpy()
        return ELBOTerms(self.encoder_.by_column(log_likelihood), torch.cat(kls, 1).numpy())

    def _chunks(self, X: Any) -> Iterator[tuple[Batch, int]]:
        check_is_fitted(self)
        assert isinstance(self, BaseEstimator)
        batch = self.encoder_.encode(read_rows(self, X, fitting=False))
        return chunks(batch, chunk_rows(self.vae_, self.noise_.shape[1]), self.noise_.device)
