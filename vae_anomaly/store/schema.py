"""What a manifest has to hold, and the range of every number in it, before anything is made of them.

`info` shows a manifest and builds nothing, so that all it shows is checked here.  What a number leads to in memory is
compared with what the file holds in `vae_anomaly.store.sizes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from vae_anomaly.columns import LEVELS_OF_DEPTH, MAX_KEYS, SEASONS, TREND, Kind
from vae_anomaly.decisions import RULES
from vae_anomaly.detectors import MAX_SMOOTHING
from vae_anomaly.fitting import MAX_LATENTS
from vae_anomaly.likelihoods import LIKELIHOOD_CLASSES
from vae_anomaly.model import ACTIVATIONS, BACKBONES, MAX_LOG_VARIANCE, PRIORS
from vae_anomaly.scores import SCORES
from vae_anomaly.store.ranges import (
    Check,
    anything,
    either,
    entries,
    flag,
    items,
    number,
    one_of,
    optional,
    record,
    refuse,
    text,
    whole,
)

KINDS = ("rows", "patches", "feature_maps")
MAX_LAYERS, MAX_UNITS, MAX_MEMBERS = 64, 1 << 24, 1 << 16
MAX_CELLS, MAX_SIDE, MAX_CELL = 1 << 31, 1 << 16, 1 << 8
SHARE, ROWS = number(0, 1), whole(0, 1 << 53)
# The ends of what asinh scales and steps are computed with.
SIZE = number(-1e300, 1e300)
EXTENT = number(0, 1e300)


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest of this version that is not complete, or in which a value is out of its range.

    Raises
    ------
    ValueError
        If it is one; the text says where and what was expected.
    """
    MANIFEST(manifest, "")
    rest = {"patches": PATCHES, "feature_maps": FEATURE_MAPS}.get(manifest["kind"], ROWS_OF_TABLES)
    rest(manifest, "")
    if manifest["kind"] != "feature_maps":
        TRAINED(manifest, "")
    if manifest["kind"] == "rows":
        MODEL(manifest, "")
        names = manifest["feature_names"]
        if names is not None and (len(names) != len(manifest["columns"]) or len(set(names)) != len(names)):
            raise ValueError("feature_names are not those of the columns, each once")


def _concept(concept: str, table: Mapping[str, Any]) -> Check:
    """An object of the library by its name in a table, or by the name alone."""
    entry = record({"concept": one_of(concept), "name": one_of(*table), "fields": entries(_field)})
    return either(entry, one_of(*table))


def _field(value: Any, place: str) -> None:
    """A field of such an object: a number, text, true, false, null, or as its base another likelihood."""
    if place.endswith(".base"):
        LIKELIHOOD(value, place)
    elif not (isinstance(value, str | bool) or value is None):
        number(-1e15, 1e15)(value, place)


def _column(value: Any, place: str) -> None:
    COLUMN(value, place)
    n_levels, n_spikes = len(value.get("levels", ())), len(value.get("spikes", ()))
    shares = value.get("frequencies", ())
    if n_spikes and n_levels:
        raise ValueError(f"{place} has levels and spikes")
    if shares and len(shares) != (n_spikes + 1 if n_spikes else n_levels):
        raise ValueError(f"{place}.frequencies are {len(shares)} for {n_levels} levels and {n_spikes} spikes")
    low, high = value.get("low"), value.get("high")
    if low is not None and high is not None and low > high:
        refuse(low, f"{place}.low", f"at most {high:g}, the highest value")
    for part, entry in enumerate(value.get("parts", ())):
        if entry.get("parts"):
            raise ValueError(f"{place}.parts[{part}] has parts of its own")


def _parts(value: Any, place: str) -> None:
    items(_column, most=16)(value, place)


LIKELIHOOD = record({"concept": one_of("likelihood"), "name": one_of(*LIKELIHOOD_CLASSES), "fields": entries(_field)})
HASHED_TEXTS = record(
    {
        "concept": one_of("hashed_texts"),
        "fields": record({"key": text, "digests": text, "folded": flag}, closed=True),
    }
)
# Null stands for a text of which the file holds a hash.
LEVELS = either(items(optional(text)), items(SIZE))
TEXT_FORMAT = record(
    {
        "kind": one_of("number", "date", "boolean", "level"),
        "clock": one_of("", "hours", "minutes"),
        **dict.fromkeys(("decimal", "unit", "date_format", "empty_level", "description", "examples"), text),
        **dict.fromkeys(("factors", "strict", "usual_missing", "fold", "by_value"), flag),
        **dict.fromkeys(("missing", "kept"), items(text)),
        "hashed_missing": optional(HASHED_TEXTS),
    },
    may_lack={
        *("clock", "decimal", "unit", "date_format", "empty_level", "factors", "strict", "usual_missing", "fold"),
        *("by_value", "missing", "kept", "hashed_missing", "examples"),
    },
    closed=True,
)
COLUMN = record(
    {
        "name": text,
        "kind": one_of(*get_args(Kind)),
        "likelihood": optional(LIKELIHOOD),
        "reason": text,
        "location": SIZE,
        "scale": number(1e-300, 1e300),
        "asinh_scale": EXTENT,
        "resolution": EXTENT,
        "step": EXTENT,
        "origin": SIZE,
        "low": optional(SIZE),
        "high": optional(SIZE),
        "spikes": items(SIZE, most=1 << 10),
        "levels": LEVELS,
        "rare": items(optional(text)),
        "missing_values": LEVELS,
        "unseen": SHARE,
        "boolean": flag,
        "numeric": flag,
        "frequencies": items(number(0, 1, above=True)),
        "mean": SIZE,
        "coarseness": EXTENT,
        "parts": _parts,
        "n_cells": whole(1, MAX_CELLS),
        "text_format": optional(record({"concept": one_of("text_format"), "fields": TEXT_FORMAT})),
        "date_unit": one_of("", "s", "ms", "us", "ns"),
        "counts": items(ROWS),
        "hashed": record({"key": text, "folded": flag, "n": ROWS}, closed=True),
    },
    may_lack={
        *("location", "scale", "asinh_scale", "resolution", "step", "origin", "low", "high", "spikes", "rare"),
        *("unseen", "boolean", "numeric", "frequencies", "mean", "coarseness", "parts", "n_cells", "text_format"),
        *("date_unit", "levels", "missing_values", "counts", "hashed"),
    },
)
FIT_REPORT = record(
    {
        **dict.fromkeys(("n_rows", "n_validation_rows", "n_rows_per_member", "n_iter", "latent_dim"), ROWS),
        **dict.fromkeys(("stopped_early", "interrupted", "rolled_back", "collapsed", "worse_than_baseline"), flag),
        **dict.fromkeys(("elbo", "kl", "active_latents", "baseline_elbo"), optional(number())),
    }
)
HISTORY = record(
    {
        "iteration": items(ROWS),
        **dict.fromkeys(("elbo", "kl", "validation_elbo", "learning_rate"), items(number())),
        **dict.fromkeys(("stopped_early", "interrupted", "rolled_back"), flag),
        "stopped_by": text,
    },
    may_lack={"stopped_by"},
)
MODEL = record(
    {
        "columns": items(_column, 1),
        "n_members": whole(1, MAX_MEMBERS),
        "latent_dim": whole(1, MAX_LATENTS),
        "backbone": _concept("backbone", BACKBONES),
        "hidden_layer_sizes": items(whole(1, MAX_UNITS), most=MAX_LAYERS),
        "activation": one_of(*ACTIVATIONS),
        "mask_input": flag,
        "min_log_variance": number(-100, MAX_LOG_VARIANCE),
        "prior": _concept("prior", PRIORS),
        "n_components": whole(0, 1 << 32),
        "n_kernels": whole(0, 1 << 32),
        "score": _concept("score", SCORES),
        "fit_report": FIT_REPORT,
        "history": HISTORY,
    }
)
THRESHOLD = record(
    {
        "score": number(),
        "rule": one_of("score", "fixed", *RULES),
        "expected_rate": optional(SHARE),
        "rate_bound": optional(SHARE),
        "confidence": SHARE,
        "kind": optional(one_of("split", "cross", "training")),
        "n_calibration": ROWS,
        "smallest_p": SHARE,
        "parameters": entries(optional(number())),
    },
    may_lack={"expected_rate", "rate_bound", "confidence", "kind", "n_calibration", "smallest_p"},
    closed=True,
)
STREAM = record(
    {
        "capital": items(number(0), 3, 3),
        "seed": whole(0),
        "n_reference": ROWS,
        "n_seen": ROWS,
        "largest_wealth": number(0),
    }
)
CALIBRATION = record(
    {
        "kind": one_of("split", "cross", "training"),
        "n_folds": whole(1, MAX_MEMBERS),
        "group_column": optional(text),
        "groups": items(anything),
        "n_confirmed": ROWS,
        "declared_normal": flag,
    }
)
SAMPLE = record(
    {
        "name": text,
        "n_rows": ROWS,
        "n_missing": ROWS,
        "n_values": ROWS,
        "kind": one_of("values", "levels", "missing"),
        # Up to format version 7 the counts were by their levels.
        "levels": either(items(optional(text)), entries(ROWS)),
        "counts": items(ROWS),
    },
    may_lack={"counts"},
)
DECISIONS = record(
    {
        "threshold": THRESHOLD,
        "n_trained": whole(0, MAX_MEMBERS),
        "repeated_share": SHARE,
        "columns": items(SAMPLE),
        "stream": optional(STREAM),
        "calibration": optional(CALIBRATION),
    }
)
IMAGES = record(
    {
        "height": whole(1, MAX_SIDE),
        "width": whole(1, MAX_SIDE),
        "channels_last": flag,
        "channel_axis": flag,
        "depth": optional(one_of(*LEVELS_OF_DEPTH)),
        "map_scale": items(number(), 2, 2),
    },
)
ROLES = record(
    {
        **dict.fromkeys(("ids", "dropped", "normal"), items(text)),
        **dict.fromkeys(("label", "anomalous"), optional(text)),
    }
)
MANIFEST = record(
    {
        "format_version": whole(1),
        "kind": one_of(*KINDS),
        "library_version": text,
        "created": text,
        "parameters": entries(anything),
        "n_features": whole(1, MAX_CELLS),
        "contamination": anything,
        "offset": number(),
        "decisions": DECISIONS,
        "images": optional(IMAGES),
        "column_roles": ROLES,
        "columns": items(_column, 1),
    },
    # Since format version 8 nothing in a file depends on the clock.
    may_lack={"created"},
)
TRAINED = record(
    {
        "parameters": record({"n_estimators": optional(whole(1, MAX_MEMBERS))}),
        "fit_report": FIT_REPORT,
        "history": HISTORY,
    }
)
ANSWERS = record(
    {
        "learned": flag,
        "in_use": flag,
        "boundary": optional(number()),
        "shrinkage": optional(number(0)),
        "others": optional(DECISIONS),
    },
    closed=True,
)
BASELINE = record(
    {
        "keys": items(whole(0, MAX_CELLS), most=MAX_KEYS),
        "time": optional(whole(0, MAX_CELLS)),
        "columns": items(
            record(
                {
                    "position": whole(0, MAX_CELLS),
                    "asinh_scale": EXTENT,
                    "step": EXTENT,
                    "origin": SIZE,
                    "low": optional(SIZE),
                    "high": optional(SIZE),
                },
                closed=True,
            ),
            1,
        ),
        "n_groups": items(ROWS, most=MAX_KEYS),
        "seasons": optional(
            record(
                {"first_day": SIZE, "last_day": SIZE, "used": items(one_of(*SEASONS, TREND))},
                closed=True,
            )
        ),
    },
    closed=True,
)
ROWS_OF_TABLES = record(
    {
        "feature_names": optional(items(text)),
        "n_training_rows": ROWS,
        "level_rule": record({"min_count": whole(1), "raw_values": flag}, closed=True),
        "answers": ANSWERS,
        "baseline": BASELINE,
    },
    may_lack={"level_rule", "answers", "baseline"},
)
WINDOW = record(
    {
        "target": whole(1, MAX_SIDE),
        "near": whole(1, MAX_SIDE),
        "far": whole(1, 3 * MAX_SIDE),
        "cell": whole(1, MAX_CELL),
        "stride": whole(1, MAX_SIDE),
    }
)


def _window(value: Any, place: str) -> None:
    WINDOW(value, place)
    MODEL(value, place)


PATCHES = record(
    {
        "images": IMAGES,
        "n_training_images": ROWS,
        "windows": items(_window, 1, 64),
        "map_reduction": record({"smoothing": number(0, MAX_SMOOTHING), "top_pixels": whole(1)}),
        "by_position": flag,
        "parameters": record({"model": one_of("masked", "whole")}),
    }
)
IMAGE_FORMAT = record(
    {
        "height": whole(1, MAX_SIDE),
        "width": whole(1, MAX_SIDE),
        "channels": whole(1, MAX_CELLS),
        "depth": optional(one_of(*LEVELS_OF_DEPTH)),
    },
    closed=True,
)
MAP_GROUP = record(
    {
        "maps": items(whole(0, 1 << 16), 1, 64),
        "scores": flag,
        "locates": flag,
        "shared": SHARE,
        "squared_width": number(0, 1, above=True),
        "location": number(),
        "scale": number(0, above=True),
    },
    closed=True,
)
FEATURE_MAPS = record(
    {
        "images": IMAGES,
        "n_training_images": ROWS,
        "image_format": IMAGE_FORMAT,
        "network_weights": optional(
            record(dict.fromkeys(("network", "source", "license", "sha256"), text), closed=True),
        ),
        "groups": items(MAP_GROUP, 1, 64),
    }
)
