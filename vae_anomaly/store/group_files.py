"""Files of `GroupedDetector`: an index, and for each group a whole model file, read when somebody asks for it.

The index has the SHA-256 of each of these files, and so its own checksum, or its signature, is one of all of them: a
model is built after two small checks, and a thousand groups need not be read to score rows of ten.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from vae_anomaly.data import ColumnRoles
from vae_anomaly.detectors import OWN, POOLED, GroupedDetector, VAEDetector, groups_table
from vae_anomaly.errors import ModelFileError, SpecificationError
from vae_anomaly.forks import ForkSafeLock
from vae_anomaly.store.container import Slot, one_line, packed_parts, read_header, read_part, strict_json
from vae_anomaly.store.locations import Location, name_of
from vae_anomaly.store.ranges import items, one_of, optional, record, text, whole
from vae_anomaly.version import __version__

KIND = "groups"
# The first version that has files of groups; those of single models have versions of their own.
GROUPS_FORMAT_VERSION = 12
POOLED_PART, GROUP_PART = "pooled", "group.{:06d}"
INDEX_CHECKSUM, INDEX_SIGNATURE = "index.sha256", "index.hmac"
SIGNED = b"vae-anomaly: index of groups\n"
# What stands in the manifest of such a file, written as JSON within the JSON of its header.
MARK = '"kind":"groups"'

ModelWriter = Callable[[VAEDetector], bytes]
ModelReader = Callable[[bytes], VAEDetector]

ROWS = whole(0, 1 << 53)
GROUPS_MANIFEST = record(
    {
        "format_version": whole(GROUPS_FORMAT_VERSION),
        "kind": one_of(KIND),
        "library_version": text,
        "by": text,
        "min_rows": whole(2),
        "feature_names": optional(items(text)),
        "n_features": whole(2, 1 << 31),
        "column_roles": record(
            {
                "ids": items(text),
                "dropped": items(text),
                "label": optional(text),
                "anomalous": optional(text),
                "normal": items(text),
            }
        ),
        "pooled": record({"sha256": text}),
        "groups": items(record({"name": text, "n_rows": ROWS, "sha256": text})),
        "failed": items(record({"name": text, "n_rows": ROWS})),
        "small": record({"n_groups": ROWS, "n_rows": ROWS}),
    }
)


def groups_content(detector: GroupedDetector, write: ModelWriter, key: bytes | None) -> bytes:
    """The bytes of a file of a fitted detector of groups.

    Parameters
    ----------
    detector : GroupedDetector
        A fitted one.
    write : callable
        Makes the file of one model.
    key : bytes or None
        Signs the file.

    Raises
    ------
    SpecificationError
        If a model is none that a file can hold.
    """
    parts = {POOLED_PART: write(detector.pooled_)}
    n_rows = {str(name): int(number) for name, number in detector.groups_["n_rows"].items()}
    groups = []
    for position, (name, model) in enumerate(detector.models_.items()):
        try:
            content = write(model)
        except SpecificationError as error:
            raise SpecificationError(f"group {name!r}: {error}") from error
        parts[GROUP_PART.format(position)] = content
        groups.append({"name": name, "n_rows": n_rows[name], "sha256": _sha256(content)})
    failed = detector.failures_
    small = [number for name, number in n_rows.items() if name not in detector.models_ and name not in failed]
    # A detector that was loaded knows no names of those, only how many there were.
    n_groups, n_rows_of_them = detector.unlisted_groups_
    names = getattr(detector, "feature_names_in_", None)
    manifest = {
        "format_version": GROUPS_FORMAT_VERSION,
        "kind": KIND,
        "library_version": __version__,
        "by": detector.by_,
        "min_rows": int(detector.min_rows),
        "feature_names": None if names is None else [str(name) for name in names],
        "n_features": detector.n_features_in_,
        "column_roles": dataclasses.asdict(detector.column_roles_),
        "pooled": {"sha256": _sha256(parts[POOLED_PART])},
        "groups": groups,
        "failed": [{"name": name, "n_rows": n_rows[name]} for name in failed],
        # Names that few rows have are not written.
        "small": {"n_groups": len(small) + n_groups, "n_rows": sum(small) + n_rows_of_them},
    }
    index = json.dumps(manifest, allow_nan=False, sort_keys=True, separators=(",", ":"))
    parts[INDEX_CHECKSUM] = hashlib.sha256(index.encode()).digest()
    if key is not None:
        parts[INDEX_SIGNATURE] = _signed(index, key)
    return packed_parts(index, parts, key)


def check_groups_manifest(manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest that is not complete, or in which a value is out of its range.

    Raises
    ------
    ValueError
        If it is one.
    """
    GROUPS_MANIFEST(manifest, "")
    names = [entry["name"] for entry in (*manifest["groups"], *manifest["failed"])]
    if len(set(names)) != len(names):
        raise ValueError("a group comes twice")


class GroupsFile:
    """The index of a file of groups, checked, and its models, read one by one.

    Parameters
    ----------
    location : path-like, str with an address or bytes
        Where it is.
    manifest : dict
        Its index.
    slots : dict of Slot
        Where its models stand.
    start : int
        Where they begin.
    read : callable
        Makes a model of the bytes of its file.
    """

    def __init__(
        self, location: Location, manifest: dict[str, Any], slots: Mapping[str, Slot], start: int, read: ModelReader
    ) -> None:
        self.location, self.manifest, self.slots, self.start, self.read = location, manifest, slots, start, read

    def model(self, part: str, sha256: str, whose: str) -> VAEDetector:
        """One of its models.

        Raises
        ------
        ModelFileError
            If it is damaged, or the file was changed since it was opened.
        """
        name = name_of(self.location)
        if part not in self.slots:
            raise ModelFileError(f"{name}: the model of {whose} is missing. Copy the file again, or fit again.")
        try:
            content = read_part(self.location, self.slots[part], self.start)
        except FileNotFoundError as error:
            raise ModelFileError(f"{name}: the file is gone, and the model of {whose} was not read yet.") from error
        if not hmac.compare_digest(_sha256(content), sha256):
            raise ModelFileError(
                f"{name}: the model of {whose} has not the checksum (SHA-256) that the file has of it: the file is "
                "damaged, or was replaced since it was loaded. Load it again, or copy it again."
            )
        try:
            return self.read(content)
        except ModelFileError as error:
            raise ModelFileError(f"{name}: the model of {whose}: {one_line(error)}") from error

    def detector(self) -> GroupedDetector:
        """What the file holds."""
        manifest = self.manifest
        pooled = self.model(POOLED_PART, manifest["pooled"]["sha256"], "all rows")
        detector = GroupedDetector(
            VAEDetector(**pooled.fitted_parameters_), manifest["by"], min_rows=manifest["min_rows"]
        )
        detector.by_, detector.pooled_ = manifest["by"], pooled
        detector.models_ = ModelsInFile(self)
        lines = {entry["name"]: (entry["n_rows"], OWN, "") for entry in manifest["groups"]}
        why = "failed: the fit knew why, and files do not keep it"
        lines |= {entry["name"]: (entry["n_rows"], POOLED, why) for entry in manifest["failed"]}
        detector.groups_ = groups_table(lines)
        detector.unlisted_groups_ = (manifest["small"]["n_groups"], manifest["small"]["n_rows"])
        detector.n_features_in_ = manifest["n_features"]
        detector.column_roles_ = ColumnRoles.of(manifest["column_roles"])
        if manifest["feature_names"] is not None:
            detector.feature_names_in_ = np.array(manifest["feature_names"], dtype=object)
        return detector


class ModelsInFile(Mapping[str, VAEDetector]):
    """Models by group, each read and built when it is first asked for; pickles hold all of them.

    Parameters
    ----------
    file : GroupsFile
    """

    def __init__(self, file: GroupsFile) -> None:
        self._file = file
        self._entries = {
            entry["name"]: (GROUP_PART.format(position), entry["sha256"])
            for position, entry in enumerate(file.manifest["groups"])
        }
        self._built: dict[str, VAEDetector] = {}
        self._lock = ForkSafeLock()

    def __getitem__(self, name: str) -> VAEDetector:
        built = self._built.get(name)
        if built is not None:
            return built
        part, sha256 = self._entries[name]
        with self._lock:
            if name not in self._built:
                self._built[name] = self._file.model(part, sha256, f"group {name!r}")
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def opened_groups(location: Location, key: bytes | None, read: ModelReader) -> GroupsFile | None:
    """A file of groups, after a check of its index; None where it is another.

    Parameters
    ----------
    location : path-like, str with an address or bytes
        Where it is.
    key : bytes or None
        What it has to be signed with.
    read : callable
        Makes a model of the bytes of its file.

    Raises
    ------
    ModelFileError
        If its index is damaged, or not signed with the key.
    """
    found = read_header(location)
    if found is None or MARK not in found[0]:
        return None
    text, slots, start = found
    name = name_of(location)
    try:
        manifest = strict_json(text)
        if manifest.get("kind") != KIND or manifest["format_version"] != GROUPS_FORMAT_VERSION:
            return None
        check_groups_manifest(manifest)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{name}: the manifest is damaged ({one_line(error)}). Fit or copy it again.") from error
    held = {
        part: read_part(location, slots[part], start) for part in (INDEX_CHECKSUM, INDEX_SIGNATURE) if part in slots
    }
    if not hmac.compare_digest(held.get(INDEX_CHECKSUM, b""), hashlib.sha256(text.encode("utf-8", "replace")).digest()):
        raise ModelFileError(
            f"{name}: the file is damaged: its index has not the checksum (SHA-256) that was written with it. Copy it "
            "again from where it was made, or fit again."
        )
    if key is not None and not hmac.compare_digest(held.get(INDEX_SIGNATURE, b""), _signed(text, key)):
        signed = "not signed with this key, or was changed since" if INDEX_SIGNATURE in held else "not signed"
        raise ModelFileError(
            f"{name}: the file is {signed}, and a key was given. Give the key that it was saved with, or load it "
            "without one if you trust it."
        )
    return GroupsFile(location, manifest, slots, start, read)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _signed(index: str, key: bytes) -> bytes:
    return hmac.new(key, SIGNED + index.encode("utf-8", "replace"), "sha256").digest()
