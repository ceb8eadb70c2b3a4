"""Model files of `FeatureMapDetector`: densities of maps, and which network made the maps, but not its weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from vae_anomaly.data import ColumnRoles, ImageFormat
from vae_anomaly.detectors import (
    FeatureMapDetector,
    MapGroup,
    PositionDensity,
    Smoothness,
    TopTail,
    copied_parameters,
)
from vae_anomaly.networks import Group, Weights
from vae_anomaly.store.decision_files import decisions_tensors, rebuilt_decisions
from vae_anomaly.store.manifest import (
    check_pixels,
    checked_map_scale,
    image_encoder_of,
    images_entry,
    manifest_head,
)
from vae_anomaly.store.models import prefixed, without_prefix
from vae_anomaly.store.sizes import check_images
from vae_anomaly.store.values import decode, decode_column, encode_column

KIND = "feature_maps"
# Earlier versions read up to 11, and models of groups up to 12.
FEATURES_FORMAT_VERSION = 13
FORMAT_FIELDS = ("height", "width", "channels", "depth")


def feature_map_manifest(detector: FeatureMapDetector) -> dict[str, Any]:
    """What a model file says of a fitted detector, ready for JSON."""
    encoder, weights = detector.encoder_, detector.network_weights_
    images = images_entry(encoder, detector.map_scale_)
    parameters, roles = detector.fitted_parameters_, detector.column_roles_
    return {
        **manifest_head(KIND, parameters, detector.n_features_in_, detector.decisions_, images, roles),
        "format_version": FEATURES_FORMAT_VERSION,
        "n_training_images": detector.n_images_,
        "columns": [encode_column(column) for column in encoder.columns],
        "image_format": {name: getattr(detector.own_format_, name) for name in FORMAT_FIELDS},
        "network_weights": None if weights is None else dataclasses.asdict(weights),
        "groups": [
            {
                **dataclasses.asdict(group.group),
                **dataclasses.asdict(group.smoothness),
                **dataclasses.asdict(group.tail),
            }
            for group in detector.groups_
        ],
    }


def feature_map_tensors(detector: FeatureMapDetector) -> dict[str, Tensor]:
    """The densities; of triangular matrices the half that is not zero."""
    tensors: dict[str, Tensor] = {}
    for number, group in enumerate(detector.groups_):
        density = group.density
        lines, columns = _triangle(density.means.shape[1])
        held = {
            "means": density.means,
            "whitening": density.whitening[:, lines, columns],
            "log_volumes": density.log_volumes,
            "exemplars": density.exemplars,
            "expected": group.expected,
        }
        tensors |= prefixed({name: tensor.contiguous() for name, tensor in held.items()}, f"{number}.")
    return tensors | decisions_tensors(detector.decisions_)


def rebuilt_feature_maps(
    manifest: dict[str, Any], tensors: dict[str, Tensor], device: torch.device
) -> FeatureMapDetector:
    """The detector that a manifest and tensors describe.

    Raises
    ------
    LookupError, TypeError, ValueError, RuntimeError, AttributeError or ArithmeticError
        If they do not agree.
    """
    detector = FeatureMapDetector(**{name: decode(value) for name, value in manifest["parameters"].items()})
    if detector.network is not None:
        detector._validate_params()
    columns = tuple(decode_column(entry) for entry in manifest["columns"])
    check_pixels(manifest, columns)
    check_images(manifest["images"]["height"], manifest["images"]["width"], len(columns))
    detector.encoder_ = image_encoder_of(manifest["images"], columns)
    detector.own_format_ = ImageFormat(**manifest["image_format"])
    detector.decisions_ = rebuilt_decisions(manifest["decisions"], tensors)
    detector.map_scale_ = checked_map_scale(manifest["images"])
    weights = manifest["network_weights"]
    detector.network_weights_ = None if weights is None else Weights(**weights)
    detector.groups_ = tuple(
        _rebuilt_group(entry, without_prefix(tensors, f"{number}.")) for number, entry in enumerate(manifest["groups"])
    )
    if not any(group.group.scores for group in detector.groups_):
        raise ValueError("no group of maps scores")
    detector.fitted_parameters_ = copied_parameters(detector)
    detector.set_params(device=device.type)
    detector.n_features_in_ = int(manifest["n_features"])
    detector.column_roles_ = ColumnRoles.of(manifest["column_roles"])
    detector.n_images_ = int(manifest["n_training_images"])
    return detector


def _rebuilt_group(entry: dict[str, Any], tensors: dict[str, Tensor]) -> MapGroup:
    means, exemplars, expected = tensors["means"], tensors["exemplars"], tensors["expected"]
    n_positions, n_features = means.shape
    wanted = {
        "whitening": (n_positions, n_features * (n_features + 1) // 2),
        "log_volumes": (n_positions,),
        "exemplars": (n_positions, exemplars.shape[1], n_features),
    }
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} of a group of maps holds other numbers than finite ones of four bytes")
        if name in wanted and tensor.shape != wanted[name]:
            raise ValueError(f"{name} of a group of maps has shape {tuple(tensor.shape)}, expected {wanted[name]}")
    if expected.dim() != 2 or expected.numel() != n_positions or not exemplars.shape[1]:
        raise ValueError(f"a group of maps has {n_positions} positions and expected nats of {tuple(expected.shape)}")
    lines, columns = _triangle(n_features)
    whitening = torch.zeros(n_positions, n_features, n_features)
    whitening[:, lines, columns] = tensors["whitening"]
    smoothness = Smoothness(float(entry["shared"]), float(entry["squared_width"]))
    density = PositionDensity(
        means.clone(), whitening, tensors["log_volumes"].clone(), exemplars.clone(), smoothness.squared_width
    )
    group = Group(tuple(int(number) for number in entry["maps"]), bool(entry["scores"]), bool(entry["locates"]))
    return MapGroup(group, density, smoothness, expected.clone(), TopTail(entry["location"], entry["scale"]))


def _triangle(n_features: int) -> tuple[Tensor, Tensor]:
    lines, columns = torch.tril_indices(n_features, n_features)
    return lines, columns
