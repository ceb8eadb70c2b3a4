"""What numbers are compared with as an entry of a manifest and tensors, and back, distrusting them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.columns import (
    COMPARED_KINDS,
    N_EFFECTS,
    Baseline,
    BaselineSpecification,
    Column,
    ComparedColumn,
    GroupLevel,
    Seasons,
)
from vae_anomaly.data import FloatArray
from vae_anomaly.store.models import without_prefix

BASELINE = "baseline."
DIGESTS, LOCATIONS, SCALES = "digests", "locations", "scales"
EFFECTS, SLOPES, TYPICAL = "effects", "slopes", "typical_log_jacobians"


def baseline_entry(baseline: Baseline) -> dict[str, Any]:
    """What a manifest says of a baseline, ready for JSON."""
    seasons = baseline.seasons
    return {
        "keys": list(baseline.keys),
        "time": baseline.time,
        "columns": [dataclasses.asdict(column) for column in baseline.columns],
        "n_groups": [len(level.digests) for level in baseline.levels],
        "seasons": None
        if seasons is None
        else {"first_day": seasons.first_day, "last_day": seasons.last_day, "used": list(seasons.used)},
    }


def baseline_tensors(baseline: Baseline) -> dict[str, Tensor]:
    """Locations and scales of all rows and of the groups, with hashes of the keys of these, and what dates add."""
    arrays: dict[str, npt.NDArray[Any]] = {LOCATIONS: baseline.locations, SCALES: baseline.scales}
    for depth, level in enumerate(baseline.levels):
        arrays[f"{depth}.{DIGESTS}"] = level.digests
        arrays |= {f"{depth}.{LOCATIONS}": level.locations, f"{depth}.{SCALES}": level.scales}
    if baseline.seasons is not None:
        arrays |= {EFFECTS: baseline.seasons.effects, SLOPES: baseline.seasons.slopes}
    if baseline.typical_log_jacobians is not None:
        arrays[TYPICAL] = baseline.typical_log_jacobians
    return {BASELINE + name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def rebuilt_baseline(
    entry: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    columns: tuple[Column, ...],
    wanted: BaselineSpecification,
) -> Baseline:
    """The baseline that an entry and tensors describe.

    Parameters
    ----------
    entry : dict
        Of a manifest, as its schema wants it.
    tensors : dict of Tensor
    columns : tuple of Column
        Of the model.
    wanted : BaselineSpecification
        By the parameters of the detector.

    Raises
    ------
    LookupError or ValueError
        If they do not agree.
    """
    keys, time = tuple(entry["keys"]), entry["time"]
    compared = tuple(ComparedColumn(**column) for column in entry["columns"])
    by = keys if time is None else (*keys, time)
    positions = [column.position for column in compared]
    if not all(position < len(columns) for position in (*by, *positions)):
        raise ValueError(f"the baseline names columns beyond the {len(columns)} of the model")
    if tuple(columns[position].name for position in by) != wanted.names:
        raise ValueError(f"the baseline is by other columns than the parameters say, which are {wanted.names}")
    if positions != sorted(set(positions)) or set(positions) & set(by):
        raise ValueError("the columns that the baseline compares are not ascending, or are keys")
    if time is not None and columns[time].kind != "datetime":
        raise ValueError(f"the baseline takes times from column {columns[time].name!r}, which holds no dates")
    for position in positions:
        column = columns[position]
        if column.kind not in COMPARED_KINDS or column.likelihood is None or not column.likelihood.standardize:
            raise ValueError(f"the baseline compares column {column.name!r}, which holds no numbers")
    for one in compared:
        if one.low is not None and one.high is not None and one.low > one.high:
            raise ValueError("the lowest value of a compared column is above its highest")
    if len(entry["n_groups"]) != len(keys) or (entry["seasons"] is None) != (time is None):
        raise ValueError("the baseline has other levels than keys, or seasons without a time")
    held, n_columns = without_prefix(tensors, BASELINE), len(compared)
    levels = []
    for depth, n_groups in enumerate(entry["n_groups"]):
        digests = held[f"{depth}.{DIGESTS}"]
        if digests.dtype != torch.int64 or digests.shape != (n_groups,) or bool((digests[1:] <= digests[:-1]).any()):
            raise ValueError(f"level {depth} of the baseline has not {n_groups:,} hashes of keys in ascending order")
        shape = n_groups, n_columns
        locations, scales = _numbers(held, f"{depth}.{LOCATIONS}", shape), _scales(held, f"{depth}.{SCALES}", shape)
        levels.append(GroupLevel(digests.numpy().copy(), locations, scales))
    seasons = None
    if time is not None:
        days = entry["seasons"]
        if days["first_day"] > days["last_day"]:
            raise ValueError("the baseline ends before it begins")
        effects, slopes = _numbers(held, EFFECTS, (n_columns, N_EFFECTS)), _numbers(held, SLOPES, (n_columns,))
        seasons = Seasons(effects, slopes, float(days["first_day"]), float(days["last_day"]))
        if list(seasons.used) != list(days["used"]):
            raise ValueError(f"dates add {seasons.used}, and the manifest says {days['used']}")
    of_all = _numbers(held, LOCATIONS, (n_columns,)), _scales(held, SCALES, (n_columns,))
    typical = None if wanted.own_units else _numbers(held, TYPICAL, (n_columns,))
    return Baseline(keys, time, compared, *of_all, tuple(levels), seasons, typical)


def _numbers(held: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> FloatArray:
    numbers = held[name]
    if numbers.dtype != torch.float64 or tuple(numbers.shape) != shape or not bool(numbers.isfinite().all()):
        raise ValueError(f"{BASELINE}{name} are not finite numbers of shape {shape}")
    return numbers.numpy().copy()


def _scales(held: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> FloatArray:
    scales = _numbers(held, name, shape)
    if not bool((scales > 0).all()):
        raise ValueError(f"{BASELINE}{name} are not all above 0")
    return scales
