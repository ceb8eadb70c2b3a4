"""ScoreDisplay: how anomaly scores are distributed, and where the threshold is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray, anomalous
from vae_anomaly.display.drawing import (
    FIRST,
    HATCH,
    SECOND,
    Style,
    behind,
    drawn_on,
    name_of,
    numbers,
    plain_legend,
    styled,
    text_colour,
)
from vae_anomaly.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

QUARTILE_OF_NORMAL = 0.6744897501960817
# Scores farther from the median than so many robust standard deviations stand in a bar of their own.
N_DEVIATIONS = 8.0
# Counts that differ by more are drawn on a logarithmic scale.
MAX_LINEAR = 50
POINTS_PER_INCH = 72.0
# Of the size of the font, for digits.
WIDTH_OF_LETTER = 0.62
MAX_SHARE_OF_TEXT = 0.7


class ScoreDisplay:
    """Histogram of anomaly scores, with the threshold, by label where there are labels.

    Scores that are far above or below all others, which would press the rest into one bar, stand in a bar of their own
    at the end, apart from the others, with their number and the farthest of them.

    Parameters
    ----------
    scores : array-like of shape (rows,)
        Anomaly scores, higher for more anomalous rows, nats; NaN where there is none.
    threshold : float, optional
        Rows with higher scores are flagged.
    is_anomaly : array-like of bool, shape (rows,), optional
        What the rows are.
    name : str, optional
        Of the detector, for the legend.
    unit : str, default="nats"
        Of the scores.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    bars_ : BarContainer
        Of all rows, or of the normal ones where there are labels.
    anomaly_bars_ : BarContainer or None
        Of the anomalies.
    threshold_line_ : Line2D or None
    edges_ : ndarray
        Edges of the bars, those of rows far out included.
    beyond_ : tuple of Text
        What is said of the rows far out.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import ScoreDisplay
    >>> scores = np.random.default_rng(0).normal(size=1000)
    >>> display = ScoreDisplay(scores, threshold=3.0).plot()
    >>> display.ax_.get_xlabel()
    'anomaly score (nats)'
    """

    ax_: Axes
    figure_: Figure | SubFigure
    bars_: BarContainer
    anomaly_bars_: BarContainer | None
    threshold_line_: Line2D | None
    edges_: FloatArray
    beyond_: tuple[Text, ...]

    def __init__(
        self,
        scores: npt.ArrayLike,
        *,
        threshold: float | None = None,
        is_anomaly: npt.ArrayLike | None = None,
        name: str | None = None,
        unit: str = "nats",
    ) -> None:
        self.scores = numbers(scores, "scores")
        self.threshold = None if threshold is None or math.isnan(threshold) else float(threshold)
        self.is_anomaly = None if is_anomaly is None else anomalous(is_anomaly, len(self.scores))
        self.name = name
        self.unit = unit

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        ax: Axes | None = None,
        name: str | None = None,
        bins: int | npt.ArrayLike = 50,
    ) -> Self:
        """Score rows, and draw their scores.

        Parameters
        ----------
        estimator : fitted detector, or a pipeline or search that ends in one
            Of this package or scikit-learn, with `score_samples`.
        X : array-like, DataFrame, or images
            What its `score_samples` takes.
        y : array-like of shape (rows,), optional
            Labels: 1 or True for anomalies, or -1 where there are 1 and -1.
        ax : Axes, optional
            Where to draw; by default on a new figure.
        name : str, optional
            Of the detector in the legend; by default its class.
        bins : int or array-like, default=50
            See `plot`.
        """
        scores = -np.asarray(estimator.score_samples(X), dtype=np.float64)
        offset = getattr(behind(estimator), "offset_", None)
        threshold = None if offset is None else -float(offset)
        return cls.from_scores(scores, y, threshold=threshold, ax=ax, name=name_of(behind(estimator), name), bins=bins)

    @classmethod
    def from_scores(
        cls,
        scores: npt.ArrayLike,
        y: Any = None,
        *,
        threshold: float | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        bins: int | npt.ArrayLike = 50,
    ) -> Self:
        """Draw scores that were made before.

        Parameters
        ----------
        scores : array-like of shape (rows,)
            Anomaly scores, higher for more anomalous rows, nats.
        y : array-like of shape (rows,), optional
            Labels: 1 or True for anomalies, or -1 where there are 1 and -1.
        threshold : float, optional
            Rows with higher scores are flagged.
        ax, name, bins
            See `from_estimator`.
        """
        return cls(scores, threshold=threshold, is_anomaly=y, name=name).plot(ax=ax, bins=bins)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        bins: int | npt.ArrayLike = 50,
        bar_kw: Style | None = None,
        anomaly_kw: Style | None = None,
        threshold_kw: Style | None = None,
    ) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; by default on a new figure.
        name : str, optional
            Of the detector in the legend.
        bins : int or array-like, default=50
            Bars between the lowest and the highest score that are not far out, or the edges of all bars, outside of
            which nothing is drawn.
        bar_kw, anomaly_kw, threshold_kw : dict, optional
            Given to matplotlib for the bars, those of anomalies, and the line.

        Returns
        -------
        ScoreDisplay
            With what was drawn as attributes.
        """
        known = self.scores[~np.isnan(self.scores)]
        if not len(known):
            raise DataError("there is no score to draw", "give rows that have one.")
        self.ax_, self.figure_ = drawn_on(ax)
        bars = _Bars.of(known, self.threshold, bins)
        self.edges_ = bars.edges
        labels = self._labels(self.name if name is None else name)
        is_anomaly = None if self.is_anomaly is None else self.is_anomaly[~np.isnan(self.scores)]
        counts = bars.counts(known if is_anomaly is None else known[~is_anomaly])
        style = {"color": FIRST, "label": labels[0], "linewidth": 0}
        self.bars_ = self.ax_.bar(bars.left, counts, bars.width, align="edge", **styled(style, bar_kw))
        self.anomaly_bars_ = None
        highest = counts
        if is_anomaly is not None:
            of_anomalies = bars.counts(known[is_anomaly])
            style = {"facecolor": "none", "edgecolor": SECOND, "hatch": HATCH, "label": labels[1]}
            self.anomaly_bars_ = self.ax_.bar(
                bars.left, of_anomalies, bars.width, align="edge", **styled(style, anomaly_kw)
            )
            highest = np.maximum(counts, of_anomalies)
        if highest.max() > MAX_LINEAR * highest[highest > 0].min():
            self.ax_.set_yscale("log")
            self.ax_.set_ylim(bottom=0.7)
        self.threshold_line_ = self._threshold_line(known, threshold_kw)
        self.beyond_ = bars.beyond(self.ax_, known, highest)
        self.ax_.set(xlabel=f"anomaly score ({self.unit})", ylabel="rows")
        plain_legend(self.ax_.legend())
        return self

    def _labels(self, name: str | None) -> tuple[str, str]:
        of = "" if name is None else f"{name}: "
        scored = ~np.isnan(self.scores)
        if self.is_anomaly is None:
            return f"{of}{int(scored.sum()):,} rows", ""
        n_anomalies = int((self.is_anomaly & scored).sum())
        return f"{of}{int(scored.sum()) - n_anomalies:,} normal rows", f"{of}{n_anomalies:,} anomalies"

    def _threshold_line(self, known: FloatArray, style: Style | None) -> Line2D | None:
        if self.threshold is None or not math.isfinite(self.threshold):
            return None
        n_above = int((known > self.threshold).sum())
        label = f"threshold {self.threshold:,.4g} {self.unit}, {n_above:,} rows above"
        default = {"color": text_colour(), "linestyle": "--", "linewidth": 1.2, "label": label}
        return self.ax_.axvline(self.threshold, **styled(default, style))


@dataclass(frozen=True)
class _Bars:
    """Places of bars: those of equal width between two limits, and one beyond each limit that has scores there."""

    edges: FloatArray
    left: FloatArray
    width: FloatArray
    has_below: bool
    has_above: bool

    @classmethod
    def of(cls, known: FloatArray, threshold: float | None, bins: int | npt.ArrayLike) -> _Bars:
        if isinstance(bins, Integral):
            edges = np.linspace(*_limits(known, threshold), int(bins) + 1)
            below, above = bool((known < edges[0]).any()), bool((known > edges[-1]).any())
        else:
            edges, below, above = np.asarray(bins, dtype=np.float64), False, False
        # Wide enough to be seen, and apart from the others.
        step = (edges[-1] - edges[0]) / 20
        left = np.concatenate([[edges[0] - 2 * step] * below, edges[:-1], [edges[-1] + step] * above])
        width = np.concatenate([[step] * below, np.diff(edges), [step] * above])
        return cls(edges, left, width, below, above)

    def counts(self, scores: FloatArray) -> npt.NDArray[np.int64]:
        inner = np.histogram(scores, self.edges)[0]
        below = [(scores < self.edges[0]).sum()] * self.has_below
        above = [(scores > self.edges[-1]).sum()] * self.has_above
        return np.concatenate([below, inner, above]).astype(np.int64)

    def beyond(self, ax: Axes, known: FloatArray, heights: npt.NDArray[np.int64]) -> tuple[Text, ...]:
        """Say how many rows are beyond the limits, and how far, above the bars of these."""
        found = []
        for is_there, place, outside, farthest, word in (
            (self.has_below, 0, known[known < self.edges[0]], np.min, "down"),
            (self.has_above, -1, known[known > self.edges[-1]], np.max, "up"),
        ):
            if is_there:
                said = f"{len(outside):,} {word} to {farthest(outside):,.4g}"
                middle = self.left[place] + self.width[place] / 2
                text = ax.annotate(
                    said,
                    (middle, heights[place]),
                    (0, 4),
                    textcoords="offset points",
                    rotation=90,
                    ha="center",
                    va="bottom",
                    fontsize="small",
                )
                _make_room(ax, text, float(heights[place]))
                found.append(text)
        return tuple(found)


def _make_room(ax: Axes, text: Text, height: float) -> None:
    """Raise the upper limit until an upright text above a bar ends within the axes."""
    of_axes = ax.bbox.height / ax.figure.dpi * POINTS_PER_INCH
    share = min(float(text.get_fontsize()) * (WIDTH_OF_LETTER * len(text.get_text()) + 1) / of_axes, MAX_SHARE_OF_TEXT)
    bottom, top = ax.get_ylim()
    if ax.get_yscale() == "log":
        needed = bottom * (height / bottom) ** (1 / (1 - share))
    else:
        needed = bottom + (height - bottom) / (1 - share)
    ax.set_ylim(top=max(top, needed))


def _limits(known: FloatArray, threshold: float | None) -> tuple[float, float]:
    """From where to where the bars go that are of equal width."""
    finite = known[np.isfinite(known)]
    if not len(finite):
        return -1.0, 1.0
    lower, median, upper = np.quantile(finite, (0.25, 0.5, 0.75))
    least, most = float(finite.min()), float(finite.max())
    reach = [median - N_DEVIATIONS * (median - lower) / QUARTILE_OF_NORMAL]
    reach.append(median + N_DEVIATIONS * (upper - median) / QUARTILE_OF_NORMAL)
    if threshold is not None and math.isfinite(threshold):
        least, most = min(least, threshold), max(most, threshold)
        reach = [min(reach[0], threshold), max(reach[1], threshold + (threshold - median) / 2)]
    # A bar of its own pays where it spares the others much room.
    room = reach[1] - reach[0]
    low = least if reach[0] - least < room / 4 else reach[0]
    high = most if most - reach[1] < room / 4 else reach[1]
    return (low, high) if low < high else (low - 0.5, high + 0.5)
