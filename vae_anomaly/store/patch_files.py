"""Model files of `PatchDetector`: one model of windows or several."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from vae_anomaly.data import ColumnRoles
from vae_anomaly.decisions import NO_THRESHOLD
from vae_anomaly.detectors import (
    WHOLE,
    WINDOW_ACTIVATION,
    MapReduction,
    PatchDetector,
    PositionLevels,
    WindowEncoder,
    WindowModel,
    Windows,
    copied_parameters,
)
from vae_anomaly.model import StandardNormal
from vae_anomaly.store.decision_files import decisions_tensors, rebuilt_decisions
from vae_anomaly.store.manifest import (
    check_pixels,
    checked_map_scale,
    image_encoder_of,
    images_entry,
    manifest_head,
)
from vae_anomaly.store.models import (
    check_sizes,
    model_entry,
    model_tensors,
    prefixed,
    rebuilt_model,
    without_prefix,
)
from vae_anomaly.store.sizes import check_images, check_windows
from vae_anomaly.store.values import decode, decode_column, encode_column

KIND = "patches"
LEVELS = "levels.factor"


def patch_manifest(detector: PatchDetector) -> dict[str, Any]:
    """What a model file says of a fitted detector, ready for JSON."""
    encoder = detector.encoder_
    windows = [
        {
            **dataclasses.asdict(window.windows),
            "stride": window.stride,
            **model_entry(window.model, WINDOW_ACTIVATION, StandardNormal()),
        }
        for window in detector.models_
    ]
    images = images_entry(encoder, detector.map_scale_)
    parameters, roles = detector.fitted_parameters_, detector.column_roles_
    return {
        **manifest_head(KIND, parameters, detector.n_features_in_, detector.decisions_, images, roles),
        "n_training_images": detector.n_images_,
        "columns": [encode_column(column) for column in encoder.columns],
        "windows": windows,
        "map_reduction": dataclasses.asdict(detector.reduction_),
        "by_position": detector.levels_ is not None,
        "fit_report": windows[-1]["fit_report"],
        "history": windows[-1]["history"],
    }


def patch_tensors(detector: PatchDetector) -> dict[str, Tensor]:
    """Weights and noise of every model, and the weights of positions."""
    tensors: dict[str, Tensor] = {}
    for number, window in enumerate(detector.models_):
        tensors |= prefixed(model_tensors(window.model), f"{number}.")
    if detector.levels_ is not None:
        tensors[LEVELS] = torch.from_numpy(detector.levels_.factor.copy())
    return tensors | decisions_tensors(detector.decisions_)


def rebuilt_patches(manifest: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> PatchDetector:
    """The detector that a manifest and tensors describe.

    Raises
    ------
    LookupError, TypeError, ValueError, RuntimeError, AttributeError or ArithmeticError
        If they do not agree.
    """
    detector = PatchDetector(**{name: decode(value) for name, value in manifest["parameters"].items()})
    detector._validate_params()
    columns = tuple(decode_column(entry) for entry in manifest["columns"])
    check_pixels(manifest, columns)
    check_images(manifest["images"]["height"], manifest["images"]["width"], len(columns))
    detector.encoder_ = image_encoder_of(manifest["images"], columns)
    detector.decisions_ = rebuilt_decisions(manifest["decisions"], tensors)
    detector.map_scale_ = checked_map_scale(manifest["images"])
    if not manifest["windows"]:
        raise ValueError("there are no windows")
    shape, with_kl = detector.encoder_.shape, detector.model == WHOLE
    detector.models_ = tuple(
        _rebuilt_window(entry, without_prefix(tensors, f"{number}."), shape, device, with_kl=with_kl)
        for number, entry in enumerate(manifest["windows"])
    )
    detector.levels_ = None
    if manifest["by_position"]:
        factor = tensors[LEVELS]
        if factor.shape != detector.encoder_.grid or not bool(((factor > 0) & factor.isfinite()).all()):
            raise ValueError(f"the weights of positions have shape {tuple(factor.shape)}")
        detector.levels_ = PositionLevels(factor.double().numpy().copy())
    detector.reduction_ = MapReduction(**manifest["map_reduction"])
    detector.fitted_parameters_ = copied_parameters(detector)
    detector.n_features_in_ = int(manifest["n_features"])
    detector.column_roles_ = ColumnRoles.of(manifest["column_roles"])
    detector.n_images_ = int(manifest["n_training_images"])
    return detector


def _rebuilt_window(
    entry: dict[str, Any],
    tensors: dict[str, Tensor],
    shape: tuple[int, int, int],
    device: torch.device,
    *,
    with_kl: bool,
) -> WindowModel:
    windows = Windows(*(int(entry[name]) for name in ("target", "near", "far", "cell")))
    columns = tuple(decode_column(column) for column in entry["columns"])
    check_windows(windows, entry["stride"], columns, shape)
    check_sizes(entry, tensors, columns)
    encoder = WindowEncoder(columns, windows)
    model = rebuilt_model(entry, tensors, encoder, device, decisions=NO_THRESHOLD, map_scale=None)
    return WindowModel(model, int(entry["stride"]), with_kl)
