"""What a fitted detector decides by, as one value."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_anomaly.decisions.calibration import Calibration
from vae_anomaly.decisions.drift import ColumnSample, SimpleJumper
from vae_anomaly.decisions.thresholds import (
    AlertBudget,
    Contamination,
    FalseAlarmRate,
    FixedScore,
    RobustFence,
    Threshold,
    ThresholdRule,
)
from vae_anomaly.display import Described
from vae_anomaly.errors import DataError, SpecificationError

N_DEVIATIONS_OF_REPEATS = 3.0
MAX_NAMED_ROWS = 5
# None in n rows is consistent with a share of 3 / n.
MAX_UNNOTICED = 3


@dataclass(frozen=True, eq=False, repr=False)
class Decisions(Described):
    """The threshold of a detector, and the calibration that it follows from.

    Parameters
    ----------
    threshold : Threshold
        Rows with a higher anomaly score are flagged.
    calibration : Calibration or None
        Scores of rows that influenced nothing; None where there are none.
    trained : tuple of int64 ndarray
        Sorted fingerprints of the rows that were trained on: by all, or by each member where it left a fold out.
    repeated_share : float
        Share of rows that are equal to a row that was trained on by chance, at most: see `chance_of_repeats`.
    columns : tuple of ColumnSample
        What the columns of such rows hold; empty for images.
    stream : SimpleJumper or None
        Of rows that were checked for drift since the calibration.
    """

    threshold: Threshold
    calibration: Calibration | None
    trained: tuple[npt.NDArray[np.int64], ...]
    repeated_share: float
    columns: tuple[ColumnSample, ...] = ()
    stream: SimpleJumper | None = None

    def _summary(self) -> str:
        return f"{self.threshold!r}, {self.calibration!r}"

    def recalibrated(self, calibration: Calibration) -> Decisions:
        """The same rule on another calibration."""
        return dataclasses.replace(self, calibration=calibration, stream=None).with_rule(rule_of(self.threshold))

    def with_rule(self, rule: ThresholdRule) -> Decisions:
        """The same calibration, with the threshold of another rule; where there is none, only of a `FixedScore`."""
        if self.calibration is not None:
            return dataclasses.replace(self, threshold=rule.find(self.calibration))
        if not isinstance(rule, FixedScore):
            raise SpecificationError("there are no calibration rows to find a threshold by. Calibrate first.")
        return dataclasses.replace(self, threshold=Threshold(float(rule.score), rule.rule))

    def unseen(self, fingerprints: npt.NDArray[np.int64], fold: int | None = None) -> npt.NDArray[np.bool_]:
        """Which rows were not trained on; all of them where no more are equal to a trained row than by chance.

        Parameters
        ----------
        fingerprints : int64 ndarray of shape (rows,)
        fold : int, optional
            For rows of a fold: by the member that leaves it out. By default, by any member.
        """
        known = self.trained if fold is None or len(self.trained) == 1 else self.trained[fold : fold + 1]
        seen = np.isin(fingerprints, np.concatenate([np.empty(0, dtype=np.int64), *known]))
        expected = self.repeated_share * len(seen)
        allowed = expected + N_DEVIATIONS_OF_REPEATS * math.sqrt(expected * (1 - self.repeated_share))
        return np.ones(len(seen), dtype=bool) if np.count_nonzero(seen) <= allowed else ~seen

    def check_unseen(self, fingerprints: npt.NDArray[np.int64]) -> None:
        """Refuse rows that were trained on, unless there are as many as chance would have it.

        Parameters
        ----------
        fingerprints : int64 ndarray of shape (rows,)
            Of the rows that are to calibrate.

        Raises
        ------
        DataError
            If there are more.
        """
        seen = np.flatnonzero(~self.unseen(fingerprints))
        if not len(seen):
            return
        named = ", ".join(map(str, seen[:MAX_NAMED_ROWS])) + (", ..." if len(seen) > MAX_NAMED_ROWS else "")
        raise DataError(
            f"{len(seen)} of {len(fingerprints)} rows were trained on (index {named}), and scores of such rows are too "
            "low. Give normal rows that the model has not seen, or fit again with calibration='auto'."
        )


def chance_of_repeats(repeated: npt.NDArray[np.bool_]) -> float:
    """An upper estimate of the share of new rows that are equal to one that was trained on.

    Parameters
    ----------
    repeated : bool ndarray of shape (rows,)
        Which of the rows of the fit are equal to another one.

    Examples
    --------
    >>> chance_of_repeats(np.zeros(297, dtype=bool))
    0.01
    """
    return (int(repeated.sum()) + MAX_UNNOTICED) / (len(repeated) + MAX_UNNOTICED)


NO_THRESHOLD = Decisions(Threshold(math.inf, "fixed"), None, (), 0.0)
"""Of a part of a detector, whose rows are not judged."""


def rule_of(threshold: Threshold) -> ThresholdRule:
    """The rule that a threshold was found by; that of labels is not kept, and its score stays as it is."""
    given = threshold.parameters
    match threshold.rule:
        case "auto":
            return RobustFence(given["min_deviation"])
        case "contamination":
            return Contamination(given["contamination"])
        case "false_alarm_rate":
            return FalseAlarmRate(given["false_alarm_rate"], given.get("confidence"))
        case "alerts":
            return AlertBudget(given["n_alerts"], given["per"])
        case "fixed":
            return FixedScore(threshold.score, "fixed")
        case _:
            return FixedScore(threshold.score)
