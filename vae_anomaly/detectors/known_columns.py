"""Rows with the columns of a fitted detector, taken by their names."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator

from vae_anomaly.data import NOT_THERE, KnownColumns, check_unique
from vae_anomaly.detectors.containers import as_rows


def known_columns(estimator: Any) -> KnownColumns | None:
    """What a detector knows; None where it goes by the order of columns alone, as all that read images do."""
    if getattr(estimator, "strict_columns", True):
        return None
    columns = estimator.columns_
    if any(column.kind == "pixel" for column in columns):
        return None
    names = tuple(column.name for column in columns)
    have_names = hasattr(estimator, "feature_names_in_")
    return KnownColumns(names, needed_columns(estimator), have_names, estimator.column_roles_.names)


def needed_columns(estimator: Any) -> frozenset[str]:
    """Columns that a fitted detector cannot do without: those that it models, calibrates by, or compares rows by."""
    columns = estimator.columns_
    others = {estimator._calibration_groups(), *getattr(estimator, "baseline_columns_", ())}
    return frozenset(column.name for column in columns if column.is_used or column.name in others)


def aligned(estimator: BaseEstimator, X: Any) -> tuple[Any, list[int] | None]:
    """Rows with the columns of a fitted detector in its order, and where they were; see `KnownColumns.places`.

    What has no names, and columns of a detector that goes by their order, stay as they are.

    Raises
    ------
    DataError
        If a name occurs more than once, or a column is missing.
    """
    rows = as_rows(X)
    if not isinstance(rows, pd.DataFrame):
        return rows, None
    check_unique(rows)
    known = known_columns(estimator)
    places = None if known is None else known.places(rows)
    if known is None or places is None:
        return rows, None
    there = [place for place in places if place != NOT_THERE]
    frame = rows.iloc[:, there]
    if known.have_names:
        frame.columns = pd.Index([name for name, place in zip(known.names, places, strict=True) if place != NOT_THERE])
        return frame.reindex(columns=list(known.names)) if len(there) < len(places) else frame, places
    frame.columns = pd.RangeIndex(len(there))
    return frame, places
