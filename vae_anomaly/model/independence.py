"""p(x_j) of each column by itself, tabulated where its cells have few different values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.likelihoods import CellDistribution, Constants
from vae_anomaly.model.column_groups import Group

MAX_VALUES = 2048
MAX_DEVIATIONS = 16.0
TOLERANCE = 1e-4
FULL_ROWS = 32


@dataclass(frozen=True)
class _Grid:
    """Values that are whole multiples of a step from an anchor, of columns of one group.

    Parameters
    ----------
    anchor, step : Tensor of shape (columns,)
        In model units, or in the unit of the asinh scale.
    first : Tensor of shape (columns,)
        Steps from the anchor to the first value.
    n_values : int
        Of each column.
    on_asinh_scale : bool Tensor of shape (columns,), optional
        None where no column is.
    location, scale : Tensor of shape (columns,), optional
        Of the asinh scale.
    low : Tensor of shape (columns,), optional
        Lowest possible values, in model units.
    """

    anchor: Tensor
    step: Tensor
    first: Tensor
    n_values: int
    on_asinh_scale: Tensor | None = None
    location: Tensor | None = None
    scale: Tensor | None = None
    low: Tensor | None = None

    @classmethod
    def of(cls, group: Group, constants: Constants, anchor: Tensor) -> _Grid | None:
        """Of the columns of a group; None where their values are not on a grid, or too many."""
        traits = group.likelihood.traits
        if traits.levels != "none":
            return cls(torch.zeros_like(anchor), torch.ones_like(anchor), torch.zeros_like(anchor), group.width + 2)
        if not (traits.rounded and "step" in constants and "asinh_scale" in constants):
            return None
        on_asinh_scale = constants["asinh_scale"] > 0
        asinh: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)
        if on_asinh_scale.any():
            asinh = on_asinh_scale, constants["location"], constants["scale"]
        ends = cls(anchor, constants["step"], anchor, 0, *asinh)._steps(
            anchor.new_tensor([[-MAX_DEVIATIONS], [MAX_DEVIATIONS]]).expand(-1, len(anchor))
        )
        first, last = torch.ceil(ends[0]), torch.floor(ends[1])
        n_values = int((last - first).nan_to_num(MAX_VALUES).clamp(max=MAX_VALUES).amax()) + 1
        if n_values > MAX_VALUES:
            return None
        return cls(anchor, constants["step"], first, n_values, *asinh, constants["low"])

    @property
    def values(self) -> Tensor:
        """All values, in model units: (values, columns)."""
        places = torch.arange(self.n_values, device=self.first.device).unsqueeze(1)
        values = self.anchor + self.step * (self.first + places)
        if self.on_asinh_scale is not None and self.location is not None and self.scale is not None:
            values = torch.where(self.on_asinh_scale, (torch.asinh(values) - self.location) / self.scale, values)
        if self.low is None:
            return values
        # Rounded to the other side of itself, it would be impossible, or without all that is below it.
        place, has_one = self.places(self.low)
        return torch.where(has_one & (places == place), self.low, values)

    def places(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Which value each cell has, counted from the first, and whether it has one."""
        steps = self._steps(cells)
        nearest = steps.round()
        place = nearest - self.first
        has_one = ((steps - nearest).abs() <= TOLERANCE + 1e-6 * nearest.abs()) & (place >= 0) & (place < self.n_values)
        return place, has_one

    def _steps(self, cells: Tensor) -> Tensor:
        """Cells in steps from the anchor."""
        if self.on_asinh_scale is not None and self.location is not None and self.scale is not None:
            cells = torch.where(self.on_asinh_scale, torch.sinh(cells * self.scale + self.location), cells)
        return (cells - self.anchor) / self.step


@dataclass(frozen=True)
class _Part:
    """Columns of one group.

    Parameters
    ----------
    columns : slice
    distribution : CellDistribution
        Of batch shape (1, columns).
    grid : _Grid, optional
    table : Tensor of shape (columns * values,), optional
        Log-probability of each value of the grid.
    """

    columns: slice
    distribution: CellDistribution
    grid: _Grid | None
    table: Tensor | None

    def log_prob(self, batch: Batch) -> Tensor:
        """log p(x_j) by cell: (rows, columns)."""
        cells = batch.values[..., self.columns]
        if self.grid is None or self.table is None:
            return self.distribution.log_prob(cells)
        place, has_one = self.grid.places(cells)
        columns = torch.arange(cells.shape[-1], device=cells.device) * self.grid.n_values
        found = self.table.take(place.where(has_one, 0.0).long() + columns)
        known = has_one if batch.is_complete else has_one | ~batch.observed[..., self.columns]
        if cells.device.type != "cpu":
            return torch.where(has_one, found, self.distribution.log_prob(cells))
        if not known.all():
            other = (~known).any(-1).nonzero().squeeze(1)
            # Filled up, so that no cell is among the last of a tensor, which PyTorch computes with other instructions.
            filled = torch.cat([other, other[-1:].expand(-len(other) % FULL_ROWS)])
            found[filled] = torch.where(has_one[filled], found[filled], self.distribution.log_prob(cells[filled]))
        return found


class IndependenceModel:
    """Numbers that are normal with the mean and the deviation of the training cells, levels as frequent as there.

    Whole multiples of a step and levels have their log-probabilities in tables: integrals of the normal density over
    intervals are what takes most of the time of a row.

    Parameters
    ----------
    groups : sequence of (Group, Constants, CellDistribution, Tensor)
        With the marginal distribution of each, and where multiples of its columns' steps are counted from.
    """

    def __init__(self, groups: list[tuple[Group, Constants, CellDistribution, Tensor]]) -> None:
        self.parts = []
        for group, constants, distribution, anchor in groups:
            grid = _Grid.of(group, constants, anchor)
            table = None if grid is None else distribution.log_prob(grid.values).T.flatten()
            self.parts.append(_Part(group.columns, distribution, grid, table))

    def log_prob(self, batch: Batch) -> Tensor:
        """log p(x_j) by cell, in model units: (rows, columns), nats; anything where it is missing."""
        parts = [part.log_prob(batch) for part in self.parts]
        return torch.cat(parts, -1) if len(parts) > 1 else parts[0]
