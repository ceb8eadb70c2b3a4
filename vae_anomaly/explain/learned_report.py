"""What a detector learned from reviewed rows, for people."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vae_anomaly.columns import Encoder, ImageEncoder
from vae_anomaly.display import Shown, counted
from vae_anomaly.fitting import FittedModel

MIN_NOTABLE, NOTHING = 0.05, 1e-9
N_SHOWN = 10
NATS, DEVIATION, LEVEL, WHOLE_ROW = "nats", "deviation", "level", "whole row"


@dataclass(frozen=True)
class LearnedWeight:
    """One number that reviewed rows taught.

    Parameters
    ----------
    column : str
        Whose it is; of images a block of pixels; empty for the row as a whole.
    kind : {"nats", "deviation", "level", "whole row"}
        What it multiplies: the nats that the column, or the row as a whole, adds above a typical row's; how far a
        number lies above the middle of its column, in units of its scale; or 1 where the cell has the level.
    level : str
        The level; empty for others, and "unseen" of levels that training did not have.
    added : float
        What it adds to the anomaly score for each unit of that; nats.
    """

    column: str
    kind: str
    level: str
    added: float

    @property
    def factor(self) -> float:
        """How many times nats count with what was learned; NaN for other kinds."""
        return 1 + self.added if self.kind in (NATS, WHOLE_ROW) else math.nan

    def __str__(self) -> str:
        if self.kind == DEVIATION:
            side = "above" if self.added > 0 else "below"
            return f"{self.column} {side} its middle adds {abs(self.added):.1f} nats for each deviation"
        if self.kind == LEVEL:
            return f"{self.column} {self.level} adds {self.added:+.1f} nats"
        subject = f"what {self.column} adds" if self.kind == NATS else "the combination as a whole"
        if abs(self.factor) < MIN_NOTABLE:
            return f"{subject} counts no more"
        if self.factor < 0:
            return f"{subject} counts against an anomaly ({self.factor:.1f} times)"
        return f"{subject} counts {self.factor:.1f} times"


@dataclass(frozen=True, repr=False)
class LearnedWeights(Shown):
    """What reviewed rows taught a detector.

    Parameters
    ----------
    weights : tuple of LearnedWeight
        The largest first.
    n_rows, n_anomalies : int
        Reviewed rows, and those of them that are anomalous.
    shrinkage : float
        Infinite where cross-validation found the score alone as good, so that nothing was learned; else 1.
    in_use : bool
        Whether scores have it.
    """

    weights: tuple[LearnedWeight, ...]
    n_rows: int
    n_anomalies: int
    shrinkage: float
    in_use: bool

    def _summary(self) -> str:
        use = "" if self.in_use else ", not in use"
        return (
            f"{counted(self.n_rows, 'reviewed row')}, {self.n_anomalies:,} anomalous, {len(self.weights)} weights{use}"
        )

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame({"what was learned": self.sentences(N_SHOWN)})

    def frame(self) -> pd.DataFrame:
        """A row for each number: column, kind, level, added (nats) and factor."""
        rows = [(each.column, each.kind, each.level, each.added, each.factor) for each in self.weights]
        return pd.DataFrame(rows, columns=["column", "kind", "level", "added", "factor"])

    def sentences(self, n: int = 5) -> list[str]:
        """What changed the most, in words; nothing of what is too small to notice.

        Parameters
        ----------
        n : int, default=5
            How many at most.
        """
        if math.isinf(self.shrinkage):
            if self.n_anomalies == self.n_rows:
                return [f"nothing yet: all {self.n_rows:,} reviewed rows are anomalous"]
            return [f"nothing: the score alone tells the {self.n_rows:,} reviewed rows apart as well"]
        return [str(each) for each in self.weights[:n] if abs(each.added) >= MIN_NOTABLE]


def learned_weights(model: FittedModel[Encoder], *, in_use: bool) -> LearnedWeights | None:
    """What a model learned from reviewed rows; None where it did not.

    Parameters
    ----------
    model : FittedModel
    in_use : bool
        Whether scores have it.
    """
    learned, answers, encoder = model.vae.learned, model.answers, model.encoder
    if learned is None or answers is None or answers.shrinkage is None:
        return None
    names = _names_of_groups(encoder, learned.features.group_of, learned.features.n_groups)
    numbers = [
        LearnedWeight(name, kind, "", added)
        for kind, tensor in ((NATS, learned.weights), (DEVIATION, learned.slopes))
        for name, added in zip(names, tensor.tolist(), strict=True)
    ]
    numbers.append(LearnedWeight("", WHOLE_ROW, "", float(learned.of_row)))
    levels, features = learned.levels.tolist(), learned.features
    for column, group, start, n_levels in zip(
        encoder.modelled, features.group_of, features.starts, features.n_levels, strict=False
    ):
        for code, added in enumerate(levels[start : start + n_levels]):
            level = "unseen" if code == n_levels - 1 else repr(column.levels[code])
            numbers.append(LearnedWeight(names[group], LEVEL, level, added))
    told = [each for each in numbers if abs(each.added) > NOTHING]
    told.sort(key=lambda each: -abs(each.added))
    return LearnedWeights(tuple(told), answers.n_rows, answers.n_anomalies, answers.shrinkage, in_use)


def _names_of_groups(encoder: Encoder, group_of: tuple[int, ...], n_groups: int) -> list[str]:
    if isinstance(encoder, ImageEncoder):
        blocks = np.array(group_of[: encoder.height * encoder.width]).reshape(encoder.height, encoder.width)
        found = [np.nonzero(blocks == number) for number in range(n_groups)]
        return [
            f"pixels in rows {rows[0] + 1} to {rows[-1] + 1}, columns {columns.min() + 1} to {columns.max() + 1}"
            for rows, columns in found
        ]
    return [column.name for column in encoder.columns[:n_groups]]
