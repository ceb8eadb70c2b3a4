"""From user data to batches and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vae_anomaly.batch import Batch
from vae_anomaly.columns import VALUE_LIMIT, Column
from vae_anomaly.tables import FloatArray, Table


@dataclass(frozen=True)
class TableEncoder:
    """Tables in the user's column order to batches in the model's, and back.

    In the model's order columns of the same likelihood and room for levels stand together, so that each
    group is one rectangular tensor; columns that were set aside are left out.

    Parameters
    ----------
    columns : tuple of Column
        All columns, in the user's order.
    """

    columns: tuple[Column, ...]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Positions, in the user's order, of the modelled columns in the model's order."""
        used = [position for position, column in enumerate(self.columns) if column.likelihood is not None]
        groups: dict[tuple[object, int], list[int]] = {}
        for position in used:
            column = self.columns[position]
            groups.setdefault((column.likelihood, column.width), []).append(position)
        return tuple(position for members in groups.values() for position in members)

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns that the model sees, in its order."""
        return tuple(self.columns[position] for position in self.order)

    def encode(self, table: Table) -> Batch:
        """Rows in model units, as float32, with their mask.

        Raises
        ------
        DataError
            If a cell cannot be read as its column demands.
        """
        values = np.empty((table.n_rows, len(self.order)), dtype=np.float64)
        plain = self._plain
        rest = list(range(len(self.order)))
        if isinstance(table.cells, np.ndarray) and len(plain) and not np.isinf(table.cells).any():
            positions = np.array(self.order)[plain]
            locations = np.array([self.columns[position].location for position in positions])
            scales = np.array([self.columns[position].scale for position in positions])
            with np.errstate(over="ignore"):
                scaled = (table.cells[:, positions] - locations) / scales
            values[:, plain] = np.clip(scaled, -VALUE_LIMIT, VALUE_LIMIT)
            rest = sorted(set(rest) - set(plain.tolist()))
        for place in rest:
            values[:, place] = self.columns[self.order[place]].encode(table, self.order[place])
        observed = ~np.isnan(values)
        values[~observed] = 0
        return Batch(torch.from_numpy(values.astype(np.float32)), torch.from_numpy(observed))

    def decode(self, values: FloatArray) -> list[npt.NDArray[Any]]:
        """Cells of every column in the user's order; columns that were set aside are NaN.

        Parameters
        ----------
        values : ndarray of shape (rows, modelled columns)
            Model units, in the model's order.
        """
        decoded: list[npt.NDArray[Any]] = [np.full(len(values), np.nan) for _ in self.columns]
        for place, position in enumerate(self.order):
            decoded[position] = self.columns[position].decode(values[:, place])
        return decoded

    @cached_property
    def _plain(self) -> npt.NDArray[np.intp]:
        """Places of the columns that are only shifted and scaled."""
        return np.array(
            [
                place
                for place, column in enumerate(self.modelled)
                if column.likelihood is not None and column.likelihood.standardize
            ],
            dtype=np.intp,
        )
