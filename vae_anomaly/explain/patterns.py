"""Patterns: alerts with the same cells out of place in the same way, each with one sentence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.sparse import csc_array, csr_array, diags_array, hstack

from vae_anomaly.columns import Batch, CellUnits, Column, Encoder, TableEncoder
from vae_anomaly.data import FloatArray, Table
from vae_anomaly.display import Shown, counted
from vae_anomaly.explain.conditionals import expected_cells
from vae_anomaly.explain.evidence import in_model_order
from vae_anomaly.explain.explanation import cell_text
from vae_anomaly.fitting import FittedModel, score_shares
from vae_anomaly.scores import additive_of

IntArray = npt.NDArray[np.intp]
Profiles: TypeAlias = Any
Direction = Literal["above", "below", "off", "level", "unseen", "levels", "combination"]

NO_ALERT, OTHER = -1, -2
# A cell that costs so many nats more than is typical is hidden from the encoder and can be named.
OUT_OF_PLACE = 1.0
FAR = 5.0
# Half of what a cell weighs is for its column and side, the other half for its level, or its size in doublings.
SHARED = 0.5
SIZES_PER_DOUBLING, MAX_SIZE = 1.0, 20.0
# Rows with the same cells out of place on the same sides, but in no case as much (cosine .5), do not go together.
MAX_DISTANCE = 0.3
# Of a row to the middle of a pattern that it joins afterwards.
MIN_COSINE = 0.5
MAX_CLUSTERED = 2_000
MIN_SHARE, MAX_PATTERNS = 0.01, 20
MAX_CELLS, MIN_WEIGHT = 3, 0.25
AGREED = 0.8
N_LEVELS = 3
DUST = 1e-5
DIGITS = 6


@dataclass(frozen=True)
class PatternCell:
    """What is out of place in most rows of a pattern.

    Parameters
    ----------
    column : str
        Empty for the combination of the cells.
    part : str
        Part of the cell that is meant: "hour", "weekday", "day of month", "month" or "missing"; empty for the cell.
    direction : {"above", "below", "off", "level", "unseen", "levels", "combination"}
        On which side of what is expected the cells of an ordered column are, "off" where on both; of other columns
        whether they share one level, hold levels that training did not have, or several; "combination" where no
        single cell is out of place.
    typical : object
        The median, or the most frequent level.
    expected : object
        What is predicted from the cells that are in place: the median, or the most frequent level.
    nats : float
        The median of what the cells add to the score, above what is typical of training rows.
    share : float
        Of the rows of the pattern in which the cell is out of place.
    levels : tuple of object
        The most frequent levels, where there are several.
    """

    column: str
    part: str
    direction: Direction
    typical: Any
    expected: Any
    nats: float
    share: float
    levels: tuple[Any, ...] = ()

    def __str__(self) -> str:
        if self.direction == "combination":
            return f"cells that do not go together ({self.nats:+.1f} nats)"
        if self.part == "missing":
            return f"{self.column} is {self.typical}"
        subject = f"{self.column} ({self.part})" if self.part else self.column
        typical, expected = self._text(self.typical), self._text(self.expected)
        if self.direction == "level":
            return f"{subject} is {typical} (expected {expected})"
        if self.direction in ("levels", "unseen"):
            levels = ", ".join(map(self._text, self.levels))
            what = "levels that training did not have" if self.direction == "unseen" else "levels that are not expected"
            return f"{subject} has {what} ({levels}{', ...' if len(self.levels) == N_LEVELS else ''})"
        side = "away from what is" if self.direction == "off" else self.direction
        far = "far " if self.nats >= FAR else ""
        return f"{subject} {far}{side} expected (typically {typical}; expected about {expected})"

    def _text(self, cell: Any) -> str:
        return str(cell) if self.part else cell_text(cell)


@dataclass(frozen=True)
class Pattern:
    """Alerts that are alike.

    Parameters
    ----------
    cells : tuple of PatternCell
        What is out of place in most of them, what weighs most first.
    count : int
        How many there are.
    share : float
        Of all alerts.
    first, last : Timestamp or None
        The earliest and the latest date among them.
    typical_rows : tuple of int
        Positions of the rows that are nearest to the middle, the nearest first.
    typical_labels : tuple of object
        What the index calls them.
    score : float
        Their median anomaly score, nats.
    """

    cells: tuple[PatternCell, ...]
    count: int
    share: float
    first: pd.Timestamp | None
    last: pd.Timestamp | None
    typical_rows: tuple[int, ...]
    typical_labels: tuple[Any, ...]
    score: float

    def __str__(self) -> str:
        return f"{self.what}: {self.extent}"

    @property
    def what(self) -> str:
        """What is out of place, in words."""
        *others, last = map(str, self.cells)
        return f"{', '.join(others)} and {last}" if others else last

    @property
    def extent(self) -> str:
        """How many rows they are, what share of the alerts, and between which dates."""
        rows = f"{self.count:,} row{'' if self.count == 1 else 's'}"
        dates = f", {self.dates}" if self.dates else ""
        return f"{rows}, {share_text(self.share)} of the alerts{dates}"

    @property
    def dates(self) -> str:
        """The first and the last date, for people; empty where there are none."""
        if self.first is None or self.last is None:
            return ""
        within_a_day = self.first.date() == self.last.date()
        first, last = (cell_text(date if within_a_day else date.normalize()) for date in (self.first, self.last))
        return first if first == last else f"{first} to {last}"


def share_text(share: float) -> str:
    """A share in whole per cent, or with two digits where that says more.

    Examples
    --------
    >>> share_text(0.4149), share_text(0.0234), share_text(1.0)
    ('41 %', '2.3 %', '100 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


@dataclass(frozen=True, repr=False)
class Patterns(Shown):
    """Alerts by pattern.

    Parameters
    ----------
    patterns : tuple of Pattern
        The largest first.
    labels : int ndarray of shape (rows,)
        Of each row the place of its pattern in `patterns`, from 0; -1 where it is no alert, -2 where it is one that
        belongs to no pattern.
    """

    patterns: tuple[Pattern, ...]
    labels: IntArray

    def __len__(self) -> int:
        return len(self.patterns)

    def _summary(self) -> str:
        return f"{counted(self.n_alerts, 'alert')}, {counted(len(self), 'pattern')}, {self.n_other:,} of none"

    def _table(self) -> pd.DataFrame:
        return self.frame()

    @property
    def n_alerts(self) -> int:
        """Rows that are alerts."""
        return int((self.labels != NO_ALERT).sum())

    @property
    def n_other(self) -> int:
        """Alerts that belong to no pattern."""
        return int((self.labels == OTHER).sum())

    def sentences(self) -> list[str]:
        """One sentence for each pattern, and one for the alerts of none."""
        if not self.n_alerts:
            return ["No row is an alert."]
        sentences = [str(pattern) for pattern in self.patterns]
        if self.n_other:
            rows = f"{self.n_other:,} row{'' if self.n_other == 1 else 's'}"
            sentences.append(f"of no pattern: {rows}, {share_text(self.n_other / self.n_alerts)} of the alerts")
        return sentences

    def frame(self) -> pd.DataFrame:
        """Patterns as a table.

        Returns
        -------
        DataFrame
            A line for each pattern, with its number (from 0), what is out of place, the count and share of its rows,
            their first and last date, their median anomaly_score and the labels of its typical rows.
        """
        lines = [
            {
                "pattern": number,
                "what": pattern.what,
                "count": pattern.count,
                "share": pattern.share,
                "first": pattern.first,
                "last": pattern.last,
                "anomaly_score": pattern.score,
                "typical_rows": pattern.typical_labels,
            }
            for number, pattern in enumerate(self.patterns)
        ]
        columns = ["pattern", "what", "count", "share", "first", "last", "anomaly_score", "typical_rows"]
        return pd.DataFrame(lines, columns=columns)


@dataclass(frozen=True)
class _Alerts:
    """What is out of place in the alerts, by the model's columns.

    Parameters
    ----------
    encoder : TableEncoder
        What the columns are.
    values : ndarray of shape (alerts, columns)
        The cells in model units.
    expected : ndarray of shape (alerts, columns)
        What is predicted in them, where those out of place are hidden.
    nats : ndarray of shape (alerts, columns)
        What they cost above what is typical of training rows, and 0 where that is negative.
    of_row : ndarray of shape (alerts,)
        The same of what the combination costs.
    units : CellUnits or None
        Of the alerts, where numbers are compared with those of their group.
    """

    encoder: TableEncoder
    values: FloatArray
    expected: FloatArray
    nats: FloatArray
    of_row: FloatArray
    units: CellUnits | None


def find_patterns(
    model: FittedModel[Encoder],
    table: Table,
    alerts: IntArray,
    scores: FloatArray,
    n_typical: int,
    dates: npt.NDArray[np.datetime64] | None,
) -> Patterns:
    """Alerts by what is out of place in them.

    Parameters
    ----------
    model : FittedModel
        Of a table, with its reference: see `with_reference`.
    table : Table
    alerts : int ndarray
        Positions of the alerts, ascending.
    scores : ndarray of shape (rows,)
        Anomaly scores, nats.
    n_typical : int
        Typical rows of each pattern, at most.
    dates : datetime64 ndarray of shape (rows,), optional
    """
    labels = np.full(table.n_rows, NO_ALERT, dtype=np.intp)
    if not len(alerts):
        return Patterns((), labels)
    chosen = table.take(alerts)
    found = _out_of_place(model, chosen)
    profiles = profiles_of(found.encoder.modelled, found.values, found.expected, found.nats, found.of_row)
    members = clustered(profiles)
    labels[alerts] = members
    patterns = []
    for number in range(int(members.max()) + 1):
        own = np.flatnonzero(members == number)
        typical = alerts[own[_typical(profiles[own], found.values[own], n_typical)]]
        known = None if dates is None else dates[alerts[own]]
        first, last = _extent(known)
        patterns.append(
            Pattern(
                cells=_cells(found, chosen, own),
                count=len(own),
                share=len(own) / len(alerts),
                first=first,
                last=last,
                typical_rows=tuple(typical.tolist()),
                typical_labels=tuple(table.label(row) for row in typical.tolist()),
                score=float(np.median(scores[alerts[own]])),
            )
        )
    return Patterns(tuple(patterns), labels)


def _out_of_place(model: FittedModel[Encoder], table: Table) -> _Alerts:
    encoder, reference = model.table_encoder, model.reference
    assert reference is not None
    batch = encoder.encode(table)
    shares = score_shares(model.vae, batch.relative(), additive_of(model.score), model.noise)
    nats = (-shares.cells - reference.typical[:-1]).clamp(min=0).where(batch.observed, 0.0)
    of_row = (shares.of_row - reference.typical[-1]).clamp(min=0)
    # A column and its parts are hidden together.
    odd = np.zeros((len(batch), len(encoder.columns)), dtype=bool)
    for index, position in enumerate(encoder.order):
        odd[:, position] |= nats[:, index].numpy() >= OUT_OF_PLACE
    visible = batch.observed & ~in_model_order(encoder, odd)
    seen = Batch(batch.values.where(visible, 0.0), visible)
    expected = expected_cells(model.vae, seen, model.noise, weighted=False)
    values = batch.values.double().numpy()
    return _Alerts(encoder, values, expected.numpy(), nats.numpy(), of_row.numpy(), batch.units)


def profiles_of(
    columns: Sequence[Column], values: FloatArray, expected: FloatArray, nats: FloatArray, of_row: FloatArray
) -> Profiles:
    """What is out of place in rows, and how, as vectors of length 1: (rows, axes); 0 where nothing is.

    A cell weighs log(1 + nats), so that the kind counts and not the size.  Half of that goes to an axis of its column,
    of an ordered one for above or below what is expected; the other half to its level, or to how far it is out.

    Parameters
    ----------
    columns : sequence of Column
        What the model sees, in its order.
    values, expected, nats, of_row
        See `_Alerts`.
    """
    weights = np.log1p(nats)
    # The combination counts where no cell is out of place by itself.
    alone = np.where((nats < OUT_OF_PLACE).all(1), np.log1p(of_row), 0.0)
    axes = [csc_array(alone[:, None])]
    for index, column in enumerate(columns):
        rows = np.flatnonzero(weights[:, index])
        if not len(rows):
            continue
        cells = values[rows, index]
        weight = weights[rows, index]
        if is_ordered(column):
            sides = (cells < expected[rows, index]).astype(np.intp)
            axes.append(_axes(len(nats), rows, sides, SHARED**0.5 * weight))
            sizes = np.sign(cells) * SIZES_PER_DOUBLING * np.log2(1 + np.abs(cells))
            sizes = np.clip(sizes, -MAX_SIZE, MAX_SIZE)
            # Between two axes, so that no limit parts cells that are nearly alike.
            below = np.floor(sizes)
            places = np.concatenate([below, below + 1])
            shares = np.concatenate([below + 1 - sizes, sizes - below])
            axes.append(_axes(len(nats), np.tile(rows, 2), places, np.sqrt((1 - SHARED) * shares) * np.tile(weight, 2)))
        else:
            axes.append(_axes(len(nats), rows, np.zeros(len(rows)), SHARED**0.5 * weight))
            levels = np.minimum(cells, len(column.levels))
            axes.append(_axes(len(nats), rows, levels, (1 - SHARED) ** 0.5 * weight))
    profiles = csr_array(hstack(axes))
    lengths = np.sqrt(profiles.multiply(profiles).sum(1))
    unit = csr_array(diags_array(1 / np.where(lengths > 0, lengths, 1.0)) @ profiles)
    unit.data = np.round(unit.data, DIGITS)
    unit.eliminate_zeros()
    unit.sort_indices()
    return unit


def _axes(n_rows: int, rows: IntArray, places: npt.NDArray[Any], weights: FloatArray) -> Profiles:
    """An axis for each different place."""
    distinct, places = np.unique(places, return_inverse=True)
    return csc_array((weights, (rows, places)), shape=(n_rows, len(distinct)))


def clustered(profiles: Profiles) -> IntArray:
    """The pattern of each row, the largest pattern first; `OTHER` where a row has none.

    Average linkage of cosine distances, cut at `MAX_DISTANCE`: how many patterns there are follows from the rows.  Rows
    with the same profile count once there, and at most `MAX_CLUSTERED` of them, evenly spaced in their own order;
    others join the pattern whose middle is nearest.  The order of the rows makes no difference.

    Parameters
    ----------
    profiles : sparse array of shape (rows, axes)
        Of length 1, or 0.
    """
    distinct, places, counts = _distinct(profiles)
    members = np.full(distinct.shape[0], OTHER, dtype=np.intp)
    usable = np.flatnonzero(np.diff(distinct.indptr))
    chosen = usable
    if len(usable) > MAX_CLUSTERED:
        chosen = usable[np.linspace(0, len(usable) - 1, MAX_CLUSTERED).round().astype(np.intp)]
    members[chosen] = 0
    if len(chosen) > 1:
        some = distinct[chosen]
        cosines = np.round((some @ some.T).toarray()[np.triu_indices(len(chosen), 1)], DIGITS)
        distances = np.clip(1 - cosines, 0.0, 1.0)
        # Takes long to import, and scores need none of it.
        from scipy.cluster.hierarchy import fcluster, linkage

        members[chosen] = fcluster(linkage(distances, "average"), MAX_DISTANCE, "distance") - 1
    others = np.setdiff1d(usable, chosen)
    members[others] = _nearest(distinct[others], _middles(distinct, members, counts), MAX_DISTANCE)
    members = _numbered(members, counts, _largest(members, counts))
    left = usable[members[usable] == OTHER]
    members[left] = _nearest(distinct[left], _middles(distinct, members, counts), 1 - MIN_COSINE)
    return _numbered(members, counts, np.flatnonzero(_sizes(members, counts)))[places]


def _distinct(profiles: Profiles) -> tuple[Profiles, IntArray, IntArray]:
    """Profiles without repetitions, in an order of their own, which of them each row has, and how often there are."""
    ends = profiles.indptr.tolist()
    keys = [
        profiles.indices[begin:end].astype(">i4").tobytes() + profiles.data[begin:end].astype(">f8").tobytes()
        for begin, end in itertools.pairwise(ends)
    ]
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    ordered = sorted(first)
    place_of = {key: place for place, key in enumerate(ordered)}
    places = np.array([place_of[key] for key in keys], dtype=np.intp)
    rows = np.array([first[key] for key in ordered], dtype=np.intp)
    return profiles[rows], places, np.bincount(places, minlength=len(rows))


def _largest(members: IntArray, counts: IntArray) -> IntArray:
    """The clusters that are large enough for a pattern, and among the largest."""
    sizes = _sizes(members, counts)
    largest = np.argsort(-sizes, kind="stable")[:MAX_PATTERNS]
    enough: IntArray = largest[sizes[largest] >= max(1.0, MIN_SHARE * counts.sum())]
    return enough


def _numbered(members: IntArray, counts: IntArray, kept: IntArray) -> IntArray:
    """Those of the clusters that are kept, numbered from the largest to the smallest; `OTHER` for the others."""
    sizes = _sizes(members, counts)
    numbers = np.full(len(sizes) + 1, OTHER, dtype=np.intp)
    numbers[kept[np.argsort(-sizes[kept], kind="stable")]] = np.arange(len(kept))
    renumbered: IntArray = numbers[np.where(members == OTHER, len(sizes), members)]
    return renumbered


def _sizes(members: IntArray, counts: IntArray) -> FloatArray:
    known = members >= 0
    return np.bincount(members[known], counts[known]).astype(np.float64)


def _middles(profiles: Profiles, members: IntArray, counts: IntArray) -> FloatArray:
    """The mean profile of each pattern, of length 1: (patterns, axes)."""
    known = np.flatnonzero(members >= 0)
    n_patterns = int(members.max(initial=-1)) + 1
    shape = n_patterns, profiles.shape[0]
    sums = csr_array((counts[known].astype(np.float64), (members[known], known)), shape=shape) @ profiles
    means = sums.toarray()
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    middles: FloatArray = means / np.where(lengths > 0, lengths, 1.0)
    return middles


def _nearest(profiles: Profiles, middles: FloatArray, max_distance: float) -> IntArray:
    """The pattern whose middle is nearest to each row, where that is near enough."""
    if not len(middles) or not profiles.shape[0]:
        return np.full(profiles.shape[0], OTHER, dtype=np.intp)
    cosines = np.round(profiles @ middles.T, DIGITS)
    best = cosines.argmax(1)
    nearest: IntArray = np.where(cosines[np.arange(len(best)), best] >= 1 - max_distance, best, OTHER)
    return nearest


def _typical(profiles: Profiles, values: FloatArray, n: int) -> IntArray:
    """The rows nearest to the middle of a pattern; of those as near, the first by what they hold."""
    distinct, places, counts = _distinct(profiles)
    (middle,) = _middles(distinct, np.zeros(len(counts), dtype=np.intp), counts)
    cosines = np.round(distinct @ middle, DIGITS)[places]
    nearest: IntArray = np.lexsort((*values.T[::-1], -cosines))[:n]
    return nearest


def _extent(dates: npt.NDArray[np.datetime64] | None) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    known = np.empty(0, "datetime64[us]") if dates is None else dates[~np.isnat(dates)]
    return (pd.Timestamp(known.min()), pd.Timestamp(known.max())) if len(known) else (None, None)


def is_ordered(column: Column) -> bool:
    """Whether cells are above or below others."""
    return column.likelihood is not None and column.likelihood.ordered


def _cells(found: _Alerts, table: Table, rows: IntArray) -> tuple[PatternCell, ...]:
    """What is out of place in most of some rows; else in those where it weighs most."""
    nats = found.nats[rows]
    odd = nats >= OUT_OF_PLACE
    if not odd.any():
        return (PatternCell("", "", "combination", None, None, float(np.median(found.of_row[rows])), 1.0),)
    weights = np.log1p(nats).mean(0)
    common = odd.mean(0) >= SHARED
    ranked = np.where(common if common.any() else odd.any(0), weights, 0.0)
    order = np.argsort(-ranked, kind="stable")[:MAX_CELLS]
    chosen = [index for index in order.tolist() if ranked[index] >= MIN_WEIGHT * ranked.max() and ranked[index] > 0]
    cells = [_cell(found, table, rows[odd[:, index]], index, float(odd[:, index].mean())) for index in chosen]
    one_sided = [cell for cell in cells if cell.direction != "off"]
    return tuple(one_sided or cells)


def _cell(found: _Alerts, table: Table, rows: IntArray, index: int, share: float) -> PatternCell:
    """What is out of place in one column, in rows where it is."""
    position, column = found.encoder.model_columns[index]
    owner = found.encoder.columns[position]
    name, part = owner.name, "" if column is owner else column.kind
    values, expected = found.values[rows, index], found.expected[rows, index]
    nats = float(np.median(found.nats[rows, index]))
    units = None if found.units is None else found.units.take(torch.from_numpy(rows))
    shown = found.encoder.shown_cells(expected, index, units)
    observed = column.shown(values) if part else table.take(rows).objects(position)
    if is_ordered(column):
        above = float((values >= expected).mean())
        direction: Direction = "above" if above >= AGREED else "below" if above <= 1 - AGREED else "off"
        scale = column.scale * (column.asinh_scale or 1.0)
        return PatternCell(name, part, direction, _median(observed), _without_dust(_median(shown), scale), nats, share)
    unseen = float((values >= len(column.levels)).mean())
    levels = _frequent(observed)
    (level, of_level), expected_level = levels[0], _frequent(shown)[0][0]
    names = tuple(name for name, _ in levels[:N_LEVELS])
    if of_level >= AGREED:
        return PatternCell(name, part, "level", level, expected_level, nats, share)
    several: Direction = "unseen" if unseen >= AGREED else "levels"
    return PatternCell(name, part, several, level, expected_level, nats, share, names)


def _without_dust(cell: Any, scale: float) -> Any:
    """A number that is 0 but for what single precision makes of it as 0."""
    return 0.0 if isinstance(cell, float) and abs(cell) < DUST * scale else cell


def _median(cells: npt.NDArray[Any]) -> Any:
    """The lower median of cells that can be compared."""
    known = sorted(cell for cell in cells.tolist() if not pd.isna(cell))
    return known[(len(known) - 1) // 2] if known else None


def _frequent(cells: npt.NDArray[Any]) -> list[tuple[Any, float]]:
    """Levels with their shares, the most frequent first; equally frequent ones by name."""
    counts: dict[str, int] = {}
    levels: dict[str, Any] = {}
    for cell in cells.tolist():
        counts[str(cell)] = counts.get(str(cell), 0) + 1
        levels.setdefault(str(cell), cell)
    order = sorted(counts, key=lambda text: (-counts[text], text))
    return [(levels[text], counts[text] / len(cells)) for text in order]
