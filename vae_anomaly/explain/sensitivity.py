"""Sensitivity: the smallest change of each column that is noticed at a false-alarm rate, found by planting changes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from vae_anomaly.columns import EPOCH_UNITS, Column
from vae_anomaly.data import FloatArray, Table, with_missing_cells
from vae_anomaly.display import Shown, counted
from vae_anomaly.explain.explanation import cell_text

Kind = Literal["above", "below", "later", "earlier", "level", "unseen level", "missing", "permuted"]
ScoreTable = Callable[[Table], FloatArray]
IntArray = npt.NDArray[np.intp]

# Shifts are from a sixteenth of the column's spread on, doubled up to so often.
SMALLEST, MAX_DOUBLINGS = 1 / 16, 16
# Halvings of the last doubling, on the scale of logarithms: within 4.4 %.
N_HALVINGS = 4
MAX_PLANTED = 16_384
QUARTILES = 1.3489795
UNSEEN = "level that nobody has seen"
HOUR, DAY = 1 / 24, 1.0
WORDS = {
    "level": "another level",
    "unseen level": "an unseen level",
    "missing": "missing",
    "permuted": "that of another row",
}


@dataclass(frozen=True)
class PlantedChange:
    """A change of one column, and how often it is noticed.

    Parameters
    ----------
    column : str
    kind : {"above", "below", "later", "earlier", "level", "unseen level", "missing", "permuted"}
        Numbers are shifted up or down, dates to later or earlier ones; "level" is another level of training, and
        "permuted" the value of another row, which breaks combinations alone.
    amount : float
        The smallest shift that is noticed, in the column's own units and of dates in days; NaN where none is, and of
        what is no shift.
    share : float
        Of the rows in which it is noticed: for a shift that is noticed in too few, the largest share of any size.
    noticed : bool
        Whether that is as much as was asked for.
    spread : float
        Of the column: half the width of its middle half over that of a normal distribution, or else its standard
        deviation; NaN where it has none.
    largest : float
        The largest shift that was planted; NaN of what is no shift.
    """

    column: str
    kind: Kind
    amount: float
    share: float
    noticed: bool
    spread: float
    largest: float

    def __str__(self) -> str:
        share = f"{100 * self.share:.0f} % of the rows"
        if self.is_shift:
            side = f"{self.column} {self.kind}"
            if self.noticed:
                return f"{side} by {self.amount_text} is noticed in {share}"
            return f"{side}: no shift up to {amount_text(self.largest, self.kind)} is noticed in more than {share}"
        return f"{self.column} {WORDS[self.kind]} is noticed in {share}"

    @property
    def is_shift(self) -> bool:
        """Whether it has a size."""
        return self.kind in ("above", "below", "later", "earlier")

    @property
    def words(self) -> str:
        """The change in a few words, with its size where that is noticed."""
        if not self.is_shift:
            return WORDS[self.kind]
        size = self.amount_text if self.noticed else f"up to {amount_text(self.largest, self.kind)}"
        return f"{size} {self.kind}"

    @property
    def amount_text(self) -> str:
        """The smallest shift that is noticed, for people; empty where there is none."""
        return "" if math.isnan(self.amount) else amount_text(self.amount, self.kind)


@dataclass(frozen=True, repr=False)
class Sensitivity(Shown):
    """What a detector would notice, and what not.

    It says what this detector does with one changed cell in rows that are normal otherwise.  It does not say which
    detector finds more of real anomalies, which change many cells at once, and is not for choosing one.

    Parameters
    ----------
    changes : tuple of PlantedChange
        By column, in their order.
    threshold : float
        The anomaly score above which rows are alerts here, nats.
    false_alarm_rate : float
        What was asked for.
    by_calibration : bool
        Whether the threshold is that of the calibration; otherwise a quantile of the scores of the rows given.
    alarm_rate : float
        Share of the rows given that are alerts before anything is changed.
    power : float
        The share of rows in which a change has to be noticed.
    n_rows : int
        Rows, no alerts before, that changes were planted in.
    """

    changes: tuple[PlantedChange, ...]
    threshold: float
    false_alarm_rate: float
    by_calibration: bool
    alarm_rate: float
    power: float
    n_rows: int

    def _summary(self) -> str:
        changes = f"{counted(len(self.changes), 'change')} in {counted(self.n_rows, 'row')}"
        return f"{changes}, {len(self.not_noticed):,} not noticed, threshold {self.threshold:,.2f} nats"

    def _table(self) -> pd.DataFrame:
        return self.frame()

    @property
    def not_noticed(self) -> tuple[PlantedChange, ...]:
        """Changes that are noticed in too few rows, whatever their size: blind spots."""
        return tuple(change for change in self.changes if not change.noticed)

    def frame(self) -> pd.DataFrame:
        """Changes as a table.

        Returns
        -------
        DataFrame
            Columns column, change, amount (in the column's own units, of dates in days), spreads (the same in spreads
            of the column), share and noticed.
        """
        return pd.DataFrame(
            [
                {
                    "column": change.column,
                    "change": change.kind,
                    "amount": change.amount,
                    "spreads": change.amount / change.spread if change.spread > 0 else math.nan,
                    "share": change.share,
                    "noticed": change.noticed,
                }
                for change in self.changes
            ],
            columns=["column", "change", "amount", "spreads", "share", "noticed"],
        )

    def sentences(self) -> list[str]:
        """What the table holds for, one sentence for each column, what would not be noticed, and what it is not for."""
        found = [self._heading()]
        by_column: dict[str, list[PlantedChange]] = {}
        for change in self.changes:
            by_column.setdefault(change.column, []).append(change)
        for name, changes in by_column.items():
            noticed = [change.words for change in changes if change.noticed]
            if noticed:
                found.append(f"{name}: noticed if {_listed(noticed)}.")
        blind = {name: [change.words for change in of if not change.noticed] for name, of in by_column.items()}
        whole = [name for name, words in blind.items() if len(words) == len(by_column[name])]
        if whole:
            found.append(f"Would not be noticed, whatever is changed: {', '.join(whole)}.")
        partly: dict[str, list[str]] = {}
        for name, words in blind.items():
            if words and name not in whole:
                partly.setdefault(_listed(words), []).append(name)
        found += [f"Would not be noticed: {words}, of {', '.join(names)}." for words, names in partly.items()]
        found.append(CAVEAT)
        return found

    def _heading(self) -> str:
        source = "the calibration" if self.by_calibration else "the rows given"
        return (
            f"Smallest changes of one cell that are noticed in at least {100 * self.power:g} % of {self.n_rows:,} "
            f"normal rows, at a false-alarm rate of {100 * self.false_alarm_rate:g} % (threshold {self.threshold:.6g} "
            f"nats, by {source})."
        )


def _listed(words: list[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


CAVEAT = (
    "Planted changes of single cells do not tell which detector finds more real anomalies: this is not for choosing "
    "a model."
)


@dataclass(frozen=True)
class _Shift:
    """A column and a side, and between which sizes the smallest noticed shift is.

    Parameters
    ----------
    low, high : float
        Logarithms to base 2 of sizes in units: not noticed, and noticed; infinite as long as there is none.
    best : float
        The largest share of rows in which any size was noticed.
    """

    position: int
    kind: Kind
    unit: float
    grain: float
    low: float = -math.inf
    high: float = math.inf
    share: float = 0.0
    best: float = 0.0

    def next_size(self, doubling: int) -> float | None:
        """Logarithm of the next size to plant; None where all is known."""
        if math.isinf(self.high):
            return math.log2(SMALLEST) + doubling if doubling <= MAX_DOUBLINGS else None
        if math.isinf(self.low):
            return None
        return (self.low + self.high) / 2

    def cells(self, column: Column, table: Table, size: float) -> Any:
        """The cells of a column, shifted."""
        sign = -1.0 if self.kind in ("below", "earlier") else 1.0
        return shifted(column, table, self.position, sign * self.amount(size))

    def amount(self, size: float) -> float:
        """A shift in data units, in whole steps where the column has some."""
        amount = float(self.unit * 2.0**size)
        return max(1.0, round(amount / self.grain)) * self.grain if self.grain else amount


def find_sensitivity(
    columns: Sequence[Column],
    table: Table,
    pool: Table,
    score: ScoreTable,
    threshold: float,
    power: float,
    rng: np.random.Generator,
) -> tuple[PlantedChange, ...]:
    """Plant changes in normal rows, and see which are noticed.

    Parameters
    ----------
    columns : sequence of Column
        Of the table, in its order.
    table : Table
        Normal rows, none of which is above the threshold.
    pool : Table
        All rows that there are: other levels are taken from these.
    score : callable
        Anomaly scores of rows, nats.
    threshold : float
        Rows above it are noticed.
    power : float
        The share of rows in which a change has to be noticed.
    rng : Generator
        Draws levels and permutations.
    """
    used = [position for position, column in enumerate(columns) if column.is_used]
    planting = _Planting(table, score, threshold)
    shifts = [shift for position in used for shift in _shifts(columns[position], table, position)]
    known = {(shift.position, shift.kind): shift for shift in _smallest(shifts, planting, columns, power)}
    jobs = [job for position in used for job in _jobs(columns[position], table, pool, position, rng)]
    shares = planting.shares([(position, cells) for position, _, cells in jobs])
    changes: list[PlantedChange] = []
    for position in used:
        name = columns[position].name
        for (owner, _), shift in known.items():
            if owner == position:
                changes.append(_change(shift, name, power))
        for (owner, kind, _), share in zip(jobs, shares, strict=True):
            if owner == position:
                changes.append(PlantedChange(name, kind, math.nan, share, share >= power, math.nan, math.nan))
    return tuple(changes)


def _change(shift: _Shift, name: str, power: float) -> PlantedChange:
    noticed = math.isfinite(shift.high)
    amount = shift.amount(shift.high) if noticed else math.nan
    share = shift.share if noticed else shift.best
    largest = shift.amount(math.log2(SMALLEST) + MAX_DOUBLINGS)
    return PlantedChange(name, shift.kind, amount, share, noticed and share >= power, shift.unit, largest)


def _smallest(shifts: Sequence[_Shift], planting: _Planting, columns: Sequence[Column], power: float) -> list[_Shift]:
    """The smallest sizes that are noticed: doubled until they are, then halved on the scale of logarithms."""
    current = list(shifts)
    halvings = [0] * len(current)
    for doubling in range(MAX_DOUBLINGS + N_HALVINGS + 1):
        sizes = [
            None if halvings[index] >= N_HALVINGS else shift.next_size(doubling) for index, shift in enumerate(current)
        ]
        open_shifts = [index for index, size in enumerate(sizes) if size is not None]
        if not open_shifts:
            break
        planted = []
        for index in open_shifts:
            shift, size = current[index], sizes[index]
            assert size is not None
            planted.append((shift.position, shift.cells(columns[shift.position], planting.table, size)))
        for index, share in zip(open_shifts, planting.shares(planted), strict=True):
            shift, size = current[index], sizes[index]
            assert size is not None
            halvings[index] += math.isfinite(shift.high)
            if share >= power:
                current[index] = dataclasses.replace(shift, high=size, share=share, best=max(shift.best, share))
            else:
                current[index] = dataclasses.replace(shift, low=size, best=max(shift.best, share))
    return current


@dataclass(frozen=True)
class _Planting:
    """Rows, and what scores them with changed columns.

    Parameters
    ----------
    table : Table
        Rows that are not above the threshold.
    score : callable
    threshold : float
    """

    table: Table
    score: ScoreTable
    threshold: float

    def shares(self, planted: Sequence[tuple[int, Any]]) -> list[float]:
        """Of several changes of a column the share of rows in which each is noticed."""
        shares: list[float] = []
        n_rows = self.table.n_rows
        at_once = max(1, MAX_PLANTED // n_rows)
        for begin in range(0, len(planted), at_once):
            part = planted[begin : begin + at_once]
            scores = self.score(_joined(self.table, [_with_column(self.table, *change) for change in part]))
            shares += (scores > self.threshold).reshape(len(part), n_rows).mean(1).tolist()
        return shares


def _with_column(table: Table, position: int, cells: Any) -> FloatArray | pd.DataFrame:
    """The cells of a table with those of one column replaced."""
    if isinstance(table.cells, np.ndarray):
        matrix = table.cells.copy()
        matrix[:, position] = cells
        return matrix
    frame = table.cells.copy(deep=False)
    frame.isetitem(position, cells)
    return frame


def _joined(table: Table, parts: list[FloatArray] | list[pd.DataFrame] | list[Any]) -> Table:
    """Changed rows one below the other."""
    cells: Any = np.concatenate(parts) if isinstance(parts[0], np.ndarray) else pd.concat(parts, ignore_index=True)
    return dataclasses.replace(table, cells=cells, index=None)


def shifted(column: Column, table: Table, position: int, amount: float) -> Any:
    """Cells of a column of numbers or dates with an amount added, in data units or days, within what it can hold."""
    numbers = column.numbers(table, position)
    moved = numbers + amount
    if column.kind != "datetime":
        low = -math.inf if column.low is None else column.low
        high = math.inf if column.high is None else column.high
        # What was outside before stays there.
        moved = np.clip(moved, np.fmin(low, numbers), np.fmax(high, numbers))
        assert column.likelihood is not None
        possible = column.likelihood.supports(torch.from_numpy(np.nan_to_num(moved))).numpy()
        return moved if column.likelihood.standardize else np.where(possible, moved, numbers)
    numbers = moved
    if column.date_unit and table.content(position) == "number":
        return numbers / EPOCH_UNITS[column.date_unit][0]
    return _dates(numbers)


def _dates(days: FloatArray) -> npt.NDArray[np.datetime64]:
    known = np.nan_to_num(np.clip(days, -700_000, 2_900_000), nan=0.0)
    dates = (known * 86_400_000_000).round().astype(np.int64).astype("datetime64[us]")
    dates[np.isnan(days)] = np.datetime64("NaT")
    return dates


def has_amounts(column: Column) -> bool:
    """Whether cells can be shifted: numbers that are no names of levels, and dates."""
    if column.kind == "datetime":
        return True
    ordered = column.likelihood is not None and column.likelihood.ordered
    return ordered and not column.textual and column.kind not in ("binary", "boolean")


def _shifts(column: Column, table: Table, position: int) -> Iterator[_Shift]:
    if not has_amounts(column):
        return
    grain = column.resolution if column.levels else column.step
    if column.kind == "datetime":
        grain = HOUR if any(part.kind == "hour" for part in column.parts) or 0 < column.step < DAY else DAY
    unit = spread(column.numbers(table, position)) or column.resolution or column.scale
    sides: tuple[Kind, Kind] = ("later", "earlier") if column.kind == "datetime" else ("above", "below")
    for side in sides:
        yield _Shift(position, side, unit, grain)


def spread(numbers: FloatArray) -> float:
    """Half the width of the middle half over that of a normal distribution, or else the standard deviation."""
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return 0.0
    lower, upper = np.quantile(known, (0.25, 0.75))
    return float((upper - lower) / QUARTILES) or float(known.std())


def _jobs(
    column: Column, table: Table, pool: Table, position: int, rng: np.random.Generator
) -> Iterator[tuple[int, Kind, Any]]:
    """Changes of a column that have no size."""
    cells = _cells_of(table, position)
    if column.levels and not has_amounts(column):
        others = _other_levels(column, table, pool, position, rng)
        if others is not None:
            yield position, "level", others
        if column.textual:
            yield position, "unseen level", np.full(table.n_rows, UNSEEN, dtype=object)
        elif column.is_constant and not column.boolean:
            yield position, "unseen level", column.numbers(table, position) + 1
    every = np.ones(table.n_rows, dtype=bool)
    yield position, "missing", _cells_of(with_missing_cells(table, {position: every}), position)
    if not column.is_constant:
        yield position, "permuted", cells[rng.permutation(table.n_rows)]


def _cells_of(table: Table, position: int) -> Any:
    if isinstance(table.cells, np.ndarray):
        return table.cells[:, position]
    return table.cells.iloc[:, position].array


def _other_levels(column: Column, table: Table, pool: Table, position: int, rng: np.random.Generator) -> Any:
    """Of each row another level of those that some rows hold, all as likely; None where they hold no other."""
    levels, first = np.unique(column.encode(pool, position), return_index=True)
    first = first[~np.isnan(levels)]
    levels = levels[~np.isnan(levels)]
    if len(levels) < 2:
        return None
    own = np.searchsorted(levels, np.nan_to_num(column.encode(table, position), nan=levels[0])).clip(
        max=len(levels) - 1
    )
    drawn = (own + rng.integers(1, len(levels), size=len(own))) % len(levels)
    return _cells_of(pool, position)[first[drawn]]


def amount_text(amount: float, kind: Kind) -> str:
    """A shift for people: of dates in hours below two days, else in days.

    Examples
    --------
    >>> amount_text(54540.0, "above"), amount_text(0.25, "later"), amount_text(3.0, "earlier")
    ('54,540', '6 hours', '3 days')
    """
    if kind not in ("later", "earlier"):
        return cell_text(amount)
    if amount < 2 * DAY and not amount.is_integer():
        hours = amount / HOUR
        return f"{hours:.3g} hour{'' if round(hours, 2) == 1 else 's'}"
    return f"{amount:,.3g} day{'' if amount == 1 else 's'}" if amount < 1000 else f"{amount:,.0f} days"
