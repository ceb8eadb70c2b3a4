"""Tables to batches and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from vae_anomaly.caching import cached_property
from vae_anomaly.columns.baseline import Baseline, References
from vae_anomaly.columns.batch import Batch
from vae_anomaly.columns.cell_units import CellUnits
from vae_anomaly.columns.column import VALUE_LIMIT, Column
from vae_anomaly.columns.column_list import Columns
from vae_anomaly.columns.encoder import Encoder
from vae_anomaly.columns.missing_codes import without_codes
from vae_anomaly.columns.text_reading import read_text
from vae_anomaly.data import FloatArray, ObjectArray, Table

SCALED_ROWS = 512
COPIED_ROWS = 1024


@dataclass(frozen=True, repr=False)
class TableEncoder(Encoder):
    """Tables in the user's column order to batches in the model's, and back.

    In the model's order columns of the same likelihood and width are neighbours, so that each
    group is one rectangular tensor; columns that were constant in training come last, those that were set aside are
    left out, and parts of columns are columns there.

    Parameters
    ----------
    columns : tuple of Column
        All columns, in the user's order.
    baseline : Baseline, optional
        What numbers of rows are compared with: columns that are compared describe what is left of them then.
    """

    columns: tuple[Column, ...]
    baseline: Baseline | None = None

    def _summary(self) -> str:
        return repr(Columns(self.columns))

    @cached_property
    def model_columns(self) -> tuple[tuple[int, Column], ...]:
        """What the model sees, in its order: the user's position of a column, and that column or a part of it."""
        used = [(position, modelled) for position, column in enumerate(self.columns) for modelled in column.modelled]
        groups: dict[tuple[object, int], list[tuple[int, Column]]] = {}
        for position, column in sorted(used, key=lambda entry: entry[1].is_constant):
            groups.setdefault((column.likelihood, column.width), []).append((position, column))
        return tuple(entry for group in groups.values() for entry in group)

    @cached_property
    def n_varying(self) -> int:
        return sum(not column.is_constant for column in self.modelled)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The user's position of what the model sees, in its order; a column with parts occurs more than once."""
        return tuple(position for position, _ in self.model_columns)

    @cached_property
    def modelled(self) -> tuple[Column, ...]:
        return tuple(column for _, column in self.model_columns)

    @property
    def n_model_columns(self) -> int:
        return len(self.model_columns)

    @property
    def grid(self) -> None:
        return None

    @property
    def image_format(self) -> None:
        return None

    def model_indices_of(self, position: int) -> tuple[int, ...]:
        """Indices in the model's order of a column and its parts."""
        return self._indices[position]

    @cached_property
    def _indices(self) -> tuple[tuple[int, ...], ...]:
        """The model's indices of each column of the user's."""
        owned: list[list[int]] = [[] for _ in self.columns]
        for index, owner in enumerate(self.order):
            owned[owner].append(index)
        return tuple(map(tuple, owned))

    @cached_property
    def hideable(self) -> npt.NDArray[np.bool_]:
        """Which of the model's columns can be missing: not those that say whether another is."""
        return np.array([column.kind != "missing" for column in self.modelled], dtype=bool)

    def references(self, data: Table) -> References | None:
        """What rows are compared with, where they are."""
        if self.baseline is None:
            return None
        return self.baseline.references(without_codes(read_text(data, self.columns), self.columns), self.columns)

    def encode(self, data: Table, *, fingerprints: bool = True, references: References | None = None) -> Batch:
        """Rows in model units; see `Encoder.encode`.

        Parameters
        ----------
        data : Table
        fingerprints : bool, default=True
        references : References, optional
            What rows of the training are compared with, without their own numbers; others with what was learned.
        """
        with data.naming_rows():
            data = without_codes(read_text(data, self.columns), self.columns)
        compared = None if self.baseline is None else _Compared.of(self, self.baseline, data, references)
        values = np.empty((data.n_rows, self.n_model_columns), dtype=np.float32)
        matrix = data.cells if isinstance(data.cells, np.ndarray) and not np.isinf(data.cells).any() else None
        if matrix is not None and len(self._plain):
            self._plain_scales.apply(matrix, values, single=False)
        done = set() if matrix is None else set(self._plain.tolist())
        copies: dict[int, npt.NDArray[np.float32]] = {}
        with data.naming_rows():
            for index, (position, column) in enumerate(self.model_columns):
                if index in done:
                    continue
                if compared is not None and column is self.columns[position] and position in compared.numbers:
                    values[:, index] = column.encode_numbers(compared.residuals(position))
                    if fingerprints and (column.copies_in_single or references is not None):
                        copy = compared.copies(position, single=column.copies_in_single)
                        copies[index] = column.encode_numbers(copy).astype(np.float32)
                    continue
                if not column.copies_in_single:
                    values[:, index] = column.encode(data, position)
                    continue
                numbers = column.numbers(data, position)
                values[:, index] = column.encode_numbers(numbers)
                if not fingerprints:
                    continue
                copies[index] = column.encode_numbers(in_single(numbers)).astype(np.float32)
        missing = np.isnan(values)
        observed = ~missing
        known = self._fingerprints(values, observed, matrix, copies) if fingerprints else None
        if missing.any():
            np.copyto(values, 0, where=missing)
        units = None if compared is None else compared.units
        return Batch(torch.from_numpy(values), torch.from_numpy(observed), known, units=units)

    def _fingerprints(
        self,
        values: npt.NDArray[np.float32],
        observed: npt.NDArray[np.bool_],
        matrix: FloatArray | None,
        copies: dict[int, npt.NDArray[np.float32]],
    ) -> torch.Tensor | None:
        """Of the rows as they are with cells in single precision where that counts; None where it does nowhere."""
        plain = self._plain[:0] if matrix is None else self._plain_in_single
        if not copies and not len(plain):
            return None
        found = []
        for begin in range(0, len(values), COPIED_ROWS):
            own = slice(begin, begin + COPIED_ROWS)
            block = values[own].copy()
            if matrix is not None and len(plain):
                self._plain_scales_in_single.apply(matrix[own], block, single=True)
            for index, copied in copies.items():
                block[:, index] = copied[own]
            found.append(Batch(torch.from_numpy(block), torch.from_numpy(observed[own])).fingerprints())
        return torch.cat(found) if found else torch.empty(0, dtype=torch.int64)

    def by_column(self, terms: FloatArray) -> FloatArray:
        sums = np.zeros((*terms.shape[:-1], len(self.columns)))
        for index, position in enumerate(self.order):
            sums[..., position] += terms[..., index]
        return sums

    def decode(self, values: FloatArray, units: CellUnits | None = None) -> list[npt.NDArray[Any]]:
        """Cells of every column in the user's order.

        Columns that were set aside are NaN, and dates whose place in time is not modelled are NaT.

        Parameters
        ----------
        values : ndarray of shape (rows, modelled columns)
            Model units, in the model's order.
        units : CellUnits, optional
            Of the rows, where numbers are compared with those of their group.
        """
        decoded: list[npt.NDArray[Any]] = [
            np.full(len(values), np.datetime64("NaT", "us") if column.is_date else np.nan) for column in self.columns
        ]
        for index, (position, column) in enumerate(self.model_columns):
            if column is self.columns[position]:
                decoded[position] = self.decode_cells(values[:, index], index, units)
        return decoded

    def units_of_drawn(self, values: FloatArray) -> CellUnits | None:
        """Units of rows that were drawn, by the keys that were drawn with them; of all rows where these are no columns.

        Parameters
        ----------
        values : ndarray of shape (rows, model columns)
            Model units, in the model's order.
        """
        if self.baseline is None:
            return None
        cells: dict[int, npt.NDArray[Any]] = {
            position: np.full(len(values), np.datetime64("NaT", "us") if column.is_date else np.nan)
            for position, column in enumerate(self.columns)
        }
        for index, (position, column) in enumerate(self.model_columns):
            if column is self.columns[position] and not self.is_compared(index):
                cells[position] = column.decode(values[:, index])
        drawn = Table(tuple(column.name for column in self.columns), pd.DataFrame(cells))
        references = self.baseline.references(drawn, self.columns)
        numbers = [drawn.numbers(column.position) for column in self.baseline.columns]
        return self.baseline.cell_units(numbers, references, self.compared_indices)

    def decode_cells(self, values: FloatArray, index: int, units: CellUnits | None) -> npt.NDArray[Any]:
        """Cells in data units of one of the model's columns, by its index; see `decode`."""
        position, column = self.model_columns[index]
        cells = column.decode(values)
        if self.baseline is None or not self.is_compared(index):
            return cells
        assert units is not None
        return self.baseline.cells(cells, self.baseline.place_of[position], units)

    def shown_cells(self, values: FloatArray, index: int, units: CellUnits | None) -> ObjectArray:
        """The same for people; see `Column.shown`."""
        if self.is_compared(index):
            return self.decode_cells(values, index, units).astype(object)
        return self.modelled[index].shown(values)

    @property
    def baseline_names(self) -> tuple[str, ...]:
        """Names of the columns that say what rows are compared with."""
        if self.baseline is None:
            return ()
        time = () if self.baseline.time is None else (self.baseline.time,)
        return tuple(self.columns[position].name for position in (*self.baseline.keys, *time))

    @cached_property
    def compared_indices(self) -> list[int]:
        """Where the model has the columns of the baseline, in the order of these."""
        return sorted(filter(self.is_compared, range(self.n_model_columns)), key=lambda index: self.order[index])

    def is_compared(self, index: int) -> bool:
        """Whether one of the model's columns is compared with its group."""
        position, column = self.model_columns[index]
        return self.baseline is not None and position in self.baseline.place_of and column is self.columns[position]

    @cached_property
    def _plain(self) -> npt.NDArray[np.intp]:
        """Indices of the columns that are only shifted and scaled."""
        return np.array(
            [
                index
                for index, column in enumerate(self.modelled)
                if column.likelihood is not None
                and column.likelihood.standardize
                and not column.asinh_scale
                and column.kind != "datetime"
                and not self.is_compared(index)
            ],
            dtype=np.intp,
        )

    @cached_property
    def _plain_in_single(self) -> npt.NDArray[np.intp]:
        """Indices of those of them that count as equal where they are in single precision."""
        return np.array([index for index in self._plain if self.modelled[index].copies_in_single], dtype=np.intp)

    @cached_property
    def _plain_scales(self) -> _Scales:
        return _Scales.of(self, self._plain)

    @cached_property
    def _plain_scales_in_single(self) -> _Scales:
        return _Scales.of(self, self._plain_in_single)


@dataclass(frozen=True, eq=False)
class _Compared:
    """Rows beside what they are compared with.

    Parameters
    ----------
    baseline : Baseline
    numbers : dict of int to ndarray of shape (rows,)
        The cells that are compared, by the user's position of their column.
    references : References
        What they are compared with, and what copies of the rows that are no training rows would be.
    of_copies : References
    units : CellUnits
    """

    baseline: Baseline
    numbers: dict[int, FloatArray]
    references: References
    of_copies: References
    units: CellUnits

    @classmethod
    def of(cls, encoder: TableEncoder, baseline: Baseline, data: Table, references: References | None) -> _Compared:
        """Rows of a table that is read."""
        with data.naming_rows():
            of_copies = baseline.references(data, encoder.columns)
            numbers = {
                column.position: encoder.columns[column.position].numbers(data, column.position)
                for column in baseline.columns
            }
        own = of_copies if references is None else references
        units = baseline.cell_units(list(numbers.values()), own, encoder.compared_indices)
        return cls(baseline, numbers, own, of_copies, units)

    def residuals(self, position: int) -> FloatArray:
        """Cells of a column as the model sees them."""
        return self.baseline.residuals(self.numbers[position], self.baseline.place_of[position], self.references)

    def copies(self, position: int, *, single: bool) -> FloatArray:
        """Cells as the same row is seen that is no training row, in single precision where that is meant."""
        numbers = self.numbers[position]
        return self.baseline.residuals(
            in_single(numbers) if single else numbers, self.baseline.place_of[position], self.of_copies
        )


@dataclass(frozen=True)
class _Scales:
    """How some columns are shifted and scaled.

    Parameters
    ----------
    given, placed : slice or ndarray of int
        Where they are in the user's order, and in the model's.
    locations, scales : ndarray of shape (columns,)
    """

    given: slice | npt.NDArray[np.intp]
    placed: slice | npt.NDArray[np.intp]
    locations: FloatArray
    scales: FloatArray

    @classmethod
    def of(cls, encoder: TableEncoder, plain: npt.NDArray[np.intp]) -> _Scales:
        """Of columns of an encoder, by their indices in the model's order."""
        positions = np.array(encoder.order, dtype=np.intp)[plain]
        columns = [encoder.columns[position] for position in positions]
        locations = np.array([column.location for column in columns])
        return cls(_run(positions), _run(plain), locations, np.array([column.scale for column in columns]))

    def apply(self, cells: FloatArray, values: npt.NDArray[np.float32], *, single: bool) -> None:
        """Set values to cells in model units, or to those of the cells in single precision."""
        # Some rows at a time, which stay in fast memory.
        with np.errstate(over="ignore"):
            for begin in range(0, len(cells), SCALED_ROWS):
                own = slice(begin, begin + SCALED_ROWS)
                chosen = cells[own, self.given]
                scaled = ((in_single(chosen) if single else chosen) - self.locations) / self.scales
                values[own, self.placed] = np.clip(scaled, -VALUE_LIMIT, VALUE_LIMIT, out=scaled)


def in_single(numbers: FloatArray) -> FloatArray:
    """The numbers as single precision holds them; infinite beyond its range."""
    with np.errstate(over="ignore"):
        single: FloatArray = numbers.astype(np.float32).astype(np.float64)
    return single


def _run(positions: npt.NDArray[np.intp]) -> slice | npt.NDArray[np.intp]:
    """The same positions as a slice, which needs no copy, where they follow one another."""
    first = int(positions[0])
    follow = np.array_equal(positions, np.arange(first, first + len(positions)))
    return slice(first, first + len(positions)) if follow else positions
