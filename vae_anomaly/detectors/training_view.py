"""TrainingView: what a detector says of the rows of its fit, made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vae_anomaly.data import FloatArray
from vae_anomaly.errors import NotAvailable
from vae_anomaly.forks import ForkSafeLock

# Attributes that are computed when they are first read.
MADE_WHEN_READ = ("training_decisions_", "training_scores_")
NO_ROWS = (
    "the rows that the model was fitted on are not here: model files and pickles do not hold them, and partial_fit and "
    "forget_training_rows let go of them. Ask for training_scores_ before, or fit VAEDetector(preset='robust') on the "
    "rows."
)
NOT_OF_IMAGES = (
    "the model takes images, and rows of a fit are judged apart from new ones only in tables. Take score_samples or "
    "decide."
)

# Held while a view is made, so that threads that ask for one at once train once.
_MAKING = ForkSafeLock()


@dataclass(frozen=True)
class JudgedRows:
    """What is said of the rows of a fit, in the order in which they were given.

    Parameters
    ----------
    scores : ndarray of shape (rows,)
        Higher for more normal rows, nats; NaN where a row had no part in the fit.
    decisions : DataFrame
        As `decide` gives them.
    """

    scores: FloatArray
    decisions: pd.DataFrame


class TrainingView:
    """The rows of a fit until they are judged, and what is said of them from then on.

    Copies of a detector share it: what is in it is never changed.  A pickle has what was made, and no rows.

    Parameters
    ----------
    judge : callable
        Judges the rows, which it holds.
    """

    def __init__(self, judge: Callable[[], JudgedRows]) -> None:
        self._judge: Callable[[], JudgedRows] | None = judge
        self._judged: JudgedRows | None = None

    @property
    def is_made(self) -> bool:
        """Whether nothing is left to compute."""
        return self._judged is not None

    def judged(self) -> JudgedRows:
        """What is said of the rows.

        Raises
        ------
        NotAvailable
            If it was not made where the rows were.
        """
        with _MAKING:
            if self._judged is None:
                if self._judge is None:
                    raise NotAvailable(NO_ROWS)
                self._judged = self._judge()
                self._judge = None
            return self._judged

    def __deepcopy__(self, memo: dict[int, Any]) -> TrainingView:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"_judge": None, "_judged": self._judged}
