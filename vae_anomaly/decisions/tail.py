"""A model of the scores beyond the calibration rows: the generalised Pareto distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from vae_anomaly.decisions.sorted_scores import SortedScores

TAIL_SHARE = 0.1
MIN_TAIL_ROWS = 20
MAX_TAIL_ROWS = 5_000
MAX_SHAPE = 0.9


@dataclass(frozen=True)
class ParetoTail:
    """Scores above a start, as a generalised Pareto distribution.

    Parameters
    ----------
    start : float
        Nats.
    share : float
        Share of the rows that is above.
    scale : float
        Nats.
    shape : float
        0 for an exponential tail, higher for longer ones, below 0 for an end.

    References
    ----------
    Pickands, "Statistical inference using extreme order statistics", 1975; Hosking and Wallis, "Parameter and quantile
    estimation for the generalized Pareto distribution", 1987, eq. 3.
    """

    start: float
    share: float
    scale: float
    shape: float

    @classmethod
    def of(cls, scores: SortedScores) -> Self | None:
        """Fits the largest tenth of the scores by probability-weighted moments; None of fewer than 20 rows there.

        Parameters
        ----------
        scores : SortedScores
            Nats; the tail has to be finite.
        """
        n_tail = min(int(TAIL_SHARE * scores.n), MAX_TAIL_ROWS)
        if n_tail < MIN_TAIL_ROWS:
            return None
        start = scores.kth_largest(n_tail + 1)
        above = scores.values > start
        excess = np.repeat(scores.values[above], scores.counts[above]) - start
        if not len(excess) or not np.isfinite(excess).all():
            return None
        n_above = len(excess)
        mean = float(excess.mean())
        weighted = float(np.mean((n_above - 0.65 - np.arange(n_above)) / n_above * excess))
        ratio = mean / (mean - 2 * weighted)
        shape = min(2 - ratio, MAX_SHAPE)
        return cls(start, n_above / (scores.n + 1), mean * (1 - shape), shape)

    def threshold(self, rate: float) -> float:
        """The score that a share of all rows is above, for shares below that of the tail.

        Examples
        --------
        >>> round(ParetoTail(10.0, 0.1, 2.0, 0.0).threshold(0.001), 2)
        19.21
        """
        logarithm = math.log(self.share / rate)
        if abs(self.shape) < 1e-9:
            return self.start + self.scale * logarithm
        return self.start + self.scale * math.expm1(self.shape * logarithm) / self.shape
