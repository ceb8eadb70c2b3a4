"""The bytes of a model file: a safetensors file whose header holds the manifest, a checksum and a signature.

The checksum finds what happened to a file by accident; whoever changes a file on purpose can compute it anew.  The
signature is made with a key, and only holders of the key can make one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import torch
from safetensors.torch import save as serialize
from torch import Tensor

from vae_anomaly.errors import ModelFileError, SpecificationError
from vae_anomaly.store.locations import Location, name_of, opened

METADATA_KEY, CHECKSUM_KEY, SIGNATURE_KEY = "vae_anomaly", "sha256", "signature"
METADATA = "__metadata__"
MIN_KEY_BYTES = 16
MAX_HEADER_BYTES, BLOCK_BYTES = 100_000_000, 1 << 20
MAX_DIMENSIONS, MAX_DEPTH = 8, 64
BYTES = "U8"
DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, BYTES: torch.uint8}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Slot:
    """Where a tensor stands in a file.

    Parameters
    ----------
    dtype : str
        As safetensors calls it.
    shape : tuple of int
    begin, end : int
        Bytes from the end of the header on.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Content:
    """What a model file holds.

    Parameters
    ----------
    manifest : str
        JSON.
    tensors : dict of Tensor
        Empty where they were not asked for.
    shapes : dict of tuple
        Of all tensors.
    checksum : str or None
        SHA-256 in hexadecimal digits; it holds.  None where the file has none.
    signature : {"none", "not verified", "verified"}
        Whether the file is signed, and with the given key.
    """

    manifest: str
    tensors: dict[str, Tensor]
    shapes: dict[str, tuple[int, ...]]
    checksum: str | None
    signature: str


def checked_key(key: bytes | None) -> bytes | None:
    """A key for signatures, as it was given.

    Raises
    ------
    SpecificationError
        If it is no key, or too short to be one.
    """
    if key is None:
        return None
    if not isinstance(key, bytes | bytearray):
        raise SpecificationError(
            f"key is of type {type(key).__name__}; expected bytes, such as Path('model.key').read_bytes()."
        )
    if len(key) < MIN_KEY_BYTES:
        raise SpecificationError(
            f"key has {len(key)} bytes; expected at least {MIN_KEY_BYTES} that nobody can guess, such as "
            "os.urandom(32)."
        )
    return bytes(key)


def packed(manifest: str, tensors: Mapping[str, Tensor], key: bytes | None = None) -> bytes:
    """The bytes of a model file; the same for the same content.

    Parameters
    ----------
    manifest : str
        JSON.
    tensors : dict of Tensor
    key : bytes, optional
        What to sign with.
    """
    digest = _Digest(manifest)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.tensor(name, NAMES[tensor.dtype], tuple(tensor.shape), [_bytes_of(tensor)])
    metadata = _metadata(manifest, digest, key)
    content = serialize(dict(tensors), metadata)
    # safetensors writes the entries of the metadata in an order of chance.
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    return b"".join([_header_bytes(header | {METADATA: metadata}), memoryview(content)[end:]])


def packed_parts(manifest: str, parts: Mapping[str, bytes], key: bytes | None = None) -> bytes:
    """The bytes of a file whose tensors are bytes, such as whole model files; the same for the same content.

    Parameters
    ----------
    manifest : str
        JSON.
    parts : dict of bytes
    key : bytes, optional
        What to sign with.
    """
    digest = _Digest(manifest)
    entries: dict[str, Any] = {}
    begin = 0
    for name in sorted(parts):
        end = begin + len(parts[name])
        entries[name] = {"dtype": BYTES, "shape": [end - begin], "data_offsets": [begin, end]}
        digest.tensor(name, BYTES, (end - begin,), [parts[name]])
        begin = end
    metadata = _metadata(manifest, digest, key)
    return b"".join([_header_bytes(entries | {METADATA: metadata}), *(parts[name] for name in sorted(parts))])


def unpacked(location: Location, *, tensors: bool, key: bytes | None = None) -> Content:
    """What a model file holds, after its checksum and, where there is a key, its signature.

    Parameters
    ----------
    location : path-like, str with an address, binary file or bytes
        Where it is.
    tensors : bool
        Whether to keep the tensors.
    key : bytes, optional
        What the file has to be signed with.

    Raises
    ------
    ModelFileError
        If it is no model file, is damaged, or is not signed with the key.
    OSError
        If it cannot be read.
    """
    name = name_of(location)
    try:
        with opened(location) as file:
            return _read(name, file, tensors=tensors, key=key)
    except _DamagedError as error:
        raise ModelFileError(
            f"{name}: not a model file, or damaged ({one_line(error)}). Expected a file written by save() or "
            "'vae-anomaly fit'; fit again or copy it again."
        ) from error


def read_header(location: Location) -> tuple[str, dict[str, Slot], int] | None:
    """The manifest of a model file, where its tensors stand and where they begin, before its checksum is compared.

    Parameters
    ----------
    location : path-like, str with an address, binary file or bytes
        Where it is.

    Returns
    -------
    tuple, or None
        None where it is no model file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with opened(location) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            metadata, slots, start = _header(file, size)
        except _DamagedError:
            return None
    manifest = metadata.get(METADATA_KEY)
    return None if manifest is None else (manifest, slots, start)


def read_part(location: Location, slot: Slot, start: int) -> bytes:
    """The bytes of one tensor.

    Parameters
    ----------
    location : path-like, str with an address, binary file or bytes
        Where the file is.
    slot : Slot
        Where the tensor stands.
    start : int
        Where tensors begin.

    Raises
    ------
    ModelFileError
        If the file ends before it.
    OSError
        If it cannot be read.
    """
    with opened(location) as file:
        file.seek(start + slot.begin)
        try:
            return bytes(_whole(file, slot.end - slot.begin))
        except _DamagedError as error:
            raise ModelFileError(
                f"{name_of(location)}: the file was changed while it was read. Load it again."
            ) from error


def strict_json(text: str | bytes) -> Any:
    """JSON without what JSON does not have: NaN, infinity, numbers that become infinite, names that come twice.

    Raises
    ------
    ValueError
        If it is none, or nested too deep.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_distinct, parse_constant=_refused_constant, parse_float=_finite_float
        )
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    _check_depth(value, MAX_DEPTH)
    return value


def one_line(error: object) -> str:
    """The text of an error on one line, cut where it is long."""
    return " ".join(str(error).split())[:200]


Buffer: TypeAlias = bytes | bytearray


class _DamagedError(ValueError):
    """A file is no safetensors file."""


class _Digest:
    """SHA-256 over the manifest and all tensors, sorted by their names."""

    def __init__(self, manifest: str) -> None:
        self._hash = hashlib.sha256()
        self._field(manifest.encode("utf-8", "surrogatepass"))

    def tensor(self, name: str, dtype: str, shape: tuple[int, ...], blocks: Iterable[Buffer]) -> None:
        """Take in a tensor."""
        self._field(name.encode("utf-8", "surrogatepass"))
        self._field(f"{dtype}{list(shape)}".encode())
        for block in blocks:
            self._hash.update(block)

    def signed(self, key: bytes) -> str:
        """HMAC-SHA256 of all that was taken in."""
        return hmac.new(key, self._hash.digest(), "sha256").hexdigest()

    def checksum(self, signature: str | None) -> str:
        """SHA-256 of all that was taken in, and of the signature."""
        whole = self._hash.copy()
        if signature is not None:
            whole.update(signature.encode("utf-8", "surrogatepass"))
        return whole.hexdigest()

    def _field(self, content: bytes) -> None:
        self._hash.update(len(content).to_bytes(8, "little"))
        self._hash.update(content)


def _read(name: str, file: BinaryIO, *, tensors: bool, key: bytes | None) -> Content:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    metadata, slots, start = _header(file, size)
    if METADATA_KEY not in metadata:
        raise ModelFileError(f"{name}: a safetensors file, but not a model of vae-anomaly. Fit one first.")
    unknown = sorted(set(metadata) - {METADATA_KEY, CHECKSUM_KEY, SIGNATURE_KEY})
    if unknown:
        raise _DamagedError(f"its metadata has {unknown[0]!r}")
    manifest, said, signature = (metadata.get(field) for field in (METADATA_KEY, CHECKSUM_KEY, SIGNATURE_KEY))
    assert manifest is not None
    digest = _Digest(manifest)
    held: dict[str, Tensor] = {}
    for part in sorted(slots):
        slot = slots[part]
        file.seek(start + slot.begin)
        if tensors:
            content = _whole(file, slot.end - slot.begin)
            digest.tensor(part, slot.dtype, slot.shape, [content])
            held[part] = _tensor(content, slot)
        else:
            digest.tensor(part, slot.dtype, slot.shape, _blocks(file, slot.end - slot.begin))
    if said is not None and not hmac.compare_digest(digest.checksum(signature).encode(), _ascii(said)):
        raise ModelFileError(
            f"{name}: the file is damaged: its content has not the checksum (SHA-256) that was written with it. "
            "Copy it again from where it was made, or fit again."
        )
    _check_signature(name, digest, signature, key)
    status = "none" if signature is None else "not verified" if key is None else "verified"
    return Content(manifest, held, {part: slot.shape for part, slot in slots.items()}, said, status)


def _metadata(manifest: str, digest: _Digest, key: bytes | None) -> dict[str, str]:
    """What stands in the header beside tensors: the manifest, a checksum, and a signature where there is a key."""
    signature = None if key is None else digest.signed(key)
    metadata = {METADATA_KEY: manifest, CHECKSUM_KEY: digest.checksum(signature)}
    return metadata if signature is None else metadata | {SIGNATURE_KEY: signature}


def _header_bytes(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    written = text.encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written


def _check_signature(name: str, digest: _Digest, signature: str | None, key: bytes | None) -> None:
    if key is None:
        return
    if signature is None:
        raise ModelFileError(
            f"{name}: the file is not signed, and a key was given. Save it again with the key if you trust it, or "
            "load it without one."
        )
    if not hmac.compare_digest(digest.signed(key).encode(), _ascii(signature)):
        raise ModelFileError(
            f"{name}: the file is not signed with this key, or was changed since. Give the key that it was saved "
            "with, or get the file again from somebody who has the key."
        )


def _header(file: BinaryIO, size: int) -> tuple[dict[str, str], dict[str, Slot], int]:
    """Metadata, tensors, and where the tensors begin."""
    n_bytes = int.from_bytes(_whole(file, min(size, 8)), "little")
    if size < 8 or n_bytes > min(size - 8, MAX_HEADER_BYTES):
        raise _DamagedError(f"its header would have {n_bytes:,} bytes, and the file has {size:,}")
    try:
        header = strict_json(bytes(_whole(file, n_bytes)).decode())
    except ValueError as error:
        raise _DamagedError(f"its header: {error}") from error
    if not isinstance(header, dict):
        raise _DamagedError("its header is no object")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _DamagedError("its metadata is no text")
    slots = {name: _slot(name, entry) for name, entry in header.items()}
    end = 0
    for name, slot in sorted(slots.items(), key=lambda item: (item[1].begin, item[1].end)):
        if slot.begin != end:
            raise _DamagedError(f"tensor {name!r} does not begin where the one before it ends")
        end = slot.end
    if 8 + n_bytes + end != size:
        raise _DamagedError(f"its header speaks of {8 + n_bytes + end:,} bytes, and the file has {size:,}")
    return metadata, slots, 8 + n_bytes


def _slot(name: str, entry: Any) -> Slot:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _DamagedError(f"tensor {name!r} has not the fields of one")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _DamagedError(f"tensor {name!r} has type {dtype!r}")
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(
            type(number) is int and 0 <= number < 1 << 48 for number in numbers
        ):
            raise _DamagedError(f"tensor {name!r} has no sizes")
    if len(shape) > MAX_DIMENSIONS or len(offsets) != 2:
        raise _DamagedError(f"tensor {name!r} has no sizes")
    slot = Slot(dtype, tuple(shape), *offsets)
    if slot.end - slot.begin != math.prod(slot.shape) * DTYPES[dtype].itemsize:
        raise _DamagedError(f"tensor {name!r} has another size than its numbers")
    return slot


def _tensor(content: bytearray, slot: Slot) -> Tensor:
    if not content:
        return torch.empty(slot.shape, dtype=DTYPES[slot.dtype])
    return torch.frombuffer(content, dtype=DTYPES[slot.dtype]).reshape(slot.shape)


def _whole(file: BinaryIO, n_bytes: int) -> bytearray:
    content = bytearray(n_bytes)
    view, n_read = memoryview(content), 0
    while n_read < n_bytes:
        n_more = file.readinto(view[n_read:])  # type: ignore[attr-defined]
        if not n_more:
            raise _DamagedError("it ends too early: it was cut while it was read")
        n_read += n_more
    return content


def _blocks(file: BinaryIO, n_bytes: int) -> Iterable[bytearray]:
    for begin in range(0, n_bytes, BLOCK_BYTES):
        yield _whole(file, min(BLOCK_BYTES, n_bytes - begin))


def _bytes_of(tensor: Tensor) -> bytes:
    # Of a single number the step may be 0, which no view as bytes takes.
    flat = tensor.detach().reshape(-1).clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().tobytes()


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    distinct = dict(pairs)
    if len(distinct) != len(pairs):
        raise ValueError("a name comes twice")
    return distinct


def _refused_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _check_depth(value: Any, depth: int) -> None:
    if not isinstance(value, dict | list):
        return
    if depth == 0:
        raise ValueError("it is nested too deep")
    for item in value.values() if isinstance(value, dict) else value:
        _check_depth(item, depth - 1)
