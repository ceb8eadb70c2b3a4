"""How well a model and its threshold do on rows whose anomalies are known, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

CONFIDENCE = 0.95
RANKS = (10, 100)
# With fewer rows of a class, their spread says little of the AUROC's.
MIN_FOR_SPREAD = 8


@dataclass(frozen=True)
class Measure:
    """A measure between 0 and 1, with its confidence interval.

    Attributes
    ----------
    name : str
        What it is.
    value : float
        As measured.
    lower, upper : float
        Confidence limits.
    n_hits : int or None
        Rows counted, where it is a share of rows.
    n_rows : int or None
        Rows that they are a share of.
    """

    name: str
    value: float
    lower: float
    upper: float
    n_hits: int | None = None
    n_rows: int | None = None

    def describe(self) -> dict[str, Any]:
        """Say it for programs."""
        return {name: value for name, value in asdict(self).items() if name != "name"}


@dataclass(frozen=True)
class Evaluation:
    """Measures of a model on labelled rows.

    Attributes
    ----------
    measures : tuple of Measure
        AUROC, average precision, precisions; those that the labels allow.
    recall : Measure or None
        Share of the anomalies that is above the threshold; None without any.
    false_alarm_rate : Measure or None
        Share of the normal rows that is; None without any.
    n_rows, n_anomalies, n_flagged : int
        Rows with label and score, and which of them are anomalous, or above the threshold.
    """

    measures: tuple[Measure, ...]
    recall: Measure | None
    false_alarm_rate: Measure | None
    n_rows: int
    n_anomalies: int
    n_flagged: int

    @classmethod
    def of(cls, is_anomaly: Flags, scores: Scores, threshold: float) -> Evaluation:
        """Measure.

        Parameters
        ----------
        is_anomaly : ndarray of bool, shape (rows,)
            Labels.
        scores : ndarray of shape (rows,)
            Nats, higher is more anomalous; none is NaN.
        threshold : float
            Higher scores are flagged.
        """
        return cls.of_flags(is_anomaly, scores, scores > threshold)

    @classmethod
    def of_flags(cls, is_anomaly: Flags, scores: Scores, flags: Flags) -> Evaluation:
        """Measure where no threshold may have flagged the rows.

        Parameters
        ----------
        is_anomaly : ndarray of bool, shape (rows,)
            Labels.
        scores : ndarray of shape (rows,)
            Nats, higher is more anomalous; none is NaN.
        flags : ndarray of bool, shape (rows,)
            Which rows are flagged.
        """
        n_anomalies, n_flagged = int(is_anomaly.sum()), int(flags.sum())
        n_found = int((flags & is_anomaly).sum())
        n_normal = len(scores) - n_anomalies
        measures = []
        if n_anomalies and n_normal:
            measures = [_auroc(is_anomaly, scores), _average_precision(is_anomaly, scores)]
            ranks = sorted({n for n in (n_flagged, *RANKS, n_anomalies) if 0 < n <= len(scores)})
            measures += [_precision(is_anomaly, scores, rank) for rank in ranks]
        return cls(
            tuple(measures),
            _share("recall at the threshold", n_found, n_anomalies) if n_anomalies else None,
            _share("false-alarm rate", n_flagged - n_found, n_normal) if n_normal else None,
            len(scores),
            n_anomalies,
            n_flagged,
        )

    @property
    def all(self) -> Sequence[Measure]:
        """All that was measured."""
        return [*self.measures, *(each for each in (self.recall, self.false_alarm_rate) if each is not None)]


def wilson(share: float, n_rows: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval for a share of rows; `n_rows` may be an effective number.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    Examples
    --------
    >>> [round(limit, 3) for limit in wilson(0.0, 10)], [round(limit, 3) for limit in wilson(0.5, 100)]
    ([0.0, 0.278], [0.404, 0.596])
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z**2 / (2 * n_rows)) / (1 + z**2 / n_rows)
    reach = z / (1 + z**2 / n_rows) * (share * (1 - share) / n_rows + z**2 / (4 * n_rows**2)) ** 0.5
    # Not what rounding leaves of nothing.
    return max(middle - reach, 0.0) if share else 0.0, min(middle + reach, 1.0) if share < 1 else 1.0


def effective_rows(is_anomaly: Flags, scores: Scores) -> tuple[float, float]:
    """AUROC, and of how many rows a share would be as uncertain.

    The variance is DeLong's. Where a class has few rows, or all anomalies are above all normal rows, the smaller class
    counts, which no AUROC is less certain than.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44, 1988; Birnbaum and Klose, "Bounds for the variance of the Mann-Whitney
    statistic", Annals of Mathematical Statistics 28, 1957.

    Examples
    --------
    >>> effective_rows(np.array([False, False, True, True]), np.array([1.0, 3.0, 2.0, 4.0]))
    (0.75, 2.0)
    """
    shares = []
    for chosen, others in ((is_anomaly, ~is_anomaly), (~is_anomaly, is_anomaly)):
        ordered, own = np.sort(scores[others]), scores[chosen]
        below, up_to = np.searchsorted(ordered, own, "left"), np.searchsorted(ordered, own, "right")
        shares.append((below + up_to) / (2 * len(ordered)))
    auroc = float(shares[0].mean())
    fewest = float(min(map(len, shares)))
    variance = sum(float(share.var(ddof=1)) / len(share) for share in shares) if fewest >= MIN_FOR_SPREAD else 0.0
    return auroc, max(auroc * (1 - auroc) / variance, fewest) if variance else fewest


def average_precision(is_anomaly: Flags, scores: Scores) -> float:
    """Mean over the anomalies of the share of anomalies among all rows with scores as high, as scikit-learn has it.

    Examples
    --------
    >>> round(average_precision(np.array([False, True, False, True]), np.array([1.0, 2.0, 3.0, 4.0])), 4)
    0.8333
    """
    ordered = np.sort(scores)
    found = np.sort(scores[is_anomaly])
    n_up_to = len(scores) - np.searchsorted(ordered, found, "left")
    n_found = len(found) - np.searchsorted(found, found, "left")
    return float((n_found / n_up_to).mean())


def _auroc(is_anomaly: Flags, scores: Scores) -> Measure:
    auroc, n_rows = effective_rows(is_anomaly, scores)
    return Measure("AUROC", auroc, *wilson(auroc, n_rows))


def _average_precision(is_anomaly: Flags, scores: Scores) -> Measure:
    """Average precision, as uncertain as a share of the anomalies (Boyd, Eng and Page, ECML 2013)."""
    average = average_precision(is_anomaly, scores)
    return Measure("average precision", average, *wilson(average, int(is_anomaly.sum())))


def _precision(is_anomaly: Flags, scores: Scores, rank: int) -> Measure:
    """Share of anomalies among the most anomalous rows; of equal scores the first in the input count first."""
    first = np.argsort(-scores, kind="stable")[:rank]
    return _share(f"precision at {rank:,}", int(is_anomaly[first].sum()), rank)


def _share(name: str, n_hits: int, n_rows: int) -> Measure:
    return Measure(name, n_hits / n_rows, *wilson(n_hits / n_rows, n_rows), n_hits, n_rows)
