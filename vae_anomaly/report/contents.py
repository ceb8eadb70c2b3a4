"""What a report is about, before it is laid out: numbers, and those raw values that may be shown."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray
from vae_anomaly.decisions import Calibration, Selection, Threshold
from vae_anomaly.explain import PatternCell
from vae_anomaly.fitting import FitReport
from vae_anomaly.report.blocks import Bars, Picture, RankedRow

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]

# Columns with lower p-values, adjusted for the number of tests, are not as in the training.
ALPHA = 0.01


@dataclass(frozen=True)
class Reading:
    """What was read, and how.

    Parameters
    ----------
    source : str
        The file or files, or what rows were given.
    model : str
        How the model came about, in a line.
    problems : tuple of str
        Why the first few rows or files could not be scored, and where they are.
    warnings : tuple of str
        What was said on the way.
    n_withheld : int
        How many problems and warnings are not shown because they may quote cells.
    """

    source: str = ""
    model: str = ""
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    n_withheld: int = 0


@dataclass(frozen=True)
class Scored:
    """All rows with what was found of them.

    Parameters
    ----------
    scores : ndarray of shape (rows,)
        Nats, higher is more anomalous; NaN where there is none.
    p_values : ndarray of shape (rows,)
        NaN where there is none.
    flags : ndarray of bool, shape (rows,)
        Which are flagged.
    is_anomaly : ndarray of bool, shape (rows,), or None
        Labels; None without any.
    is_labelled : ndarray of bool, shape (rows,), or None
        Rows with a label.
    """

    scores: FloatArray
    p_values: FloatArray
    flags: BoolArray
    is_anomaly: BoolArray | None = None
    is_labelled: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def known(self) -> FloatArray:
        """The scores that there are."""
        return self.scores[~np.isnan(self.scores)]

    @property
    def n_scored(self) -> int:
        """Rows with a score."""
        return len(self.known)

    @property
    def n_flagged(self) -> int:
        """Rows that are flagged."""
        return int(self.flags.sum())

    def labelled(self) -> tuple[BoolArray, FloatArray, BoolArray] | None:
        """Labels, scores and flags of the rows that have both; None where these do not differ."""
        if self.is_anomaly is None or self.is_labelled is None:
            return None
        chosen = self.is_labelled & ~np.isnan(self.scores)
        labels = self.is_anomaly[chosen]
        if not labels.any() or labels.all():
            return None
        return labels, self.scores[chosen], self.flags[chosen]


@dataclass(frozen=True)
class ColumnView:
    """A column in the training and in these rows.

    Parameters
    ----------
    name, role, why : str
        What it is called, what it was taken for, and why; `why` is empty where raw values are left out.
    is_used : bool
        Whether scores depend on it.
    missing_before, missing_now : float
        Shares of missing cells; NaN where nothing is known.
    bars : Bars or None
        What it holds.
    change : str
        What differs most, in words.
    p_value : float
        Of that, adjusted for the number of tests; NaN where nothing was tested.
    nats_before, nats_now : float
        Its mean part in the score; NaN where that is not known.
    """

    name: str
    role: str
    why: str
    is_used: bool
    missing_before: float = float("nan")
    missing_now: float = float("nan")
    bars: Bars | None = None
    change: str = ""
    p_value: float = float("nan")
    nats_before: float = float("nan")
    nats_now: float = float("nan")


@dataclass(frozen=True)
class PatternView:
    """Flagged rows that are alike.

    Parameters
    ----------
    what : str
        What is out of place in them.
    count : int
        How many there are.
    share : float
        Of the flagged rows that were sorted.
    dates : str
        Between which dates; empty where there are none, or where raw values are left out.
    typical : tuple of str
        Where typical rows are.
    score : float
        Their median score, nats.
    """

    what: str
    count: int
    share: float
    dates: str
    typical: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class PatternViews:
    """All patterns, how many rows were sorted, and how many belong to none."""

    patterns: tuple[PatternView, ...]
    n_sorted: int
    n_other: int


@dataclass(frozen=True)
class ComparedMethod:
    """A detector beside others, in one setting.

    Parameters
    ----------
    setting, method : str
        What it was trained on, and what it is called.
    auroc, average_precision, precision : float
        Means over splits.
    auroc_sd : float
        Standard deviation of the first over splits.
    lower, upper : float
        Limits of the difference of its AUROC to that of the first method.
    difference : float
        That difference.
    standing : str
        "first", "better", "worse" or "unclear".
    seconds : float
        Of a fit and of scoring, on average.
    """

    setting: str
    method: str
    auroc: float
    auroc_sd: float
    average_precision: float
    precision: float
    difference: float
    lower: float
    upper: float
    standing: str
    seconds: float


@dataclass(frozen=True)
class Compared:
    """Detectors side by side.

    Parameters
    ----------
    methods : tuple of ComparedMethod
        By setting, the highest mean AUROC first.
    verdicts : tuple of (str, str)
        What follows, by setting.
    n_splits : int
        Random splits.
    curves : tuple of (str, str, ndarray, ndarray)
        Setting and method, with labels and scores of the first split.
    """

    methods: tuple[ComparedMethod, ...]
    verdicts: tuple[tuple[str, str], ...]
    n_splits: int
    curves: tuple[tuple[str, str, BoolArray, FloatArray], ...] = ()


@dataclass(frozen=True)
class Contents:
    """All that a report shows.

    Parameters
    ----------
    title : str
        Of the page.
    noun : str
        What a row is: "row" or "image".
    redacted : bool
        Whether raw values are left out: then none is in here.
    made : str
        When, for people; empty to leave it out.
    reading : Reading
        What was read.
    scored : Scored or None
        All rows.
    threshold : Threshold or None
        What flagged them.
    selection : Selection or None
        What chose them in the place of the threshold.
    calibration : Calibration or None
        What p-values come from.
    top : int
        How many rows are shown at most.
    ranked : tuple of RankedRow
        The most anomalous rows.
    id_names : tuple of str
        Columns that name rows.
    patterns : PatternViews or None
        Of the flagged rows.
    columns : tuple of ColumnView
        All columns.
    n_compared : int
        Rows that stand for all in the comparison of the columns.
    fit : FitReport or None
        How training went.
    label : str
        What the labels are called.
    pictures : tuple of Picture
        The most anomalous images.
    compared : Compared or None
        Detectors side by side.
    is_elbo : bool
        Whether scores are negative evidence lower bounds, and nothing else.
    """

    title: str
    noun: str = "row"
    redacted: bool = False
    made: str = ""
    reading: Reading = field(default_factory=Reading)
    scored: Scored | None = None
    threshold: Threshold | None = None
    selection: Selection | None = None
    calibration: Calibration | None = None
    top: int = 0
    ranked: tuple[RankedRow, ...] = ()
    id_names: tuple[str, ...] = ()
    patterns: PatternViews | None = None
    columns: tuple[ColumnView, ...] = ()
    n_compared: int = 0
    fit: FitReport | None = None
    label: str = ""
    pictures: tuple[Picture, ...] = ()
    compared: Compared | None = None
    is_elbo: bool = True

    @property
    def nouns(self) -> str:
        """Several of them."""
        return f"{self.noun}s"


def without_values(cell: PatternCell) -> str:
    """What is out of place in most rows of a pattern, without saying what the cells hold."""
    if cell.direction == "combination":
        return str(cell)
    subject = f"{cell.column} ({cell.part})" if cell.part else cell.column
    words = {
        "above": "above what is expected",
        "below": "below what is expected",
        "off": "away from what is expected",
        "level": "the same unexpected level",
        "unseen": "levels that training did not have",
        "levels": "levels that are not expected",
    }
    return f"{subject}: {words[cell.direction]}"
