"""The first rows or images of a fit, for callbacks that show some."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from vae_anomaly.data import arranged, as_array, is_images, is_pillow_images, list_images, open_images, read_arrays


def is_of_images(detector: Any) -> bool:
    """Whether a fitted detector takes images."""
    return bool(detector.encoder_.takes_images)


def first_rows(X: Any, n_rows: int) -> Any:
    """The first rows of a table, in the kind of container that it came in."""
    if isinstance(X, pd.DataFrame):
        return X.iloc[:n_rows]
    if isinstance(X, Mapping):
        return {name: column[:n_rows] for name, column in X.items()}
    # Of the formats of sparse matrices few can be cut.
    return X.tocsr()[:n_rows] if hasattr(X, "tocsr") else X[:n_rows]


def as_frame(rows: Any) -> pd.DataFrame:
    """Rows of any container, to read cells from."""
    return pd.DataFrame(rows.toarray() if hasattr(rows, "toarray") else rows)


def first_images(detector: Any, X: Any, n_images: int) -> tuple[Any, npt.NDArray[Any]]:
    """The first images, as the detector takes them, and their pixels: (images, channels, height, width)."""
    if isinstance(X, str | os.PathLike) or (len(X) and isinstance(X[0], str | os.PathLike)):
        paths = list_images(X)[:n_images]
        images, _ = open_images(paths, image_format=detector.image_format_)[0].load()
        given = arranged(images.pixels, channels_last=images.channels_last, channel_axis=images.channel_axis)
        return given, images.pixels
    given = X[:n_images]
    if is_pillow_images(given):
        given = np.stack([np.asarray(one) for one in given])
    shape = None if is_images(given) else detector.image_shape
    return given, read_arrays(as_array(given), shape).pixels
