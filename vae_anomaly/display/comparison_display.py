"""ComparisonDisplay: detectors side by side, and which differences are clear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray
from vae_anomaly.display.drawing import (
    FIRST,
    SECOND,
    Style,
    drawn_on,
    numbers,
    plain_text,
    shortened,
    styled,
    text_colour,
)
from vae_anomaly.errors import DataError, SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D


class ComparisonDisplay:
    """Mean AUROC of detectors, the best on top, with intervals of their differences from the first of them.

    An interval that the line of the first detector does not touch is a difference that is clear. All intervals hold
    together with 95 % probability.

    Parameters
    ----------
    methods : sequence of str
        The detectors.
    auroc : array-like of shape (methods,)
        Mean over the splits.
    reference : str
        The detector that others are compared with, one of `methods`.
    lower, upper : array-like of shape (methods,)
        Limits of AUROC less that of the reference.
    by_split : array-like of shape (methods, splits), optional
        AUROC of each split.
    title : str, optional

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    points_ : Line2D
        Means, from the top.
    intervals_ : ErrorbarContainer
        Of all but the reference.
    split_points_ : Line2D or None
    reference_line_ : Line2D
    methods_ : tuple of str
        From the top.

    Examples
    --------
    >>> from vae_anomaly import ComparisonDisplay
    >>> display = ComparisonDisplay(
    ...     ["ours", "other"], [0.9, 0.95], reference="ours", lower=[0, -0.01], upper=[0, 0.1]
    ... ).plot()
    >>> display.methods_
    ('other', 'ours')
    """

    ax_: Axes
    figure_: Figure | SubFigure
    points_: Line2D
    intervals_: ErrorbarContainer
    split_points_: Line2D | None
    reference_line_: Line2D
    methods_: tuple[str, ...]

    def __init__(
        self,
        methods: Sequence[str],
        auroc: npt.ArrayLike,
        *,
        reference: str,
        lower: npt.ArrayLike,
        upper: npt.ArrayLike,
        by_split: npt.ArrayLike | None = None,
        title: str | None = None,
    ) -> None:
        self.methods = tuple(map(str, methods))
        n = len(self.methods)
        if reference not in self.methods:
            raise SpecificationError(f"reference={reference!r} is none of {', '.join(map(repr, self.methods))}.")
        self.reference = reference
        self.auroc = numbers(auroc, "AUROCs", n)
        self.lower, self.upper = numbers(lower, "lower limits", n), numbers(upper, "upper limits", n)
        self.by_split: FloatArray | None = None if by_split is None else np.asarray(by_split, dtype=np.float64)
        if self.by_split is not None and (self.by_split.ndim != 2 or len(self.by_split) != n):
            raise DataError(f"AUROCs by split have the shape {self.by_split.shape}; ({n}, splits) was expected.")
        self.title = title

    @classmethod
    def from_comparison(cls, comparison: Any, setting: str | None = None, *, ax: Axes | None = None) -> Self:
        """Draw a setting of a comparison.

        Parameters
        ----------
        comparison : Comparison
            What `compare` returns.
        setting : str, optional
            One of its settings; by default the first.
        ax : Axes, optional
            Where to draw; by default on a new figure.
        """
        settings = comparison.settings
        setting = settings[0] if setting is None else setting
        if setting not in settings:
            raise SpecificationError(f"setting={setting!r} is none of {', '.join(map(repr, settings))}.")
        summary = comparison.summary[comparison.summary["setting"] == setting]
        measures = comparison.measures[comparison.measures["setting"] == setting]
        splits = measures.pivot_table(index="method", columns="split", values="auroc", observed=True)
        return cls(
            summary["method"].tolist(),
            summary["auroc"],
            reference=comparison.methods[0],
            lower=summary["lower"],
            upper=summary["upper"],
            by_split=splits.loc[summary["method"].tolist()],
            title=f"setting: {setting}",
        ).plot(ax=ax)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        point_kw: Style | None = None,
        interval_kw: Style | None = None,
        split_kw: Style | None = None,
    ) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; by default on a new figure.
        point_kw, interval_kw, split_kw : dict, optional
            Given to matplotlib for the means, the intervals, and the points of single splits.

        Returns
        -------
        ComparisonDisplay
            With what was drawn as attributes.
        """
        self.ax_, self.figure_ = drawn_on(ax)
        order = np.argsort(-self.auroc, kind="stable")
        self.methods_ = tuple(self.methods[place] for place in order)
        places = np.arange(len(order))
        mean = float(self.auroc[self.methods.index(self.reference)])
        others = np.array([method != self.reference for method in self.methods_])
        style: dict[str, Any] = {"color": text_colour(), "linewidth": 1, "linestyle": "--"}
        self.reference_line_ = self.ax_.axvline(mean, label=f"mean of {shortened(self.reference)}", **style)
        self.split_points_ = None
        if self.by_split is not None:
            style = {"color": SECOND, "marker": "|", "markersize": 7, "linestyle": "none", "label": "each split"}
            splits = self.by_split[order]
            (self.split_points_,) = self.ax_.plot(
                splits.ravel(), np.repeat(places, splits.shape[1]) + 0.22, **styled(style, split_kw)
            )
        compared = order[others]
        middles = self.auroc[compared]
        arms = np.abs([middles - (mean + self.lower[compared]), mean + self.upper[compared] - middles])
        style = {"color": FIRST, "linestyle": "none", "elinewidth": 2.5, "capsize": 4}
        style["label"] = "difference, 95 % together"
        self.intervals_ = self.ax_.errorbar(middles, places[others], xerr=arms, **{**style, **(interval_kw or {})})
        style = {"color": FIRST, "marker": "o", "linestyle": "none", "label": "mean"}
        (self.points_,) = self.ax_.plot(self.auroc[order], places, **styled(style, point_kw))
        self.ax_.set_yticks(places, [shortened(method) for method in self.methods_])
        self.ax_.set_ylim(len(places) - 0.4, -0.6)
        self.ax_.set_xlabel("AUROC")
        if self.title:
            self.ax_.set_title(self.title)
        self.ax_.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False, fontsize="small")
        plain_text(self.ax_)
        return self
