"""Threshold and calibration as an entry of a manifest and tensors, and back, distrusting them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_anomaly.data import HashedTexts
from vae_anomaly.decisions import (
    Calibration,
    ColumnSample,
    Decisions,
    SimpleJumper,
    SortedScores,
    Suspects,
    Threshold,
    rule_of,
)
from vae_anomaly.errors import SpecificationError
from vae_anomaly.store.values import decode, encode

CALIBRATION = "calibration."
TRAINED = f"{CALIBRATION}trained"
SUSPECTS = f"{CALIBRATION}suspects."
COLUMNS, STREAM = f"{CALIBRATION}columns.", f"{CALIBRATION}stream."
KINDS, COLUMN_KINDS = ("split", "cross"), ("values", "levels", "missing")
# Of a calibration: tests of drift keep some numbers for each of a tenth of them.
MAX_ROWS = 1 << 28
STREAM_FIELDS = ("capital", "seed", "n_reference", "n_seen", "largest_wealth")


def decisions_entry(decisions: Decisions) -> dict[str, Any]:
    """What a manifest says of threshold and calibration, ready for JSON.

    Raises
    ------
    SpecificationError
        If the threshold is not finite.
    """
    threshold, calibration, stream = decisions.threshold, decisions.calibration, decisions.stream
    if not math.isfinite(threshold.score):
        raise SpecificationError(
            f"offset_ is {-threshold.score}; a model file holds a finite one. Set it before saving."
        )
    return {
        "threshold": {**dataclasses.asdict(threshold), "parameters": dict(threshold.parameters)},
        "n_trained": len(decisions.trained),
        "repeated_share": decisions.repeated_share,
        "columns": [
            {
                "name": column.name,
                "kind": column.kind,
                "n_rows": column.n_rows,
                "n_missing": column.n_missing,
                "n_values": len(column.values.values),
                "levels": [encode(level) for level in column.levels],
                "counts": list(column.levels.values()),
                "hashed": encode(column.hashed),
            }
            for column in decisions.columns
        ],
        "stream": None if stream is None else {name: getattr(stream, name) for name in STREAM_FIELDS},
        "calibration": None
        if calibration is None
        else {
            "kind": calibration.kind,
            "n_folds": len(calibration.folds),
            "group_column": calibration.group_column,
            "groups": [encode(name) for name in calibration.groups],
            "hashed_groups": encode(calibration.hashed_groups),
            "n_confirmed": calibration.suspects.n_confirmed,
            "declared_normal": calibration.declared_normal,
        },
    }


def decisions_tensors(decisions: Decisions) -> dict[str, Tensor]:
    """Sorted calibration scores, the rows for an audit, and fingerprints of rows that were trained on."""
    tensors = {f"{TRAINED}.{number}": _tensor(own) for number, own in enumerate(decisions.trained)}
    calibration, stream, columns = decisions.calibration, decisions.stream, decisions.columns
    if stream is not None:
        tensors |= {f"{STREAM}bins": _tensor(stream.bins), f"{STREAM}counts": _tensor(stream.counts)}
    if columns:
        tensors[f"{COLUMNS}values"] = _tensor(np.concatenate([column.values.values for column in columns]))
        tensors[f"{COLUMNS}counts"] = _tensor(np.concatenate([column.values.counts for column in columns]))
    if calibration is None:
        return tensors
    sets = {"": calibration.folds} | {
        f"group_{number}.": folds for number, folds in enumerate(calibration.groups.values())
    }
    for prefix, folds in sets.items():
        for number, fold in enumerate(folds):
            tensors[f"{CALIBRATION}{prefix}{number}.values"] = _tensor(fold.values)
            tensors[f"{CALIBRATION}{prefix}{number}.counts"] = _tensor(fold.counts)
    for name in ("ids", "scores", "folds", "groups"):
        tensors[SUSPECTS + name] = _tensor(getattr(calibration.suspects, name))
    tensors[f"{SUSPECTS}is_normal"] = _tensor(calibration.suspects.is_normal.astype(np.int64))
    if calibration.suspects.fingerprints is not None:
        tensors[f"{SUSPECTS}fingerprints"] = _tensor(calibration.suspects.fingerprints)
    return tensors


def rebuilt_decisions(entry: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Decisions:
    """The value that an entry and tensors describe.

    Raises
    ------
    LookupError, TypeError or ValueError
        If they do not agree.
    """
    threshold = Threshold(**entry["threshold"])
    if not math.isfinite(threshold.score):
        raise ValueError("the threshold is not finite")
    rule_of(threshold)
    trained = tuple(_array(tensors, f"{TRAINED}.{number}", np.int64) for number in range(int(entry["n_trained"])))
    share = float(entry["repeated_share"])
    if not 0 <= share <= 1:
        raise ValueError(f"a share of {share}")
    held = entry["calibration"]
    return Decisions(
        threshold,
        None if held is None else _calibration(held, tensors),
        trained,
        share,
        _columns(entry["columns"], tensors),
        None if entry["stream"] is None else _stream(entry["stream"], tensors),
    )


def _columns(entries: Sequence[Mapping[str, Any]], tensors: Mapping[str, Tensor]) -> tuple[ColumnSample, ...]:
    if not entries:
        return ()
    values, counts = _array(tensors, f"{COLUMNS}values", np.float64), _array(tensors, f"{COLUMNS}counts", np.int64)
    stops = np.cumsum([int(entry["n_values"]) for entry in entries])
    if stops[-1] != len(values) or len(values) != len(counts):
        raise ValueError("the columns hold other values than the file")
    columns = []
    for entry, stop in zip(entries, stops, strict=True):
        own = slice(stop - int(entry["n_values"]), stop)
        if entry["kind"] not in COLUMN_KINDS:
            raise ValueError(f"a column of kind {entry['kind']!r}")
        n_rows, n_missing = int(entry["n_rows"]), int(entry["n_missing"])
        held = _sorted_scores(values[own], counts[own])
        column = ColumnSample(str(entry["name"]), entry["kind"], n_rows, n_missing, held, *_levels(entry))
        n_cells = n_missing + held.n + sum(column.levels.values())
        if n_cells > n_rows:
            raise ValueError(f"column {column.name!r} has {n_cells:,} cells in {n_rows:,} rows")
        columns.append(column)
    return tuple(columns)


def _levels(entry: Mapping[str, Any]) -> tuple[dict[str, int], HashedTexts | None]:
    """Levels with their counts, and those that are hashed; up to format version 7 the counts are by their levels."""
    levels, hashed = entry["levels"], decode(entry.get("hashed"))
    counts = levels.values() if isinstance(levels, Mapping) else entry["counts"]
    names = _named(list(levels), hashed)
    counted = {name: int(count) for name, count in zip(names, counts, strict=True)}
    if len(counted) != len(names):
        raise ValueError(f"column {entry['name']!r} has a level twice")
    return counted, hashed


def _named(texts: Sequence[str | None], hashed: HashedTexts | None) -> list[str]:
    """Texts, what stands for them where they are hashed."""
    if sum(text is None for text in texts) != (0 if hashed is None else len(hashed)):
        raise ValueError("there are other hashes than texts that are hashed")
    return [str(text) for text in texts] if hashed is None else hashed.filled(texts)


def _stream(entry: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> SimpleJumper:
    small, none, large = (float(part) for part in entry["capital"])
    held = _sorted_bins(_array(tensors, f"{STREAM}bins", np.int64), _array(tensors, f"{STREAM}counts", np.int64))
    return SimpleJumper(
        *held,
        (small, none, large),
        int(entry["seed"]),
        int(entry["n_reference"]),
        int(entry["n_seen"]),
        float(entry["largest_wealth"]),
    )


def _sorted_bins(
    bins: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if bins.shape != counts.shape or not (np.diff(bins) > 0).all() or not (counts > 0).all():
        raise ValueError("the scores of the stream are not in order")
    return bins, counts


def _calibration(entry: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Calibration:
    n_folds, hashed = int(entry["n_folds"]), decode(entry.get("hashed_groups"))
    names = _named(entry["groups"], hashed)
    if entry["kind"] not in KINDS or n_folds < 1 or (entry["kind"] == "split" and n_folds > 1):
        raise ValueError(f"a calibration of kind {entry['kind']!r} with {n_folds} folds")
    folds = _folds(tensors, "", n_folds)
    if not sum(fold.n for fold in folds):
        raise ValueError("a calibration without rows")
    suspects = Suspects(
        _array(tensors, f"{SUSPECTS}ids", np.int64),
        _array(tensors, f"{SUSPECTS}scores", np.float64),
        _array(tensors, f"{SUSPECTS}folds", np.int64),
        _array(tensors, f"{SUSPECTS}groups", np.int64),
        _array(tensors, f"{SUSPECTS}is_normal", np.int64).astype(bool),
        int(entry["n_confirmed"]),
        _array(tensors, f"{SUSPECTS}fingerprints", np.int64) if f"{SUSPECTS}fingerprints" in tensors else None,
    )
    parts = suspects.ids, suspects.scores, suspects.folds, suspects.groups, suspects.is_normal, suspects.fingerprints
    lengths = {len(part) for part in parts if part is not None}
    if len(lengths) != 1 or not ((suspects.folds >= 0) & (suspects.folds < n_folds)).all():
        raise ValueError("the rows for an audit do not agree")
    return Calibration(
        entry["kind"],
        folds,
        suspects,
        entry["group_column"],
        {name: _folds(tensors, f"group_{number}.", n_folds) for number, name in enumerate(names)},
        bool(entry["declared_normal"]),
        hashed,
    )


def _folds(tensors: Mapping[str, Tensor], prefix: str, n_folds: int) -> tuple[SortedScores, ...]:
    return tuple(
        _sorted_scores(
            _array(tensors, f"{CALIBRATION}{prefix}{number}.values", np.float64),
            _array(tensors, f"{CALIBRATION}{prefix}{number}.counts", np.int64),
        )
        for number in range(n_folds)
    )


def _sorted_scores(values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> SortedScores:
    if values.shape != counts.shape or not (np.diff(values) > 0).all() or not (counts > 0).all():
        raise ValueError("calibration scores are not in order")
    # Sums of integers may overflow.
    n_rows = counts.sum(dtype=np.float64)
    if n_rows > MAX_ROWS:
        raise ValueError(f"calibration scores of {n_rows:.3g} rows; expected at most {MAX_ROWS:,}")
    return SortedScores(values, counts)


def _array(tensors: Mapping[str, Tensor], name: str, dtype: Any) -> Any:
    array = tensors[name].numpy().copy()
    if array.dtype != dtype or array.ndim != 1 or (array.dtype.kind == "f" and np.isnan(array).any()):
        raise ValueError(f"{name} has type {array.dtype} and shape {array.shape}")
    return array


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array).copy())
