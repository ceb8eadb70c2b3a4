"""Rules that turn calibration scores into a threshold, and what each promises."""

from __future__ import annotations

import abc
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.decisions.calibration import Calibration, Kind
from vae_anomaly.decisions.false_alarms import (
    CONFIDENCE,
    CalibrationTooSmall,
    band_at,
    checked_share,
    largest_rank,
    rate_bound,
    rows_needed,
    smallest_rate,
)
from vae_anomaly.decisions.sorted_scores import SortedScores, checked_scores
from vae_anomaly.decisions.tail import ParetoTail
from vae_anomaly.display import Shown
from vae_anomaly.errors import DataError, DataWarning, SpecificationError, callers_level

N_DEVIATIONS = 3.0
MIN_DEVIATION = 0.5
QUARTILE_OF_NORMAL = 0.6744897501960817
MAX_CONTAMINATION = 0.5
# Rules whose threshold is a calibration score of a rank that does not depend on the scores.
RANKED = frozenset({"contamination", "false_alarm_rate", "alerts"})
TABLE_RATES = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True, repr=False)
class Threshold(Shown):
    """The score above which rows are anomalous, how it was found, and what may be expected of it.

    Parameters
    ----------
    score : float
        Anomaly score, nats: rows with a higher one are flagged.
    rule : str
        Name of the rule: a key of `RULES`, or "fixed" where the score of the model has a threshold of its own.
    expected_rate : float, optional
        Share of new normal rows that is flagged, on average over fits; for a training calibration, share of the rows
        fitted that is.  None where there is no calibration.
    rate_bound : float, optional
        Upper bound on the share of new normal rows that this very model flags.
    confidence : float, default=0.95
        Of `rate_bound`.
    kind : {"split", "cross", "training"}, optional
        See `Calibration`.
    n_calibration : int, default=0
        Calibration rows.
    smallest_p : float, default=1.0
        The smallest p-value that a row can have.
    parameters : mapping of str to float
        What was asked for.
    """

    score: float
    rule: str
    expected_rate: float | None = None
    rate_bound: float | None = None
    confidence: float = CONFIDENCE
    kind: Kind | None = None
    n_calibration: int = 0
    smallest_p: float = 1.0
    parameters: Mapping[str, float] = field(default_factory=dict)

    def _summary(self) -> str:
        given = "".join(f", {name}={value:g}" for name, value in self.parameters.items() if name != "score")
        rate = "" if self.expected_rate is None else f", {percent(self.expected_rate)} expected above"
        return f"{self.score:.6g} nats, rule={self.rule!r}{given}{rate}"

    def _table(self) -> pd.DataFrame:
        lines = {"score (nats)": self.score, "rule": self.rule, "expected rate": self.expected_rate}
        lines |= {"rate bound": self.rate_bound, "confidence": self.confidence, "calibration": self.kind}
        lines |= {"calibration rows": self.n_calibration, "what to expect": self.sentence()}
        return pd.DataFrame({"": list(lines), " ": pd.Series(list(lines.values()), dtype=object)})

    def flags(self, scores: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which rows are above."""
        above: npt.NDArray[np.bool_] = checked_scores(scores) > self.score
        return above

    @property
    def proved_rate(self) -> float | None:
        """What is proved of the average share of new normal rows that is flagged.

        Only for split calibrations, and rules that choose by a rank: the score of a cross-fitted model is the mean of
        its members, and each calibration row has the score of one, which varies more.  What is proved there is about
        `Calibration.p_values`.
        """
        return self.expected_rate if self.kind == "split" and self.rule in RANKED else None

    def sentence(self, noun: str = "row") -> str:
        """What may be expected of the threshold, and under what condition.

        Parameters
        ----------
        noun : str
            What is judged: "row" or "image".

        Examples
        --------
        >>> calibration = Calibration.of("split", [np.arange(1.0, 1000.0)])
        >>> print(FalseAlarmRate(0.01).find(calibration).sentence())
        Rows above 990 nats are flagged: 1 % of new normal rows on average over such fits, and with 95 % confidence at
        most 1.57 % with this model, if they are like the 999 calibration rows, which the model has not seen.
        """
        flagged = f"{noun.capitalize()}s above {self.score:.6g} nats are flagged"
        if self.expected_rate is None:
            return f"{flagged}; how many normal {noun}s that are is not known: there are no calibration {noun}s."
        if self.kind == "training":
            return (
                f"{flagged}: {percent(self.expected_rate)} of the {self.n_calibration:,} {noun}s that the model "
                f"was fitted on. Nothing is promised about new {noun}s, more of which are flagged as a rule: calibrate "
                "first."
            )
        rows = f"{self.n_calibration:,} calibration {noun}s"
        mean, surely = percent(self.expected_rate), percent(self.confidence)
        most = "" if self.rate_bound is None else f"at most {percent(self.rate_bound, upwards=True)} with this model"
        if self.kind == "split":
            average = f"{mean} of new normal {noun}s on average over such fits"
            if self.proved_rate is None:
                average = f"about {mean} of new normal {noun}s"
            bound = f" and with {surely} confidence {most}," if most else ""
            return f"{flagged}: {average},{bound} if they are like the {rows}, which the model has not seen."
        bound = f" With {surely} confidence it is {most}, if the scores of all folds have one law." if most else ""
        return (
            f"{flagged}: about {mean} of new normal {noun}s by measurement, not proved, if they are like the {rows}, "
            f"each scored by a model that has not seen it.{bound}"
        )


class ThresholdRule(abc.ABC):
    """How a threshold is found among calibration scores."""

    @abc.abstractmethod
    def find(self, calibration: Calibration) -> Threshold:
        """The threshold.

        Raises
        ------
        CalibrationTooSmall
            If there are too few calibration rows for what the rule promises.
        """


@dataclass(frozen=True)
class RobustFence(ThresholdRule):
    """The score three robust standard deviations above the median of the calibration scores.

    The deviation is taken from the upper half alone, as the distance from the median to the upper quartile over that
    of a normal distribution (0.6745), so that the long side of the scores sets the threshold.  Where a quarter of the
    rows share the median score, as in tables of flags, the quartile says nothing and the root mean square of the upper
    half is taken instead.  A deviation below half a nat counts as half a nat: no row is flagged that is less than
    4.5 times rarer than the median one.  How many rows are flagged depends on the data: none where all rows are alike.

    Parameters
    ----------
    min_deviation : float, default=0.5
        What half a nat is in the unit of the scores.

    References
    ----------
    Tukey, "Exploratory Data Analysis", 1977, chapter 2; Iglewicz and Hoaglin, "How to detect and
    handle outliers", 1993.

    Examples
    --------
    >>> round(RobustFence().find(Calibration.of("training", [np.linspace(-1.0, 1.0, 101)])).score, 2)
    2.22
    """

    min_deviation: float = MIN_DEVIATION

    def find(self, calibration: Calibration) -> Threshold:
        scores = calibration.pooled
        finite = np.isfinite(scores.values)
        scores = SortedScores(scores.values[finite], scores.counts[finite])
        if not scores.n:
            raise DataError("no calibration score is finite", "a fence needs a median.")
        median, upper = scores.quantile(0.5), scores.quantile(0.75)
        deviation = (upper - median) / QUARTILE_OF_NORMAL
        if upper == median:
            above = np.maximum(scores.values - median, 0)
            deviation = math.sqrt(2 * float(np.average(above**2, weights=scores.counts)))
        fence = median + N_DEVIATIONS * max(deviation, self.min_deviation)
        return _chosen_by_scores(calibration, fence, "auto", {"min_deviation": self.min_deviation})


@dataclass(frozen=True)
class Contamination(ThresholdRule):
    """The threshold above which a share of the rows is.

    Of the calibration rows, which the model has not seen, where there are any: the k-th largest score, with k the whole
    number below ``contamination * (n + 1)`` and at least 1.  Of rows that were fitted it is exactly that share, rounded
    to whole rows, and halfway between the last row inside and the first outside; if the scores are compressed, to
    within the few rows of a group.

    Parameters
    ----------
    contamination : float
        Share in (0, 0.5].
    """

    contamination: float

    def __post_init__(self) -> None:
        checked_share(self.contamination, "contamination", MAX_CONTAMINATION)

    def find(self, calibration: Calibration) -> Threshold:
        parameters = {"contamination": float(self.contamination)}
        if calibration.kind == "training":
            score = score_with_share_above(calibration.pooled, self.contamination)
            return _chosen_by_scores(calibration, score, "contamination", parameters)
        n = calibration.n_rows
        rank = largest_rank(n, self.contamination)
        if rank == 0:
            warnings.warn(
                DataWarning(
                    f"contamination={self.contamination:g} is less than one of {n} calibration rows: the threshold is "
                    f"the largest of them, and {percent(1 / (n + 1))} of new normal rows are above it"
                ),
                stacklevel=callers_level(),
            )
        return _at_rank(calibration, max(rank, 1), "contamination", parameters)


@dataclass(frozen=True)
class FalseAlarmRate(ThresholdRule):
    """The lowest threshold above which at most this share of new normal rows is.

    Parameters
    ----------
    rate : float
        Share in (0, 1).
    confidence : float, optional
        None: the share is kept on average over fits, and nearly half of them exceed it a little.  A number in (0, 1):
        this very model keeps it with that probability.
    """

    rate: float
    confidence: float | None = None

    def __post_init__(self) -> None:
        checked_share(self.rate, "false_alarm_rate")
        if self.confidence is not None:
            checked_share(self.confidence, "confidence")

    def find(self, calibration: Calibration) -> Threshold:
        if calibration.kind == "training":
            raise SpecificationError(
                "a false-alarm rate is a promise about new rows, and this model has no calibration rows: fit it with "
                "calibration='auto', or give normal rows with calibrate(X); contamination= takes a share of the rows "
                "fitted."
            )
        n = calibration.n_rows
        rank = largest_rank(n, self.rate, self.confidence)
        if rank == 0:
            certain = "" if self.confidence is None else f" with {percent(self.confidence)} confidence"
            raise CalibrationTooSmall(
                f"a false-alarm rate of {percent(self.rate)}{certain}",
                rows_needed(self.rate, self.confidence),
                n,
                f"ask for {percent(smallest_rate(n, self.confidence), upwards=True)} or more",
            )
        parameters = {"false_alarm_rate": float(self.rate)}
        if self.confidence is not None:
            parameters["confidence"] = float(self.confidence)
        return _at_rank(calibration, rank, "false_alarm_rate", parameters, self.confidence or CONFIDENCE)


@dataclass(frozen=True)
class AlertBudget(ThresholdRule):
    """The lowest threshold with so many alerts, or fewer, among as many normal rows, on average.

    Parameters
    ----------
    n_alerts : float
        Alerts that somebody can look at.
    per : float
        Rows that they are among.

    Examples
    --------
    >>> AlertBudget(20, per=5_000).find(Calibration.of("split", [np.arange(1.0, 1000.0)])).score
    996.0
    """

    n_alerts: float
    per: float

    def __post_init__(self) -> None:
        for name, value in (("n_alerts", self.n_alerts), ("per", self.per)):
            is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
            if not is_number or not 0 < value < math.inf:
                raise SpecificationError(f"{name} is a number above 0, not {value!r}")
        if self.n_alerts >= self.per:
            raise SpecificationError(f"n_alerts={self.n_alerts:g} is not fewer than per={self.per:g} rows")

    def find(self, calibration: Calibration) -> Threshold:
        parameters = {"n_alerts": float(self.n_alerts), "per": float(self.per)}
        rate = self.n_alerts / self.per
        if calibration.kind == "training":
            return _chosen_by_scores(
                calibration, score_with_share_above(calibration.pooled, rate), "alerts", parameters
            )
        n = calibration.n_rows
        rank = largest_rank(n, rate)
        if rank == 0:
            raise CalibrationTooSmall(
                f"a budget of {self.n_alerts:g} alerts per {self.per:,g} rows",
                rows_needed(rate),
                n,
                f"allow {math.ceil(self.per / (n + 1) * (1 - 1e-12)):,} or more per {self.per:,g} rows",
            )
        return _at_rank(calibration, rank, "alerts", parameters)


@dataclass(frozen=True)
class FixedScore(ThresholdRule):
    """A threshold in nats, whatever the calibration scores.

    Parameters
    ----------
    score : float
        Nats; infinity flags nothing.
    rule : {"score", "fixed"}, default="score"
        Whether it was asked for, or the score of the model has a threshold of its own.
    """

    score: float
    rule: Literal["score", "fixed"] = "score"

    def __post_init__(self) -> None:
        is_number = isinstance(self.score, Real) and not isinstance(self.score, bool | np.bool_)
        if not is_number or math.isnan(self.score):
            raise SpecificationError(f"score is a number of nats, not {self.score!r}")

    def find(self, calibration: Calibration) -> Threshold:
        rank = int(calibration.pooled.n_above(np.array([self.score]))[0]) + 1
        # A threshold chosen without the scores is not below the one at its rank.
        return _described(calibration, float(self.score), rank, self.rule, {"score": float(self.score)})


@dataclass(frozen=True, eq=False)
class LabelledCost(ThresholdRule):
    """The threshold that costs least on labelled rows, where each false alarm costs 1.

    Halfway between two labelled rows; of equal costs, the one with the fewest alerts.

    Parameters
    ----------
    scores : array-like of shape (rows,)
        Anomaly scores of the labelled rows, nats.
    is_anomaly : array-like of bool, shape (rows,)
        Their labels; both kinds are needed.
    missed_cost : float, default=1.0
        What an anomaly that is not flagged costs.

    Examples
    --------
    >>> rule = LabelledCost([1.0, 2.0, 3.0, 4.0], [False, False, True, True])
    >>> rule.find(Calibration.of("split", [[0.5, 1.5, 2.25]])).score
    2.5
    """

    scores: npt.ArrayLike
    is_anomaly: npt.ArrayLike
    missed_cost: float = 1.0

    def __post_init__(self) -> None:
        scores, labels = checked_scores(self.scores), np.asarray(self.is_anomaly)
        if labels.dtype != np.bool_ or labels.shape != scores.shape:
            raise DataError(
                f"{len(scores)} scores have labels of shape {labels.shape}, {labels.dtype}", "True or False each."
            )
        if labels.all() or not labels.any():
            raise DataError(f"all labels are {bool(labels.all())}", "a threshold needs normal rows and anomalies.")
        is_number = isinstance(self.missed_cost, Real) and not isinstance(self.missed_cost, bool | np.bool_)
        if not is_number or not 0 < self.missed_cost < math.inf:
            raise SpecificationError(f"missed_cost is a number above 0, not {self.missed_cost!r}")

    def find(self, calibration: Calibration) -> Threshold:
        scores, labels = checked_scores(self.scores), np.asarray(self.is_anomaly)
        distinct = np.unique(scores)[::-1]
        normal, anomalous = SortedScores.of(scores[~labels]), SortedScores.of(scores[labels])
        n_missed = anomalous.n - anomalous.n_at_least(distinct)
        costs = np.append(
            float(self.missed_cost) * anomalous.n, normal.n_at_least(distinct) + self.missed_cost * n_missed
        )
        n_levels_flagged = int(np.argmin(costs))
        # Nothing is above the largest score, and everything is above what is below the smallest.
        below = np.append(distinct, -math.inf)[n_levels_flagged]
        score = (
            float(distinct[0])
            if n_levels_flagged == 0
            else between(float(distinct[n_levels_flagged - 1]), float(below))
        )
        parameters = {
            "missed_cost": float(self.missed_cost),
            "n_labelled": float(len(scores)),
            "n_anomalies": float(anomalous.n),
        }
        return _chosen_by_scores(calibration, score, "labels", parameters)


RULES: dict[str, type[ThresholdRule]] = {
    "auto": RobustFence,
    "contamination": Contamination,
    "false_alarm_rate": FalseAlarmRate,
    "alerts": AlertBudget,
    "labels": LabelledCost,
    "score": FixedScore,
}


def threshold_table(
    calibration: Calibration, confidence: float = CONFIDENCE, extrapolate: bool = False
) -> pd.DataFrame:
    """Thresholds for false-alarm rates from 0.01 % to 10 %, to choose one by what it costs.

    Parameters
    ----------
    calibration : Calibration
        Split or cross; of a training calibration the rates are shares of the rows fitted.
    confidence : float, default=0.95
        Probability that all bounds hold at once.
    extrapolate : bool, default=False
        Whether rates below ``1 / (n + 1)`` are read off a generalised Pareto distribution fitted to the tail, which is
        a model and no guarantee; they are never below the largest calibration score.

    Returns
    -------
    DataFrame
        By rate: ``threshold`` (nats), ``alerts_per_million`` normal rows, ``rate_bound``, ``model_based`` and ``note``,
        which says what is missing.  NaN where there are too few calibration rows.

    Examples
    --------
    >>> calibration = Calibration.of("split", [np.arange(1.0, 1000.0)])
    >>> threshold_table(calibration).loc[[0.001, 0.01, 0.1], ["threshold", "alerts_per_million"]]
           threshold  alerts_per_million
    rate
    0.001      999.0              1000.0
    0.010      990.0             10000.0
    0.100      900.0            100000.0
    """
    checked_share(confidence, "confidence")
    n = calibration.n_rows
    tail = ParetoTail.of(calibration.pooled) if extrapolate else None
    unbounded = calibration.kind == "training"
    rows = []
    for rate in TABLE_RATES:
        rank = largest_rank(n, rate)
        if rank > 0:
            bound = math.nan if unbounded else band_at(n, rank, confidence)
            rows.append((rate, calibration.pooled.kth_largest(rank), rank / (n + 1) * 1e6, bound, False, ""))
        elif tail is not None:
            score = max(tail.threshold(rate), calibration.pooled.kth_largest(1))
            rows.append((rate, score, rate * 1e6, math.nan, True, "generalised Pareto tail, no guarantee"))
        else:
            note = f"needs {rows_needed(rate):,} calibration rows, there are {n:,}"
            rows.append((rate, math.nan, math.nan, math.nan, False, note))
    columns = ["rate", "threshold", "alerts_per_million", "rate_bound", "model_based", "note"]
    return pd.DataFrame(rows, columns=columns).set_index("rate")


def score_with_share_above(scores: SortedScores, share: float) -> float:
    """The score that a share of the rows themselves is above, rounded to whole rows and at least one.

    Halfway between the last row inside the share and the first outside it; with tied scores there, fewer rows are
    above.

    Examples
    --------
    >>> score_with_share_above(SortedScores.of([4.0, 1.0, 3.0, 2.0]), 0.25)
    3.5
    """
    if scores.n == 1:
        return scores.kth_largest(1)
    n_above = min(max(math.floor(share * scores.n + 0.5), 1), scores.n - 1)
    return between(scores.kth_largest(n_above), scores.kth_largest(n_above + 1))


def between(inside: float, outside: float) -> float:
    """A threshold halfway between a score that is above it and one that is not."""
    if math.isinf(outside):
        return math.nextafter(inside, -math.inf) if inside > outside else outside
    middle = inside - (inside - outside) / 2
    return middle if outside <= middle < inside else outside


def percent(share: float, upwards: bool = False) -> str:
    """A share in per cent, with three digits.

    Examples
    --------
    >>> percent(0.01), percent(0.000123456), percent(0.95), percent(0.0100001, upwards=True)
    ('1 %', '0.0123 %', '95 %', '1.01 %')
    """
    if upwards and share > 0:
        digit = 10.0 ** (math.floor(math.log10(share)) - 2)
        share = math.ceil(share / digit * (1 - 1e-12)) * digit
    return f"{100 * share:.3g} %"


def _at_rank(
    calibration: Calibration,
    rank: int,
    rule: str,
    parameters: Mapping[str, float],
    confidence: float = CONFIDENCE,
) -> Threshold:
    """The k-th largest calibration score, for a k that does not depend on the scores."""
    return _described(calibration, calibration.pooled.kth_largest(rank), rank, rule, parameters, confidence)


def _described(
    calibration: Calibration,
    score: float,
    rank: int,
    rule: str,
    parameters: Mapping[str, float],
    confidence: float = CONFIDENCE,
    after_looking: bool = False,
) -> Threshold:
    n = calibration.n_rows
    if calibration.kind == "training":
        rate, bound = (rank - 1) / n, None
    elif score == math.inf:
        # No score is above it, also where calibration scores are infinite.
        rate, bound = 0.0, 0.0
    else:
        rate = rank / (n + 1)
        bound = (band_at if after_looking else rate_bound)(n, rank, confidence)
    return Threshold(
        score,
        rule,
        rate,
        bound,
        confidence,
        calibration.kind,
        n,
        1 / (n + 1),
        parameters,
    )


def _chosen_by_scores(calibration: Calibration, score: float, rule: str, parameters: Mapping[str, float]) -> Threshold:
    """A threshold that may depend on the scores: the bound on its rate is the one that holds for all at once."""
    rank = int(calibration.pooled.n_above(np.array([score]))[0]) + 1
    return _described(calibration, score, rank, rule, parameters, after_looking=True)
