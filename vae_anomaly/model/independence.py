"""p(x_j) of each column by itself, tabulated where its cells have few different values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vae_anomaly.caching import cached_property
from vae_anomaly.columns import Batch
from vae_anomaly.likelihoods import CellDistribution, Constants, RoundedDistribution
from vae_anomaly.model.column_groups import Group

MAX_VALUES = 2048
# Tables reach as far as they can, and at least so far.
MIN_DEVIATIONS, MAX_DEVIATIONS = 4.0, 16.0
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
    def of_levels(cls, like: Tensor, width: int) -> _Grid:
        """Of codes from 0 on, and of the first that training did not see, for columns of a tensor (columns,)."""
        return cls(torch.zeros_like(like), torch.ones_like(like), torch.zeros_like(like), width + 2)

    @classmethod
    def of_steps(cls, constants: Constants, anchor: Tensor) -> _Grid:
        """Of whole multiples of a step, as many as a table takes."""
        on_asinh_scale = constants["asinh_scale"] > 0
        whole = cls(anchor, constants["step"], anchor, 0, low=constants["low"])
        if on_asinh_scale.any():
            asinh = constants["location"], constants["scale"]
            whole = replace(whole, on_asinh_scale=on_asinh_scale, location=asinh[0], scale=asinh[1])
        low, middle, high = (
            whole.steps(torch.full_like(anchor, cell)) for cell in (-MAX_DEVIATIONS, 0, MAX_DEVIATIONS)
        )
        low = torch.maximum(low, middle - MAX_VALUES // 2).ceil()
        high = torch.minimum(high, middle + MAX_VALUES // 2).floor()
        n_steps = (high - low).nan_to_num(0.0, 0.0, 0.0)
        return replace(whole, first=low, n_values=int(n_steps.clamp(min=0).amax()) + 1)

    def reaches(self) -> Tensor:
        """Which columns it holds the common values of: bool, (columns,)."""
        ends = [self.steps(torch.full_like(self.anchor, cell)) for cell in (-MIN_DEVIATIONS, MIN_DEVIATIONS)]
        return self.first.isfinite() & (ends[0] >= self.first - 1) & (ends[1] <= self.first + self.n_values)

    def of_columns(self, columns: Tensor) -> _Grid:
        """The same of some columns."""
        optional = (self.on_asinh_scale, self.location, self.scale, self.low)
        some = [None if part is None else part[columns] for part in optional]
        return _Grid(self.anchor[columns], self.step[columns], self.first[columns], self.n_values, *some)

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
        steps = self.steps(cells)
        nearest = steps.round()
        place = nearest - self.first
        has_one = ((steps - nearest).abs() <= TOLERANCE + 1e-6 * nearest.abs()) & (place >= 0) & (place < self.n_values)
        return place, has_one

    def steps(self, cells: Tensor) -> Tensor:
        """Cells in steps from the anchor."""
        if self.on_asinh_scale is not None and self.location is not None and self.scale is not None:
            cells = torch.where(self.on_asinh_scale, torch.sinh(cells * self.scale + self.location), cells)
        return (cells - self.anchor) / self.step


@dataclass(frozen=True)
class _Part:
    """Columns of one group.

    Parameters
    ----------
    columns : Tensor of shape (columns,)
        Their positions in the model's order.
    distribution : CellDistribution
        Of batch shape (1, columns).
    grid : _Grid, optional
    """

    columns: Tensor
    distribution: CellDistribution
    grid: _Grid | None

    @cached_property
    def table(self) -> Tensor:
        """Log-probability of each value of the grid: (columns * values,)."""
        assert self.grid is not None
        with torch.no_grad():
            return self.distribution.log_prob(self.grid.values).T.flatten()

    def log_prob(self, batch: Batch) -> Tensor:
        """log p(x_j) by cell: (rows, columns)."""
        cells = batch.values[..., self.columns]
        if self.grid is None or cells.device.type != "cpu":
            return self.distribution.log_prob(cells)
        place, has_one = self.grid.places(cells)
        columns = torch.arange(cells.shape[-1], device=cells.device) * self.grid.n_values
        found = self.table.take(place.where(has_one, 0.0).long() + columns)
        known = has_one if batch.is_complete else has_one | ~batch.observed[..., self.columns]
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

    def __init__(self, groups: Sequence[tuple[Group, Constants, CellDistribution, Tensor]]) -> None:
        self.parts = [part for group in groups for part in _parts(*group)]

    def log_prob(self, batch: Batch) -> Tensor:
        """log p(x_j) by cell, in model units: (rows, columns), nats; anything where it is missing."""
        if len(self.parts) == 1:
            return self.parts[0].log_prob(batch)
        found = torch.empty_like(batch.values)
        for part in self.parts:
            found[..., part.columns] = part.log_prob(batch)
        return found


def _parts(group: Group, constants: Constants, distribution: CellDistribution, anchor: Tensor) -> Iterator[_Part]:
    """The columns of a group, those that have a table apart."""
    columns = torch.arange(group.columns.start, group.columns.stop, device=anchor.device)
    traits = group.likelihood.traits
    if traits.levels != "none":
        yield _Part(columns, distribution, _Grid.of_levels(anchor, group.width))
        return
    if not (traits.rounded and "step" in constants and "asinh_scale" in constants):
        yield _Part(columns, distribution, None)
        return
    grid = _Grid.of_steps(constants, anchor)
    reached = grid.reaches()
    if reached.all() or not reached.any() or not isinstance(distribution, RoundedDistribution):
        yield _Part(columns, distribution, grid if reached.all() else None)
        return
    first, second = reached.nonzero().squeeze(1), (~reached).nonzero().squeeze(1)
    yield _Part(columns[first], distribution.of_columns(first), grid.of_columns(first))
    yield _Part(columns[second], distribution.of_columns(second), None)
