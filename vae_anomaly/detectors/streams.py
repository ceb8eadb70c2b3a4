"""Fits that go on from an earlier one: rows that arrive in batches, and a warm start."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import _fit_context
from sklearn.utils.validation import _check_sample_weight

from vae_anomaly.columns import Batch
from vae_anomaly.data import FloatArray, Images, Table
from vae_anomaly.detectors.inputs import new_seed, read_rows
from vae_anomaly.detectors.learning import LearningMixin
from vae_anomaly.errors import DataError, SpecificationError
from vae_anomaly.fitting import Rows, Specification, defaults_for, learn_encoder, specification_of

SHAPE_PARAMETERS = (
    "n_estimators",
    "latent_dim",
    "hidden_layer_sizes",
    "activation",
    "backbone",
    "likelihood",
    "columns",
    "model_missing",
    "image_shape",
)
DEFAULT_ROWS_A_MEMBER = 4096
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
    trained: npt.NDArray[np.bool_]
    n_seen: int
    largest_key: float = 1.0

    @classmethod
    def drawn(
        cls, batch: Batch, weights: FloatArray | None, held_out_share: float, rng: np.random.Generator
    ) -> RowSample:
        """All rows of a batch, with keys."""
        n_rows = len(batch)
        return cls(
            batch,
            np.ones(n_rows) if weights is None else weights,
            rng.random(n_rows),
            rng.random(n_rows) < held_out_share,
            np.zeros(n_rows, dtype=bool),
            n_rows,
        )

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
            Batch(
                torch.cat([self.batch.values, other.batch.values]),
                torch.cat([self.batch.observed, other.batch.observed]),
            ),
            np.concatenate([self.weights, other.weights]),
            np.concatenate([self.keys, other.keys]),
            np.concatenate([self.held_out, other.held_out]),
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
            trained=self.trained[kept],
        )

    def rows(self) -> Rows:
        """As training rows."""
        return Rows(
            len(self.keys),
            lambda numbers: self.batch.take(torch.from_numpy(numbers)),
            None if (self.weights == 1).all() else self.weights,
            self.held_out,
        )


class StreamMixin(LearningMixin):
    """`partial_fit` of the detector."""

    _sample: RowSample | None

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from a further batch of rows.

        The detector keeps a sample of all rows that it was given this way, each with the same chance to be in it, of
        `n_estimators` times `max_samples` rows (4,096 where that is a share).  After a batch it trains on from its
        weights, on the sample: `max_iter` steps at first, later the share of them that is the share of new rows in the
        sample.  So all batches count alike, none is forgotten, and later ones cost less; exemplars and threshold are
        those of the sample.  What columns are, their scales and levels come from the first batch: it should be
        like those to follow.

        After `fit`, a sample of its rows stands for all of them.  A model file holds no rows: after `load`, rows are
        collected until there are 512, and the detector stays as it is until then.

        Parameters
        ----------
        X : array-like or DataFrame of shape (rows, columns)
            The batch; at least two rows at first.
        y : ignored
            For scikit-learn's interface.
        sample_weight : array-like of shape (rows,), optional
            Weights of the rows in the loss; rows of weight 0 are left out.

        Returns
        -------
        VAEDetector
            The fitted estimator.

        Raises
        ------
        DataError
            If the data cannot be used; the message names the column and the row.
        SpecificationError
            If a parameter that shapes the model was changed since.
        TrainingDiverged
            If the loss was not finite even after a rollback with a smaller step.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> detector = VAEDetector(max_iter=50, early_stopping=False)
        >>> rng = np.random.default_rng(0)
        >>> for _ in range(3):
        ...     detector = detector.partial_fit(rng.normal(size=(500, 2)))
        >>> detector.n_iter_
        17
        """
        begun = hasattr(self, "vae_")
        data, weights = with_weight(read_rows(self, X, fitting=not begun), sample_weight, at_least=1 if begun else 2)
        if begun:
            check_same_shape(self)
        specification = specification_of(self, defaults_for(data))
        encoder = self.encoder_ if begun else learn_encoder(data, weights, specification)
        specification = specification.for_encoder(encoder)
        earlier = self._rows_before(specification)
        rng = np.random.default_rng([new_seed(self.random_state), 0 if earlier is None else earlier.n_seen])
        sample = RowSample.drawn(encoder.encode(data), weights, specification.validation_fraction, rng)
        if earlier is not None:
            sample = earlier.joined(sample)
        wanted = specification.max_samples
        own = int(wanted) if isinstance(wanted, Integral) else DEFAULT_ROWS_A_MEMBER
        sample = sample.reduced(specification.n_estimators * own)
        if begun:
            share = 0.0 if sample.is_too_small else float(1 - sample.trained.mean())
            plan = dataclasses.replace(
                specification.plan, max_iter=math.ceil(share * specification.plan.max_iter), kl_warmup=0.0
            )
            specification = dataclasses.replace(specification, plan=plan)
        if specification.plan.max_iter:
            self._learn(encoder, sample.rows(), specification, self.vae_ if begun else None)
            sample = dataclasses.replace(sample, trained=np.ones_like(sample.trained))
        self._sample = sample
        return self

    def _rows_before(self, specification: Specification) -> RowSample | None:
        """The sample so far; after `fit`, rows of that fit in place of all."""
        sample: RowSample | None = getattr(self, "_sample", None)
        rows: Batch | None = getattr(self, "reference_rows_", None)
        if sample is not None or rows is None:
            return sample
        rng = np.random.default_rng(new_seed(self.random_state))
        n_rows = self.fit_report_.n_rows
        return RowSample.drawn(rows, None, specification.validation_fraction, rng).standing_for(n_rows)


def with_weight(
    data: Table | Images, sample_weight: Any, at_least: int = 2
) -> tuple[Table | Images, FloatArray | None]:
    """The rows of positive weight and these weights; None where no weights are given.

    Raises
    ------
    DataError
        If fewer than `at_least` rows are left.
    """
    if sample_weight is None:
        return data, None
    if isinstance(data, Images) and np.shape(sample_weight) not in ((), (data.n_rows,)):
        raise DataError(
            f"there are {np.size(sample_weight)} weights for {data.n_rows} images. Images that cannot be read are "
            "left out: take them off the list, and their weights as well."
        )
    weights: FloatArray = _check_sample_weight(
        sample_weight, np.empty(data.n_rows), dtype=np.float64, ensure_non_negative=True
    )
    present = np.flatnonzero(weights)
    if len(present) < at_least:
        words = {1: "one", 2: "two"}
        raise DataError(
            f"{len(present)} row(s) have a weight above 0; training needs at least {words.get(at_least, at_least)}."
        )
    return data.take(present), weights[present]


def check_same_shape(detector: Any) -> None:
    """Refuse to go on from weights of another shape.

    Raises
    ------
    SpecificationError
        If a parameter that shapes the model differs from that of the fit before.
    """
    present, before = detector.get_params(deep=False), detector.fitted_parameters_
    for name in SHAPE_PARAMETERS:
        now, then = (tuple(p[name]) if isinstance(p[name], list) else p[name] for p in (present, before))
        if now != then:
            raise SpecificationError(
                f"{name} is {now!r} and was {then!r} in the fit before, whose weights this one starts from. Set it "
                "back, or fit anew with warm_start=False."
            )
