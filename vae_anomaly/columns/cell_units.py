"""Units of cells that are compared with their group: from the model's units to the data's, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CellUnits:
    """What the cells of some columns of rows are in the units of the data.

    Parameters
    ----------
    columns : int Tensor of shape (columns,)
        Which of the model's columns they are.
    locations, scales : Tensor of shape (rows, columns), float64
        What the group of a row expects and how widely it spreads, on the scale of the comparison.
    log_jacobians : Tensor of shape (rows, columns), float64
        What turns log p(cell) in units of its group into a log-density in the units of the data, nats; of a missing
        cell as if it held what its group expects.
    typical : Tensor of shape (rows, columns), float64
        The same of a cell that holds what its group expects.
    n_known_keys : int Tensor of shape (rows,)
        How many of the keys of its row, from the first on, name a group of training rows.
    """

    columns: Tensor
    locations: Tensor
    scales: Tensor
    log_jacobians: Tensor
    typical: Tensor
    n_known_keys: Tensor

    def take(self, rows: Tensor | slice) -> CellUnits:
        """Those of some rows."""
        rows = rows if isinstance(rows, slice) else rows.cpu()
        return CellUnits(
            self.columns,
            self.locations[rows],
            self.scales[rows],
            self.log_jacobians[rows],
            self.typical[rows],
            self.n_known_keys[rows],
        )

    def relative(self) -> CellUnits:
        """The same where cells that hold what their group expects are alike, however widely the group spreads."""
        return CellUnits(
            self.columns,
            self.locations,
            self.scales,
            self.log_jacobians - self.typical,
            torch.zeros_like(self.typical),
            self.n_known_keys,
        )

    def row_jacobians(self, observed: Tensor, *, charges_missing: bool) -> Tensor:
        """What is added to the log-density of each row: (rows,), nats.

        Parameters
        ----------
        observed : bool Tensor of shape (rows, model columns)
        charges_missing : bool
            Whether a missing cell costs what it is expected to cost, in the units of its group; else nothing.
        """
        seen = observed[:, self.columns].cpu()
        sums = torch.zeros_like(self.log_jacobians[:, 0])
        # One by one: a row's sum must not depend on how many rows there are.
        for place in range(len(self.columns)):
            of_column = self.log_jacobians[:, place]
            sums = sums + (of_column if charges_missing else of_column.where(seen[:, place], 0.0))
        return sums

    def of_cells(self, observed: Tensor, *, charges_missing: bool) -> Tensor:
        """What is added to the log-density of each cell: (rows, model columns), nats."""
        every = torch.zeros(observed.shape, dtype=torch.float64)
        seen = observed[:, self.columns].cpu()
        every[:, self.columns] = self.log_jacobians if charges_missing else self.log_jacobians.where(seen, 0.0)
        return every
