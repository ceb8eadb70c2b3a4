"""One file for a fitted detector: tensors and a JSON manifest, nothing that can run.

The file is a safetensors file.  Its header holds the manifest as text under the key ``vae_anomaly``; likelihoods,
priors, backbones and scores are named in it and looked up in the tables of this version, so a file can choose
among what the library offers and bring nothing of its own.  A checksum over all of it finds damage; a signature, where
there is a key, finds changes.  Two fits of the same data with the same int ``random_state`` give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from vae_anomaly.columns import LevelRule
from vae_anomaly.detectors import FeatureMapDetector, GroupedDetector, PatchDetector, VAEDetector
from vae_anomaly.errors import ModelFileError, SpecificationError
from vae_anomaly.model import own_settings, resolve_device
from vae_anomaly.records import logger_of
from vae_anomaly.store import feature_map_files, group_files, patch_files, row_files
from vae_anomaly.store.container import checked_key, one_line, packed, strict_json, unpacked
from vae_anomaly.store.group_files import GROUPS_FORMAT_VERSION, check_groups_manifest, groups_content, opened_groups
from vae_anomaly.store.level_hashes import with_level_hashes
from vae_anomaly.store.locations import Location, Target, is_address, name_of, read_bytes, read_once, write_whole
from vae_anomaly.store.manifest import FORMAT_VERSION
from vae_anomaly.store.migrations import upgraded_manifest, upgraded_tensors
from vae_anomaly.store.schema import check_manifest

LOGGER = logger_of(__name__)
FIRST_VERSION_WITH_CHECKSUM = 8
Single: TypeAlias = VAEDetector | PatchDetector | FeatureMapDetector
REBUILT: dict[str, Callable[[dict[str, Any], dict[str, Tensor], torch.device], Single]] = {
    row_files.KIND: row_files.rebuilt_rows,
    patch_files.KIND: patch_files.rebuilt_patches,
    feature_map_files.KIND: feature_map_files.rebuilt_feature_maps,
}
NEWEST = {
    group_files.KIND: GROUPS_FORMAT_VERSION,
    feature_map_files.KIND: feature_map_files.FEATURES_FORMAT_VERSION,
}
# What reading a file that does not agree with itself may raise.
REFUSED = (
    LookupError,
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
)


@own_settings()
def save(
    detector: VAEDetector | PatchDetector | FeatureMapDetector | GroupedDetector,
    path: Target,
    *,
    min_level_count: int | None = None,
    raw_values: bool | None = None,
    key: bytes | None = None,
) -> None:
    """Write a fitted detector to one file, which has its name when it is whole.

    A link is followed and stays; a file that is replaced hands down its mode and owner. What is no file, like a pipe,
    is written through.  A store is written to by fsspec in a transaction: ``s3://`` and the like have the file when all
    of it is there.

    Texts of training rows that few rows hold, or that have more than 64 characters, are written as keyed hashes: the
    loaded detector has the same scores and knows such a text when it meets it, and nobody can read it in the file.
    The key is in the file, so that somebody can try whether it holds a text that he thinks of.  Numbers stay: the
    smallest and largest, levels, and up to 2,048 sorted cells of each column to compare new rows with; and where the
    score has kernels, as that of ``preset="accurate"``, so many training rows with the numbers of all their cells; and
    with `baseline_by` the median and spread of each group, whose keys are 64 bits of a hash, which anyone can try out.

    Parameters
    ----------
    detector : VAEDetector, PatchDetector or GroupedDetector
        A fitted one.  A file of groups is one file as well, with the names of the groups that have a model, or whose
        fit failed.
    path : path-like, str with an address, or binary file
        The file; an existing one is replaced only when the new one is complete.  An address is one that fsspec knows,
        such as ``s3://bucket/model.vae``, with the package that serves it installed.  For bytes give an ``io.BytesIO``.
    min_level_count : int, optional
        Training rows that hold a text, for it to be written as it is; by default 10, or what the file was saved with
        that the detector was loaded from.
    raw_values : bool, optional
        False writes no text of training rows as it is, but for units and forms of dates that its columns are read by
        ("51.2 kg", "%d.%m.%Y"), and no sample of numbers, without which `check_drift` compares
        scores, levels and missing cells alone; by default True, or as the file that the detector was loaded from.
    key : bytes, optional
        Signs the file (HMAC-SHA256), so that `load` with the same key refuses it if it was changed; at least 16 bytes
        that nobody can guess.  Whoever has the key can sign.

    Raises
    ------
    NotFittedError
        If the detector is not fitted.
    SpecificationError
        If it is another detector, uses a likelihood, prior, backbone or score that the library does not know by
        name, its ``offset_`` is not finite, or the key is too short.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector, load, save
    >>> detector = VAEDetector(max_iter=20, early_stopping=False).fit(np.random.default_rng(0).normal(size=(100, 2)))
    >>> buffer = io.BytesIO()
    >>> save(detector, buffer)
    >>> load(buffer.getvalue()).score_samples([[0.0, 0.0]]) == detector.score_samples([[0.0, 0.0]])
    array([ True])
    """
    if not isinstance(detector, VAEDetector | PatchDetector | FeatureMapDetector | GroupedDetector):
        raise SpecificationError(
            "a model file holds a VAEDetector, a PatchDetector, a FeatureMapDetector or a GroupedDetector, not "
            f"{type(detector).__name__}. Pickle it with joblib instead."
        )
    check_is_fitted(detector)
    key = checked_key(key)
    if isinstance(detector, GroupedDetector):
        if raw_values is False:
            raise SpecificationError(
                f"rows are led to the models of their groups by the names in {detector.by_!r}, which are texts of "
                "training rows, and which a file has to hold: raw_values=False cannot be. Name groups by numbers that "
                "mean nothing to others, or leave it out."
            )
        content = groups_content(detector, lambda model: _content(model, min_level_count, raw_values, None), key)
    else:
        content = _content(detector, min_level_count, raw_values, key)
    write_whole(content, path)
    LOGGER.info("saved a %s to %s, %d bytes", type(detector).__name__, name_of(path), len(content))


def _content(
    detector: VAEDetector | PatchDetector, min_level_count: int | None, raw_values: bool | None, key: bytes | None
) -> bytes:
    """The bytes of the file of one model."""
    rule = _level_rule(detector.level_rule_, min_level_count, raw_values)
    if isinstance(detector, VAEDetector) and detector.vae_.kernels is not None and not rule.raw_values:
        raise SpecificationError(
            f"the score compares rows with {detector.vae_.kernels.n_centres:,} training rows, whose cells a file has "
            "to hold: raw_values=False cannot be. Fit with preset='default' or 'robust', or a score without kernels."
        )
    if isinstance(detector, VAEDetector) and detector.baseline_columns_ and not rule.raw_values:
        raise SpecificationError(
            "rows are compared with medians of groups (baseline_by, baseline_time), which of small groups are cells of "
            "rows, and which a file has to hold: raw_values=False cannot be. Fit without them."
        )
    detector = with_level_hashes(detector, rule)
    if isinstance(detector, PatchDetector):
        tensors, manifest = patch_files.patch_tensors(detector), patch_files.patch_manifest(detector)
    elif isinstance(detector, FeatureMapDetector):
        tensors = feature_map_files.feature_map_tensors(detector)
        manifest = feature_map_files.feature_map_manifest(detector)
    else:
        tensors, manifest = row_files.row_tensors(detector), row_files.row_manifest(detector)
    text = json.dumps(manifest, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return packed(text, tensors, key)


def _level_rule(before: LevelRule, min_level_count: int | None, raw_values: bool | None) -> LevelRule:
    if min_level_count is None:
        min_level_count = before.min_count
    if not isinstance(min_level_count, int) or isinstance(min_level_count, bool) or min_level_count < 1:
        raise SpecificationError(f"min_level_count is a positive number of rows, not {min_level_count!r}.")
    return LevelRule(min_level_count, before.raw_values if raw_values is None else bool(raw_values))


@own_settings()
def read_manifest(path: Location, *, key: bytes | None = None) -> dict[str, Any]:
    """What a model file says of itself, without building the model.

    The whole file is read once, block by block, for its checksum.

    Parameters
    ----------
    path : path-like, str with an address, binary file or bytes
        What `save` wrote.
    key : bytes, optional
        What the file has to be signed with.

    Returns
    -------
    dict
        Format and library version, parameters, columns, offset, training report and history; under ``integrity`` the
        checksum, which holds (None in files of earlier versions), and whether there is a signature: "none", "not
        verified" without a key, or "verified".

    Raises
    ------
    ModelFileError
        If it is not a model file, is damaged, was written by a newer format version, or is not signed with the key.
    FileNotFoundError
        If there is no such file.
    """
    return _read(path, tensors=False, key=key)[0]


@own_settings()
def load(
    path: Location, device: str = "auto", *, key: bytes | None = None
) -> VAEDetector | PatchDetector | FeatureMapDetector | GroupedDetector:
    """A fitted detector from a model file; its scores equal those of the one that was saved.

    Nothing in the file can run, its checksum is compared before anything is made of it, and what it leads to in memory
    is computed first and compared with what it holds.

    Of a file of groups the index and the pooled model are read, and the model of a group when it is first asked for,
    after its own checksum: rows of ten of a thousand groups take ten models.  The file has to stay where it is as long.

    Parameters
    ----------
    path : path-like, str with an address, binary file or bytes
        What `save` wrote.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where to put the weights.
    key : bytes, optional
        What the file has to be signed with: see `save`.  Without one, signatures are not looked at.

    Returns
    -------
    VAEDetector, PatchDetector, FeatureMapDetector or GroupedDetector

    Raises
    ------
    ModelFileError
        If it is not a model file, is damaged, was written by a newer format version, or is not signed with the key.
    FileNotFoundError
        If there is no such file.
    SpecificationError
        If this machine has no such device, or the key is too short.
    """
    target = resolve_device(device)
    path = read_once(path)
    groups = opened_groups(path, checked_key(key), lambda content: _loaded_rows(content, device))
    if groups is not None:
        grouped = groups.detector()
        LOGGER.info("loaded the index of %d groups from %s", grouped.n_groups_, name_of(path))
        return grouped
    manifest, tensors = _read(path, tensors=True, key=key)
    del manifest["integrity"]
    name = name_of(path)
    try:
        detector = REBUILT[manifest["kind"]](manifest, tensors, target)
    except REFUSED as error:
        raise ModelFileError(f"{name}: the model file is inconsistent ({one_line(error)}). Save it again.") from error
    LOGGER.info("loaded a %s from %s", type(detector).__name__, name)
    return detector


def _loaded_rows(content: bytes, device: str) -> VAEDetector:
    """The model of a group."""
    model = load(content, device)
    if not isinstance(model, VAEDetector) or model.model_.takes_images:
        raise ModelFileError("it is none of rows of a table. Fit again.")
    return model


@own_settings()
def read_groups(path: Location, *, key: bytes | None = None) -> dict[str, Any] | None:
    """What the index of a file of groups says, without reading the models; None where it is another file.

    Parameters
    ----------
    path : path-like, str with an address, binary file or bytes
        What `save` wrote.
    key : bytes, optional
        What the file has to be signed with.

    Raises
    ------
    ModelFileError
        If the index is damaged, or not signed with the key.
    FileNotFoundError
        If there is no such file.
    """
    found = opened_groups(path, checked_key(key), lambda content: _loaded_rows(content, "cpu"))
    return None if found is None else found.manifest


def _read(location: Location, *, tensors: bool, key: bytes | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    source, key = name_of(location), checked_key(key)
    content = unpacked(location, tensors=tensors, key=key)
    try:
        manifest = strict_json(content.manifest)
        version = _version(manifest)
    except (ValueError, LookupError, TypeError) as error:
        raise ModelFileError(f"{source}: the manifest is damaged ({one_line(error)}). Fit or copy it again.") from error
    is_of_groups = manifest.get("kind") == group_files.KIND
    newest = NEWEST.get(str(manifest.get("kind")), FORMAT_VERSION)
    if version > newest:
        raise ModelFileError(
            f"{source}: written in format version {version}; this version reads up to {newest}. Upgrade vae-anomaly."
        )
    if version >= FIRST_VERSION_WITH_CHECKSUM and content.checksum is None:
        raise ModelFileError(
            f"{source}: the file has no checksum, and every file of format version {version} has one. Copy it again "
            "from where it was made, or fit again."
        )
    try:
        if is_of_groups:
            check_groups_manifest(manifest)
            return manifest | {"integrity": {"sha256": content.checksum, "signature": content.signature}}, {}
        manifest = upgraded_manifest(manifest, content.shapes)
        check_manifest(manifest)
        held = upgraded_tensors(content.tensors, manifest)
    except REFUSED as error:
        raise ModelFileError(f"{source}: the model file is inconsistent ({one_line(error)}). Save it again.") from error
    return manifest | {"integrity": {"sha256": content.checksum, "signature": content.signature}}, held


def _version(manifest: Any) -> int:
    version = manifest["format_version"]
    if type(version) is not int or version < 1:
        raise ValueError(f"format version {version!r}"[:60])
    return version


__all__ = [
    "is_address",
    "load",
    "read_bytes",
    "read_groups",
    "read_manifest",
    "save",
    "with_level_hashes",
]
