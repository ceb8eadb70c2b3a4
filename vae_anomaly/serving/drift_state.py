"""Whether the rows that are served are still like those of the calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_anomaly.decisions import Calibration, SimpleJumper
from vae_anomaly.forks import ForkSafeLock

ALPHA = 0.01
SEED = 0
MAX_PENDING = 256


@dataclass(frozen=True)
class DriftState:
    """What is known of the rows that were served.

    Attributes
    ----------
    n_rows : int
        Rows with a score since the model was loaded.
    wealth, largest_wealth : float
        Of the test martingale `SimpleJumper`, now and at most.
    alarm : bool
        Whether the most it ever was reached `1 / alpha`.
    alpha : float
        Chance that a stream that does not change gives an alarm, however long it is.
    """

    n_rows: int
    wealth: float
    largest_wealth: float
    alarm: bool
    alpha: float = ALPHA


class ServedStream:
    """The stream of rows that one model scores, in the order in which they are scored.

    Parameters
    ----------
    calibration : Calibration
        Of the model.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._fold = int(np.argmax([fold.n for fold in calibration.folds]))
        self._jumper = SimpleJumper.of(calibration.folds[self._fold], SEED)
        self._pending: list[npt.NDArray[np.float64]] = []
        self._lock = ForkSafeLock()

    def add(self, comparisons: npt.NDArray[np.float64]) -> None:
        """Go on with rows that have a score.

        Parameters
        ----------
        comparisons : ndarray of shape (rows, folds)
            What they are compared with the folds of the calibration by.
        """
        with self._lock:
            self._pending.append(comparisons[:, self._fold])
            if sum(map(len, self._pending)) >= MAX_PENDING:
                self._settle()

    def state(self) -> DriftState:
        """What is known now."""
        with self._lock:
            self._settle()
            jumper = self._jumper
        return DriftState(jumper.n_seen, jumper.wealth, jumper.largest_wealth, jumper.alarm(ALPHA))

    def _settle(self) -> None:
        if self._pending:
            self._jumper = self._jumper.updated(np.concatenate(self._pending))
            self._pending = []
