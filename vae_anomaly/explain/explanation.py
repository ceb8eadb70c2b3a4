"""Reasons: which cells make a row anomalous, by how much, and what was expected instead."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]
ObjectArray = npt.NDArray[np.object_]

SHOWN_CHARACTERS = 40
MAX_PLAIN = 1e12
NOTABLE_KL = 5.0
RARE_CELL = 0.05


@dataclass(frozen=True)
class Reason:
    """Why one cell makes its row anomalous.

    Parameters
    ----------
    column : str
    part : str
        Part of the cell that is meant: "hour", "weekday", "month", "missing"; empty for the cell itself.
    observed, expected : object
        What the cell holds, and what the other cells of the row let expect.
    lower, upper : object
        Ends of the range that holds 95 % of the probability given the other cells; None for columns without an order.
    nats : float
        The cell's contribution to the anomaly score, above that of a typical training row.
    tail_probability : float
        Share of training cells that lie at least as far out, given the other cells of their rows.
    constant : bool
        Whether the column held `expected` in every training row.
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

    def __str__(self) -> str:
        if self.part:
            subject = f"{self.column} ({self.part})" if self.part != "missing" else self.column
            return f"{subject} is {self.observed}, expected {self.expected} ({self._size()})"
        if self.constant:
            return (
                f"{self.column} is {shown(self.observed)}, always {shown(self.expected)} in training ({self._size()})"
            )
        if self.lower is None:
            return f"{self.column} is {shown(self.observed)}, expected {shown(self.expected)} ({self._size()})"
        return (
            f"{self.column} is {shown(self.observed)}, expected about {shown(self.expected)}, "
            f"plausible {shown(self.lower)} to {shown(self.upper)} ({self._size()})"
        )

    def _size(self) -> str:
        return f"{self.nats:+.1f} nats, {odds(self.tail_probability)}"


@dataclass(frozen=True)
class Explanation:
    """Why rows are anomalous.

    Every table has the rows and columns of the explained data, in their order.

    Parameters
    ----------
    score : Series
        Negative ELBO of each row, nats: the sum of its `contributions` and its `kl`.
    threshold : float
        Scores above it are flagged; NaN where rows are judged by another score than the ELBO.
    contributions : DataFrame
        -E_q[log p(x_j | z)] of each cell, nats, in the units of the data; 0 where the cell is missing or its column was
        set aside.
    kl : Series
        KL(q(z | x) || p(z)) of each row, nats: what the row as a whole costs.
    typical : Series
        Mean contribution of each column to the score of a training row, and of the ``KL``.
    observed : DataFrame
        The cells.
    expected : DataFrame
        What the other cells of the row let expect.
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
    constant: pd.Series[bool]

    def __len__(self) -> int:
        return len(self.score)

    def reasons(self, n: int = 3) -> list[list[Reason]]:
        """The most anomalous cells of each row, the most anomalous first.

        Parameters
        ----------
        n : int, default=3
            Cells a row, at most.
        """
        ranked = self.cell_scores.fillna(-1.0).to_numpy()
        order = np.argsort(-ranked, axis=1, kind="stable")[:, :n]
        return [
            [self._reason(row, place) for place in places if ranked[row, place] >= 0]
            for row, places in enumerate(order)
        ]

    def top(self, n: int = 3) -> list[str]:
        """One sentence a row: its score, its most anomalous cell, and others that are rare as well.

        Parameters
        ----------
        n : int, default=3
            Cells a row, at most.
        """
        sentences = []
        for row, reasons in enumerate(self.reasons(n)):
            named = reasons[:1] + [reason for reason in reasons[1:] if reason.tail_probability < RARE_CELL]
            cells = "; ".join(map(str, named)) if named else "no observed cell"
            sentences.append(f"{self._verdict(row)}: {cells}{self._combination(row)}.")
        return sentences

    def to_frame(self, n: int = 3) -> pd.DataFrame:
        """Reasons as a long table: one line for each of the `n` most anomalous cells of each row.

        Parameters
        ----------
        n : int, default=3
            Cells a row, at most.

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

    def _reason(self, row: int, place: int) -> Reason:
        def cell(table: pd.DataFrame) -> Any:
            return table.iloc[row, place]

        return Reason(
            str(self.contributions.columns[place]),
            str(cell(self.parts)),
            cell(self.observed),
            cell(self.expected),
            cell(self.lower),
            cell(self.upper),
            float(cell(self.contributions)) - float(self.typical.iloc[place]),
            float(cell(self.tail_probability)),
            bool(self.constant.iloc[place]),
        )

    def _verdict(self, row: int) -> str:
        score = float(self.score.iloc[row])
        if np.isnan(self.threshold):
            return f"{score:.2f} nats"
        side = "above" if score > self.threshold else "not above"
        return f"{score:.2f} nats, {side} the threshold of {self.threshold:.2f}"

    def _combination(self, row: int) -> str:
        """What the row costs as a whole, where that is much."""
        excess = float(self.kl.iloc[row]) - float(self.typical.iloc[-1])
        return f"; the combination as a whole {excess:+.1f} nats" if excess >= NOTABLE_KL else ""


@dataclass(frozen=True)
class ImageExplanation:
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
        -E_q[log p(x_j | z)] of each pixel, nats, in the units of the data; 0 where it is missing.  Its sum and `kl`
        are the negative ELBO of an image.
    kl : ndarray of shape (images,)
        KL(q(z | x) || p(z)), nats: what the image as a whole costs.
    reconstruction : ndarray of the shape of the images
        What was expected, in the units of the data.
    """

    score: FloatArray
    threshold: float
    excess: FloatArray
    contributions: FloatArray
    kl: FloatArray
    reconstruction: FloatArray

    def __len__(self) -> int:
        return len(self.score)

    def top_pixels(self, n: int = 3) -> list[list[tuple[int, int]]]:
        """Lines and columns of the pixels with the largest excess of each image, the largest first.

        Parameters
        ----------
        n : int, default=3
            Pixels an image, at most.
        """
        flat = np.nan_to_num(self.excess.reshape(len(self), -1), nan=-1.0)
        width = self.excess.shape[2]
        return [
            [(int(place) // width, int(place) % width) for place in places]
            for places in np.argsort(-flat, axis=1, kind="stable")[:, :n]
        ]


def shown(cell: Any) -> str:
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
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...'"


def odds(probability: float) -> str:
    """A small probability as people say it."""
    if np.isnan(probability):
        return "rarity unknown"
    if probability >= RARE_CELL:
        return f"{probability:.0%} of cells are as far out"
    rounded = float(f"{1 / max(probability, 1e-9):.1g}") if probability < 0.01 else round(1 / probability)
    return f"1 in {rounded:,.0f} cells" if rounded < 1e6 else "fewer than 1 in a million cells"
