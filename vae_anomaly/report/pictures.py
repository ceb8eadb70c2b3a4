"""Images and their heat maps as data that a page holds itself."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vae_anomaly.data import FloatArray
from vae_anomaly.report.blocks import Picture

MAX_SIDE, MIN_SIDE = 192, 96
QUALITY = 80
# The middle of a perceptually uniform map: from violet over red to yellow, none of which is a grey of the image.
HEAT = np.array([[66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]], dtype=np.float64)


def picture_of(
    image: npt.NDArray[Any],
    excess: FloatArray,
    scale: tuple[float, float],
    *,
    name: str,
    score: float,
    is_flagged: bool,
) -> Picture:
    """Return an image with its heat map, both of bounded size; see `ReportBuilder.show`."""
    shown = _sized(Image.fromarray(_levels(image)))
    low, high = scale
    width = high - low
    shares = np.clip((np.nan_to_num(excess, nan=low) - low) / (width if width > 0 else 1.0), 0, 1)
    heat = (
        np.asarray(Image.fromarray((255 * shares).astype(np.uint8)).resize(shown.size, Image.Resampling.BILINEAR)) / 255
    )
    places = np.linspace(0, 1, len(HEAT))
    colours = np.stack([np.interp(heat, places, HEAT[:, channel]) for channel in range(3)], axis=-1)
    opacity = np.sqrt(heat)[..., None]
    grey = np.asarray(shown.convert("L"), dtype=np.float64)[..., None]
    heated = Image.fromarray(np.rint(grey * (1 - opacity) + colours * opacity).astype(np.uint8))
    return Picture(name, score, is_flagged, _address(shown), _address(heated))


def _levels(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Levels of shape (height, width, 3), 8 bits; of other depths from the darkest to the brightest."""
    pixels = np.asarray(image, dtype=np.float64)
    low, high = 0.0, 255.0
    if image.dtype != np.uint8 or pixels.max(initial=0.0) <= 1:
        low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
    shares = np.clip((np.nan_to_num(pixels, nan=low) - low) / (high - low if high > low else 1.0), 0, 1)
    levels = np.rint(255 * shares).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels, (3, *levels.shape[1:])).transpose(1, 2, 0))


def _sized(image: Image.Image) -> Image.Image:
    """Shrunk to the largest side, or enlarged by a whole number."""
    side = max(image.size)
    if side > MAX_SIDE:
        image.thumbnail((MAX_SIDE, MAX_SIDE))
        return image
    factor = max(-(-MIN_SIDE // side), 1)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _address(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
