"""HeatmapDisplay: an image, what was expected, and the nats of its pixels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from vae_anomaly.data import FloatArray
from vae_anomaly.display.drawing import behind, figure_of, one_row
from vae_anomaly.errors import DataError, SpecificationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

# The nats over an image: nothing where nothing is, and the image still shows through the most anomalous pixels.
MAX_OPACITY = 0.75


class HeatmapDisplay:
    """Where an image is anomalous.

    Parameters
    ----------
    nats : array-like of shape (height, width)
        By which a pixel is less likely than it could be at best; NaN where it is missing.
    image : array-like of shape (height, width) or (height, width, channels), optional
        The image.
    expected : array-like of the shape of the image, optional
        What was expected.
    scale : (float, float), optional
        From how many nats on, and up to how many, pixels are coloured; by default from 0 to the most.
    title : str, optional

    Attributes
    ----------
    axes_ : tuple of Axes
        Of the image, of what was expected, and of the nats, as far as there are such; one where `ax` was given.
    ax_ : Axes
        That of the nats.
    figure_ : Figure
    image_, expected_image_ : AxesImage or None
    heatmap_ : AxesImage

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import HeatmapDisplay
    >>> display = HeatmapDisplay(np.eye(3), image=np.zeros((3, 3))).plot()
    >>> len(display.axes_)
    2
    """

    axes_: tuple[Axes, ...]
    ax_: Axes
    figure_: Figure | SubFigure
    image_: AxesImage | None
    expected_image_: AxesImage | None
    heatmap_: AxesImage

    def __init__(
        self,
        nats: npt.ArrayLike,
        *,
        image: npt.ArrayLike | None = None,
        expected: npt.ArrayLike | None = None,
        scale: tuple[float, float] | None = None,
        title: str | None = None,
    ) -> None:
        self.nats: FloatArray = np.asarray(nats, dtype=np.float64)
        if self.nats.ndim != 2:
            raise DataError(f"the nats of pixels have the shape {self.nats.shape}; (height, width) was expected.")
        self.image, self.expected = (
            None if pixels is None else self._checked(np.asarray(pixels), what)
            for pixels, what in ((image, "image"), (expected, "expected image"))
        )
        self.scale = scale
        self.title = title

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None, *, row: int = 0, ax: Axes | None = None) -> Self:
        """Explain one image.

        Parameters
        ----------
        estimator : fitted VAEDetector or PatchDetector of images
        X : images
        y : ignored
            For the convention.
        row : int, default=0
            Position of the image in `X`.
        ax : Axes, optional
            Where to draw the nats over the image; by default all three side by side on a new figure.
        """
        detector = behind(estimator)
        is_path = isinstance(X, str | os.PathLike)
        explanation = detector.explain(X if is_path else one_row(X, row))
        return cls.from_explanation(
            explanation, row if is_path else 0, scale=getattr(detector, "map_scale_", None), ax=ax
        )

    @classmethod
    def from_explanation(
        cls,
        explanation: Any,
        row: int = 0,
        *,
        scale: tuple[float, float] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw an image of an explanation.

        Parameters
        ----------
        explanation : ImageExplanation
            What `explain` returns for images.
        row : int, default=0
            Position of the image.
        scale : (float, float), optional
            See the class; the `map_scale_` of the detector draws all images alike.
        ax : Axes, optional
            See `from_estimator`.
        """
        if not hasattr(explanation, "excess"):
            raise SpecificationError("a heat map is for images; ExplanationDisplay draws explanations of tables.")
        if not -len(explanation) <= row < len(explanation):
            raise SpecificationError(f"there is no image {row} among {len(explanation)}; they are counted from 0.")
        nats = explanation.excess[row]
        pixels = explanation.pixels
        image = None if pixels is None else np.moveaxis(pixels[row], 0, -1)
        expected = explanation.reconstruction
        score = float(explanation.score[row])
        side = "above" if score > explanation.threshold else "not above"
        return cls(
            nats,
            image=image,
            expected=None if expected is None else _as_picture(expected[row], nats.shape),
            scale=scale,
            title=f"{score:,.1f} nats, {side} the threshold of {explanation.threshold:,.1f}",
        ).plot(ax=ax)

    def plot(self, ax: Axes | None = None, *, cmap: Any = None) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw the nats over the image; by default all three side by side on a new figure.
        cmap : str or Colormap, optional
            Of the nats; by default that of images in the style in use.

        Returns
        -------
        HeatmapDisplay
            With what was drawn as attributes.
        """
        self.image_ = self.expected_image_ = None
        pictures = self._pictures()
        low, high = self.scale or (0.0, float(np.nanmax(self.nats, initial=0.0)))
        high = high if high > low else low + 1.0
        if ax is not None:
            self.axes_, self.figure_ = (ax,), ax.figure
            if pictures:
                self.image_ = ax.imshow(pictures[0][1], cmap="gray", vmin=0, vmax=1)
                opacity = np.clip((np.nan_to_num(self.nats) - low) / (high - low), 0, 1) * MAX_OPACITY
                self.heatmap_ = ax.imshow(self.nats, cmap=cmap, vmin=low, vmax=high, alpha=opacity)
            else:
                self.heatmap_ = ax.imshow(self.nats, cmap=cmap, vmin=low, vmax=high)
        else:
            self.figure_, self.axes_ = figure_of(len(pictures) + 1)
            for one, (name, picture) in zip(self.axes_, pictures, strict=False):
                drawn = one.imshow(picture, cmap="gray", vmin=0, vmax=1)
                one.set_title(name)
                self.image_, self.expected_image_ = (
                    (drawn, self.expected_image_) if name == "image" else (self.image_, drawn)
                )
            self.heatmap_ = self.axes_[-1].imshow(self.nats, cmap=cmap, vmin=low, vmax=high)
            self.axes_[-1].set_title("nats per pixel")
            self.figure_.colorbar(self.heatmap_, ax=self.axes_[-1], extend="max", shrink=0.8)
            if self.title:
                self.figure_.suptitle(self.title)
        for one in self.axes_:
            one.set(xticks=[], yticks=[])
        self.ax_ = self.axes_[-1]
        return self

    def _checked(self, pixels: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
        if pixels.shape[:2] != self.nats.shape or pixels.ndim not in (2, 3):
            raise DataError(
                f"the {what} has the shape {pixels.shape}; {self.nats.shape} was expected, with a third axis of "
                "channels or without."
            )
        return pixels

    def _pictures(self) -> list[tuple[str, FloatArray]]:
        """Image and expected image on one scale from 0 to 1, grey or red, green and blue."""
        given = {"image": self.image, "expected": self.expected}
        there = {name: pixels for name, pixels in given.items() if pixels is not None}
        finite = [pixels[np.isfinite(pixels)] for pixels in there.values()]
        known = np.concatenate(finite).astype(np.float64) if finite else np.empty(0)
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        room = (high - low) or 1.0
        return [(name, _shown((pixels.astype(np.float64) - low) / room)) for name, pixels in there.items()]


def _shown(pixels: FloatArray) -> FloatArray:
    """What matplotlib draws: grey levels, or three colours; the mean of other channels."""
    clipped: FloatArray = np.clip(pixels, 0, 1)
    if clipped.ndim == 2:
        return clipped
    if clipped.shape[2] == 3:
        return np.nan_to_num(clipped)
    mean: FloatArray = clipped.mean(axis=2)
    return mean


def _as_picture(pixels: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any] | None:
    """An image in any layout that images come in; None of flat rows with channels, whose order these do not tell."""
    if pixels.shape[:2] == shape:
        return pixels
    if pixels.ndim == 3 and pixels.shape[1:] == shape:
        return np.moveaxis(pixels, 0, -1)
    return pixels.reshape(shape) if pixels.size == shape[0] * shape[1] else None
