"""From the words and numbers of a model file to a detector, distrusting them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_anomaly.columns import Column, Encoder, ImageEncoder, TableEncoder
from vae_anomaly.detectors import VAEDetector
from vae_anomaly.explain import Reference
from vae_anomaly.fitting import FitReport
from vae_anomaly.likelihoods import Likelihood
from vae_anomaly.model import VAE, Backbone, Convolutional, History, resolve_backbone, resolve_prior
from vae_anomaly.scores import RelativeScore, Score, resolve_score
from vae_anomaly.store.manifest import IMAGE_FIELDS, decode, decode_column

MIN_LOG_VARIANCE_BEFORE_VERSION_3 = -14.0
NOISE = "noise"
REFERENCE = "reference."
REFERENCE_STATISTICS = "reference_statistics"
WEIGHTS = "vae."


def row_tensors(detector: VAEDetector) -> dict[str, Tensor]:
    """Weights, noise and what rows are compared with."""
    tensors = {WEIGHTS + name: tensor.cpu().contiguous() for name, tensor in detector.vae_.state_dict().items()}
    tensors[NOISE] = detector.noise_.cpu().contiguous()
    if detector.vae_.reference_statistics.numel():
        tensors[REFERENCE_STATISTICS] = detector.vae_.reference_statistics.cpu().contiguous()
    # Explanations of images compare with no training cells.
    explained = isinstance(detector.encoder_, TableEncoder)
    if explained and (detector.reference_ is not None or detector.reference_rows_ is not None):
        reference = detector.compute_reference()
        tensors |= {REFERENCE + field.name: getattr(reference, field.name) for field in dataclasses.fields(reference)}
    return tensors


def rebuild(manifest: dict[str, Any], tensors: dict[str, Tensor], place: torch.device) -> VAEDetector:
    """The detector that a manifest and tensors describe.

    Raises
    ------
    LookupError, TypeError, ValueError, RuntimeError, AttributeError or ArithmeticError
        If they do not agree.
    """
    parameters = {name: decode(value) for name, value in manifest["parameters"].items()}
    detector = VAEDetector(**parameters)
    detector._validate_params()
    columns = tuple(decode_column(entry) for entry in manifest["columns"])
    shape = _shape(manifest, detector, tensors[NOISE])
    _check(manifest, tensors, shape, columns)
    encoder = _encoder(manifest, columns)
    vae = VAE(
        encoder.modelled,
        latent_dim=manifest["latent_dim"],
        n_members=shape.n_members,
        backbone=shape.backbone,
        hidden_layer_sizes=shape.hidden_layer_sizes,
        activation=detector.activation,
        mask_input=manifest["mask_input"],
        generator=torch.Generator().manual_seed(0),
        grid=encoder.grid,
    )
    vae.min_log_variance = float(manifest.get("min_log_variance", MIN_LOG_VARIANCE_BEFORE_VERSION_3))
    prior = resolve_prior(detector.prior)
    vae.prior = prior.empty(shape.n_members, manifest["latent_dim"], manifest["n_exemplars"])
    weights = {name.removeprefix(WEIGHTS): value for name, value in tensors.items() if name.startswith(WEIGHTS)}
    vae.load_state_dict(weights)
    if REFERENCE_STATISTICS in tensors:
        vae.reference_statistics = tensors[REFERENCE_STATISTICS].clone()
    detector.columns_, detector.encoder_ = columns, encoder
    detector.vae_ = vae.requires_grad_(False).eval().to(place)
    # A tensor of the file is a view of it; the detector must not depend on the file any more.
    detector.noise_ = tensors[NOISE].clone().to(place)
    detector.reference_rows_ = None
    detector.reference_ = _reference(tensors, encoder.n_model_columns)
    detector.row_score_ = shape.score
    detector.fitted_parameters_ = detector.get_params(deep=False)
    detector.offset_ = float(manifest["offset"])
    if isinstance(encoder, ImageEncoder):
        low, high = (float(nats) for nats in manifest["images"]["map_scale"])
        detector.map_scale_ = low, high
    detector.history_ = History(**manifest["history"])
    detector.fit_report_ = FitReport(**manifest["fit_report"])
    detector.n_iter_ = detector.fit_report_.n_iter
    detector.n_features_in_ = int(manifest["n_features"])
    if manifest["feature_names"] is not None:
        detector.feature_names_in_ = np.array(manifest["feature_names"], dtype=object)
    return detector


@dataclasses.dataclass(frozen=True)
class _Shape:
    """What automatic parameters stood for in the fit."""

    n_members: int
    backbone: Backbone
    hidden_layer_sizes: tuple[int, ...]
    score: Score


def _shape(manifest: dict[str, Any], detector: VAEDetector, noise: Tensor) -> _Shape:
    """Before format version 4 no parameter was automatic, and scores that went by their name had their draws."""
    if "n_members" not in manifest:
        named = isinstance(detector.row_score, str)
        score = resolve_score(detector.row_score)
        assert detector.n_estimators is not None
        assert detector.hidden_layer_sizes is not None
        return _Shape(
            detector.n_estimators,
            resolve_backbone(detector.backbone),
            tuple(detector.hidden_layer_sizes),
            dataclasses.replace(score, n_draws=noise.shape[1]) if named else score,
        )
    return _Shape(
        int(manifest["n_members"]),
        resolve_backbone(decode(manifest["backbone"])),
        tuple(int(size) for size in manifest["hidden_layer_sizes"]),
        resolve_score(decode(manifest["score"])),
    )


def _encoder(manifest: dict[str, Any], columns: tuple[Column, ...]) -> Encoder:
    images = manifest.get("images")
    if images is None:
        return TableEncoder(columns)
    return ImageEncoder(columns, **{name: images[name] for name in IMAGE_FIELDS})


def _reference(tensors: dict[str, Tensor], n_model_columns: int) -> Reference | None:
    """How training cells lie; a file of the first format version does not say it."""
    held = {name.removeprefix(REFERENCE): tensor for name, tensor in tensors.items() if name.startswith(REFERENCE)}
    if not held:
        return None
    reference = Reference(**{name: tensor.clone() for name, tensor in held.items()})
    shapes = reference.given_others.shape[1:], reference.alone.shape[1:], reference.typical.shape
    if shapes != ((n_model_columns,), (n_model_columns,), (n_model_columns + 1,)):
        raise ValueError(f"the reference for explanations has shapes {shapes} for {n_model_columns} places")
    return reference


def _check(manifest: dict[str, Any], tensors: dict[str, Tensor], shape: _Shape, columns: tuple[Column, ...]) -> None:
    """Compare the sizes that the manifest asks for with those in the file, before anything of that size is made."""
    noise, members, latents = tensors[NOISE], shape.n_members, int(manifest["latent_dim"])
    n_draws = shape.score.n_draws
    if noise.dtype != torch.float32 or noise.shape != (members, n_draws, 1, latents):
        raise ValueError(
            f"the noise has shape {tuple(noise.shape)}, the parameters say {(members, n_draws, 1, latents)}"
        )
    _check_columns(manifest, tensors, columns)
    if min([members, latents, *shape.hidden_layer_sizes]) < 1:
        raise ValueError("the members, latents and hidden units are not all positive")
    wanted = members * max(_fewest_weights(shape, columns, latents), latents * int(manifest["n_exemplars"]))
    held = sum(tensor.numel() for tensor in tensors.values())
    if wanted > held:
        raise ValueError(f"the parameters ask for {wanted} numbers, the file holds {held}")
    reference_statistics = tensors.get(REFERENCE_STATISTICS)
    if (reference_statistics is not None) != isinstance(shape.score, RelativeScore):
        raise ValueError(
            "only a score that compares rows with training rows has reference statistics, and it needs them"
        )
    if reference_statistics is not None and (
        reference_statistics.dtype != torch.float64 or reference_statistics.dim() != 2 or not len(reference_statistics)
    ):
        raise ValueError(f"the reference statistics have shape {tuple(reference_statistics.shape)}")


def _check_columns(manifest: dict[str, Any], tensors: dict[str, Tensor], columns: tuple[Column, ...]) -> None:
    images = manifest.get("images")
    size = (1, 1) if images is None else (images["height"], images["width"])
    if not all(isinstance(side, int) and side >= 1 for side in size):
        raise ValueError(f"images of {size[0]!r} x {size[1]!r} pixels")
    n_cells = math.prod(size)
    modelled = [part for column in columns if column.likelihood is not None for part in (column, *column.parts)]
    if len(columns) * n_cells != manifest["n_features"] or any(column.n_cells != n_cells for column in modelled):
        raise ValueError("the number of columns or pixels is wrong")
    if not math.isfinite(manifest["offset"]):
        raise ValueError("the offset is not finite")
    if not all(math.isfinite(column.location) and 0 < column.scale < math.inf for column in columns):
        raise ValueError("a column has no usable location and scale")
    held = tensors[f"{WEIGHTS}floor"].numel(), tensors[f"{WEIGHTS}start"].numel()
    if (len(modelled) * n_cells, sum(n_cells * _likelihood(c).n_parameters(c.width) for c in modelled)) != held:
        raise ValueError(f"the manifest speaks of other places or decoder outputs than the file, which has {held}")


def _fewest_weights(shape: _Shape, columns: tuple[Column, ...], latents: int) -> int:
    """Weights of a member's encoder, or at least so many."""
    n_inputs = sum(
        (1 if isinstance(shape.backbone, Convolutional) else part.n_cells) * _likelihood(part).n_features(part.width)
        for column in columns
        if column.likelihood is not None
        for part in (column, *column.parts)
    )
    sizes = [max(n_inputs, 1), *shape.hidden_layer_sizes, 2 * latents]
    if not isinstance(shape.backbone, Convolutional):
        return sum(a * b for a, b in itertools.pairwise(sizes))
    kernels = sum(9 * (a * b + 2 * b * b) for a, b in itertools.pairwise(sizes[:-1]))
    return kernels + sizes[-2] * sizes[-1]


def _likelihood(column: Column) -> Likelihood:
    assert column.likelihood is not None
    return column.likelihood
