"""Parameters, columns and figures as JSON, and back: objects of the library by their names in its tables."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vae_anomaly.columns import Column
from vae_anomaly.data import TextFormat
from vae_anomaly.detectors import Reading, TrainingPlan
from vae_anomaly.errors import SpecificationError
from vae_anomaly.likelihoods import LIKELIHOOD_CLASSES, Likelihood
from vae_anomaly.model import BACKBONES, PRIORS, Backbone, Prior
from vae_anomaly.scores import SCORES, Score

TRAINING, READING, TEXT_FORMAT = "training", "reading", "text_format"

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
        return {"concept": TEXT_FORMAT, "fields": fields}
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
    return value


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
    if isinstance(value, dict):
        _, table = _TABLES[value["concept"]]
        kind = table[value["name"]]
        known = {field.name for field in dataclasses.fields(kind)}
        if not set(value["fields"]) <= known:
            raise ValueError(f"{value['name']} has no fields {sorted(set(value['fields']) - known)}")
        return kind(**{name: decode(field) for name, field in value["fields"].items()})
    return value


def encode_column(column: Column) -> dict[str, Any]:
    """A column with its parts, by the names of its fields."""
    fields = {field.name: getattr(column, field.name) for field in dataclasses.fields(column)}
    parts = [encode_column(part) for part in fields.pop("parts")]
    return {name: encode(value) for name, value in fields.items()} | {"parts": parts}


def decode_column(entry: dict[str, Any]) -> Column:
    """What `encode_column` made of a column, back."""
    fields = {name: decode(value) for name, value in entry.items() if name != "parts"}
    return Column(**fields, parts=tuple(decode_column(part) for part in entry.get("parts", ())))


def finite(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: they become null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in fields.items()
    }
