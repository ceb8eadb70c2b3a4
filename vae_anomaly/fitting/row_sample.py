"""A sample of the rows of a stream."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from vae_anomaly.columns import Batch
from vae_anomaly.data import FloatArray
from vae_anomaly.fitting.partition import NO_FOLD, TrainingRows

MIN_ROWS = 512


@dataclass(frozen=True)
class RowSample:
    """A sample without replacement in which every row of a stream has the same chance to be.

    Each row draws a key; the rows with the smallest keys stay.

    Parameters
    ----------
    batch : Batch
        The rows, encoded.
    weights : ndarray of shape (rows,)
        Their weights.
    keys : ndarray of shape (rows,)
        Their keys, in [0, 1).
    held_out : bool ndarray of shape (rows,)
        Which of them no training may see.
    calibrating : bool ndarray of shape (rows,)
        Which of them calibrate and do nothing else.
    trained : bool ndarray of shape (rows,)
        Which of them were there when the weights were last trained.
    n_seen : int
        Rows of the stream so far.
    largest_key : float
        Rows with larger keys cannot stay.

    References
    ----------
    Vitter, "Random sampling with a reservoir", ACM TOMS 11(1), 1985.
    """

    batch: Batch
    weights: FloatArray
    keys: FloatArray
    held_out: npt.NDArray[np.bool_]
    calibrating: npt.NDArray[np.bool_]
    trained: npt.NDArray[np.bool_]
    n_seen: int
    largest_key: float = 1.0

    @classmethod
    def drawn(
        cls,
        batch: Batch,
        weights: FloatArray | None,
        held_out_share: float,
        rng: np.random.Generator,
        calibrating: npt.NDArray[np.bool_] | None = None,
    ) -> RowSample:
        """All rows of a batch, with keys."""
        n_rows = len(batch)
        return cls(
            batch,
            np.ones(n_rows) if weights is None else weights,
            rng.random(n_rows),
            rng.random(n_rows) < held_out_share,
            np.zeros(n_rows, dtype=bool) if calibrating is None else calibrating,
            np.zeros(n_rows, dtype=bool),
            n_rows,
        )

    @property
    def n_rows(self) -> int:
        """Rows of the sample."""
        return len(self.keys)

    @property
    def is_too_small(self) -> bool:
        """Whether to wait for more rows, because none of those that the weights come from are here."""
        return not self.trained.any() and len(self.trained) < MIN_ROWS

    def standing_for(self, n_rows: int) -> RowSample:
        """The same rows, as drawn from `n_rows` that a training has seen: their keys are the smallest of so many."""
        largest = len(self.keys) / n_rows
        trained = np.ones_like(self.trained)
        return dataclasses.replace(self, keys=self.keys * largest, trained=trained, n_seen=n_rows, largest_key=largest)

    def joined(self, other: RowSample) -> RowSample:
        """These rows, followed by others."""
        return RowSample(
            self.batch.followed_by(other.batch),
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.keys, other.keys]),
            np.concatenate([self.held_out, other.held_out]),
            np.concatenate([self.calibrating, other.calibrating]),
            np.concatenate([self.trained, other.trained]),
            self.n_seen + other.n_seen,
            min(self.largest_key, other.largest_key),
        )

    def reduced(self, n_rows: int) -> RowSample:
        """The rows with the smallest keys, in their order."""
        chosen = np.argsort(self.keys, kind="stable")[:n_rows]
        kept = np.sort(chosen[self.keys[chosen] <= self.largest_key])
        return dataclasses.replace(
            self,
            batch=self.batch.take(torch.from_numpy(kept)),
            weights=self.weights[kept],
            keys=self.keys[kept],
            held_out=self.held_out[kept],
            calibrating=self.calibrating[kept],
            trained=self.trained[kept],
        )

    def rows(self) -> TrainingRows:
        """As training rows."""
        return TrainingRows(
            len(self.keys),
            lambda indices: self.batch.take(torch.from_numpy(indices)),
            None if (self.weights == 1).all() else self.weights,
            self.held_out,
            np.where(self.calibrating, 0, NO_FOLD),
        )
