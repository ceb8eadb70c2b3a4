"""What people found when they looked at rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vae_anomaly.decisions import Decisions
from vae_anomaly.display import Described, counted


@dataclass(frozen=True, eq=False, repr=False)
class Answers(Described):
    """What was found in reviewed rows, and what a model learned of it.

    Parameters
    ----------
    digests : int64 ndarray of shape (answers,)
        Of the rows; see `row_digests`. Nothing of their cells is in them.
    is_anomaly : bool ndarray of shape (answers,)
        What was found.
    boundary : float or None
        The learned anomaly score from which on a row is rather anomalous, nats; None where nothing was learned.
    shrinkage : float or None
        How strongly what was learned is drawn to the score alone; see `fit_offset`.
    others : Decisions or None
        Those by the score that is not in use: without what was learned while it is, with it while it is turned off.
    """

    digests: npt.NDArray[np.int64]
    is_anomaly: npt.NDArray[np.bool_]
    boundary: float | None = None
    shrinkage: float | None = None
    others: Decisions | None = None

    def __len__(self) -> int:
        return len(self.digests)

    def _summary(self) -> str:
        return f"{counted(self.n_rows, 'row')}, {self.n_anomalies:,} of them anomalous"

    @property
    def n_rows(self) -> int:
        """Rows that were reviewed."""
        return len(self)

    @property
    def n_anomalies(self) -> int:
        """Rows of them that are anomalous."""
        return int(self.is_anomaly.sum())

    def knows(self, digests: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which rows were reviewed."""
        return np.isin(digests, self.digests)

    def found(self, digests: npt.NDArray[np.int64], *, anomalous: bool) -> npt.NDArray[np.bool_]:
        """Which rows were found anomalous, or normal."""
        return np.isin(digests, self.digests[self.is_anomaly == anomalous])
