"""What the manifests of all kinds of detectors have in common."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from vae_anomaly.columns import Column, ImageEncoder
from vae_anomaly.data import ColumnRoles
from vae_anomaly.decisions import Decisions
from vae_anomaly.store.decision_files import decisions_entry
from vae_anomaly.store.values import encode
from vae_anomaly.version import __version__

FORMAT_VERSION = 11
# Parameters that say who watches a fit and where it is computed, and nothing of what was learned.
NOT_STORED = ("callbacks", "n_jobs")
IMAGE_FIELDS = ("height", "width", "channels_last", "channel_axis", "depth")


def manifest_head(
    kind: str,
    parameters: Mapping[str, Any],
    n_features: int,
    decisions: Decisions,
    images: dict[str, Any] | None,
    roles: ColumnRoles,
) -> dict[str, Any]:
    """What a manifest says first.

    Parameters
    ----------
    kind : str
        Of detector.
    parameters : dict
        Of the fit.
    n_features : int
        Columns or pixels per row.
    decisions : Decisions
        Of the detector.
    images : dict or None
        See `images_entry`.
    roles : ColumnRoles
        Columns that are no features.

    Raises
    ------
    SpecificationError
        If the threshold is not finite.
    """
    encoded = {name: encode(value) for name, value in parameters.items() if name not in NOT_STORED}
    return {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "library_version": __version__,
        "parameters": encoded,
        "n_features": n_features,
        "contamination": encoded["contamination"],
        "offset": -decisions.threshold.score,
        "decisions": decisions_entry(decisions),
        "images": images,
        "column_roles": dataclasses.asdict(roles),
    }


def images_entry(encoder: ImageEncoder, map_scale: tuple[float, float]) -> dict[str, Any]:
    """Size and layout of images, and how maps of them are coloured."""
    return {name: getattr(encoder, name) for name in IMAGE_FIELDS} | {"map_scale": list(map_scale)}


def image_encoder_of(images: Mapping[str, Any], columns: tuple[Column, ...]) -> ImageEncoder:
    """The encoder that `images_entry` was made from."""
    return ImageEncoder(columns, **{name: images[name] for name in IMAGE_FIELDS})


def checked_map_scale(images: Mapping[str, Any]) -> tuple[float, float]:
    """How maps are coloured, if that is finite."""
    low, high = (float(nats) for nats in images["map_scale"])
    if not math.isfinite(low) or not math.isfinite(high):
        raise ValueError("the scale of maps is not finite")
    return low, high


def modelled_parts(columns: Sequence[Column]) -> list[Column]:
    """The columns that are modelled, each followed by its parts."""
    return [part for column in columns for part in column.modelled]


def check_pixels(manifest: Mapping[str, Any], columns: tuple[Column, ...]) -> None:
    """Refuse sizes of images, or of rows of a table, that the columns do not have."""
    images = manifest["images"]
    size = (1, 1) if images is None else (images["height"], images["width"])
    if not all(isinstance(side, int) and side >= 1 for side in size):
        raise ValueError(f"images of {size[0]!r} x {size[1]!r} pixels")
    n_cells = math.prod(size)
    wrong = any(part.n_cells != n_cells for part in modelled_parts(columns))
    if len(columns) * n_cells != manifest["n_features"] or wrong:
        raise ValueError("the number of columns or pixels is wrong")
