"""ExplanationDisplay: which cells make a row's score, as a waterfall of nats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray
from vae_anomaly.display.drawing import (
    FIRST,
    HATCH,
    SECOND,
    Style,
    as_given_to,
    behind,
    drawn_on,
    numbers,
    one_row,
    plain_text,
    shortened,
    styled,
    text_colour,
)
from vae_anomaly.errors import DataError, SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

MAX_STEPS = 10
# Characters of a line of a label.
WIDTH = 32
# Less is nothing to draw.
MIN_NATS = 0.05


class ExplanationDisplay:
    """From the score of a typical training row to that of a row, one bar for each part, the largest first.

    Parameters
    ----------
    labels : sequence of str
        Of the parts: column, cell, what was expected.
    nats : array-like of shape (parts,)
        What each adds to the score, above what it adds in a typical training row.
    typical : float
        Score of a typical training row, nats, where the waterfall begins.
    threshold : float, optional
        Rows with higher scores are flagged.
    title : str, optional

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    bars_ : BarContainer
        From the top: the parts that add or take most, then all others together.
    texts_ : tuple of Text
        Nats of each bar.
    steps_ : tuple of (str, float)
        What is drawn: label and nats of each bar.
    typical_line_, score_line_ : Line2D
        Where the waterfall begins, and where it ends.
    threshold_line_ : Line2D or None

    Examples
    --------
    >>> from vae_anomaly import ExplanationDisplay
    >>> display = ExplanationDisplay(["amount = 900", "country = 'NO'"], [7.5, -0.5], typical=3.0).plot()
    >>> display.score_line_.get_xdata()[0]
    10.0
    """

    ax_: Axes
    figure_: Figure | SubFigure
    bars_: BarContainer
    texts_: tuple[Text, ...]
    steps_: tuple[tuple[str, float], ...]
    typical_line_: Line2D
    score_line_: Line2D
    threshold_line_: Line2D | None

    def __init__(
        self,
        labels: Sequence[str],
        nats: npt.ArrayLike,
        *,
        typical: float,
        threshold: float | None = None,
        title: str | None = None,
    ) -> None:
        self.labels = tuple(map(str, labels))
        self.nats = numbers(nats, "nats of the parts", len(self.labels))
        if not len(self.nats) or not np.isfinite(self.nats).all() or not math.isfinite(typical):
            raise DataError("there are no parts, or their nats are not finite", "a waterfall has a height.")
        self.typical = float(typical)
        self.threshold = None if threshold is None or not math.isfinite(threshold) else float(threshold)
        self.title = title

    @property
    def score(self) -> float:
        """Where the waterfall ends, nats."""
        return self.typical + float(self.nats.sum())

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        row: int = 0,
        ax: Axes | None = None,
        max_steps: int = MAX_STEPS,
    ) -> Self:
        """Explain one row of a table.

        Parameters
        ----------
        estimator : fitted VAEDetector, or a pipeline or search that ends in one
        X : array-like or DataFrame of shape (rows, columns)
        y : ignored
            For the convention.
        row : int, default=0
            Position of the row in `X`.
        ax : Axes, optional
            Where to draw; by default on a new figure.
        max_steps : int, default=10
            Bars at most, that of all other parts included.
        """
        explanation = behind(estimator).explain(as_given_to(estimator, one_row(X, row)))
        return cls.from_explanation(explanation, 0, ax=ax, max_steps=max_steps)

    @classmethod
    def from_explanation(
        cls, explanation: Any, row: int = 0, *, ax: Axes | None = None, max_steps: int = MAX_STEPS
    ) -> Self:
        """Draw a row of an explanation.

        Parameters
        ----------
        explanation : Explanation
            What `VAEDetector.explain` returns for a table.
        row : int, default=0
            Position of the row.
        ax, max_steps
            See `from_estimator`.
        """
        if not hasattr(explanation, "waterfall"):
            raise SpecificationError("a waterfall is for rows of tables; HeatmapDisplay draws explanations of images.")
        parts = explanation.waterfall(row)
        score = float(explanation.score.iloc[row])
        title = f"row {shortened(str(explanation.score.index[row]))}: {score:,.1f} nats"
        typical = score - float(parts.sum())
        return cls(parts.index, parts, typical=typical, threshold=explanation.threshold, title=title).plot(
            ax=ax, max_steps=max_steps
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        max_steps: int = MAX_STEPS,
        bar_kw: Style | None = None,
        threshold_kw: Style | None = None,
    ) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; by default on a new figure.
        max_steps : int, default=10
            Bars at most, that of all other parts included.
        bar_kw, threshold_kw : dict, optional
            Given to matplotlib for the bars, and the line of the threshold.

        Returns
        -------
        ExplanationDisplay
            With what was drawn as attributes.
        """
        self.ax_, self.figure_ = drawn_on(ax)
        self.steps_ = self._steps(max_steps)
        nats = np.array([step for _, step in self.steps_])
        ends = self.typical + np.cumsum(nats)
        starts = ends - nats
        places = np.arange(len(nats))
        colours = [SECOND if step >= 0 else FIRST for step in nats]
        self.bars_ = self.ax_.barh(
            places, nats, left=starts, height=0.7, **styled({"color": colours, "linewidth": 0}, bar_kw)
        )
        for bar, step in zip(self.bars_, nats, strict=True):
            # What takes nats away is told by more than its colour.
            bar.set_hatch("" if step >= 0 else HATCH)
        quiet: dict[str, Any] = {"color": text_colour(), "linewidth": 0.8, "zorder": 0.5}
        for place in places[:-1]:
            self.ax_.plot([ends[place]] * 2, [place + 0.35, place + 0.65], **quiet)
        self.typical_line_ = self.ax_.axvline(self.typical, linestyle=":", label="typical training row", **quiet)
        self.score_line_ = self.ax_.axvline(self.score, linestyle="-", label="this row", **quiet)
        self.threshold_line_ = None
        if self.threshold is not None:
            style = {"color": text_colour(), "linestyle": "--", "linewidth": 1.2, "label": "threshold"}
            self.threshold_line_ = self.ax_.axvline(self.threshold, **styled(style, threshold_kw))
        self._scale(starts, ends)
        self._write(places, starts, ends, nats)
        return self

    def _steps(self, max_steps: int) -> tuple[tuple[str, float], ...]:
        """The largest parts, and the others as one."""
        if max_steps < 2:
            raise SpecificationError(f"max_steps is 2 or more, not {max_steps}.")
        order = np.argsort(-np.abs(self.nats), kind="stable")
        shown = [part for part in order if abs(self.nats[part]) >= MIN_NATS] or [order[0]]
        if len(shown) > max_steps or len(shown) < len(order):
            shown = shown[: max_steps - 1]
        others = np.setdiff1d(order, shown)
        steps = [(self.labels[part], float(self.nats[part])) for part in shown]
        if len(others):
            word = "part" if len(others) == 1 else "parts"
            steps.append((f"{len(others)} other {word}", float(self.nats[others].sum())))
        return tuple(steps)

    def _scale(self, starts: FloatArray, ends: FloatArray) -> None:
        edges = [*starts, *ends] + ([] if self.threshold is None else [self.threshold])
        room = max(max(edges) - min(edges), 1.0)
        self.ax_.set_xlim(min(edges) - 0.22 * room, max(edges) + 0.22 * room)
        self.ax_.set_ylim(len(starts) - 0.4, -0.6)

    def _write(self, places: Any, starts: FloatArray, ends: FloatArray, nats: FloatArray) -> None:
        texts = []
        for place, start, end, step in zip(places, starts, ends, nats, strict=True):
            rises = step >= 0
            outer = max(start, end) if rises else min(start, end)
            texts.append(
                self.ax_.annotate(
                    f"{step:+.1f}",
                    (outer, place),
                    (4 if rises else -4, 0),
                    textcoords="offset points",
                    ha="left" if rises else "right",
                    va="center",
                    fontsize="small",
                    bbox={"facecolor": self.ax_.get_facecolor(), "edgecolor": "none", "pad": 0.5},
                )
            )
        self.texts_ = tuple(texts)
        self.ax_.set_yticks(places, [fill(label, WIDTH) for label, _ in self.steps_], fontsize="small")
        self.ax_.tick_params(axis="y", length=0)
        self.ax_.set_xlabel("anomaly score (nats)")
        if self.title:
            self.ax_.set_title(self.title)
        self.ax_.legend(fontsize="small")
        plain_text(self.ax_)
