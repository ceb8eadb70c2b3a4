"""ThresholdDisplay: how many false alarms each threshold promises."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray, anomalous
from vae_anomaly.display.drawing import (
    FIRST,
    SECOND,
    THIRD,
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
from vae_anomaly.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import FillBetweenPolyCollection
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D


# Thresholds are drawn up to so many times the distance from the median to the threshold of this rate.
USUAL_RATE, MAX_REACH = 0.01, 3.0


class ThresholdDisplay:
    """Share of new normal rows above each threshold, with its bound; and of given rows the share that is above.

    Parameters
    ----------
    thresholds : array-like of shape (thresholds,)
        Anomaly scores, nats, ascending.
    expected_rates : array-like of shape (thresholds,)
        Share of new normal rows above each, on average over fits.
    rate_bounds : array-like of shape (thresholds,), optional
        Upper bounds on the share with this very model, which hold for all thresholds at once.
    confidence : float, default=0.95
        Of the bounds.
    threshold : float, optional
        The one in use.
    scores : array-like of shape (rows,), optional
        Anomaly scores of rows whose share above is drawn as well, nats.
    is_anomaly : array-like of bool, shape (rows,), optional
        What these rows are: normal ones and anomalies then have a curve each.
    name : str, optional
        Of the detector, for the legend.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    line_ : Line2D
        Expected rates.
    band_ : FillBetweenPolyCollection or None
        From these up to their bounds.
    threshold_line_ : Line2D or None
    observed_line_ : Line2D or None
        Of the rows given, or of the normal ones among them.
    anomaly_line_ : Line2D or None
        Of the anomalies among them: the share that is found.

    Examples
    --------
    >>> from vae_anomaly import ThresholdDisplay
    >>> display = ThresholdDisplay([1.0, 2.0, 3.0], [0.75, 0.5, 0.25], threshold=2.5).plot()
    >>> display.ax_.get_xlabel()
    'threshold (nats)'
    """

    ax_: Axes
    figure_: Figure | SubFigure
    line_: Line2D
    band_: FillBetweenPolyCollection | None
    threshold_line_: Line2D | None
    observed_line_: Line2D | None
    anomaly_line_: Line2D | None

    def __init__(
        self,
        thresholds: npt.ArrayLike,
        expected_rates: npt.ArrayLike,
        *,
        rate_bounds: npt.ArrayLike | None = None,
        confidence: float = 0.95,
        threshold: float | None = None,
        scores: npt.ArrayLike | None = None,
        is_anomaly: npt.ArrayLike | None = None,
        name: str | None = None,
    ) -> None:
        self.thresholds = numbers(thresholds, "thresholds")
        n = len(self.thresholds)
        if n == 0 or (np.diff(self.thresholds) < 0).any():
            raise DataError("thresholds are none, or not ascending", "sort them.")
        self.expected_rates = numbers(expected_rates, "expected rates", n)
        self.rate_bounds = None if rate_bounds is None else numbers(rate_bounds, "bounds", n)
        self.confidence = confidence
        self.threshold = None if threshold is None or not math.isfinite(threshold) else float(threshold)
        self.scores = None if scores is None else numbers(scores, "scores")
        n_rows = 0 if self.scores is None else len(self.scores)
        self.is_anomaly = None if is_anomaly is None else anomalous(is_anomaly, n_rows)
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        y: Any = None,
        *,
        ax: Axes | None = None,
        name: str | None = None,
        confidence: float = 0.95,
    ) -> Self:
        """Draw what the calibration of a detector promises, and what becomes of rows.

        Parameters
        ----------
        estimator : fitted detector of this package, or a pipeline or search that ends in one
            With a calibration.
        X : array-like, DataFrame, or images, optional
            Rows that the detector has not seen, whose share above each threshold is drawn as well.
        y : array-like of shape (rows,), optional
            Their labels: 1 or True for anomalies, or -1 where there are 1 and -1.
        ax : Axes, optional
            Where to draw; by default on a new figure.
        name : str, optional
            Of the detector in the legend; by default its class.
        confidence : float, default=0.95
            Probability that all bounds hold.
        """
        detector = behind(estimator)
        scores = None if X is None else detector.anomaly_score(as_given_to(estimator, X))
        return cls.from_calibration(
            detector.calibration_,
            threshold=detector.threshold_.score,
            scores=scores,
            y=y,
            ax=ax,
            name=name_of(detector, name),
            confidence=confidence,
        )

    @classmethod
    def from_calibration(
        cls,
        calibration: Any,
        *,
        threshold: float | None = None,
        scores: npt.ArrayLike | None = None,
        y: Any = None,
        ax: Axes | None = None,
        name: str | None = None,
        confidence: float = 0.95,
    ) -> Self:
        """Draw what a calibration promises.

        Parameters
        ----------
        calibration : Calibration
        threshold : float, optional
            The one in use.
        scores : array-like of shape (rows,), optional
            Anomaly scores of rows whose share above is drawn as well, nats.
        y : array-like of shape (rows,), optional
            Their labels: 1 or True for anomalies, or -1 where there are 1 and -1.
        ax, name, confidence
            See `from_estimator`.
        """
        rates = calibration.false_alarm_rates(confidence)
        bounds = rates["rate_bound"]
        return cls(
            rates["threshold"],
            rates["expected_rate"],
            rate_bounds=None if bounds.isna().all() else bounds,
            confidence=confidence,
            threshold=threshold,
            scores=scores,
            is_anomaly=y,
            name=name,
        ).plot(ax=ax)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        line_kw: Style | None = None,
        band_kw: Style | None = None,
        observed_kw: Style | None = None,
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
        line_kw, band_kw, observed_kw, anomaly_kw, threshold_kw : dict, optional
            Given to matplotlib for the expected rates, their bounds, the shares of normal rows and of anomalies that
            were given, and the line of the threshold in use.

        Returns
        -------
        ThresholdDisplay
            With what was drawn as attributes.
        """
        self.ax_, self.figure_ = drawn_on(ax)
        name = self.name if name is None else name
        finite = np.isfinite(self.thresholds)
        thresholds, rates = self.thresholds[finite], self.expected_rates[finite]
        self.band_ = None
        if self.rate_bounds is not None:
            label = f"up to the bound ({100 * self.confidence:g} % confidence)"
            style: dict[str, Any] = {"color": FIRST, "alpha": 0.2, "linewidth": 0, "step": "post", "label": label}
            self.band_ = self.ax_.fill_between(thresholds, rates, self.rate_bounds[finite], **styled(style, band_kw))
        label = "expected of new normal rows" if name is None else f"{name}: expected of new normal rows"
        style = {"color": FIRST, "linewidth": 1.8, "drawstyle": "steps-post", "label": label}
        (self.line_,) = self.ax_.plot(thresholds, rates, **styled(style, line_kw))
        self._draw_given(observed_kw, anomaly_kw)
        self.threshold_line_ = None
        if self.threshold is not None:
            style = {"color": text_colour(), "linestyle": "--", "linewidth": 1.2}
            style["label"] = f"threshold {self.threshold:,.4g} nats"
            self.threshold_line_ = self.ax_.axvline(self.threshold, **styled(style, threshold_kw))
        self.ax_.set(xlabel="threshold (nats)", ylabel="share of rows above", yscale="log")
        # The corner below the curve has room for the legend.
        self.ax_.set_ylim(max(rates.min(), 1e-9) / 10, 1.3)
        self.ax_.set_xlim(*_limits(thresholds, rates, self.threshold))
        plain_legend(self.ax_.legend(loc="lower left"))
        return self

    def _draw_given(self, observed_kw: Style | None, anomaly_kw: Style | None) -> None:
        self.observed_line_ = self.anomaly_line_ = None
        if self.scores is None:
            return
        is_anomaly = np.zeros(len(self.scores), dtype=bool) if self.is_anomaly is None else self.is_anomaly
        scored = ~np.isnan(self.scores)
        normal, of_anomalies = self.scores[scored & ~is_anomaly], self.scores[scored & is_anomaly]
        if len(normal):
            kind = "rows" if self.is_anomaly is None else "normal rows"
            style: dict[str, Any] = {"color": SECOND, "linestyle": "-.", "drawstyle": "steps-post"}
            style["label"] = f"{len(normal):,} {kind} given"
            (self.observed_line_,) = self.ax_.plot(*_shares_above(normal), **styled(style, observed_kw))
        if len(of_anomalies):
            style = {"color": THIRD, "linestyle": ":", "linewidth": 2.0, "drawstyle": "steps-post"}
            style["label"] = f"{len(of_anomalies):,} anomalies given"
            (self.anomaly_line_,) = self.ax_.plot(*_shares_above(of_anomalies), **styled(style, anomaly_kw))


def _shares_above(scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scores, and the share of them that is above each."""
    ordered = np.sort(scores[np.isfinite(scores)])
    # The few highest are what thresholds are chosen by.
    shown = np.unique(np.concatenate([thinned(ordered), ordered[-100:]]))
    above = (len(scores) - np.searchsorted(np.sort(scores), shown, "right")) / len(scores)
    return shown, above


def _limits(thresholds: FloatArray, rates: FloatArray, threshold: float | None) -> tuple[float, float]:
    """From the median of normal rows to the highest threshold with a rate, unless the few highest are far out."""
    low = float(thresholds[np.flatnonzero(rates >= min(0.5, rates.max()))[-1]])
    usual = float(thresholds[np.argmax(rates <= max(USUAL_RATE, rates.min()))])
    high = min(float(thresholds[-1]), low + MAX_REACH * (usual - low)) if usual > low else float(thresholds[-1])
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    room = (high - low) or 1.0
    return low - 0.1 * room, high + 0.1 * room
