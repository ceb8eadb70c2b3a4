"""What a missing cell is expected to cost, so that it makes a row neither more nor less anomalous."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from vae_anomaly.columns import Batch
from vae_anomaly.model.priors import precise

KNOTS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0)


class MissingCosts(nn.Module):
    r"""Nats that a member's score is expected to have had of the cells that are missing.

    A row with the missing cells :math:`M` is charged :math:`\sum_{j \in M} c_j + r(s)`, with :math:`s` the share of its
    cells that are missing and :math:`r` linear between `KNOTS`, 0 at 0: a whole row is charged exactly 0.

    Parameters
    ----------
    cells : Tensor of shape (members, columns)
        :math:`c_j`, nats.
    combination : Tensor of shape (members, knots - 1)
        :math:`r` at all `KNOTS` but the first, nats.
    counted : bool Tensor of shape (columns,)
        Which cells :math:`s` is a share of: neither those of constant columns, nor whether other cells are missing.
    """

    cells: Tensor
    combination: Tensor
    counted: Tensor

    def __init__(self, cells: Tensor, combination: Tensor, counted: Tensor) -> None:
        super().__init__()
        self.register_buffer("cells", cells)
        self.register_buffer("combination", combination)
        self.register_buffer("counted", counted, persistent=False)

    @classmethod
    def empty(cls, n_members: int, counted: Tensor) -> MissingCosts:
        """Of the right shapes, to be filled from a model file; nothing is charged."""
        return cls(
            torch.zeros(n_members, len(counted), dtype=torch.float32),
            torch.zeros(n_members, len(KNOTS) - 1, dtype=torch.float32),
            counted,
        )

    @property
    def is_finite(self) -> bool:
        """Whether all numbers are."""
        return bool(self.cells.isfinite().all()) and bool(self.combination.isfinite().all())

    def of_rows(self, batch: Batch) -> Tensor:
        """What each member charges each row: (members, rows), nats; exactly 0 where no cell is missing."""
        missing = precise(~batch.observed)
        return (missing * precise(self.cells).unsqueeze(1)).sum(-1) + self.of_combinations(batch)

    def of_cells(self, batch: Batch) -> Tensor:
        """What all members together charge for each missing cell: (rows, columns), nats; 0 for observed ones."""
        return precise(~batch.observed) * precise(self.cells).mean(0)

    def of_combinations(self, batch: Batch) -> Tensor:
        """What each member charges each row beside its cells, r(s): (members, rows), nats."""
        shares = stretches(missing_share(batch.observed, self.counted))
        return (shares * precise(self._steps).unsqueeze(1)).sum(-1)

    @property
    def _steps(self) -> Tensor:
        return torch.diff(self.combination, dim=-1, prepend=torch.zeros_like(self.combination[:, :1]))


def missing_share(observed: Tensor, counted: Tensor) -> Tensor:
    """Share of the counted cells of rows that is missing: (..., rows)."""
    missing = precise(~observed & counted).sum(-1)
    return missing / max(int(counted.sum()), 1)


def stretches(share: Tensor) -> Tensor:
    """Of each stretch between two `KNOTS`, how much lies below a share: (..., knots - 1), from 0 to 1.

    Examples
    --------
    >>> stretches(torch.tensor([0.0, 0.05, 0.375, 1.0], dtype=torch.float64)).tolist()[1:3]
    [[0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0]]
    """
    parts = [((share - low) / (high - low)).clamp(0, 1) for low, high in itertools.pairwise(KNOTS)]
    return torch.stack(parts, -1)
