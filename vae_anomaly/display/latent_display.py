"""LatentDisplay: where rows are in the latent space, and how anomalous they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray, anomalous
from vae_anomaly.display.drawing import Style, as_given_to, behind, drawn_on, numbers, text_colour
from vae_anomaly.errors import DataError, NotAvailable, SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure

# Colours end at the scores of so large a share of the rows: the few beyond would leave the others one colour.
SHARE_OF_COLOURS = 0.98


class LatentDisplay:
    """Posterior means of rows in two dimensions, coloured by anomaly score, anomalies with a shape of their own.

    Parameters
    ----------
    means : array-like of shape (rows, latents)
        Of more than two latents, the two directions are drawn in which these rows differ most (principal components);
        of one, the second axis is the score.
    scores : array-like of shape (rows,)
        Anomaly scores, nats.
    is_anomaly : array-like of bool, shape (rows,), optional
        Which rows to draw as triangles: known anomalies, or flagged rows.
    anomalies : str, default="anomalies"
        What the legend calls them.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    points_ : PathCollection
        Rows, the most anomalous on top.
    anomaly_points_ : PathCollection or None
    colorbar_ : Colorbar
    plane_ : ndarray of shape (rows, 2)
        Where the rows are drawn, in their order.

    Examples
    --------
    >>> from vae_anomaly import LatentDisplay
    >>> display = LatentDisplay([[0.0, 1.0], [2.0, 3.0]], [5.0, 9.0]).plot()
    >>> display.points_.get_offsets().tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """

    ax_: Axes
    figure_: Figure | SubFigure
    points_: PathCollection
    anomaly_points_: PathCollection | None
    colorbar_: Colorbar
    plane_: FloatArray

    def __init__(
        self,
        means: npt.ArrayLike,
        scores: npt.ArrayLike,
        *,
        is_anomaly: npt.ArrayLike | None = None,
        anomalies: str = "anomalies",
    ) -> None:
        self.means = np.asarray(means, dtype=np.float64)
        if self.means.ndim != 2 or not self.means.size:
            raise DataError(f"posterior means have the shape {self.means.shape}; (rows, latents) was expected.")
        self.scores = numbers(scores, "scores", len(self.means))
        self.is_anomaly = None if is_anomaly is None else anomalous(is_anomaly, len(self.means))
        self.anomalies = anomalies

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        ax: Axes | None = None,
        member: int = 0,
    ) -> Self:
        """Draw rows in the latent space of one autoencoder of the ensemble.

        Parameters
        ----------
        estimator : fitted VAEDetector, or a pipeline or search that ends in one
        X : array-like, DataFrame, or images
            Rows, a few thousand at most.
        y : array-like of shape (rows,), optional
            Labels: 1 or True for anomalies, or -1 where there are 1 and -1. By default flagged rows have a shape of
            their own.
        ax : Axes, optional
            Where to draw; by default on a new figure.
        member : int, default=0
            Which autoencoder: each has a latent space of its own.
        """
        detector = behind(estimator)
        if not hasattr(detector, "transform"):
            raise NotAvailable(f"{type(detector).__name__} has no latent space to draw; take a VAEDetector.")
        rows = as_given_to(estimator, X)
        means = np.asarray(detector.transform(rows), dtype=np.float64)
        n_latents = detector.vae_.latent_dim
        n_members = means.shape[1] // n_latents
        if not 0 <= member < n_members:
            raise SpecificationError(f"there is no member {member} among {n_members}; members are counted from 0.")
        scores = detector.anomaly_score(rows)
        return cls(
            means[:, member * n_latents : (member + 1) * n_latents],
            scores,
            is_anomaly=scores > -detector.offset_ if y is None else y,
            anomalies="flagged" if y is None else "anomalies",
        ).plot(ax=ax)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: Any = None,
        point_kw: Style | None = None,
        anomaly_kw: Style | None = None,
    ) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; by default on a new figure.
        cmap : str or Colormap, optional
            By default that of images in the style in use.
        point_kw, anomaly_kw : dict, optional
            Given to matplotlib for the points, and those of anomalies.

        Returns
        -------
        LatentDisplay
            With what was drawn as attributes.
        """
        self.ax_, self.figure_ = drawn_on(ax)
        self.plane_, names = self._plane()
        order = np.argsort(self.scores, kind="stable")
        marked = np.zeros(len(order), dtype=bool) if self.is_anomaly is None else self.is_anomaly
        finite = self.scores[np.isfinite(self.scores)]
        low, high = np.quantile(finite, (1 - SHARE_OF_COLOURS, SHARE_OF_COLOURS)) if len(finite) else (0.0, 1.0)
        colours = {"vmin": float(low), "vmax": float(high) if high > low else float(low) + 1, "cmap": cmap}
        plain = order[~marked[order]]
        style: dict[str, Any] = {"s": 12, "linewidths": 0, "label": f"{len(plain):,} rows"}
        self.points_ = self.ax_.scatter(
            *self.plane_[plain].T, **{**style, "c": self.scores[plain], **colours, **(point_kw or {})}
        )
        self.anomaly_points_ = None
        if marked.any():
            own = order[marked[order]]
            style = {"s": 40, "marker": "^", "linewidths": 0.8, "edgecolors": text_colour()}
            style["label"] = f"{len(own):,} {self.anomalies}"
            self.anomaly_points_ = self.ax_.scatter(
                *self.plane_[own].T, **{**style, "c": self.scores[own], **colours, **(anomaly_kw or {})}
            )
        self.colorbar_ = self.figure_.colorbar(self.points_, ax=self.ax_, extend="both", label="anomaly score (nats)")
        self.ax_.set(xlabel=names[0], ylabel=names[1])
        self.ax_.legend()
        return self

    def _plane(self) -> tuple[FloatArray, tuple[str, str]]:
        """Where to draw the rows, and what the axes are."""
        if self.means.shape[1] == 1:
            return np.column_stack([self.means[:, 0], self.scores]), ("posterior mean", "anomaly score (nats)")
        if self.means.shape[1] == 2:
            return self.means, ("posterior mean of latent 0", "posterior mean of latent 1")
        centred = self.means - self.means.mean(axis=0)
        sizes, directions = np.linalg.eigh(centred.T @ centred)
        sizes, directions = sizes[:-3:-1], directions[:, :-3:-1]
        # The same rows are drawn the same way round.
        directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), [0, 1]])
        shares = sizes / max(float((centred**2).sum()), np.finfo(np.float64).tiny)
        names = tuple(f"component {place + 1} of the latents ({shares[place]:.0%})" for place in range(2))
        return centred @ directions, (names[0], names[1])
