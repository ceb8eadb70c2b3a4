"""Parameters, columns and figures as JSON, and back: objects of the library by their names in its tables."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_anomaly.columns import Column
from vae_anomaly.data import HashedTexts, TextFormat, is_hashed
from vae_anomaly.detectors import Reading, TrainingPlan
from vae_anomaly.errors import SpecificationError
from vae_anomaly.likelihoods import LIKELIHOOD_CLASSES, Likelihood
from vae_anomaly.model import BACKBONES, PRIORS, Backbone, Prior
from vae_anomaly.scores import SCORES, Score

TRAINING, READING, TEXT_FORMAT, HASHED_TEXTS = "training", "reading", "text_format", "hashed_texts"
LEVEL_HASHES = "levels."

_TABLES: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "likelihood": (Likelihood, LIKELIHOOD_CLASSES),
    "prior": (Prior, PRIORS),
    "backbone": (Backbone, BACKBONES),
    "score": (Score, SCORES),
}


def encode(value: Any) -> Any:
    """A parameter as JSON takes it: objects of the library by their names in its tables.

    Raises
    ------
    SpecificationError
        If it is an object of such a kind that the library does not know.
    """
    for concept, (base, table) in _TABLES.items():
        if isinstance(value, base):
            for name, kind in table.items():
                if type(value) is kind:
                    fields = {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(kind)}
                    return {"concept": concept, "name": name, "fields": fields}
            raise SpecificationError(
                f"{type(value).__name__} is not one of the library's own {concept}s {sorted(table)}, and a model file "
                "holds no code; pickle the detector with joblib instead, or use one of those."
            )
    if isinstance(value, TrainingPlan | Reading):
        concept = TRAINING if isinstance(value, TrainingPlan) else READING
        return {"concept": concept, "fields": {name: encode(field) for name, field in value.get_params().items()}}
    if isinstance(value, TextFormat):
        fields = {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
        del fields["examples"]
        return {"concept": TEXT_FORMAT, "fields": fields}
    if isinstance(value, HashedTexts):
        fields = {"key": value.key.hex(), "digests": base64.b64encode(value.digests).decode(), "folded": value.folded}
        return {"concept": HASHED_TEXTS, "fields": fields}
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return None
    if callable(value):
        # What changes training images is no part of what was learned from them.
        return None
    if isinstance(value, dt.date | np.datetime64):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list | np.ndarray):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {"mapping": {str(name): encode(item) for name, item in value.items()}}
    # What stands for a text that is hashed.
    return None if is_hashed(value) else value


def decode(value: Any) -> Any:
    """What `encode` made of a parameter, back; KeyError or ValueError where the library has no such thing."""
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    if isinstance(value, dict) and "mapping" in value:
        return {name: decode(item) for name, item in value["mapping"].items()}
    if isinstance(value, dict) and value["concept"] in (TRAINING, READING):
        return (TrainingPlan if value["concept"] == TRAINING else Reading)(**value["fields"])
    if isinstance(value, dict) and value["concept"] == TEXT_FORMAT:
        return TextFormat(**{name: decode(field) for name, field in value["fields"].items()})
    if isinstance(value, dict) and value["concept"] == HASHED_TEXTS:
        fields = value["fields"]
        digests = base64.b64decode(fields["digests"], validate=True)
        return HashedTexts(bytes.fromhex(fields["key"]), digests, bool(fields["folded"]))
    if isinstance(value, dict):
        _, table = _TABLES[value["concept"]]
        kind = table[value["name"]]
        known = {field.name for field in dataclasses.fields(kind)}
        if not set(value["fields"]) <= known:
            raise ValueError(f"{value['name']} has no fields {sorted(set(value['fields']) - known)}")
        return kind(**{name: decode(field) for name, field in value["fields"].items()})
    return value


def encode_column(column: Column) -> dict[str, Any]:
    """A column with its parts, by the names of its fields; hashes of levels are tensors: see `level_tensors`."""
    fields = {field.name: getattr(column, field.name) for field in dataclasses.fields(column)}
    parts = [encode_column(part) for part in fields.pop("parts")]
    hashed = fields.pop("hashed")
    entry = {name: encode(value) for name, value in fields.items()} | {"parts": parts}
    if hashed is not None:
        entry["hashed"] = {"key": hashed.key.hex(), "folded": hashed.folded, "n": len(hashed)}
    return entry


def decode_column(entry: dict[str, Any], digests: Tensor | None = None) -> Column:
    """What `encode_column` made of a column, back.

    Parameters
    ----------
    entry : dict
        Of a manifest.
    digests : int64 Tensor of shape (hashed levels, 2), optional
        Hashes of levels.
    """
    fields = {name: decode(value) for name, value in entry.items() if name not in ("parts", "hashed")}
    parts = tuple(decode_column(part) for part in entry.get("parts", ()))
    held = entry.get("hashed")
    if (held is None) != (digests is None):
        raise ValueError(f"column {entry['name']!r} has hashes of levels in one place and not in the other")
    if held is not None and digests is not None:
        if digests.dtype != torch.int64 or digests.shape != (held["n"], 2) or not fields["levels"]:
            raise ValueError(f"the hashes of levels of column {entry['name']!r} have shape {tuple(digests.shape)}")
        hashed = HashedTexts(bytes.fromhex(held["key"]), digests.numpy().astype("<i8").tobytes(), bool(held["folded"]))
        n_own = len(fields["levels"])
        texts = hashed.filled([*fields["levels"], *fields["rare"]])
        n_named = fields["levels"].count(None) + fields["rare"].count(None)
        if len(hashed) > n_named and not fields["rare"]:
            raise ValueError(f"column {entry['name']!r} has hashes of {len(hashed)} levels, and {n_named} levels")
        fields |= {"levels": tuple(texts[:n_own]), "rare": tuple(texts[n_own:]), "hashed": hashed}
    return Column(**fields, parts=parts)


def level_tensors(columns: Sequence[Column]) -> dict[str, Tensor]:
    """Hashes of the levels of each column that has any, 16 bytes as two integers, by its position."""
    return {
        f"{LEVEL_HASHES}{position}": torch.from_numpy(
            np.frombuffer(column.hashed.digests, dtype="<i8").reshape(-1, 2).astype(np.int64)
        )
        for position, column in enumerate(columns)
        if column.hashed is not None
    }


def finite(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: they become null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in fields.items()
    }
