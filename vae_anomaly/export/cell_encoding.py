"""Cells as users have them to cells in model units, as nodes of a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vae_anomaly.columns import (
    EPOCH_UNITS,
    MARGIN,
    MICROSECOND,
    PERIODS,
    RAW_LIMIT,
    THURSDAY,
    VALUE_LIMIT,
    WHOLE_MARGIN,
    Column,
    TableEncoder,
)
from vae_anomaly.export.expressions import DOUBLE, FLOAT, INTEGER, Array, Graph, Value

LARGEST = float(np.finfo(np.float64).max)
NEAR = 1e-3
LAST_DAY = 1e8
TICKS_OF_DAY = 86_400_000_000.0
DAYS_TO_1970 = 719_468.0

Encoded = tuple[Value, Value]
"""Cells in model units, float32, and which of them are observed: (rows, columns)."""


class CellEncoding:
    """The nodes from cells as they are given to model units: `TableEncoder.encode` of numbers, in float64.

    Columns of one kind are encoded together.

    Parameters
    ----------
    graph : Graph
    encoder : TableEncoder
    given : Value of shape (rows, columns of the table), float64
        Numbers; of text the index of the level, of dates the days since 1970; NaN where missing.
    as_copied : bool, default=False
        Whether cells are first brought to single precision where a copy in it is still the same row: for fingerprints.
    """

    def __init__(self, graph: Graph, encoder: TableEncoder, given: Value, *, as_copied: bool = False) -> None:
        self.graph, self.encoder = graph, encoder
        self.n_given = len(encoder.columns)
        given = self._without_codes(given)
        if as_copied:
            in_single = np.array([column.copies_in_single for column in encoder.columns])
            given = graph.constant(in_single).where(given.to(FLOAT).to(DOUBLE), given)
        self.observed = ~given.is_nan()
        self.given = self.observed.where(given, 0.0)

    def encoded(self) -> Encoded:
        """All cells in the model's order."""
        entries = self.encoder.model_columns
        encoders = {
            "number": self._numbers,
            "asinh": self._on_asinh_scale,
            "level": self._levels,
            "numeric level": self._numeric_levels,
            "constant": self._constants,
            "missing": self._missing,
            **dict.fromkeys(PERIODS, self._parts_of_dates),
        }
        indices: dict[str, list[int]] = {}
        for index, (_, column) in enumerate(entries):
            indices.setdefault(_way(column), []).append(index)
        blocks = [
            encoders[way]([entries[index][1] for index in own], [entries[index][0] for index in own])
            for way, own in indices.items()
        ]
        order = np.argsort([index for own in indices.values() for index in own]).tolist()
        values, observed = (self.graph.concat(parts, 1) for parts in zip(*blocks, strict=True))
        return values.columns(order, len(order)), observed.columns(order, len(order))

    def _without_codes(self, given: Value) -> Value:
        """The cells, those that stand for missing ones as NaN."""
        known = [_number_codes(column) for column in self.encoder.columns]
        codes = np.full((max(map(len, known)), len(known)), np.nan)
        for position, of_column in enumerate(known):
            codes[: len(of_column), position] = of_column
        for of_columns in codes:
            given = given.equals(of_columns).where(np.nan, given)
        return given

    def _cells(self, positions: Sequence[int]) -> Encoded:
        return self.given.columns(positions, self.n_given), self.observed.columns(positions, self.n_given)

    def _in_days(self, columns: Sequence[Column], positions: Sequence[int]) -> Encoded:
        """Dates, or numbers that stand for them, in days; others as they are."""
        cells, observed = self._cells(positions)
        ticks = np.array([EPOCH_UNITS[column.date_unit][0] if column.date_unit else 1.0 for column in columns])
        return (cells if (ticks == 1).all() else cells * ticks), observed

    def _numbers(self, columns: Sequence[Column], positions: Sequence[int]) -> Encoded:
        cells, observed = self._in_days(columns, positions)
        return self._scaled(cells, columns).to(FLOAT), observed

    def _on_asinh_scale(self, columns: Sequence[Column], positions: Sequence[int]) -> Encoded:
        cells, observed = self._in_days(columns, positions)
        ratio = cells / _facts(columns, "asinh_scale")
        size = ratio.abs()
        # asinh of a size, in which no square overflows.
        unit = size.at_least(1.0)
        part, rest = size / unit, 1.0 / unit
        angle = unit.log() + (part + (part.square() + rest.square()).sqrt()).log()
        angle = (size <= LARGEST).where(angle, np.inf)
        return self._scaled(ratio.unary("Sign") * angle, columns).to(FLOAT), observed

    def _scaled(self, cells: Value, columns: Sequence[Column]) -> Value:
        limits = np.array([VALUE_LIMIT if _standardized(column) else RAW_LIMIT for column in columns])
        location, scale = _facts(columns, "location"), _facts(columns, "scale")
        if (location != 0).any() or (scale != 1).any():
            cells = (cells - location) / scale
        return cells.at_least(-limits).at_most(limits)

    def _levels(self, columns: Sequence[Column], positions: Sequence[int]) -> Encoded:
        """Indices of levels; whatever is none counts as a level that training never saw."""
        cells, observed = self._cells(positions)
        n_levels = np.array([float(len(column.levels)) for column in columns])
        known = cells.equals(cells.floor()) & (cells >= 0.0) & (cells < n_levels)
        return known.where(cells, n_levels).to(FLOAT), observed

    def _numeric_levels(self, columns: Sequence[Column], positions: Sequence[int]) -> Encoded:
        """The nearest level of numbers; others by how many steps they are from it."""
        cells, observed = self._cells(positions)
        n_levels = [len(column.levels) for column in columns]
        levels = np.full((len(columns), max(n_levels)), np.inf)
        for place, column in enumerate(columns):
            levels[place, : n_levels[place]] = column.levels
        distance = (cells.with_axis(-1) - levels).abs()
        nearest = self.graph.node("ArgMin", [distance], INTEGER, axis=-1, keepdims=0)
        steps = self._smallest(distance) / _facts(columns, "resolution")
        beyond = steps.at_most(VALUE_LIMIT).ceil() + (np.array(n_levels) - 1.0)
        codes = (steps < NEAR).where(nearest.to(DOUBLE), beyond)
        return codes.to(FLOAT), observed

    def _smallest(self, distance: Value) -> Value:
        along = self.graph.constant(np.array([-1], dtype=np.int64))
        return self.graph.node("ReduceMin", [distance, along], distance.dtype, keepdims=0)

    def _constants(self, columns: Sequence[Column], positions: Sequence[int]) -> Encoded:
        cells, observed = self._cells(positions)
        levels = np.array([float(column.levels[0]) for column in columns])
        margin = np.where(levels == np.rint(levels), WHOLE_MARGIN, MARGIN) * np.abs(levels)
        return ((cells - levels).abs() > margin).to(FLOAT), observed

    def _missing(self, columns: Sequence[Column], positions: Sequence[int]) -> Encoded:
        missing = (~self._cells(positions)[1]).to(FLOAT)
        return missing, missing >= 0.0

    def _parts_of_dates(self, columns: Sequence[Column], positions: Sequence[int]) -> Encoded:
        days, observed = self._in_days(columns, positions)
        period = columns[0].kind
        codes = np.full((len(columns), len(PERIODS[period])), np.nan)
        for place, column in enumerate(columns):
            for code, level in enumerate(column.levels):
                codes[place, PERIODS[period].index(str(level))] = code
        first = np.arange(len(columns)) * codes.shape[1]
        found = self.graph.constant(codes.reshape(-1)).take(_date_part(days, period).to(INTEGER) + first, 0)
        observed = observed & ~found.is_nan()
        return observed.where(found, 0.0).to(FLOAT), observed


def _way(column: Column) -> str:
    """How a column is encoded."""
    if column.kind == "missing" or column.kind in PERIODS:
        return column.kind
    if column.textual:
        return "level"
    if column.is_constant:
        return "constant"
    if column.levels:
        return "numeric level"
    return "asinh" if column.asinh_scale else "number"


def _standardized(column: Column) -> bool:
    return column.likelihood is not None and column.likelihood.standardize


def _facts(columns: Sequence[Column], name: str) -> Array:
    return np.array([float(getattr(column, name)) for column in columns])


def _number_codes(column: Column) -> list[float]:
    """Numbers and days that stand for missing ones; texts are replaced before."""
    return [code for code in column.missing_values if isinstance(code, float)] if column.is_used else []


def _date_part(days: Value, period: str) -> Value:
    """Codes in `PERIODS` of days since 1970: `vae_anomaly.columns.dates.date_part`, by the civil calendar."""
    whole = days.floor()
    if period == "hour":
        return ((days - whole) * 24.0 + 1e-9).floor().at_most(23.0)
    if period == "weekday":
        return _modulo(whole + float(THURSDAY), 7.0)
    ticks = (days.at_least(-LAST_DAY).at_most(LAST_DAY) / MICROSECOND).unary("Round")
    # Days since the first of March of the year 0, in eras of 400 years; years begin in March.
    day = (ticks / TICKS_OF_DAY).floor() + DAYS_TO_1970
    of_era = _modulo(day, 146097.0)
    leaps = (of_era / 1460.0).floor() - (of_era / 36524.0).floor() + (of_era / 146096.0).floor()
    year = ((of_era - leaps) / 365.0).floor()
    of_year = of_era - (year * 365.0 + (year / 4.0).floor() - (year / 100.0).floor())
    month = ((of_year * 5.0 + 2.0) / 153.0).floor()
    if period == "month":
        return _modulo(month + 2.0, 12.0)
    return of_year - ((month * 153.0 + 2.0) / 5.0).floor()


def _modulo(numbers: Value, divisor: float) -> Value:
    return numbers - (numbers / divisor).floor() * divisor
