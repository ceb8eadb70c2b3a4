"""What the numbers of a row are compared with: those of its own group, and of the same hour, weekday and month."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from vae_anomaly.caching import cached_property
from vae_anomaly.columns.cell_units import CellUnits
from vae_anomaly.columns.column import Column, days_of
from vae_anomaly.columns.seasons import Seasons
from vae_anomaly.data import FloatArray, Table

IntArray = npt.NDArray[np.intp]

WHOLE = re.compile(r"([+-]?\d+)\.0+")
# Of the exponent of a number on a logarithmic scale.
MAX_LOGARITHM = 600.0


@dataclass(frozen=True)
class ComparedColumn:
    """A column whose cells are compared with those of their group.

    Parameters
    ----------
    position : int
        In the user's order.
    asinh_scale : float
        Cells are compared as ``asinh(cell / asinh_scale)``, or as they are where it is 0.
    step, origin : float
        The cells are whole multiples of `step` from `origin` on; 0 if they are not.
    low, high : float or None
        Lowest and highest possible value.
    """

    position: int
    asinh_scale: float = 0.0
    step: float = 0.0
    origin: float = 0.0
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, column: Column, position: int, asinh_scale: float) -> ComparedColumn:
        """What is known of a column."""
        return cls(position, asinh_scale, column.step, column.origin, column.low, column.high)

    def compared(self, numbers: FloatArray) -> FloatArray:
        """Cells on the scale on which they are compared."""
        if not self.asinh_scale:
            return numbers
        with np.errstate(over="ignore"):
            scaled: FloatArray = np.arcsinh(numbers / self.asinh_scale)
        return scaled

    def log_slopes(self, compared: FloatArray) -> FloatArray:
        """Logarithm of the derivative of `compared` by the cell, at cells on that scale."""
        if not self.asinh_scale:
            return np.zeros_like(compared)
        # log cosh without overflow.
        size = np.abs(compared)
        slopes: FloatArray = -np.log(self.asinh_scale) - (size + np.log1p(np.exp(-2 * size)) - np.log(2.0))
        return slopes

    def cells(self, compared: FloatArray) -> FloatArray:
        """Cells from that scale, on the steps and within the ends that cells have."""
        numbers = compared
        if self.asinh_scale:
            numbers = np.sinh(np.clip(compared, -MAX_LOGARITHM, MAX_LOGARITHM)) * self.asinh_scale
        if self.step:
            numbers = np.rint((numbers - self.origin) / self.step) * self.step + self.origin
        return np.clip(numbers, self.low, self.high) if (self.low, self.high) != (None, None) else numbers


@dataclass(frozen=True, eq=False)
class GroupLevel:
    """The groups of training rows by the first keys.

    Parameters
    ----------
    digests : int64 ndarray of shape (groups,)
        64 bits of the hash of the texts of their keys, in ascending order.
    locations, scales : ndarray of shape (groups, columns)
        On the scale on which cells are compared.
    """

    digests: npt.NDArray[np.int64]
    locations: FloatArray
    scales: FloatArray

    def places(self, digests: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]) -> IntArray:
        """Which group each row belongs to; -1 for none of training."""
        if not len(self.digests):
            return np.full(len(digests), -1)
        places = np.searchsorted(self.digests, digests).clip(max=len(self.digests) - 1)
        return np.where(known & (self.digests[places] == digests), places, -1)


@dataclass(frozen=True, eq=False)
class References:
    """What the compared cells of rows are compared with.

    Parameters
    ----------
    locations, scales : ndarray of shape (rows, columns)
        On the scale on which cells are compared.
    n_known_keys : int ndarray of shape (rows,)
        How many of the keys of a row, from the first on, name a group of training rows.
    """

    locations: FloatArray
    scales: FloatArray
    n_known_keys: IntArray

    def take(self, rows: IntArray | slice) -> References:
        """Those of some rows."""
        return References(self.locations[rows], self.scales[rows], self.n_known_keys[rows])

    def replaced(self, rows: IntArray, others: References) -> References:
        """The same but for some rows, which have those of others."""
        locations, scales, n_known = self.locations.copy(), self.scales.copy(), self.n_known_keys.copy()
        locations[rows], scales[rows], n_known[rows] = others.locations, others.scales, others.n_known_keys
        return References(locations, scales, n_known)


@dataclass(frozen=True, eq=False)
class Baseline:
    """Locations and scales of groups, each drawn to those of the group around it.

    Parameters
    ----------
    keys : tuple of int
        Positions of the columns that group rows, from the largest groups to the smallest.
    time : int or None
        Position of the dates.
    columns : tuple of ComparedColumn
        In the user's order.
    locations, scales : ndarray of shape (columns,)
        Of all rows.
    levels : tuple of GroupLevel
        By the first key, by the first two, and so on.
    seasons : Seasons or None
        What dates add.
    typical_log_jacobians : ndarray of shape (columns,) or None
        What is added to log p(cell) in units of its group, the same for all rows: the mean over training rows of what
        brings it to the units of the data.  None adds each row's own.
    """

    keys: tuple[int, ...]
    time: int | None
    columns: tuple[ComparedColumn, ...]
    locations: FloatArray
    scales: FloatArray
    levels: tuple[GroupLevel, ...]
    seasons: Seasons | None
    typical_log_jacobians: FloatArray | None = None

    @cached_property
    def place_of(self) -> dict[int, int]:
        """Which of `columns` is at a position of the user's order."""
        return {column.position: place for place, column in enumerate(self.columns)}

    def references(self, table: Table, columns: tuple[Column, ...]) -> References:
        """What rows are compared with.

        Parameters
        ----------
        table : Table
            With text read, and without codes of missing cells.
        columns : tuple of Column
            What its columns are.
        """
        shape = table.n_rows, len(self.columns)
        locations, scales = np.broadcast_to(self.locations, shape).copy(), np.broadcast_to(self.scales, shape).copy()
        n_known = np.zeros(table.n_rows, dtype=np.intp)
        for level, (digests, known) in zip(self.levels, key_digests(table, columns, self.keys), strict=True):
            places = level.places(digests, known)
            found = places >= 0
            locations[found], scales[found] = level.locations[places[found]], level.scales[places[found]]
            n_known += found
        return References(locations + self.seasonal(table, columns), scales, n_known)

    def seasonal(self, table: Table, columns: tuple[Column, ...]) -> FloatArray:
        """What the dates of rows add: (rows, columns), or 0."""
        if self.seasons is None or self.time is None:
            return np.zeros((table.n_rows, len(self.columns)))
        return self.seasons.of(dates_of(table, columns, self.time))

    def residuals(self, numbers: FloatArray, place: int, references: References) -> FloatArray:
        """Cells of a column as scales of their group above its location; NaN where missing."""
        compared = self.columns[place].compared(numbers)
        with np.errstate(over="ignore"):
            left: FloatArray = (compared - references.locations[:, place]) / references.scales[:, place]
        return left

    def cell_units(self, numbers: list[FloatArray], references: References, indices: list[int]) -> CellUnits:
        """Units of the cells of rows.

        Parameters
        ----------
        numbers : list of ndarray of shape (rows,)
            The cells of each column.
        references : References
            Of the rows.
        indices : list of int
            Where the model has the columns.
        """
        if self.typical_log_jacobians is None:
            jacobians, typical = self.log_jacobians(numbers, references)
        else:
            jacobians = typical = np.broadcast_to(self.typical_log_jacobians, references.scales.shape).copy()
        return CellUnits(
            torch.tensor(indices, dtype=torch.int64),
            torch.from_numpy(references.locations),
            torch.from_numpy(references.scales),
            torch.from_numpy(jacobians),
            torch.from_numpy(typical),
            torch.from_numpy(references.n_known_keys.astype(np.int64)),
        )

    def log_jacobians(self, numbers: list[FloatArray], references: References) -> tuple[FloatArray, FloatArray]:
        """What brings log p(cell) from units of its group to those of the data, and the same where it is as expected.

        Parameters
        ----------
        numbers : list of ndarray of shape (rows,)
            The cells of each column.
        references : References
            Of the rows.

        Returns
        -------
        ndarray of shape (rows, columns), twice
            Nats; of a missing cell as if it held what its group expects.
        """
        jacobians, typical = np.empty_like(references.scales), np.empty_like(references.scales)
        for place, (column, cells) in enumerate(zip(self.columns, numbers, strict=True)):
            compared, location = column.compared(cells), references.locations[:, place]
            narrow = np.log(references.scales[:, place])
            typical[:, place] = column.log_slopes(location) - narrow
            jacobians[:, place] = column.log_slopes(np.where(np.isnan(compared), location, compared)) - narrow
        return jacobians, typical

    def cells(self, residuals: FloatArray, place: int, units: CellUnits) -> FloatArray:
        """Cells in the units of the data from those above the location of their group, of the rows of some units."""
        locations, scales = units.locations[:, place].numpy(), units.scales[:, place].numpy()
        return self.columns[place].cells(locations + residuals * scales)


def dates_of(table: Table, columns: tuple[Column, ...], position: int) -> FloatArray:
    """The dates of rows as days since 1970, NaN where missing."""
    return days_of(table, position, columns[position].date_unit)


def key_digests(
    table: Table, columns: tuple[Column, ...], keys: tuple[int, ...]
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
    """For the first key, the first two and so on, what stands for the keys of each row, and which rows have them all.

    Numbers and their text are one: 7, 7.0 and "7".  The digests are BLAKE2b of the texts, and nobody reads these in
    them.
    """
    found = []
    combined, known = np.zeros(table.n_rows, dtype=np.int64), np.ones(table.n_rows, dtype=bool)
    texts_of: list[tuple[str, ...]] = [()]
    for position in keys:
        levels, codes = table.distinct_levels(position)
        form = columns[position].text_format
        texts = [key_text(str(level), folded=form is not None and form.fold) for level in levels]
        known = known & (codes >= 0)
        pairs, combined = np.unique(np.where(known, combined * (len(texts) + 1) + codes + 1, -1), return_inverse=True)
        texts_of = [
            () if pair < 0 else (*texts_of[pair // (len(texts) + 1)], texts[pair % (len(texts) + 1) - 1])
            for pair in pairs.tolist()
        ]
        digests = np.array([digest_of(own) for own in texts_of], dtype=np.int64)
        found.append((digests[combined], known))
    return found


def key_text(text: str, *, folded: bool) -> str:
    """The text of a key as keys are compared.

    Examples
    --------
    >>> key_text(" 7.0", folded=False), key_text("North", folded=True)
    ('7', 'north')
    """
    text = text.strip()
    whole = WHOLE.fullmatch(text)
    if whole:
        return whole[1]
    return text.casefold() if folded else text


def digest_of(texts: tuple[str, ...]) -> int:
    """64 bits that stand for the texts of keys."""
    whole = hashlib.blake2b(json.dumps(texts).encode(), digest_size=8).digest()
    return int.from_bytes(whole, "little", signed=True)
