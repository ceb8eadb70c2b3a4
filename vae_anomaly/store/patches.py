"""Model files of detectors of small odd spots: one model of windows or several."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import math
from typing import Any

import torch
from torch import Tensor

from vae_anomaly.columns import Column, ImageEncoder
from vae_anomaly.detectors import WHOLE, PositionLevels, Reading, WindowEncoder, WindowModel, Windows, specification_of
from vae_anomaly.detectors.patch import PatchDetector
from vae_anomaly.fitting import FitReport
from vae_anomaly.model import VAE, History
from vae_anomaly.store.manifest import (
    FORMAT_VERSION,
    IMAGE_FIELDS,
    decode,
    decode_column,
    encode,
    encode_column,
    finite,
)
from vae_anomaly.version import __version__

KIND = "patches"
LEVELS = "levels.factor"


def patch_tensors(detector: PatchDetector) -> dict[str, Tensor]:
    """Weights and noise of every model, and the weights of places."""
    tensors: dict[str, Tensor] = {}
    for number, model in enumerate(detector.models_):
        tensors |= {f"{number}.{name}": part.cpu().contiguous() for name, part in model.vae.state_dict().items()}
        tensors[f"{number}.noise"] = model.noise.cpu().contiguous()
    if detector.levels_ is not None:
        tensors[LEVELS] = torch.from_numpy(detector.levels_.factor.copy())
    return tensors


def patch_manifest(detector: PatchDetector) -> dict[str, Any]:
    """What a model file says of a fitted detector, ready for JSON."""
    encoder = detector.encoder_
    parameters = {name: encode(value) for name, value in detector.get_params(deep=False).items()}
    return {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "library_version": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "parameters": parameters,
        "columns": [encode_column(column) for column in encoder.columns],
        "windows": [
            {
                **dataclasses.asdict(model.encoder.windows),
                "stride": model.stride,
                "columns": [encode_column(column) for column in model.encoder.columns],
                "latent_dim": model.vae.latent_dim,
                "hidden_layer_sizes": list(model.vae.hidden_layer_sizes),
                "n_members": model.vae.n_members,
                "n_draws": model.noise.shape[1],
            }
            for model in detector.models_
        ],
        "n_features": detector.n_features_in_,
        "n_training_images": detector.n_images_,
        "contamination": parameters["contamination"],
        "offset": detector.offset_,
        "images": {name: getattr(encoder, name) for name in IMAGE_FIELDS} | {"map_scale": list(detector.map_scale_)},
        "reading": dataclasses.asdict(detector.reading_),
        "by_position": detector.levels_ is not None,
        "fit_report": finite(dataclasses.asdict(detector.fit_report_)),
        "history": finite(dataclasses.asdict(detector.history_)),
    }


def rebuild_patches(manifest: dict[str, Any], tensors: dict[str, Tensor], place: torch.device) -> PatchDetector:
    """The detector that a manifest and tensors describe.

    Raises
    ------
    LookupError, TypeError, ValueError, RuntimeError, AttributeError or ArithmeticError
        If they do not agree.
    """
    detector = PatchDetector(**{name: decode(value) for name, value in manifest["parameters"].items()})
    detector._validate_params()
    images = manifest["images"]
    columns = tuple(decode_column(entry) for entry in manifest["columns"])
    detector.encoder_ = ImageEncoder(columns, **{name: images[name] for name in IMAGE_FIELDS})
    n_pixels = detector.encoder_.height * detector.encoder_.width
    if len(columns) * n_pixels != manifest["n_features"] or any(column.n_cells != n_pixels for column in columns):
        raise ValueError("the number of pixels is wrong")
    low, high = (float(nats) for nats in images["map_scale"])
    if not all(map(math.isfinite, (low, high, manifest["offset"]))):
        raise ValueError("the offset or the scale of maps is not finite")
    if not manifest["windows"]:
        raise ValueError("there are no windows")
    detector.models_ = tuple(
        _model(number, entry, tensors, detector, place) for number, entry in enumerate(manifest["windows"])
    )
    detector.levels_ = None
    if manifest["by_position"]:
        factor = tensors[LEVELS]
        if factor.shape != detector.encoder_.grid or not bool((factor > 0).all()):
            raise ValueError(f"the weights of places have shape {tuple(factor.shape)}")
        detector.levels_ = PositionLevels(factor.double().numpy().copy())
    detector.offset_, detector.map_scale_ = float(manifest["offset"]), (low, high)
    detector.reading_ = Reading(**manifest["reading"])
    detector.history_ = History(**manifest["history"])
    detector.fit_report_ = FitReport(**manifest["fit_report"])
    detector.n_features_in_ = int(manifest["n_features"])
    detector.n_images_ = int(manifest["n_training_images"])
    return detector


def _model(
    number: int, entry: dict[str, Any], tensors: dict[str, Tensor], detector: PatchDetector, place: torch.device
) -> WindowModel:
    held = {
        name.removeprefix(f"{number}."): tensor for name, tensor in tensors.items() if name.startswith(f"{number}.")
    }
    noise = held.pop("noise")
    windows = Windows(*(int(entry[name]) for name in ("target", "near", "far", "cell")))
    columns = tuple(decode_column(column) for column in entry["columns"])
    _check(entry, held, noise, windows, columns, len(detector.encoder_.columns))
    encoder = WindowEncoder(columns, windows)
    specification = specification_of(detector)
    assert specification.backbone is not None
    vae = VAE(
        columns,
        latent_dim=entry["latent_dim"],
        n_members=entry["n_members"],
        backbone=specification.backbone,
        hidden_layer_sizes=entry["hidden_layer_sizes"],
        activation=specification.activation,
        mask_input=False,
        generator=torch.Generator().manual_seed(0),
    )
    vae.load_state_dict(held)
    vae = vae.requires_grad_(False).eval().to(place)
    return WindowModel(vae, noise.clone().to(place), encoder, int(entry["stride"]), detector.model == WHOLE)


def _check(
    entry: dict[str, Any],
    held: dict[str, Tensor],
    noise: Tensor,
    windows: Windows,
    columns: tuple[Column, ...],
    n_channels: int,
) -> None:
    """Compare sizes with those in the file, before anything of that size is made."""
    shape = (int(entry["n_members"]), int(entry["n_draws"]), 1, int(entry["latent_dim"]))
    if noise.dtype != torch.float32 or noise.shape != shape or min(shape) < 1:
        raise ValueError(f"the noise has shape {tuple(noise.shape)}, the manifest says {shape}")
    n_floor = held["floor"].numel()
    if not 1 <= windows.target <= windows.near <= windows.far or windows.target**2 > n_floor or windows.cell < 1:
        raise ValueError(f"windows of {windows} for {n_floor} numbers")
    wanted = [windows.n_target] * n_channels + ([windows.n_given] * n_channels if windows.n_given else [])
    if [column.n_cells for column in columns] != wanted or sum(wanted) != n_floor or int(entry["stride"]) < 1:
        raise ValueError("the columns of windows do not fit their squares")
    sizes = [1, *(int(size) for size in entry["hidden_layer_sizes"]), 2 * shape[3]]
    asked = shape[0] * sum(a * b for a, b in itertools.pairwise(sizes))
    if min(sizes) < 1 or asked > sum(tensor.numel() for tensor in held.values()):
        raise ValueError(f"the manifest asks for {asked} weights")
