"""One file for a fitted detector: tensors and a JSON manifest, nothing that can run.

The file is a safetensors file.  Its header holds the manifest as text under the key ``vae_anomaly``; likelihoods,
priors, backbones and scores are named in it and looked up in the tables of this version, so a file can choose
among what the library offers and bring nothing of its own.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from vae_anomaly.columns import LevelRule
from vae_anomaly.detectors import PatchDetector, VAEDetector
from vae_anomaly.errors import ModelFileError, SpecificationError
from vae_anomaly.model import resolve_device
from vae_anomaly.store import patch_files, row_files
from vae_anomaly.store.level_hashes import with_level_hashes
from vae_anomaly.store.manifest import FORMAT_VERSION
from vae_anomaly.store.migrations import upgraded_manifest, upgraded_tensors

METADATA_KEY = "vae_anomaly"
REBUILT: dict[str, Callable[[dict[str, Any], dict[str, Tensor], torch.device], VAEDetector | PatchDetector]] = {
    row_files.KIND: row_files.rebuilt_rows,
    patch_files.KIND: patch_files.rebuilt_patches,
}


def save(
    detector: VAEDetector | PatchDetector,
    path: str | os.PathLike[str],
    *,
    min_level_count: int | None = None,
    raw_values: bool | None = None,
) -> None:
    """Write a fitted detector to one file, beside the target first and then renamed.

    Texts of training rows that few rows hold, or that have more than 64 characters, are written as keyed hashes: the
    loaded detector has the same scores and knows such a text when it meets it, and nobody can read it in the file.
    The key is in the file, so that somebody can try whether it holds a text that he thinks of.  Numbers stay: the
    smallest and largest, levels, and up to 2,048 sorted cells of each column to compare new rows with.

    Parameters
    ----------
    detector : VAEDetector or PatchDetector
        A fitted one.
    path : path-like
        The file; an existing one is replaced only when the new one is complete.
    min_level_count : int, optional
        Training rows that hold a text, for it to be written as it is; by default 10, or what the file was saved with
        that the detector was loaded from.
    raw_values : bool, optional
        False writes no text of training rows as it is, and no sample of numbers, without which `check_drift` compares
        scores, levels and missing cells alone; by default True, or as the file that the detector was loaded from.

    Raises
    ------
    NotFittedError
        If the detector is not fitted.
    SpecificationError
        If it is another detector, uses a likelihood, prior, backbone or score that the library does not know by
        name, or its ``offset_`` is not finite.
    OSError
        If the file cannot be written.
    """
    if not isinstance(detector, VAEDetector | PatchDetector):
        raise SpecificationError(
            f"a model file holds a VAEDetector or a PatchDetector, not {type(detector).__name__}: networks of yours "
            "are code. Pickle it with joblib instead."
        )
    check_is_fitted(detector)
    detector = with_level_hashes(detector, _level_rule(detector.level_rule_, min_level_count, raw_values))
    target = Path(path).resolve()
    if isinstance(detector, PatchDetector):
        tensors, manifest = patch_files.patch_tensors(detector), patch_files.patch_manifest(detector)
    else:
        tensors, manifest = row_files.row_tensors(detector), row_files.row_manifest(detector)
    metadata = {METADATA_KEY: json.dumps(manifest, allow_nan=False)}
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


def _level_rule(before: LevelRule, min_level_count: int | None, raw_values: bool | None) -> LevelRule:
    if min_level_count is None:
        min_level_count = before.min_count
    if not isinstance(min_level_count, int) or isinstance(min_level_count, bool) or min_level_count < 1:
        raise SpecificationError(f"min_level_count is a positive number of rows, not {min_level_count!r}.")
    return LevelRule(min_level_count, before.raw_values if raw_values is None else bool(raw_values))


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


def load(path: str | os.PathLike[str], device: str = "auto") -> VAEDetector | PatchDetector:
    """A fitted detector from a model file; its scores equal those of the one that was saved.

    Parameters
    ----------
    path : path-like
        A file that `save` wrote.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where to put the weights.

    Returns
    -------
    VAEDetector or PatchDetector

    Raises
    ------
    ModelFileError
        If it is not a model file, is damaged, or was written by a newer format version.
    FileNotFoundError
        If there is no such file.
    SpecificationError
        If this machine has no such device.
    """
    target = resolve_device(device)
    manifest, tensors = _read(path, tensors=True)
    try:
        return REBUILT[manifest["kind"]](manifest, tensors, target)
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
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
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
        manifest = upgraded_manifest(manifest, shapes)
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
    return manifest, upgraded_tensors(loaded, manifest)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


__all__ = [
    "load",
    "read_manifest",
    "save",
]
