"""A model that travels to workers: its content or its address, and what says that it is the same one there."""

from __future__ import annotations

import hashlib
import io
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from vae_anomaly.errors import ModelFileError, SpecificationError
from vae_anomaly.forks import ForkSafeLock

if TYPE_CHECKING:
    from vae_anomaly.detectors import GroupedDetector, PatchDetector, VAEDetector

    Detector: TypeAlias = VAEDetector | PatchDetector | GroupedDetector

# Models that a process keeps loaded.
MAX_LOADED = 4


@dataclass(frozen=True)
class CarriedModel:
    """A model file, as a worker gets it.

    Attributes
    ----------
    name : str
        How messages call it.
    fingerprint : str
        SHA-256 of the file.
    content : bytes or None
        All of the file; None where it is read from its address.
    """

    name: str
    fingerprint: str
    content: bytes | None = field(repr=False)

    @classmethod
    def of(cls, model: str | os.PathLike[str] | Detector, key: bytes | None) -> CarriedModel:
        """Take the content of a file or of a detector, or the address of a store.

        Parameters
        ----------
        model : path-like, str with an address, or detector
        key : bytes, optional
            What a file has to be signed with.

        Raises
        ------
        ModelFileError
            If it is no model file, is damaged, or is not signed with the key.
        NotFittedError
            If the detector is not fitted.
        SpecificationError
            If it is another kind of detector.
        OSError
            If it cannot be read.
        """
        from vae_anomaly.store import is_address, read_bytes, read_manifest, save

        if not isinstance(model, str | os.PathLike):
            if key is not None:
                raise SpecificationError("key checks the signature of a model file, and a detector has none.")
            stream = io.BytesIO()
            save(model, stream)
            content, name = stream.getvalue(), f"the {type(model).__name__} given"
            return cls(name, hashlib.sha256(content).hexdigest(), content)
        name = os.fspath(model)
        content = read_bytes(model)
        read_manifest(_NamedContent(content, name), key=key)
        remote = isinstance(model, str) and is_address(model)
        return cls(name, hashlib.sha256(content).hexdigest(), None if remote else content)

    def detector(self, device: str) -> Detector:
        """Load the model, once in a process.

        Raises
        ------
        ModelFileError
            If at its address there is another one by now.
        SpecificationError
            If this machine has no such device.
        OSError
            If the address cannot be read.
        """
        place = self.fingerprint, device
        with _LOCK:
            if place not in _LOADED:
                _LOADED[place] = self._loaded(device)
                if len(_LOADED) > MAX_LOADED:
                    _LOADED.popitem(last=False)
            _LOADED.move_to_end(place)
            return _LOADED[place]

    def _loaded(self, device: str) -> Detector:
        from vae_anomaly.store import load, read_bytes

        content = read_bytes(self.name) if self.content is None else self.content
        found = hashlib.sha256(content).hexdigest()
        if found != self.fingerprint:
            raise ModelFileError(
                f"{self.name}: the file has another content (SHA-256 {found[:12]}) than when the scorer was made "
                f"({self.fingerprint[:12]}): half of the rows would be scored by another model. Make the scorer anew, "
                "or put the file back."
            )
        return load(_NamedContent(content, self.name), device)


class _NamedContent(io.BytesIO):
    """Content of a file that messages call by its name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


_LOCK = ForkSafeLock()
_LOADED: OrderedDict[tuple[str, str], Detector] = OrderedDict()
