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
# Likelihoods that wrap another one had a class for each pair.
WRAPPED_LIKELIHOODS: dict[str, tuple[tuple[str, ...], str]] = {
    "rounded_student_t": (("rounded",), "student_t"),
    "bounded_student_t": (("bounded",), "student_t"),
    "spiked_student_t": (("spiked",), "student_t"),
    "spiked_rounded_student_t": (("spiked", "rounded"), "student_t"),
    "spiked_bounded_student_t": (("spiked", "bounded"), "student_t"),
    "predicted": (("output_only",), "gaussian"),
    "given": ((), "input_only"),
}
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
    renamed = {name: _upgraded_likelihoods(value) for name, value in _renamed(manifest, RENAMED_KEYS).items()}
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


def _upgraded_likelihoods(value: Any) -> Any:
    """A part of the manifest in which every likelihood that wraps another one says so."""
    if isinstance(value, list):
        return [_upgraded_likelihoods(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("concept") == "likelihood" and value.get("name") in WRAPPED_LIKELIHOODS:
        wrappers, base = WRAPPED_LIKELIHOODS[value["name"]]
        upgraded = value | {"name": base}
        for wrapper in reversed(wrappers):
            upgraded = {"concept": "likelihood", "name": wrapper, "fields": {"base": upgraded}}
        return upgraded
    return {name: _upgraded_likelihoods(item) for name, item in value.items()}


def _upgraded_column(column: dict[str, Any]) -> dict[str, Any]:
    renamed = _renamed(column, RENAMED_COLUMN_FIELDS)
    return renamed | {"parts": [_upgraded_column(part) for part in column.get("parts", ())]}


def _renamed(fields: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}
