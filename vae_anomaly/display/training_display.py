"""TrainingDisplay: how a fit went, check by check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray
from vae_anomaly.display.drawing import FIRST, SECOND, THIRD, Style, behind, drawn_on, numbers, styled
from vae_anomaly.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

# The first checks, in which everything is far from where it ends, do not set the scale.
SHARE_OF_SCALE = 0.8
ROOM = 0.15


class TrainingDisplay:
    """ELBO of mini-batches and of held-out rows by iteration, and the KL on an axis of its own.

    Parameters
    ----------
    iteration : array-like of shape (checks,)
        Optimisation steps made.
    elbo : array-like of shape (checks,)
        Of mini-batches since the check before, nats per row.
    kl : array-like of shape (checks,)
        Of the same.
    validation_elbo : array-like of shape (checks,), optional
        Of held-out rows; None or empty where there are none.

    Attributes
    ----------
    ax_, kl_ax_ : Axes
        Of the ELBO, and of the KL.
    figure_ : Figure
    elbo_line_, kl_line_ : Line2D
    validation_line_, best_marker_ : Line2D or None
        The ELBO of held-out rows, and the check where it is highest.

    Examples
    --------
    >>> from vae_anomaly import TrainingDisplay
    >>> display = TrainingDisplay([20, 40], [-9.0, -5.0], [0.5, 1.5], [-8.0, -6.0]).plot()
    >>> display.best_marker_.get_xdata().tolist()
    [40.0]
    """

    ax_: Axes
    kl_ax_: Axes
    figure_: Figure | SubFigure
    elbo_line_: Line2D
    kl_line_: Line2D
    validation_line_: Line2D | None
    best_marker_: Line2D | None

    def __init__(
        self,
        iteration: npt.ArrayLike,
        elbo: npt.ArrayLike,
        kl: npt.ArrayLike,
        validation_elbo: npt.ArrayLike | None = None,
    ) -> None:
        self.iteration = numbers(iteration, "iterations")
        n = len(self.iteration)
        if not n:
            raise DataError("there is no check to draw", "fit the detector.")
        self.elbo = numbers(elbo, "ELBOs", n)
        self.kl = numbers(kl, "KLs", n)
        held_out = validation_elbo is not None and np.size(validation_elbo) > 0
        self.validation_elbo = numbers(validation_elbo, "held-out ELBOs", n) if held_out else None

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any = None, y: Any = None, *, ax: Axes | None = None) -> Self:
        """Draw the fit of a detector.

        Parameters
        ----------
        estimator : fitted detector of this package, or a pipeline or search that ends in one
        X, y : ignored
            For the convention.
        ax : Axes, optional
            Where to draw; by default on a new figure.
        """
        return cls.from_history(behind(estimator).history_, ax=ax)

    @classmethod
    def from_history(cls, history: Any, *, ax: Axes | None = None) -> Self:
        """Draw the history of a fit.

        Parameters
        ----------
        history : History
            The `history_` of a fitted detector.
        ax : Axes, optional
            Where to draw; by default on a new figure.
        """
        return cls(history.iteration, history.elbo, history.kl, history.validation_elbo).plot(ax=ax)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        elbo_kw: Style | None = None,
        validation_kw: Style | None = None,
        kl_kw: Style | None = None,
    ) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; by default on a new figure. The KL gets a twin of it.
        elbo_kw, validation_kw, kl_kw : dict, optional
            Given to matplotlib for the lines.

        Returns
        -------
        TrainingDisplay
            With what was drawn as attributes.
        """
        self.ax_, self.figure_ = drawn_on(ax)
        self.kl_ax_ = self.ax_.twinx()
        style: dict[str, Any] = {"color": FIRST, "linewidth": 1.2, "label": "ELBO of mini-batches"}
        (self.elbo_line_,) = self.ax_.plot(self.iteration, self.elbo, **styled(style, elbo_kw))
        self.validation_line_ = self.best_marker_ = None
        if self.validation_elbo is not None:
            style = {"color": SECOND, "linewidth": 1.8, "linestyle": "--", "label": "ELBO of held-out rows"}
            (self.validation_line_,) = self.ax_.plot(
                self.iteration, self.validation_elbo, **styled(style, validation_kw)
            )
            best = int(np.argmax(np.where(np.isnan(self.validation_elbo), -np.inf, self.validation_elbo)))
            (self.best_marker_,) = self.ax_.plot(
                self.iteration[best : best + 1],
                self.validation_elbo[best : best + 1],
                linestyle="none",
                marker="o",
                color=self.validation_line_.get_color(),
                label=f"best: {self.validation_elbo[best]:,.2f} nats",
            )
        style = {"color": THIRD, "linewidth": 1.2, "linestyle": ":", "label": "KL"}
        (self.kl_line_,) = self.kl_ax_.plot(self.iteration, self.kl, **styled(style, kl_kw))
        self.ax_.set(xlabel="iteration", ylabel="ELBO (nats per row)")
        self.kl_ax_.set_ylabel("KL (nats per row)")
        self.kl_ax_.set_ylim(bottom=0)
        self._scale()
        lines = [line for line in (self.elbo_line_, self.validation_line_, self.best_marker_, self.kl_line_) if line]
        self.ax_.legend(handles=lines, loc="lower right")
        return self

    def _scale(self) -> None:
        every = [self.elbo] + ([] if self.validation_elbo is None else [self.validation_elbo])
        skipped = len(self.iteration) - int(np.ceil(SHARE_OF_SCALE * len(self.iteration)))
        ends = np.concatenate([line[skipped:] for line in every])
        ends = ends[np.isfinite(ends)]
        if len(ends):
            low, high = _range(ends)
            if any(np.nanmin(line) < low for line in every):
                self.ax_.set_ylim(low, high)


def _range(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = ROOM * (high - low) or 1.0
    return low - room, high + room
