"""What earlier format versions call otherwise, brought to the names of this version."""

from __future__ import annotations

from typing import Any

from torch import Tensor

# Of the manifest and of its columns, up to format version 4.
RENAMED_KEYS = {
    "pictures": "images",
    "n_training_pictures": "n_training_images",
    "smallest_log_variance": "min_log_variance",
}
RENAMED_COLUMN_FIELDS = {"bend": "asinh_scale"}
RENAMED_TENSORS = {"yardstick": "reference_statistics"}


def upgraded_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest of any readable format version, with the names of this version.

    Its ``format_version`` stays that of the file.

    Parameters
    ----------
    manifest : dict
        As it stands in the file.
    """
    if manifest["format_version"] > 4:
        return manifest
    renamed = _renamed(manifest, RENAMED_KEYS)
    renamed["columns"] = [_upgraded_column(column) for column in renamed["columns"]]
    if "windows" in renamed:
        renamed["windows"] = [
            window | {"columns": [_upgraded_column(column) for column in window["columns"]]}
            for window in renamed["windows"]
        ]
    return renamed


def upgraded_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of any readable format version under the names of this version."""
    return _renamed(tensors, RENAMED_TENSORS)


def _upgraded_column(column: dict[str, Any]) -> dict[str, Any]:
    renamed = _renamed(column, RENAMED_COLUMN_FIELDS)
    return renamed | {"parts": [_upgraded_column(part) for part in column.get("parts", ())]}


def _renamed(fields: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}
