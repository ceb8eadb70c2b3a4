"""CalibrationDisplay: whether p-values of rows are what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from vae_anomaly.data import FloatArray, anomalous
from vae_anomaly.display.drawing import (
    FIRST,
    SECOND,
    Style,
    as_given_to,
    behind,
    drawn_on,
    name_of,
    numbers,
    plain_legend,
    styled,
    text_colour,
    thinned,
)
from vae_anomaly.errors import DataError, SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import FillBetweenPolyCollection
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

CONFIDENCE = 0.95
Scale = Literal["linear", "log"]


class CalibrationDisplay:
    """Share of rows with at most each p-value, which for rows like those of the calibration is the p-value itself.

    A curve above the diagonal has too many small p-values: rows are more anomalous than those of the calibration. One
    below it has too few. The band holds the curve of normal rows at each point with 95 % probability.

    Parameters
    ----------
    p_values : array-like of shape (rows,)
        From 0 to 1; NaN where there is none.
    is_anomaly : array-like of bool, shape (rows,), optional
        What the rows are: anomalies then have a curve of their own.
    n_calibration : int, optional
        Calibration rows, whose own chance widens the band.
    name : str, optional
        Of the detector, for the legend.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    line_ : Line2D
        Of all rows, or of the normal ones where there are labels.
    anomaly_line_ : Line2D or None
        Of the anomalies.
    diagonal_ : Line2D
    band_ : FillBetweenPolyCollection

    Examples
    --------
    >>> from vae_anomaly import CalibrationDisplay
    >>> display = CalibrationDisplay([0.25, 0.5, 0.75, 1.0]).plot()
    >>> display.line_.get_ydata().tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """

    ax_: Axes
    figure_: Figure | SubFigure
    line_: Line2D
    anomaly_line_: Line2D | None
    diagonal_: Line2D
    band_: FillBetweenPolyCollection

    def __init__(
        self,
        p_values: npt.ArrayLike,
        *,
        is_anomaly: npt.ArrayLike | None = None,
        n_calibration: int | None = None,
        name: str | None = None,
    ) -> None:
        self.p_values = numbers(p_values, "p-values")
        known = self.p_values[~np.isnan(self.p_values)]
        if ((known < 0) | (known > 1)).any():
            raise DataError("a p-value is below 0 or above 1", "a probability was expected.")
        self.is_anomaly = None if is_anomaly is None else anomalous(is_anomaly, len(self.p_values))
        self.n_calibration = n_calibration
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        ax: Axes | None = None,
        name: str | None = None,
        scale: Scale = "linear",
    ) -> Self:
        """Draw the p-values of rows.

        Parameters
        ----------
        estimator : fitted detector of this package, or a pipeline or search that ends in one
            With a calibration.
        X : array-like, DataFrame, or images
            Rows that the detector has not seen.
        y : array-like of shape (rows,), optional
            Labels: 1 or True for anomalies, or -1 where there are 1 and -1.
        ax : Axes, optional
            Where to draw; by default on a new figure.
        name : str, optional
            Of the detector in the legend; by default its class.
        scale : {"linear", "log"}, default="linear"
            See `plot`.
        """
        detector = behind(estimator)
        p_values = detector.p_values(as_given_to(estimator, X))
        return cls(
            p_values,
            is_anomaly=y,
            n_calibration=detector.calibration_.n_rows,
            name=name_of(detector, name),
        ).plot(ax=ax, scale=scale)

    @classmethod
    def from_p_values(
        cls,
        p_values: npt.ArrayLike,
        y: Any = None,
        *,
        n_calibration: int | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        scale: Scale = "linear",
    ) -> Self:
        """Draw p-values that were made before.

        Parameters
        ----------
        p_values : array-like of shape (rows,)
        y : array-like of shape (rows,), optional
            Labels: 1 or True for anomalies, or -1 where there are 1 and -1.
        n_calibration : int, optional
            Calibration rows.
        ax, name, scale
            See `from_estimator`.
        """
        return cls(p_values, is_anomaly=y, n_calibration=n_calibration, name=name).plot(ax=ax, scale=scale)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        scale: Scale = "linear",
        line_kw: Style | None = None,
        anomaly_kw: Style | None = None,
        band_kw: Style | None = None,
    ) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; by default on a new figure.
        name : str, optional
            Of the detector in the legend.
        scale : {"linear", "log"}, default="linear"
            Of both axes; "log" shows the small p-values, by which rows are flagged.
        line_kw, anomaly_kw, band_kw : dict, optional
            Given to matplotlib for the curve, that of anomalies, and the band.

        Returns
        -------
        CalibrationDisplay
            With what was drawn as attributes.
        """
        if scale not in ("linear", "log"):
            raise SpecificationError(f"scale is 'linear' or 'log', not {scale!r}.")
        known = ~np.isnan(self.p_values)
        is_anomaly = np.zeros(len(known), dtype=bool) if self.is_anomaly is None else self.is_anomaly
        normal, of_anomalies = self.p_values[known & ~is_anomaly], self.p_values[known & is_anomaly]
        if not len(normal):
            raise DataError("there is no p-value of a normal row to draw", "give rows that have one.")
        self.ax_, self.figure_ = drawn_on(ax)
        name = self.name if name is None else name
        of = "" if name is None else f"{name}: "
        grid = np.geomspace(min(0.5 / len(normal), known_smallest(normal)), 1, 200)
        grid = grid if scale == "log" else np.linspace(0, 1, 201)
        low, high = band_of_normal_rows(grid, len(normal), self.n_calibration)
        style = {"color": text_colour(), "alpha": 0.15, "linewidth": 0, "label": "normal rows, 19 times in 20"}
        self.band_ = self.ax_.fill_between(grid, low, high, **styled(style, band_kw))
        (self.diagonal_,) = self.ax_.plot(grid, grid, color=text_colour(), linestyle=":", linewidth=1)
        kind = "rows" if self.is_anomaly is None else "normal rows"
        style = {"color": FIRST, "linewidth": 1.8, "label": f"{of}{len(normal):,} {kind}", "drawstyle": "steps-post"}
        (self.line_,) = self.ax_.plot(*_curve(normal), **styled(style, line_kw))
        self.anomaly_line_ = None
        if len(of_anomalies):
            style |= {"color": SECOND, "linestyle": "--", "label": f"{of}{len(of_anomalies):,} anomalies"}
            (self.anomaly_line_,) = self.ax_.plot(*_curve(of_anomalies), **styled(style, anomaly_kw))
        self.ax_.set(xlabel="p-value", ylabel="share of rows with at most this", xscale=scale, yscale=scale)
        if scale == "linear":
            self.ax_.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        else:
            self.ax_.set(xlim=(grid[0], 1.1), ylim=(0.8 / len(normal), 1.1))
        plain_legend(self.ax_.legend(loc="lower right"))
        return self


def known_smallest(p_values: FloatArray) -> float:
    """The smallest p-value that is not 0."""
    positive = p_values[p_values > 0]
    return float(positive.min()) if len(positive) else 1.0


def _curve(p_values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """P-values, and the share of them that is at most each."""
    ordered = np.sort(p_values)
    shown = np.unique(thinned(np.unique(ordered)))
    shares = np.searchsorted(ordered, shown, "right") / len(ordered)
    return np.concatenate([[0.0], shown, [1.0]]), np.concatenate([[0.0], shares, [1.0]])


def band_of_normal_rows(p_values: FloatArray, n_rows: int, n_calibration: int | None) -> tuple[FloatArray, FloatArray]:
    """Between which shares the curve of normal rows is at a p-value, 19 times in 20.

    The number of rows is beta-binomial; its share is taken to be of the beta distribution with the same mean and
    variance.

    Examples
    --------
    >>> low, high = band_of_normal_rows(np.array([0.5]), 100, None)
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([0.4], [0.6])
    """
    of_calibration = 0.0 if n_calibration is None else 1 / (n_calibration + 2)
    concentration = 1 / (of_calibration + (1 - of_calibration) / max(n_rows, 2)) - 1
    first, second = p_values * concentration, (1 - p_values) * concentration
    inside = (p_values > 0) & (p_values < 1)
    low, high = p_values.copy(), p_values.copy()
    risk = (1 - CONFIDENCE) / 2
    low[inside] = betaincinv(first[inside], second[inside], risk)
    high[inside] = betaincinv(first[inside], second[inside], 1 - risk)
    return low, high
