"""Reasons: which cells make a row anomalous, by how much, and what was expected instead.

Reasons are values.  Their text is made here and nowhere else: `cell_text` writes a cell, `rarity` a probability.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.data import FloatArray
from vae_anomaly.deprecation import RenamedAttribute
from vae_anomaly.display import ExplanationDisplay, HeatmapDisplay, Shown, counted, shortened
from vae_anomaly.errors import SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CHARACTERS = 40
MAX_PLAIN = 1e12
NOTABLE_KL = 5.0
# Less is written +0.0 nats, and is no reason.
MIN_NATS = 0.05
NO_REASON = "no cell adds to the score"
RARE_CELL = 0.05
MAX_SUBJECT = 24
N_SHOWN, N_REASONS = 10, 3
COMBINATION = "the combination (KL)"
GROUP_UNITS = "units of the group"
OTHER_TERMS = "other terms of the score"


@dataclass(frozen=True)
class Reason:
    """Why one cell makes its row anomalous.

    Parameters
    ----------
    column : str
    part : str
        Part of the cell that is meant: "hour", "weekday", "day of month", "month", "missing"; empty for the cell
        itself.
    observed, expected : object
        What the cell holds, and what is predicted from the row's other cells.
    lower, upper : object
        Ends of the range that holds 95 % of the probability given the other cells; None for columns without an order.
    nats : float
        The cell's contribution to the anomaly score, above that of a typical training row.
    tail_probability : float
        Share of training cells that are at least as far out, given the other cells of their rows.
    constant : bool
        Whether the column held `expected` in every training row.
    group : tuple of (str, object)
        Of a number that is compared with those of its group: the columns and cells that name the group; empty where it
        is compared with all rows.

    Examples
    --------
    >>> reason = Reason("amount", "", 900.0, 20.0, 5.0, 60.0, 7.25, 0.0021)
    >>> print(reason)
    amount is 900, expected about 20, plausible 5 to 60 (+7.2 nats, 1 in 500 cells)
    >>> reason.subject, reason.observed_text, reason.expected_text, reason.range_text, reason.rarity
    ('amount', '900', '20', '5 to 60', '1 in 500')
    >>> volume = Reason("volume", "", 463, 2103, 1800, 2450, 29.6, 0.001, group=(("store", 7), ("product", "B")))
    >>> print(volume)
    volume is 463, expected about 2,103 for store 7 / product B, plausible 1,800 to 2,450 (+29.6 nats, 1 in 1,000 cells)
    """

    column: str
    part: str
    observed: Any
    expected: Any
    lower: Any
    upper: Any
    nats: float
    tail_probability: float
    constant: bool = False
    group: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.subject} is {self.observed_text}, {self._expectation()} ({self._size()})"

    @property
    def subject(self) -> str:
        """The column, with the part of a date that is meant."""
        return self.column if self.part in ("", "missing") else f"{self.column} ({self.part})"

    @property
    def label(self) -> str:
        """The cell, and what was expected where that is something else, for figures."""
        differs = self.observed_text != self.expected_text
        expected = f" (expected {self.expected_text})" if differs and not pd.isna(self.expected) else ""
        return f"{shortened(self.subject, MAX_SUBJECT)} = {self.observed_text}{expected}"

    @property
    def observed_text(self) -> str:
        """What the cell holds, for people."""
        return self._text(self.observed)

    @property
    def expected_text(self) -> str:
        """What is predicted from the row's other cells, for people."""
        return self._text(self.expected)

    @property
    def range_text(self) -> str:
        """The range that holds 95 % of the probability, for people; empty for columns without an order."""
        return "" if pd.isna(self.lower) else f"{self._text(self.lower)} to {self._text(self.upper)}"

    @property
    def group_text(self) -> str:
        """The group that the number is compared with, for people; empty where it is compared with all rows."""
        return group_text(self.group)

    @property
    def rarity(self) -> str:
        """Of how many cells one is as far out, in short."""
        return rarity(self.tail_probability)

    @property
    def is_rare(self) -> bool:
        """Whether fewer than one in twenty training cells are as far out."""
        return self.tail_probability < RARE_CELL

    def _text(self, cell: Any) -> str:
        # Parts are words and numbers already.
        return str(cell) if self.part else cell_text(cell)

    def _expectation(self) -> str:
        if self.constant and not self.part:
            return f"always {self.expected_text} in training"
        if self.part or not self.range_text:
            return f"expected {self.expected_text}"
        group = f" for {self.group_text}" if self.group else ""
        return f"expected about {self.expected_text}{group}, plausible {self.range_text}"

    def _size(self) -> str:
        return f"{self.nats:+.1f} nats, {odds(self.tail_probability)}"


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """Why rows are anomalous.

    Every table has the rows and columns of the explained data, in their order.

    Parameters
    ----------
    score : Series
        Negative ELBO of each row, nats: the sum of its `contributions` and its `kl`.
    threshold : float
        Scores above it are flagged; NaN where rows are scored by another score than the ELBO.
    contributions : DataFrame
        -E_q[log p(x_j | z)] of each cell, nats, in the units of the data; where the score pools several bounds, the
        mean of what the cell costs in each, as much as the bound counts for the row, about what is expected of the
        cell.  Of a missing cell what it is expected to cost where the score charges that, else 0; 0 where its column
        was set aside.
    kl : Series
        What the row as a whole costs, nats: KL(q(z | x) || p(z)); where the score pools several bounds, the mean of
        theirs, less what the pool gives for the row's own choice among them; of a ratio, with what the score of rows
        around it takes off; where missing cells are charged, with what the row is expected to cost more with them.
    charged : Series
        How much of `contributions` and `kl` is not measured but expected, because cells of the row are missing; nats.
    typical : Series
        Mean contribution of each column to the score of a training row, and of the ``KL``.
    observed : DataFrame
        The cells.
    expected : DataFrame
        What is predicted from the row's other cells.
    lower, upper : DataFrame
        Ends of the range that holds 95 % of the probability given the other cells; None for columns without an order.
    log_likelihood : DataFrame
        log p(x_j | other cells), nats, in the units of the data: a cell does not explain itself here.
    tail_probability : DataFrame
        Share of training cells of the column that lie at least as far out given the other cells of their rows,
        two-sided; NaN where the cell is missing.
    cell_scores : DataFrame
        What reasons are ranked by, in nats: minus the logarithms of `tail_probability` and of the same share of the
        column alone, and log p(x_j) - log p(x_j | other cells) where that is positive, added.
    parts : DataFrame
        The part of a cell that `tail_probability`, `observed` and `expected` mean, empty for the cell itself.
    constant : Series
        Whether each column held a single value in training.
    groups : Series of tuple, optional
        Where numbers are compared with those of a group: the columns and cells that name the group of each row.
    usual : DataFrame, optional
        There, what a cell adds to `contributions` by the units of its group alone, nats, which is more in a group that
        spreads more widely. Reasons leave it out. NaN for other columns.
    """

    score: pd.Series[float]
    threshold: float
    contributions: pd.DataFrame
    kl: pd.Series[float]
    typical: pd.Series[float]
    observed: pd.DataFrame
    expected: pd.DataFrame
    lower: pd.DataFrame
    upper: pd.DataFrame
    log_likelihood: pd.DataFrame
    tail_probability: pd.DataFrame
    cell_scores: pd.DataFrame
    parts: pd.DataFrame
    charged: pd.Series[float]
    constant: pd.Series[bool]
    groups: pd.Series[Any] | None = None
    usual: pd.DataFrame | None = None

    strangeness = RenamedAttribute("cell_scores")

    def __len__(self) -> int:
        return len(self.score)

    def _summary(self) -> str:
        n_columns = self.contributions.shape[1]
        return f"{counted(len(self), 'row')}, {counted(n_columns, 'column')}{_alerts(self.score, self.threshold)}"

    def _table(self) -> pd.DataFrame:
        order = np.argsort(-self.score.to_numpy(), kind="stable")[:N_SHOWN]
        reasons = self.reasons(N_REASONS)
        lines = [
            (self.score.index[row], self.score.iloc[row], "; ".join(map(str, reasons[row])) or NO_REASON)
            for row in order
        ]
        return pd.DataFrame(lines, columns=["row", "anomaly score (nats)", "reasons"])

    @property
    def excess_kl(self) -> pd.Series[float]:
        """What the combination of its cells costs each row more than a typical one, nats."""
        # By position: a column may be called KL, too.
        return self.kl - float(self.typical.iloc[-1])

    def reasons(self, n: int = 3) -> list[list[Reason]]:
        """The most anomalous cells of each row that add to its score, the one that adds the most nats first.

        Which these are is decided by `cell_scores`.  A row may have none.

        Parameters
        ----------
        n : int, default=3
            Cells per row, at most.
        """
        nats = self._nats()
        ranked = np.where(nats >= MIN_NATS, self.cell_scores.fillna(-1.0).to_numpy(), -1.0)
        order = np.argsort(-ranked, axis=1, kind="stable")[:, :n]
        chosen = [
            [
                self._reason(row, position, float(nats[row, position]))
                for position in positions
                if ranked[row, position] >= 0
            ]
            for row, positions in enumerate(order)
        ]
        return [sorted(reasons, key=lambda reason: -reason.nats) for reasons in chosen]

    def group_text(self, row: int) -> str:
        """The group that numbers of a row, by its position from 0, are compared with, for people; empty without one."""
        return "" if self.groups is None else group_text(self.groups.iloc[row])

    def waterfall(self, row: int = 0) -> pd.Series[float]:
        """What makes the score of a row: the nats of each part above those of a typical training row.

        Parameters
        ----------
        row : int, default=0
            Position of the row, from 0.

        Returns
        -------
        Series
            By what the part is called: a cell for each column, the combination of the cells, and, where there are
            such, what the units of the row's group add, and what the score takes of something else. The sum is the
            score of the row less ``typical.sum()``.

        Raises
        ------
        SpecificationError
            If there is no such row.
        """
        if not -len(self) <= row < len(self):
            raise SpecificationError(f"there is no row {row} among {len(self)}; rows are counted from 0.")
        nats = self._nats()[row]
        labels = [self._reason(row, place, float(cell)).label for place, cell in enumerate(nats)]
        usual = 0.0 if self.usual is None else float(self.usual.iloc[row].fillna(0.0).sum())
        combination = float(self.excess_kl.iloc[row])
        rest = float(self.score.iloc[row]) - float(self.typical.sum()) - float(nats.sum()) - usual - combination
        more = {GROUP_UNITS: usual, OTHER_TERMS: rest if abs(rest) >= MIN_NATS else 0.0}
        parts = [*zip(labels, nats, strict=True), (COMBINATION, combination)]
        parts += [(label, value) for label, value in more.items() if value]
        return pd.Series([float(value) for _, value in parts], index=[label for label, _ in parts], name="nats")

    def plot(self, row: int = 0, *, ax: Axes | None = None, max_steps: int = 10) -> ExplanationDisplay:
        """Draw the score of a row as a waterfall of nats.

        Parameters
        ----------
        row : int, default=0
            Position of the row, from 0.
        ax : Axes, optional
            Where to draw; by default on a new figure.
        max_steps : int, default=10
            Bars at most, that of all other parts included.
        """
        return ExplanationDisplay.from_explanation(self, row, ax=ax, max_steps=max_steps)

    def top(self, n: int = 3) -> list[str]:
        """One sentence per row: its score, its most anomalous cell, and others that are rare as well.

        Parameters
        ----------
        n : int, default=3
            Cells per row, at most.
        """
        sentences = []
        for row, (reasons, excess) in enumerate(zip(self.reasons(n), self.excess_kl, strict=True)):
            named = reasons[:1] + [reason for reason in reasons[1:] if reason.is_rare]
            cells = "; ".join(map(str, named)) if named else NO_REASON
            combination = f"; the combination as a whole {excess:+.1f} nats" if excess >= NOTABLE_KL else ""
            sentences.append(f"{self._verdict(row)}: {cells}{combination}.")
        return sentences

    def to_frame(self, n: int = 3) -> pd.DataFrame:
        """Reasons as a long table: one line for each of the `n` most anomalous cells of each row.

        Parameters
        ----------
        n : int, default=3
            Cells per row, at most.

        Returns
        -------
        DataFrame
            Columns row (position, from 0), rank, column, part, observed, expected, lower, upper, nats and
            tail_probability.
        """
        lines = [
            {"row": row, "rank": rank, **vars(reason)}
            for row, reasons in enumerate(self.reasons(n))
            for rank, reason in enumerate(reasons, start=1)
        ]
        fields = ["column", "part", "observed", "expected", "lower", "upper", "nats", "tail_probability"]
        return pd.DataFrame(lines, columns=["row", "rank", *fields])

    def _nats(self) -> FloatArray:
        """What each cell adds to the score above that of a typical training row."""
        nats: FloatArray = self.contributions.to_numpy() - self.typical.to_numpy()[:-1]
        return nats if self.usual is None else nats - self.usual.fillna(0.0).to_numpy()

    def _reason(self, row: int, position: int, nats: float) -> Reason:
        def cell(table: pd.DataFrame) -> Any:
            return table.iloc[row, position]

        return Reason(
            str(self.contributions.columns[position]),
            str(cell(self.parts)),
            cell(self.observed),
            cell(self.expected),
            cell(self.lower),
            cell(self.upper),
            nats,
            float(cell(self.tail_probability)),
            bool(self.constant.iloc[position]),
            self._group(row, position),
        )

    def _group(self, row: int, position: int) -> tuple[tuple[str, Any], ...]:
        if self.groups is None or self.usual is None or np.isnan(self.usual.to_numpy()[row, position]):
            return ()
        group: tuple[tuple[str, Any], ...] = self.groups.iloc[row]
        return group

    def _verdict(self, row: int) -> str:
        score = float(self.score.iloc[row])
        if np.isnan(self.threshold):
            return f"{score:.2f} nats"
        side = "above" if score > self.threshold else "not above"
        return f"{score:.2f} nats, {side} the threshold of {self.threshold:.2f}"


@dataclass(frozen=True, repr=False)
class ImageExplanation(Shown):
    """Where images are anomalous.

    Parameters
    ----------
    score : ndarray of shape (images,)
        What `anomaly_score` returns, nats.
    threshold : float
        Scores above it are flagged.
    excess : ndarray of shape (images, height, width)
        Nats by which a pixel is less likely than it could be at best, over all channels: 0 where it is as expected.
        NaN where it is missing.
    contributions : ndarray of shape (images, channels, height, width)
        -E_q[log p(x_j | z)] of each pixel, nats, in the units of the data; of a missing pixel what it is expected to
        cost where the score charges that, else 0.  Its sum and `kl` are the negative ELBO of an image.
    kl : ndarray of shape (images,)
        KL(q(z | x) || p(z)), nats: what the image as a whole costs.
    reconstruction : ndarray of the shape of the images, or None
        What was expected, in the units of the data; None where the model predicts no pixels.
    pixels : ndarray of shape (images, channels, height, width), optional
        The images.
    """

    score: FloatArray
    threshold: float
    excess: FloatArray
    contributions: FloatArray
    kl: FloatArray
    reconstruction: FloatArray | None
    pixels: npt.NDArray[Any] | None = None

    strangest_pixels = RenamedAttribute("top_pixels")

    def __len__(self) -> int:
        return len(self.score)

    def _summary(self) -> str:
        height, width = self.excess.shape[1:]
        pixels = f"{width}x{height} pixels"
        return f"{counted(len(self), 'image')}, {pixels}{_alerts(self.score, self.threshold)}"

    def _table(self) -> pd.DataFrame:
        order = np.argsort(-self.score, kind="stable")[:N_SHOWN]
        pixels = self.top_pixels(1)
        lines = [(row, self.score[row], np.nanmax(self.excess[row], initial=0.0), *pixels[row]) for row in order]
        return pd.DataFrame(lines, columns=["image", "anomaly score (nats)", "most nats of a pixel", "where"])

    def plot(self, row: int = 0, *, ax: Axes | None = None) -> HeatmapDisplay:
        """Draw an image, what was expected, and the nats of its pixels.

        Parameters
        ----------
        row : int, default=0
            Position of the image, from 0.
        ax : Axes, optional
            Where to draw the nats over the image; by default all three side by side on a new figure.
        """
        return HeatmapDisplay.from_explanation(self, row, ax=ax)

    def top_pixels(self, n: int = 3) -> list[list[tuple[int, int]]]:
        """Lines and columns of the pixels with the largest excess of each image, the largest first.

        Parameters
        ----------
        n : int, default=3
            Pixels per image, at most.
        """
        flat = np.nan_to_num(self.excess.reshape(len(self), -1), nan=-1.0)
        width = self.excess.shape[2]
        return [
            [(int(pixel) // width, int(pixel) % width) for pixel in pixels]
            for pixels in np.argsort(-flat, axis=1, kind="stable")[:, :n]
        ]


def _alerts(scores: pd.Series[float] | FloatArray, threshold: float) -> str:
    if np.isnan(threshold):
        return ""
    return f", {int((np.asarray(scores) > threshold).sum()):,} above the threshold of {threshold:,.2f} nats"


def cell_text(cell: Any) -> str:
    """A cell for people: few digits, dates without idle zeros, short text."""
    if cell is None or cell is pd.NaT or (isinstance(cell, float) and np.isnan(cell)):
        return "missing"
    if isinstance(cell, np.datetime64 | dt.date):
        text = pd.Timestamp(cell).isoformat(sep=" ", timespec="seconds")
        return text.removesuffix(" 00:00:00")
    if isinstance(cell, bool | np.bool_):
        return "true" if cell else "false"
    if isinstance(cell, float | np.floating | int | np.integer):
        number = float(cell)
        whole = 100 <= abs(number) < MAX_PLAIN or (number.is_integer() and abs(number) < MAX_PLAIN)
        return f"{number:,.0f}" if whole else f"{number:.3g}"
    text = repr(str(cell))
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}...'"


def group_text(group: tuple[tuple[str, Any], ...]) -> str:
    """The columns and cells that name a group, in short.

    Examples
    --------
    >>> group_text((("store", 1207.0), ("product", "B")))
    'store 1207 / product B'
    """
    return " / ".join(f"{key} {key_text(cell)}" for key, cell in group)


def key_text(cell: Any) -> str:
    """A cell that names a group for people: numbers are names here, without commas between thousands."""
    if isinstance(cell, str):
        return cell
    is_number = isinstance(cell, float | np.floating | int | np.integer) and not isinstance(cell, bool)
    return f"{float(cell):.15g}" if is_number else cell_text(cell)


def rarity(probability: float) -> str:
    """A tail probability in short.

    Examples
    --------
    >>> rarity(0.25), rarity(0.021), rarity(1e-8)
    ('25%', '1 in 48', 'fewer than 1 in a million')
    """
    if np.isnan(probability):
        return "rarity unknown"
    if probability >= RARE_CELL:
        return f"{probability:.0%}"
    rounded = float(f"{1 / max(probability, 1e-9):.1g}") if probability < 0.01 else round(1 / probability)
    return f"1 in {rounded:,.0f}" if rounded < 1e6 else "fewer than 1 in a million"


def odds(probability: float) -> str:
    """A tail probability as part of a sentence.

    Examples
    --------
    >>> odds(0.25), odds(0.021)
    ('25% of cells are as far out', '1 in 48 cells')
    """
    if np.isnan(probability):
        return rarity(probability)
    return f"{rarity(probability)} {'of cells are as far out' if probability >= RARE_CELL else 'cells'}"
