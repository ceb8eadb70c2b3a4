"""What earlier format versions name or arrange otherwise, brought to this version."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vae_anomaly.data import ColumnRoles
from vae_anomaly.decisions import MIN_DEVIATION
from vae_anomaly.detectors import WINDOW_ACTIVATION, TrainingPlan
from vae_anomaly.scores import PooledELBO, Score, resolve_score
from vae_anomaly.store import patch_files, row_files
from vae_anomaly.store.models import NOISE, WEIGHTS
from vae_anomaly.store.patch_files import LEVELS
from vae_anomaly.store.values import TRAINING, decode

# Of the manifest and of its columns, up to format version 4.
RENAMED_KEYS = {
    "pictures": "images",
    "n_training_pictures": "n_training_images",
    "smallest_log_variance": "min_log_variance",
    "reading": "map_reduction",
}
RENAMED_COLUMN_FIELDS = {"bend": "asinh_scale"}
COMPONENTS_BEFORE_VERSION_10 = {"n_exemplars": "n_components"}
RENAMED_REPORT_FIELDS = {"n_rows_a_member": "n_rows_per_member"}
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
POOLED_BY_THE_MEAN = {"sharpness": 0.0, "kernels": 0.0}
MISSING_COSTS_BEFORE_VERSION_9 = f"{WEIGHTS}missing_costs."
MIN_LOG_VARIANCE, MIN_LOG_VARIANCE_BEFORE_VERSION_3 = -6.0, -14.0


def upgraded_manifest(manifest: dict[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The manifest of any readable format version, as this version writes it.

    Its ``format_version`` stays that of the file.

    Parameters
    ----------
    manifest : dict
        As it stands in the file.
    shapes : dict
        Of the tensors in the file, by their names there.
    """
    version = manifest["format_version"]
    if version > 9:
        return manifest
    upgraded = _with_components(manifest if version > 4 else _before_version_5(manifest, shapes))
    if version > 8:
        return upgraded
    upgraded = _without_kernels(_with_fields_of_pool(upgraded, POOLED_BY_THE_MEAN))
    if version > 6:
        return upgraded
    upgraded = _with_fields_of_pool(upgraded, {"missing": "ignored"})
    if version < 6:
        upgraded = upgraded | {"decisions": _decisions_before_version_6(upgraded)}
    return upgraded | {"column_roles": dataclasses.asdict(ColumnRoles())}


def _with_components(manifest: dict[str, Any]) -> dict[str, Any]:
    """All components of priors were exemplars."""
    if manifest.get("kind") == patch_files.KIND:
        windows = [_renamed(window, COMPONENTS_BEFORE_VERSION_10) for window in manifest["windows"]]
        return manifest | {"windows": windows}
    return _renamed(manifest, COMPONENTS_BEFORE_VERSION_10)


def _before_version_5(manifest: dict[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    renamed = {name: _upgraded_likelihoods(value) for name, value in _renamed(manifest, RENAMED_KEYS).items()}
    renamed["columns"] = [_upgraded_column(column) for column in renamed["columns"]]
    renamed["fit_report"] = _renamed(renamed["fit_report"], RENAMED_REPORT_FIELDS)
    if renamed.get("kind") == patch_files.KIND:
        return renamed | {"windows": [_upgraded_window(window, renamed) for window in renamed["windows"]]}
    parameters = _with_training_plan(renamed["parameters"])
    upgraded = {
        "images": None,
        "min_log_variance": MIN_LOG_VARIANCE_BEFORE_VERSION_3,
        "activation": parameters["activation"],
        "prior": parameters["prior"],
        **renamed,
        "kind": row_files.KIND,
        "parameters": parameters,
    }
    return upgraded if "n_members" in upgraded else upgraded | _sizes_before_version_4(parameters, shapes)


def upgraded_tensors(tensors: dict[str, Tensor], manifest: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors of any readable format version under the names of this version; the manifest is upgraded."""
    if manifest["format_version"] > 8:
        return tensors
    if manifest["kind"] == patch_files.KIND:
        older = manifest["format_version"] <= 4
        return {_upgraded_window_tensor(name): tensor for name, tensor in tensors.items()} if older else tensors
    if manifest["format_version"] <= 4:
        tensors = _renamed(tensors, RENAMED_TENSORS)
    return _with_experts(tensors, resolve_score(decode(manifest["score"])))


def _with_experts(tensors: dict[str, Tensor], score: Score) -> dict[str, Tensor]:
    """Up to format version 8, a member's pool as a whole charged for missing cells, and not each expert."""
    charged = [f"{MISSING_COSTS_BEFORE_VERSION_9}{name}" for name in ("cells", "combination")]
    if not isinstance(score, PooledELBO) or charged[0] not in tensors:
        return tensors
    upgraded = {name: tensor for name, tensor in tensors.items() if name not in charged}
    of_members, *others = score.weights
    for name in charged:
        costs = tensors[name] / of_members
        upgraded[name.replace("missing_costs", "experts")] = torch.cat(
            [costs, costs.new_zeros(len(others), *costs.shape[1:])]
        )
    n_experts = len(tensors[charged[0]]) + len(others)
    return upgraded | {f"{WEIGHTS}experts.medians": torch.zeros(n_experts, dtype=torch.float64)}


def _with_fields_of_pool(manifest: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Scores that pool have these fields; by name or "auto", a score is the one of this version."""
    parameters = {name: _with_fields(value, fields) for name, value in manifest["parameters"].items()}
    upgraded = manifest | {"parameters": parameters}
    if "score" in upgraded:
        upgraded["score"] = _with_fields(upgraded["score"], fields)
    if "windows" in upgraded:
        upgraded["windows"] = [
            window | {"score": _with_fields(window["score"], fields)} for window in upgraded["windows"]
        ]
    return upgraded


def _without_kernels(manifest: dict[str, Any]) -> dict[str, Any]:
    """Models that have no kernels at training rows, and say so."""
    if "windows" in manifest:
        return manifest | {"windows": [window | {"n_kernels": 0} for window in manifest["windows"]]}
    return manifest | {"n_kernels": 0}


def _with_fields(value: Any, fields: Mapping[str, Any]) -> Any:
    """A score that pools, with further fields; any other value as it is."""
    if not isinstance(value, dict) or (value.get("concept"), value.get("name")) != ("score", "pooled_elbo"):
        return value
    return value | {"fields": value["fields"] | fields}


def _decisions_before_version_6(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A threshold by training rows, and no calibration."""
    contamination: Any = manifest["parameters"]["contamination"]
    parameters: dict[str, float] = {}
    if not isinstance(contamination, str):
        rule, parameters = "contamination", {"contamination": float(contamination)}
    elif manifest["kind"] == patch_files.KIND:
        rule, parameters = "auto", {"min_deviation": MIN_DEVIATION / manifest["map_reduction"]["top_pixels"]}
    elif resolve_score(decode(manifest["score"])).fixed_offset is not None:
        rule = "fixed"
    else:
        rule, parameters = "auto", {"min_deviation": MIN_DEVIATION}
    threshold = {"score": -float(manifest["offset"]), "rule": rule, "parameters": parameters}
    return {
        "threshold": threshold,
        "calibration": None,
        "n_trained": 0,
        "repeated_share": 0.0,
        "columns": [],
        "stream": None,
    }


def _with_training_plan(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters, those that are now in `TrainingPlan` in one; none where they have its defaults."""
    # What is None by now was 0.
    defaults = TrainingPlan().get_params() | {"trim_fraction": 0.0}
    given = {name: value for name, value in parameters.items() if name in defaults}
    rest = {name: value for name, value in parameters.items() if name not in defaults}
    differs = any(value != defaults[name] for name, value in given.items())
    return rest | {"training": {"concept": TRAINING, "fields": given} if differs else None}


def _sizes_before_version_4(parameters: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """No parameter was automatic, and scores that went by their name had as many draws as there is noise."""
    score = parameters["row_score"]
    if isinstance(score, str):
        score = {"concept": "score", "name": score, "fields": {"n_draws": shapes[NOISE][1]}}
    return {
        "n_members": parameters["n_estimators"],
        "backbone": parameters["backbone"],
        "hidden_layer_sizes": parameters["hidden_layer_sizes"],
        "score": score,
    }


def _upgraded_window(window: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a model of windows, with what went without saying."""
    score = "reconstruction" if manifest["parameters"]["model"] == "masked" else "elbo"
    return {
        **window,
        "columns": [_upgraded_column(column) for column in window["columns"]],
        "backbone": {"concept": "backbone", "name": "mlp", "fields": {"skip_connection": False}},
        "activation": WINDOW_ACTIVATION,
        "mask_input": False,
        "min_log_variance": MIN_LOG_VARIANCE,
        "prior": "standard_normal",
        "n_exemplars": 0,
        "score": {"concept": "score", "name": score, "fields": {"n_draws": window["n_draws"]}},
        # Those of the last model were all that was kept.
        "fit_report": manifest["fit_report"],
        "history": manifest["history"],
    }


def _upgraded_window_tensor(name: str) -> str:
    if name == LEVELS or re.fullmatch(rf"\d+\.{NOISE}", name):
        return name
    number, _, weight = name.partition(".")
    return f"{number}.{WEIGHTS}{weight}"


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


def _renamed(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}
