"""Scores and p-values of rows, and how rows are scored whatever is wrong with some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vae_anomaly.errors import DataError, NonFiniteScoreError

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.arrow_rows import RowFeatures
    from vae_anomaly.detectors import PatchDetector, VAEDetector

Numbers: TypeAlias = npt.NDArray[np.float64]
# Rows that only scoring finds fault with, each of which takes another pass.
MAX_TRIES = 20


@dataclass(frozen=True)
class RowScores:
    """Scores and p-values of rows.

    Attributes
    ----------
    scores : ndarray of shape (rows,)
        Nats, higher is more anomalous; NaN where there is none.
    p_values : ndarray of shape (rows,)
        NaN where there is no score, or nothing to compare it with.
    likelihoods : ndarray of shape (rows,) or None
        Scores without what the model has learned from answers; None where it has not, or where they are not known.
    margins : ndarray of shape (rows,) or None
        Where each group of rows has a model: how far the score is above the threshold of the row's own, nats.
    judged_by : ndarray of shape (rows,) or None
        There: whether the model of the row's group judged it, or the pooled one.
    """

    scores: Numbers
    p_values: Numbers
    likelihoods: Numbers | None = None
    margins: Numbers | None = None
    judged_by: npt.NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def ranks(self) -> Numbers:
        """What rows are ranked by, higher for more anomalous ones."""
        return self.scores if self.margins is None else self.margins

    @classmethod
    def by(cls, detector: VAEDetector | PatchDetector, rows: Any) -> RowScores:
        """Score rows in one pass."""
        return cls.of(detector.decide(rows))

    @classmethod
    def of(cls, decided: pd.DataFrame) -> RowScores:
        """What a detector decided of rows."""
        likelihoods = decided["likelihood_score"].to_numpy() if "likelihood_score" in decided else None
        return cls(decided["anomaly_score"].to_numpy(), decided["p_value"].to_numpy(), likelihoods)

    @classmethod
    def nothing(cls, n_rows: int = 0) -> RowScores:
        """Rows without scores."""
        return cls(np.full(n_rows, np.nan), np.full(n_rows, np.nan))

    @classmethod
    def joined(cls, *parts: RowScores) -> RowScores:
        """All rows of several parts."""
        likelihoods: Numbers | None = None
        if any(part.likelihoods is not None for part in parts):
            # Of a part in which no row has a score there is none to know.
            found = [part._likelihoods_or_missing() for part in parts if len(part)]
            known = [each for each in found if each is not None]
            likelihoods = np.concatenate(known) if len(known) == len(found) else None
        return cls(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.p_values for part in parts]),
            likelihoods,
            _joined([part.margins for part in parts if len(part)]),
            _joined([part.judged_by for part in parts if len(part)]),
        )

    def _likelihoods_or_missing(self) -> Numbers | None:
        if self.likelihoods is None and np.isnan(self.scores).all():
            return np.full(len(self), np.nan)
        return self.likelihoods

    def take(self, rows: slice | npt.NDArray[np.intp]) -> RowScores:
        """Some of the rows."""
        likelihoods = None if self.likelihoods is None else self.likelihoods[rows]
        margins = None if self.margins is None else self.margins[rows]
        judged_by = None if self.judged_by is None else self.judged_by[rows]
        return RowScores(self.scores[rows], self.p_values[rows], likelihoods, margins, judged_by)

    def spread(self, rows: list[int] | npt.NDArray[np.intp], n_rows: int) -> RowScores:
        """The same rows in their places among others, which have no scores."""
        spread = RowScores.nothing(n_rows)
        spread.scores[rows], spread.p_values[rows] = self.scores, self.p_values
        if self.likelihoods is None:
            return spread
        likelihoods = np.full(n_rows, np.nan)
        likelihoods[rows] = self.likelihoods
        return replace(spread, likelihoods=likelihoods)


def _joined(parts: list[npt.NDArray[Any] | None]) -> Any:
    """All rows of several parts; None where some of them have nothing."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known and len(known) == len(parts) else None


def scored_rows(
    features: RowFeatures, score: Callable[[pd.DataFrame], RowScores], known: Mapping[int, str]
) -> tuple[RowScores, dict[int, str]]:
    """Score all rows that can be, whatever is wrong with the others.

    Parameters
    ----------
    features : RowFeatures
        What a model sees of them.
    score : callable
        Scores rows of the frame.
    known : mapping of int to str
        Problems of rows, from 0, beside those of the features.

    Returns
    -------
    RowScores
        Of every row.
    dict of int to str
        Why rows have no score, in their order.

    Raises
    ------
    DataError
        If no row is to blame, or too many are.
    NonFiniteScoreError
        If too many rows have no finite score.
    """
    n_rows = len(features.frame)
    problems = {**features.problems, **known}
    n_tries = 0
    while True:
        usable = replace(features, problems=problems)
        rows = usable.rows
        if not len(rows):
            return RowScores.nothing(n_rows), dict(sorted(problems.items()))
        try:
            found = score(usable.usable)
        except (DataError, NonFiniteScoreError) as error:
            if error.row is None or n_tries == MAX_TRIES:
                raise
            n_tries += 1
            problems[int(rows[error.row])] = error.problem if isinstance(error, DataError) else "has no finite score"
        else:
            every = len(rows) == n_rows
            return found if every else found.spread(rows, n_rows), dict(sorted(problems.items()))
