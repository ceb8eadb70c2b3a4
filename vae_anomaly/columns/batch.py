"""Rows as the model sees them: values and which of them were observed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vae_anomaly.columns.cell_units import CellUnits

_FINGERPRINT_PRIME = 0x9E3779B97F4A7C15 - (1 << 64)


def taken(table: Tensor, rows: Tensor) -> Tensor:
    """``table[rows]`` for a (rows, columns) table and integers of any shape, copied row by row and not cell by cell."""
    chosen: Tensor = table.index_select(0, rows.flatten()).unflatten(0, rows.shape)
    return chosen


@dataclass(frozen=True)
class Batch:
    """Rows in model units, with the mask of observed cells.

    Parameters
    ----------
    values : Tensor of shape (..., rows, columns)
        Standardised numbers for continuous columns, codes for categorical ones; 0 where not observed.
    observed : bool Tensor of the same shape
        False where the cell is missing.
    known_fingerprints : int64 Tensor of shape (..., rows), optional
        Fingerprints of the rows, where they are those of the cells in single precision and not of `values`.
    is_complete : bool, default=False
        Whether it is known that every cell was observed; False says nothing.
    units : CellUnits, optional
        Of rows whose numbers are compared with their group: what their cells are in the units of the data.

    Examples
    --------
    >>> batch = Batch(torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool))
    >>> len(batch.take(torch.tensor([0, 2])))
    2
    """

    values: Tensor
    observed: Tensor
    known_fingerprints: Tensor | None = None
    is_complete: bool = False
    units: CellUnits | None = None

    def __len__(self) -> int:
        return self.values.shape[-2]

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self.values.shape[-1]

    def take(self, rows: Tensor | slice) -> Batch:
        """Rows by index; an index with a member axis gives a batch with a member axis in front."""
        known = None if self.known_fingerprints is None else self.known_fingerprints[rows]
        if isinstance(rows, slice):
            units = None if self.units is None else self.units.take(rows)
            return Batch(self.values[rows], self.observed[rows], known, self.is_complete, units)
        units = None if self.units is None or rows.dim() > 1 else self.units.take(rows)
        return Batch(taken(self.values, rows), taken(self.observed, rows), known, self.is_complete, units)

    def without_units(self) -> Batch:
        """The same rows, where the units of the data do not count."""
        return self if self.units is None else replace(self, units=None)

    def relative(self) -> Batch:
        """The same rows, where cells that hold what their group expects are alike: see `CellUnits.relative`."""
        return self if self.units is None else replace(self, units=self.units.relative())

    def at(self, rows: Tensor | slice) -> Batch:
        """Rows by index, the same of every member where there is a member axis."""
        known = None if self.known_fingerprints is None else self.known_fingerprints[..., rows]
        return Batch(self.values[..., rows, :], self.observed[..., rows, :], known, self.is_complete)

    def of_members(self, members: Tensor) -> Batch:
        """All rows of some members, with their axis."""
        known = None if self.known_fingerprints is None else self.known_fingerprints[members]
        return Batch(self.values[members], self.observed[members], known, self.is_complete)

    def followed_by(self, other: Batch) -> Batch:
        """These rows, then those of another batch with the same columns."""
        known = None
        if self.known_fingerprints is not None or other.known_fingerprints is not None:
            known = torch.cat([self.fingerprints(), other.fingerprints()], -1)
        values, observed = torch.cat([self.values, other.values], -2), torch.cat([self.observed, other.observed], -2)
        return Batch(values, observed, known, self.is_complete and other.is_complete)

    def leading(self, n_columns: int) -> Batch:
        """The same rows with only their first columns."""
        return Batch(self.values[..., :n_columns], self.observed[..., :n_columns], is_complete=self.is_complete)

    def to(self, device: torch.device) -> Batch:
        """The same rows on another device."""
        known = None if self.known_fingerprints is None else self.known_fingerprints.to(device)
        return Batch(self.values.to(device), self.observed.to(device), known, self.is_complete, self.units)

    def padded(self, n_rows: int) -> Batch:
        """The same rows followed by empty ones, or where all are complete by copies of the last, up to `n_rows`."""
        missing = n_rows - len(self)
        if missing <= 0:
            return self
        if self.is_complete and len(self):
            return self.at(torch.arange(n_rows, device=self.values.device).clamp(max=len(self) - 1))
        pad, known = (0, 0, 0, missing), self.known_fingerprints
        return Batch(
            torch.nn.functional.pad(self.values, pad),
            torch.nn.functional.pad(self.observed, pad, value=self.is_complete),
            None if known is None else torch.nn.functional.pad(known, (0, missing)),
            self.is_complete,
        )

    def fingerprints(self) -> Tensor:
        """One 64-bit integer per row, equal for rows with equal values and masks, or equal cells in single precision.

        Integer arithmetic that wraps around, so the result is the same on every machine and device.
        A collision of two different rows has probability about 2 ** -64.

        Returns
        -------
        Tensor of shape (..., rows), int64
        """
        if self.known_fingerprints is not None:
            return self.known_fingerprints
        bits = (self.values.float() + 0.0).contiguous().view(torch.int32).to(torch.int64)
        bits = torch.where(self.observed, bits, 0x7FC00001)
        position = torch.arange(1, self.n_columns + 1, device=bits.device) * _FINGERPRINT_PRIME
        mixed = (bits + position) * _FINGERPRINT_PRIME
        mixed = (mixed ^ (mixed >> 29)) * 0x5851F42D4C957F2D
        return (mixed ^ (mixed >> 32)).sum(-1)
