"""What the experts of a pool are expected to say of a row: of all of its cells, and of those that are missing."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from vae_anomaly.columns import Batch
from vae_anomaly.model.priors import precise

KNOTS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0)


class Experts(nn.Module):
    r"""Statistics of the bounds of several experts, learned from training rows: the members, then what is beside them.

    An expert's bound of a row with the missing cells :math:`M` is charged :math:`\sum_{j \in M} c_j + r(s)`, with
    :math:`s` the share of its cells that are missing and :math:`r` linear between `KNOTS`, 0 at 0: a whole row is
    charged exactly 0.

    Parameters
    ----------
    cells : Tensor of shape (experts, columns)
        :math:`c_j`, what a cell is expected to cost, nats.
    combination : Tensor of shape (experts, knots - 1)
        :math:`r` at all `KNOTS` but the first, nats.
    medians : Tensor of shape (experts,), float64
        Of the bounds of training rows, nats.
    counted : bool Tensor of shape (columns,)
        Which cells :math:`s` is a share of: neither those of constant columns, nor whether other cells are missing.
    """

    cells: Tensor
    combination: Tensor
    medians: Tensor
    counted: Tensor

    def __init__(self, cells: Tensor, combination: Tensor, medians: Tensor, counted: Tensor) -> None:
        super().__init__()
        self.register_buffer("cells", cells)
        self.register_buffer("combination", combination)
        self.register_buffer("medians", medians)
        self.register_buffer("counted", counted, persistent=False)

    @classmethod
    def empty(cls, n_experts: int, counted: Tensor) -> Experts:
        """Of the right shapes, to be filled from a model file; nothing is charged."""
        return cls(
            torch.zeros(n_experts, len(counted), dtype=torch.float32),
            torch.zeros(n_experts, len(KNOTS) - 1, dtype=torch.float32),
            torch.zeros(n_experts, dtype=torch.float64),
            counted,
        )

    def charges(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """What each expert charges each row for its missing cells, and beside them; None where no cell is missing.

        Returns
        -------
        of_cells, of_combinations : Tensor of shape (experts, rows), float64
            Nats; exactly 0 where no cell is missing.
        """
        if batch.is_complete or (batch.observed.device.type == "cpu" and bool(batch.observed.all())):
            return None
        of_cells = (precise(~batch.observed) * precise(self.cells).unsqueeze(1)).sum(-1)
        shares = stretches(missing_share(batch.observed, self.counted))
        return of_cells, (shares * precise(self._steps).unsqueeze(1)).sum(-1)

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
