"""One file for a fitted detector: tensors and a JSON manifest, nothing that can run.

The file is a safetensors file.  Its header holds the manifest as text under the key ``vae_anomaly``; likelihoods,
priors, backbones and scores are named in it and looked up in the tables of this version, so a file can choose
among what the library offers and bring nothing of its own.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from vae_anomaly.backbones import BACKBONES, Backbone, resolve_backbone
from vae_anomaly.columns import Column
from vae_anomaly.conditionals import Reference
from vae_anomaly.detector import VAEDetector
from vae_anomaly.detector.inputs import resolve_device
from vae_anomaly.diagnostics import FitReport
from vae_anomaly.encoders import TableEncoder
from vae_anomaly.errors import ModelFileError, SpecificationError
from vae_anomaly.likelihoods import LIKELIHOODS, Likelihood
from vae_anomaly.priors import PRIORS, Prior, resolve_prior
from vae_anomaly.scores import SCORES, Score, resolve_score
from vae_anomaly.training import History
from vae_anomaly.vae import VAE
from vae_anomaly.version import __version__

FORMAT_VERSION = 3
SMALLEST_LOG_VARIANCE_BEFORE_VERSION_3 = -14.0
METADATA_KEY = "vae_anomaly"
NOISE = "noise"
REFERENCE = "reference."
WEIGHTS = "vae."

_TABLES: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "likelihood": (Likelihood, LIKELIHOODS),
    "prior": (Prior, PRIORS),
    "backbone": (Backbone, BACKBONES),
    "score": (Score, SCORES),
}


def save(detector: VAEDetector, path: str | os.PathLike[str]) -> None:
    """Write a fitted detector to one file, beside the target first and then renamed.

    Parameters
    ----------
    detector : VAEDetector
        A fitted one.
    path : path-like
        The file; an existing one is replaced only when the new one is complete.

    Raises
    ------
    NotFittedError
        If the detector is not fitted.
    SpecificationError
        If it uses a likelihood, prior, backbone or score that the library does not know by name.
    OSError
        If the file cannot be written.
    """
    check_is_fitted(detector)
    target = Path(path).resolve()
    tensors = {WEIGHTS + name: tensor.cpu().contiguous() for name, tensor in detector.vae_.state_dict().items()}
    tensors[NOISE] = detector.noise_.cpu().contiguous()
    if detector.reference_ is not None or detector.reference_rows_ is not None:
        reference = detector.compute_reference()
        tensors |= {REFERENCE + field.name: getattr(reference, field.name) for field in dataclasses.fields(reference)}
    metadata = {METADATA_KEY: json.dumps(_manifest(detector), allow_nan=False)}
    content = serialize(tensors, metadata)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            if target.exists():
                part.chmod(target.stat().st_mode & 0o777)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a model file says of itself, read from its header without building the model.

    Parameters
    ----------
    path : path-like
        A file that `save` wrote.

    Returns
    -------
    dict
        Format and library version, parameters, columns, offset, training report and history.

    Raises
    ------
    ModelFileError
        If it is not a model file, is damaged, or was written by a newer format version.
    FileNotFoundError
        If there is no such file.
    """
    return _read(path, tensors=False)[0]


def load(path: str | os.PathLike[str], device: str = "auto") -> VAEDetector:
    """A fitted detector from a model file; its scores equal those of the one that was saved.

    Parameters
    ----------
    path : path-like
        A file that `save` wrote.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where to put the weights.

    Returns
    -------
    VAEDetector

    Raises
    ------
    ModelFileError
        If it is not a model file, is damaged, or was written by a newer format version.
    FileNotFoundError
        If there is no such file.
    SpecificationError
        If this machine has no such device.
    """
    place = resolve_device(device)
    manifest, tensors = _read(path, tensors=True)
    try:
        return _rebuild(manifest, tensors, place)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError) as error:
        raise ModelFileError(f"{path}: the model file is inconsistent ({_one_line(error)}). Save it again.") from error


def _read(path: str | os.PathLike[str], *, tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file. Give the path of a file written by save().")
    if source.is_dir():
        raise ModelFileError(f"{source}: this is a folder; a model is one file, written by save().")
    try:
        with safe_open(source, framework="pt") as file:
            metadata = file.metadata() or {}
            loaded = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelFileError(
            f"{source}: not a model file, or damaged ({_one_line(error)}). Expected a file written by save() or "
            "'vae-anomaly fit'; fit again or copy it again."
        ) from error
    if METADATA_KEY not in metadata:
        raise ModelFileError(f"{source}: a safetensors file, but not a model of vae-anomaly. Fit one first.")
    try:
        manifest = json.loads(metadata[METADATA_KEY])
        version = int(manifest["format_version"])
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise ModelFileError(
            f"{source}: the manifest is damaged ({_one_line(error)}). Fit or copy it again."
        ) from error
    if version < 1:
        raise ModelFileError(f"{source}: the manifest is damaged (format version {version}). Copy the file again.")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{source}: written in format version {version}; this version reads up to {FORMAT_VERSION}. "
            "Upgrade vae-anomaly."
        )
    return manifest, loaded


def _manifest(detector: VAEDetector) -> dict[str, Any]:
    names = getattr(detector, "feature_names_in_", None)
    parameters = {name: _encode(value) for name, value in detector.fitted_parameters_.items()}
    return {
        "format_version": FORMAT_VERSION,
        "library_version": __version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "parameters": parameters,
        "columns": [_encode_column(column) for column in detector.columns_],
        "n_features": detector.n_features_in_,
        "feature_names": None if names is None else [str(name) for name in names],
        "n_training_rows": detector.fit_report_.n_rows,
        "contamination": parameters["contamination"],
        "offset": detector.offset_,
        "latent_dim": detector.vae_.latent_dim,
        "mask_input": detector.vae_.mask_input,
        "smallest_log_variance": detector.vae_.smallest_log_variance,
        "n_exemplars": detector.vae_.prior.n_kernels,
        "fit_report": _finite(dataclasses.asdict(detector.fit_report_)),
        "history": _finite(dataclasses.asdict(detector.history_)),
    }


def _rebuild(manifest: dict[str, Any], tensors: dict[str, Tensor], place: torch.device) -> VAEDetector:
    parameters = {name: _decode(value) for name, value in manifest["parameters"].items()}
    detector = VAEDetector(**parameters)
    detector._validate_params()
    columns = tuple(_decode_column(entry) for entry in manifest["columns"])
    _check(manifest, tensors, detector, columns)
    encoder = TableEncoder(columns)
    vae = VAE(
        encoder.modelled,
        latent_dim=manifest["latent_dim"],
        n_members=detector.n_estimators,
        backbone=resolve_backbone(detector.backbone),
        hidden_layer_sizes=detector.hidden_layer_sizes,
        activation=detector.activation,
        mask_input=manifest["mask_input"],
        generator=torch.Generator().manual_seed(0),
    )
    vae.smallest_log_variance = float(manifest.get("smallest_log_variance", SMALLEST_LOG_VARIANCE_BEFORE_VERSION_3))
    prior = resolve_prior(detector.prior)
    vae.prior = prior.empty(detector.n_estimators, manifest["latent_dim"], manifest["n_exemplars"])
    weights = {name.removeprefix(WEIGHTS): value for name, value in tensors.items() if name.startswith(WEIGHTS)}
    vae.load_state_dict(weights)
    detector.columns_, detector.encoder_ = columns, encoder
    detector.vae_ = vae.requires_grad_(False).eval().to(place)
    # A tensor of the file is a view of it; the detector must not depend on the file any more.
    detector.noise_ = tensors[NOISE].clone().to(place)
    detector.reference_rows_ = None
    detector.reference_ = _reference(tensors, len(encoder.order))
    detector.row_score_ = _score(detector, tensors[NOISE])
    detector.fitted_parameters_ = detector.get_params(deep=False)
    detector.offset_ = float(manifest["offset"])
    detector.history_ = History(**manifest["history"])
    detector.fit_report_ = FitReport(**manifest["fit_report"])
    detector.n_iter_ = detector.fit_report_.n_iter
    detector.n_features_in_ = int(manifest["n_features"])
    if manifest["feature_names"] is not None:
        detector.feature_names_in_ = np.array(manifest["feature_names"], dtype=object)
    return detector


def _score(detector: VAEDetector, noise: Tensor) -> Score:
    """The score of the fit; one that goes by its name had as many draws as the noise, whatever its default is now."""
    score = resolve_score(detector.row_score)
    return dataclasses.replace(score, n_draws=noise.shape[1]) if isinstance(detector.row_score, str) else score


def _reference(tensors: dict[str, Tensor], n_places: int) -> Reference | None:
    """How training cells lie; a file of the first format version does not say it."""
    held = {name.removeprefix(REFERENCE): tensor for name, tensor in tensors.items() if name.startswith(REFERENCE)}
    if not held:
        return None
    reference = Reference(**{name: tensor.clone() for name, tensor in held.items()})
    shapes = reference.given_others.shape[1:], reference.alone.shape[1:], reference.typical.shape
    if shapes != ((n_places,), (n_places,), (n_places + 1,)):
        raise ValueError(f"the reference for explanations has shapes {shapes} for {n_places} places")
    return reference


def _check(
    manifest: dict[str, Any], tensors: dict[str, Tensor], detector: VAEDetector, columns: tuple[Column, ...]
) -> None:
    """Compare the sizes that the manifest asks for with those in the file, before anything of that size is made."""
    noise, members, latents = tensors[NOISE], detector.n_estimators, int(manifest["latent_dim"])
    n_draws = _score(detector, noise).n_draws
    if noise.dtype != torch.float32 or noise.shape != (members, n_draws, 1, latents):
        raise ValueError(
            f"the noise has shape {tuple(noise.shape)}, the parameters say {(members, n_draws, 1, latents)}"
        )
    sizes = [1, *(int(size) for size in detector.hidden_layer_sizes), latents]
    wanted = members * max(sum(a * b for a, b in itertools.pairwise(sizes)), latents * int(manifest["n_exemplars"]))
    held = sum(tensor.numel() for tensor in tensors.values())
    if wanted > held or min(sizes) < 1:
        raise ValueError(f"the parameters ask for {wanted} numbers, the file holds {held}")
    if len(columns) != manifest["n_features"] or not math.isfinite(manifest["offset"]):
        raise ValueError("the number of columns or the offset is wrong")
    if not all(math.isfinite(column.location) and 0 < column.scale < math.inf for column in columns):
        raise ValueError("a column has no usable location and scale")


def _encode(value: Any) -> Any:
    for concept, (base, table) in _TABLES.items():
        if isinstance(value, base):
            for name, kind in table.items():
                if type(value) is kind:
                    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
                    return {"concept": concept, "name": name, "fields": fields}
            raise SpecificationError(
                f"{type(value).__name__} is not one of the library's own {concept}s {sorted(table)}, and a model file "
                "holds no code; pickle the detector with joblib instead, or use one of those."
            )
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list | np.ndarray):
        return [_encode(item) for item in value]
    if isinstance(value, Mapping):
        return {"mapping": {str(name): _encode(item) for name, item in value.items()}}
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    if isinstance(value, dict) and "mapping" in value:
        return {name: _decode(item) for name, item in value["mapping"].items()}
    if isinstance(value, dict):
        _, table = _TABLES[value["concept"]]
        kind = table[value["name"]]
        known = {field.name for field in dataclasses.fields(kind)}
        if not set(value["fields"]) <= known:
            raise ValueError(f"{value['name']} has no fields {sorted(set(value['fields']) - known)}")
        return kind(**value["fields"])
    return value


def _encode_column(column: Column) -> dict[str, Any]:
    fields = {field.name: getattr(column, field.name) for field in dataclasses.fields(column)}
    parts = [_encode_column(part) for part in fields.pop("parts")]
    return {name: _encode(value) for name, value in fields.items()} | {"parts": parts}


def _decode_column(entry: dict[str, Any]) -> Column:
    fields = {name: _decode(value) for name, value in entry.items() if name != "parts"}
    return Column(**fields, parts=tuple(_decode_column(part) for part in entry.get("parts", ())))


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: they become null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in fields.items()
    }


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
