"""What is kept of rows while they are scored: counts, p-values, the most anomalous ones, a sample."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.batches import Numbers, RowScores
from vae_anomaly_cli.models import CellBatch, Model, Unusable
from vae_anomaly_cli.tables import SAMPLED_ROWS, SmallestKeys
from vae_anomaly_cli.top_k import TopK

if TYPE_CHECKING:
    from vae_anomaly_cli.console import Messages
    from vae_anomaly_cli.labels import LabelColumn, Measures


class Tally:
    """What is known of the rows of an input so far, in their order; those of its parts make that of the whole.

    Parameters
    ----------
    noun : str
        What a row is: ``row`` or ``image``.
    n_top : int
        How many of the most anomalous rows to keep.
    sampled : sequence of str
        Columns of which to keep some rows, drawn at random; none by default.
    label : str, optional
        The column that the scores are compared with.

    Attributes
    ----------
    n_rows, n_scored, n_flagged, n_written : int
        Rows read so far; those with a score; those that are flagged; those that were written.
    lowest, highest : float
        Score so far, nats.
    family : FamilyCounts
        The p-values so far.
    top : TopK
        The most anomalous of them.
    sample : SmallestKeys or None
        Some rows, drawn at random.
    unusable : Unusable
        Rows or files of the input without a score.
    labels : list of pyarrow.Array
        Cells of the label.
    scores : list of ndarray
        Scores, where there is a label; nats.
    """

    def __init__(self, noun: str, *, n_top: int = 0, sampled: Sequence[str] = (), label: str | None = None) -> None:
        from vae_anomaly.decisions import FamilyCounts

        self.n_rows = self.n_scored = self.n_flagged = self.n_written = 0
        self.lowest, self.highest = np.inf, -np.inf
        self.family = FamilyCounts()
        self.top = TopK(n_top)
        self.sample = SmallestKeys(SAMPLED_ROWS) if sampled else None
        self.unusable = Unusable(noun)
        self.labels: list[pa.Array] = []
        self.scores: list[Numbers] = []
        self._sampled, self._label = list(sampled), label

    def add(self, batch: CellBatch, judged: RowScores, flags: npt.NDArray[np.bool_]) -> None:
        """Take the rows that follow."""
        self.n_rows += batch.n_rows
        known = judged.scores[~np.isnan(judged.scores)]
        self.n_scored += len(known)
        self.lowest = min(self.lowest, float(known.min(initial=np.inf)))
        self.highest = max(self.highest, float(known.max(initial=-np.inf)))
        self.n_flagged += int(flags.sum())
        self.family.add(judged.p_values[~np.isnan(judged.p_values)])
        if self.sample is not None:
            self.sample.append(batch.cells.select(self._sampled), *batch.position(0))
        self.top.add(batch, judged)
        if self._label is not None:
            self.labels.append(batch.cells[self._label])
            self.scores.append(judged.scores)

    def note_problems(self, model: Model, batch: CellBatch, problems: Mapping[int, str]) -> None:
        """Note rows of a batch that cannot be scored."""
        for row, problem in problems.items():
            self.unusable.add(partial(model.source.locate, *batch.position(row)), problem)

    def merge(self, following: "Tally") -> None:
        """Take the rows that follow from another tally, of the next part of the same input."""
        self.top.merge(following.top, self.n_rows)
        self.n_rows += following.n_rows
        self.n_scored += following.n_scored
        self.n_flagged += following.n_flagged
        self.n_written += following.n_written
        self.lowest, self.highest = min(self.lowest, following.lowest), max(self.highest, following.highest)
        self.family.merge(following.family)
        if self.sample is not None and following.sample is not None:
            self.sample.merge(following.sample)
        self.unusable.merge(following.unusable)
        self.labels += following.labels
        self.scores += following.scores

    def measures(self, model: Model, label: "LabelColumn | None", messages: "Messages") -> "Measures | None":
        """Compare the scores with the labels, where there are some."""
        if label is None:
            return None
        labels = label.usable(model.values(pa.chunked_array(self.labels)), messages)
        return None if labels is None else labels.measure(np.concatenate(self.scores))
