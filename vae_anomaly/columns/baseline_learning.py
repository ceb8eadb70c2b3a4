"""Learning what the numbers of rows are compared with, and comparing training rows without their own numbers."""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vae_anomaly.columns.baseline import (
    Baseline,
    ComparedColumn,
    GroupLevel,
    IntArray,
    References,
    dates_of,
    key_digests,
)
from vae_anomaly.columns.column import Column
from vae_anomaly.columns.inference import Declarations
from vae_anomaly.columns.numeric import asked_column, number_column
from vae_anomaly.columns.seasons import Seasons, learned_seasons, usable_seasons
from vae_anomaly.columns.shrinkage import (
    MAX_LEFT_OUT_ROWS,
    NORMAL_DEVIATION,
    Estimates,
    Spread,
    Statistics,
    group_statistics,
    learned_spread,
    shrunk,
    without_own_values,
)
from vae_anomaly.data import FloatArray, Table
from vae_anomaly.errors import SmallGroupsWarning, SpecificationError, callers_level
from vae_anomaly.likelihoods import Likelihood

COMPARED_KINDS = ("continuous", "positive", "bounded", "integer", "count")
# Of the distance of two values the standard deviation that rounding to them leaves; of the scale of all rows the least.
ROUNDING, MIN_SHARE_OF_SCALE = 1 / math.sqrt(12), 1e-3
SMALL_POSITIVE, SHARE_OF_SMALL = 0.01, 0.1
DEGREES_OF_FREEDOM = 4.0
SMALL_GROUP = 5
# Nats of a cell by which non-negative numbers have to be more probable as they are, to be compared so.
MIN_GAIN = 0.01
MAX_KEYS = 16


@dataclass(frozen=True)
class BaselineSpecification:
    """What rows are to be compared by.

    Parameters
    ----------
    keys : tuple of str
        Columns that group rows, from the largest groups to the smallest.
    time : str or None
        Column of dates.
    own_units : bool, default=True
        Whether scores are brought to the units of the data by what the group of the row takes, or all rows alike.
    """

    keys: tuple[str, ...] = ()
    time: str | None = None
    own_units: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that it names."""
        return self.keys if self.time is None else (*self.keys, self.time)

    def check(self, names: Sequence[str]) -> None:
        """Refuse what names no column, or one twice.

        Raises
        ------
        SpecificationError
            If it does.
        """
        if len(self.keys) > MAX_KEYS:
            raise SpecificationError(f"baseline_by names {len(self.keys)} columns; expected {MAX_KEYS} at most.")
        for name in self.names:
            parameter = "baseline_by" if name in self.keys else "baseline_time"
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(map(repr, names[:5]))}."
                raise SpecificationError(f"{parameter} names {name!r}, which is no column of the data; {hint}")
            if self.names.count(name) > 1:
                raise SpecificationError(
                    f"baseline_by and baseline_time name {name!r} more than once. Name each column once."
                )


@dataclass(frozen=True, eq=False)
class _Level:
    """Which group of a level each row is in, and the parent of each group.

    Parameters
    ----------
    digests : int64 ndarray of shape (groups,)
    groups : int ndarray of shape (rows,)
        -1 where a key is missing.
    parents : int ndarray of shape (groups,)
        Places of the groups around them, in the level before.
    """

    digests: npt.NDArray[np.int64]
    groups: IntArray
    parents: IntArray


@dataclass(frozen=True, eq=False)
class _Nest:
    """All rows and the groups in them, of one column.

    Parameters
    ----------
    root : Estimates
        Of all rows together.
    root_statistics : Statistics
    statistics : list of Statistics
        Of the groups of each level.
    spreads : list of Spread
    estimates : list of Estimates
    """

    root: Estimates
    root_statistics: Statistics
    statistics: list[Statistics]
    spreads: list[Spread]
    estimates: list[Estimates]


@dataclass(frozen=True, eq=False)
class LearnedBaseline:
    """A baseline with what the rows that it was learned from are compared with.

    Parameters
    ----------
    baseline : Baseline
    references : References
        Of these rows, from the other rows of their groups where these are small.
    """

    baseline: Baseline
    references: References


def learn_baseline(table: Table, columns: tuple[Column, ...], wanted: BaselineSpecification) -> LearnedBaseline:
    """Learn what rows are compared with.

    Parameters
    ----------
    table : Table
        Training rows, with text read, and without codes of missing cells.
    columns : tuple of Column
        What its columns are.
    wanted : BaselineSpecification

    Raises
    ------
    SpecificationError
        If no column of numbers is left to compare, or the time holds no dates.
    DataError
        If the time is no column of dates.

    Warns
    -----
    SmallGroupsWarning
        If most rows are in groups of fewer than five.
    """
    keys = tuple(table.names.index(name) for name in wanted.keys)
    time = None if wanted.time is None else table.names.index(wanted.time)
    days = None if time is None else _days(table, columns, time)
    positions = [
        position
        for position, column in enumerate(columns)
        if position not in (*keys, time) and _is_compared(column, table, position)
    ]
    if not positions:
        raise SpecificationError(
            f"{'baseline_by' if keys else 'baseline_time'} compares numbers, and beside {', '.join(wanted.names)} no "
            "column holds numbers that vary. Leave it out, or give such a column."
        )
    levels = _levels(key_digests(table, columns, keys), table.n_rows)
    _warn_of_small_groups(levels, wanted.keys)
    found = [
        _learn_column(columns[position], position, table.numbers(position), levels, days) for position in positions
    ]
    seasons = None
    if days is not None:
        known = days[~np.isnan(days)]
        effects, slopes = np.stack([each.effects for each in found]), np.array([each.slope for each in found])
        seasons = Seasons(effects, slopes, float(known.min()), float(known.max()))
    baseline = Baseline(
        keys,
        time,
        tuple(each.column for each in found),
        np.array([each.nest.root.locations[0] for each in found]),
        np.array([each.nest.root.scales[0] for each in found]),
        tuple(
            GroupLevel(
                level.digests,
                np.stack([each.nest.estimates[depth].locations for each in found], axis=1),
                np.stack([each.nest.estimates[depth].scales for each in found], axis=1),
            )
            for depth, level in enumerate(levels)
        ),
        seasons,
    )
    seasonal = baseline.seasonal(table, columns)
    of_rows = [each.left_out(levels) for each in found]
    references = References(
        np.stack([own.locations for own in of_rows], axis=1) + seasonal,
        np.stack([own.scales for own in of_rows], axis=1),
        np.sum([level.groups >= 0 for level in levels], axis=0, dtype=np.intp) + np.zeros(table.n_rows, dtype=np.intp),
    )
    if not wanted.own_units:
        jacobians, _ = baseline.log_jacobians([table.numbers(position) for position in positions], references)
        baseline = replace(baseline, typical_log_jacobians=jacobians.mean(0))
    return LearnedBaseline(baseline, references)


def residual_columns(
    table: Table,
    columns: tuple[Column, ...],
    learned: LearnedBaseline,
    likelihood: Likelihood | None,
    weights: FloatArray | None,
    declared: Declarations,
) -> tuple[Column, ...]:
    """The columns with those that are compared as what is left of them by their groups.

    Parameters
    ----------
    table, columns
        As in `learn_baseline`.
    learned : LearnedBaseline
    likelihood : Likelihood or None
        Of numeric columns that are not declared.
    weights : ndarray of shape (rows,) or None
    declared : mapping of str to str or Likelihood
        What the user says that columns are, by name.

    Raises
    ------
    SpecificationError
        If a column is to have a likelihood of whole numbers, bounded ones or levels.
    """
    baseline, references = learned.baseline, learned.references
    by = " / ".join(table.names[key] for key in baseline.keys) or "all rows"
    by += "" if baseline.time is None else f", and by {table.names[baseline.time]}"
    changed = list(columns)
    for place, compared in enumerate(baseline.columns):
        raw, position = columns[compared.position], compared.position
        numbers = table.numbers(position)
        observed = ~np.isnan(numbers)
        residuals = baseline.residuals(numbers, place, references)[observed]
        own = None if weights is None else weights[observed]
        asked = declared.get(raw.name, likelihood)
        asked = asked if isinstance(asked, Likelihood) else likelihood
        if asked is None:
            column = number_column(raw.name, residuals, own, "continuous")
        else:
            _check_likelihood(raw.name, asked)
            column = asked_column(raw.name, asked, residuals, own)
        slopes = compared.log_slopes(compared.compared(numbers[observed]))
        steps = np.exp(slopes) * raw.resolution / references.scales[observed, place]
        changed[position] = replace(
            column,
            reason=f"{raw.reason}; compared by {by}{', on a logarithmic scale' if compared.asinh_scale else ''}",
            # The least noise is that of rounding in a typical group.
            resolution=float(np.median(steps)),
            copies_in_single=raw.copies_in_single,
            parts=raw.parts,
            text_format=raw.text_format,
            missing_values=raw.missing_values,
        )
    return tuple(changed)


@dataclass(frozen=True, eq=False)
class _LearnedColumn:
    """What one column is compared with.

    Parameters
    ----------
    column : ComparedColumn
    values : ndarray of shape (rows,)
        On the scale of the comparison, without what dates add.
    nest : _Nest
    added : ndarray of shape (rows,)
        What dates add.
    effects : ndarray
        Of dates, see `Seasons`.
    slope : float
    floor : float
        Distance of two values that can be told apart, in data units, as a standard deviation.
    """

    column: ComparedColumn
    values: FloatArray
    nest: _Nest
    added: FloatArray
    effects: FloatArray
    slope: float
    floor: float

    def left_out(self, levels: list[_Level]) -> Estimates:
        """What each row is compared with, without its own value where its group is small."""
        return left_out_estimates(self.values, levels, self.nest, self.column, self.floor)

    def log_density(self, levels: list[_Level]) -> float:
        """Mean log-density of the cells in data units, but for a constant, by a Student t about their groups."""
        own = _own_estimates(levels, self.nest, len(self.values))
        known = ~np.isnan(self.values)
        values, scales = self.values[known], own.scales[known]
        distances = (values - own.locations[known]) / scales
        kernel = -(DEGREES_OF_FREEDOM + 1) / 2 * np.log1p(distances**2 / DEGREES_OF_FREEDOM)
        return float((kernel - np.log(scales) + self.column.log_slopes(values + self.added[known])).mean())


def _learn_column(
    column: Column, position: int, numbers: FloatArray, levels: list[_Level], days: FloatArray | None
) -> _LearnedColumn:
    """The scale on which training rows are more probable in their groups, and what is learned of a column on it."""
    present = numbers[~np.isnan(numbers)]
    scales = [0.0]
    if present.min() >= 0 and (present > 0).any():
        whole = bool((present == np.floor(present)).all())
        small = float(np.quantile(present[present > 0], SMALL_POSITIVE))
        scales.append(1.0 if whole else SHARE_OF_SMALL * small)
    tried = [
        _learn_on_scale(ComparedColumn.of(column, position, asinh_scale), column.resolution, numbers, levels, days)
        for asinh_scale in scales
    ]
    straight, *logarithmic = [learned.log_density(levels) for learned in tried]
    # Where both are alike, groups of all sizes have more in common on a logarithmic scale.
    return tried[-1] if logarithmic and straight < logarithmic[0] + MIN_GAIN else tried[0]


def _learn_on_scale(
    compared: ComparedColumn, resolution: float, numbers: FloatArray, levels: list[_Level], days: FloatArray | None
) -> _LearnedColumn:
    """Groups, what dates add to them, and the groups without that."""
    values, floor = compared.compared(numbers), ROUNDING * resolution
    added, effects, slope = np.zeros(len(values)), np.zeros(0), 0.0
    nest = _nested(values, levels, compared, floor)
    if days is not None:
        periods, known = usable_seasons(days), days[~np.isnan(days)]
        for _ in range(2):
            of_rows = _own_estimates(levels, nest, len(values))
            effects, slope = learned_seasons(values - of_rows.locations, days, periods)
            seasons = Seasons(effects[None], np.array([slope]), float(known.min()), float(known.max()))
            added = seasons.of(days)[:, 0]
            nest = _nested(values - added, levels, compared, floor)
    return _LearnedColumn(compared, values - added, nest, added, effects, slope, floor)


def _nested(values: FloatArray, levels: list[_Level], compared: ComparedColumn, floor: float) -> _Nest:
    """Estimates for all rows, and for the groups of each level between their own figures and their parents'."""
    every = group_statistics(values, np.zeros(len(values), dtype=np.intp), 1)
    parents = root = _of_all(every, compared, floor)
    statistics, spreads, estimates = [], [], []
    for level in levels:
        of_groups = group_statistics(values, level.groups, len(level.digests))
        around = parents.take(level.parents)
        floors = _floors(of_groups, around, root, compared, floor)
        spread = learned_spread(of_groups, around, floors)
        parents = shrunk(of_groups, around, spread, floors)
        statistics.append(of_groups)
        spreads.append(spread)
        estimates.append(parents)
    return _Nest(root, every, statistics, spreads, estimates)


def _of_all(statistics: Statistics, compared: ComparedColumn, floor: float) -> Estimates:
    scales = np.fmax(statistics.deviations, floor * np.exp(compared.log_slopes(statistics.medians)))
    return Estimates(statistics.medians, scales, scales)


def left_out_estimates(
    values: FloatArray, levels: list[_Level], nest: _Nest, compared: ComparedColumn, floor: float
) -> Estimates:
    """What each row is compared with, without its own value in any group of at most 64 rows."""
    everywhere = np.zeros(len(values), dtype=np.intp)
    own = nest.root.take(everywhere)
    if 1 < nest.root_statistics.counts[0] <= MAX_LEFT_OUT_ROWS:
        own = _of_all(without_own_values(nest.root_statistics, values, everywhere), compared, floor)
    for level, statistics, spread, estimates in zip(levels, nest.statistics, nest.spreads, nest.estimates, strict=True):
        known = level.groups >= 0
        if not known.any():
            continue
        changed = bool((statistics.counts <= MAX_LEFT_OUT_ROWS).any())
        if changed:
            of_rows = without_own_values(statistics, values, level.groups)
            found = shrunk(of_rows, own, spread, _floors(of_rows, own, nest.root, compared, floor))
        else:
            found = estimates.take(level.groups)
        own = Estimates(
            np.where(known, found.locations, own.locations),
            np.where(known, found.scales, own.scales),
            np.where(known, found.inner_scales, own.inner_scales),
        )
    return own


def _own_estimates(levels: list[_Level], nest: _Nest, n_rows: int) -> Estimates:
    """What each row is compared with."""
    own = nest.root.take(np.zeros(n_rows, dtype=np.intp))
    for level, estimates in zip(levels, nest.estimates, strict=True):
        known = level.groups >= 0
        if known.any():
            found = estimates.take(level.groups)
            own = Estimates(
                np.where(known, found.locations, own.locations),
                np.where(known, found.scales, own.scales),
                np.where(known, found.inner_scales, own.inner_scales),
            )
    return own


def _floors(
    statistics: Statistics, parents: Estimates, root: Estimates, compared: ComparedColumn, floor: float
) -> FloatArray:
    """Smallest scales of groups: what rounding leaves where the group is, and a thousandth of that of all rows."""
    medians = np.where(np.isnan(statistics.medians), parents.locations, statistics.medians)
    floors: FloatArray = np.fmax(
        floor * np.exp(compared.log_slopes(medians)), MIN_SHARE_OF_SCALE * float(root.scales[0])
    )
    return floors


def _levels(digests: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]], n_rows: int) -> list[_Level]:
    levels, above = list[_Level](), np.zeros(n_rows, dtype=np.intp)
    for of_rows, known in digests:
        own, first, places = np.unique(of_rows[known], return_index=True, return_inverse=True)
        groups = np.full(n_rows, -1)
        groups[known] = places
        levels.append(_Level(own, groups, above[known][first]))
        above = groups
    return levels


def _is_compared(column: Column, table: Table, position: int) -> bool:
    """Whether a column holds numbers of which no single one is in more than half of the rows."""
    if column.kind not in COMPARED_KINDS or column.likelihood is None or column.is_constant or column.levels:
        return False
    numbers = table.numbers(position)
    present = numbers[~np.isnan(numbers)]
    middle = np.median(present)
    return bool(NORMAL_DEVIATION * np.median(np.abs(present - middle)) > 0)


def _days(table: Table, columns: tuple[Column, ...], position: int) -> FloatArray:
    name, column = table.names[position], columns[position]
    if column.kind != "datetime":
        raise SpecificationError(
            f"baseline_time={name!r} is {column.kind}, not dates ({column.reason}). Convert it with "
            f"pandas.to_datetime, or declare it: columns={{{name!r}: 'datetime'}}."
        )
    days = dates_of(table, columns, position)
    if np.isnan(days).all():
        raise SpecificationError(f"baseline_time={name!r} holds no date. Leave it out.")
    return days


def _check_likelihood(name: str, asked: Likelihood) -> None:
    traits = asked.traits
    if not asked.standardize or traits.levels != "none" or traits.rounded or traits.bounded or traits.spiked:
        raise SpecificationError(
            f"column {name!r} is to be {asked.title}, and what is left of a number by its group is neither whole nor "
            "bounded. Take 'gaussian' or 'student_t', or leave baseline_by out."
        )


def _warn_of_small_groups(levels: list[_Level], keys: tuple[str, ...]) -> None:
    if not levels:
        return
    groups = levels[-1].groups[levels[-1].groups >= 0]
    sizes = np.bincount(groups, minlength=1)
    n_small = int(sizes[(sizes < SMALL_GROUP)].sum())
    if 2 * n_small > len(groups):
        warnings.warn(
            SmallGroupsWarning(keys, n_small, len(groups), int((sizes > 0).sum())), stacklevel=callers_level()
        )
