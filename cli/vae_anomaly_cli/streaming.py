"""Scores for an input of any size: read, scored and written batch by batch, all three at once."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.features import scoring_frame
from vae_anomaly_cli.journal import Journal
from vae_anomaly_cli.labels import read_labels
from vae_anomaly_cli.models import refusals
from vae_anomaly_cli.overlap import overlapped
from vae_anomaly_cli.progress import row_progress
from vae_anomaly_cli.reasons import N_REASONS, Reasons
from vae_anomaly_cli.roles import FLAG, REASONS, SCORE
from vae_anomaly_cli.sinks import Sink
from vae_anomaly_cli.sources import Location, RowBatch, TableSource
from vae_anomaly_cli.top_k import TopK
from vae_anomaly_cli.types import InferredType, without_missing

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly import VAEDetector

MANY_ROWS = 1000


@dataclass(frozen=True)
class Layout:
    """The columns of the result.

    Attributes
    ----------
    kept : list of str
        Columns of the input.
    inferred : dict of str to InferredType
        What those of them are that are text in the input and typed in the result.
    reasons : bool
        Whether there is a column of reasons.
    """

    kept: list[str]
    inferred: dict[str, InferredType]
    reasons: bool

    def schema(self, table: TableSource) -> pa.Schema:
        """Names and types."""
        fields = [
            pa.field(name, self.inferred[name].type) if name in self.inferred else table.schema.field(name)
            for name in self.kept
        ]
        fields += [pa.field(SCORE, pa.float64()), pa.field(FLAG, pa.bool_())]
        return pa.schema([*fields, pa.field(REASONS, pa.string())] if self.reasons else fields)

    def columns(
        self,
        cells: pa.RecordBatch | pa.Table,
        scores: npt.NDArray[np.float64],
        flags: npt.NDArray[np.bool_],
        sentences: dict[int, str],
    ) -> list[pa.Array]:
        """Rows of the input, with what was found out about them.

        Parameters
        ----------
        cells : RecordBatch or Table
            The rows.
        scores, flags : ndarray of shape (rows,)
            What was found out.
        sentences : dict of int to str
            Reasons by row, from 0.
        """
        columns = [
            self.inferred[name].cast(without_missing(cells[name])) if name in self.inferred else cells[name]
            for name in self.kept
        ]
        columns += [pa.array(scores), pa.array(flags)]
        if self.reasons:
            columns.append(pa.array([sentences.get(row) for row in range(len(scores))], pa.string()))
        return columns


@dataclass(frozen=True)
class Prepared:
    """Rows as they were read, with their features where they are needed."""

    batch: RowBatch
    frame: "pd.DataFrame | None"


@dataclass(frozen=True)
class Scored:
    """Rows with their scores; the first `n_stored` of them are known from an interrupted run."""

    batch: RowBatch
    scores: npt.NDArray[np.float64]
    flags: npt.NDArray[np.bool_]
    sentences: dict[int, str]
    n_stored: int


class Stream:
    """A detector at work on an input, and what is left of it in the end.

    Parameters
    ----------
    table : TableSource
        The rows.
    names : list of str
        Columns to read.
    detector : VAEDetector
        Who scores them.
    layout : Layout
        Columns of the result.
    sink : Sink
        Where the result goes.
    journal : Journal or None
        Keeps the scores.
    messages : Messages
        Who hears of it.

    Attributes
    ----------
    n_rows, n_anomalies, n_explained : int
        Rows so far.
    most anomalous : TopK or None
        The most anomalous of them.
    """

    def __init__(
        self,
        table: TableSource,
        names: list[str],
        detector: "VAEDetector",
        layout: Layout,
        sink: Sink,
        journal: Journal | None,
        messages: Messages,
    ) -> None:
        self.table, self.names, self.detector, self.layout = table, names, detector, layout
        self.sink, self.journal, self.messages = sink, journal, messages
        self.n_rows = self.n_anomalies = self.n_explained = 0
        self.top: TopK | None = None
        self._schema = layout.schema(table)
        self._label: str | None = None
        self._labels: list[pa.Array] = []
        self._scores: list[npt.NDArray[np.float64]] = []

    def collect(self, top: int, label: str | None) -> None:
        """Hold so many of the most anomalous rows, and the scores beside one column."""
        self.top = TopK(top) if top else None
        self._label = label

    def run(self, *, aside: bool = True) -> None:
        """Score all rows; `aside` says whether they are written by a thread of its own."""
        n_known = self.journal.n_rows if self.journal is not None else 0
        with self.messages.library_warnings(), row_progress(self.table, "scoring", self.messages) as done:

            def work(prepared: Prepared) -> Scored:
                scored = self._score(prepared)
                done(prepared.batch)
                return scored

            overlapped(self._read(n_known), work, self._write, aside=aside)

    def measures(self, anomalous: str | None) -> dict[str, Any] | None:
        """Lay the scores beside the label that was held."""
        if self._label is None:
            return None
        cells = pa.chunked_array(self._labels)
        values = self.table.cell_reader.values(cells)
        return read_labels(values, self._label, anomalous).measure(np.concatenate(self._scores))

    def features(self, cells: pa.RecordBatch | pa.Table) -> "pd.DataFrame":
        """Return what the detector sees of rows."""
        return scoring_frame(cells, self.detector.columns_, self.table.cell_reader)

    def explained(self, n_rows: int) -> None:
        """Count rows that are explained, and say so where that takes long."""
        before, self.n_explained = self.n_explained, self.n_explained + n_rows
        if before <= MANY_ROWS < self.n_explained:
            self.messages.note(
                f"explaining {counted(self.n_explained, 'row')} or more of {self.table.name}, with a pass for each of "
                f"{counted(len(self.detector.columns_), 'column')}; --top explains fewer"
            )

    def _read(self, n_known: int) -> Generator[Prepared, None, None]:
        for batch in self.table.batches(self.names):
            known = batch.first + batch.n_rows <= n_known and not self.layout.reasons
            yield Prepared(batch, None if known else self.features(batch.cells))

    def _score(self, prepared: Prepared) -> Scored:
        batch, frame = prepared.batch, prepared.frame
        scores = np.empty(0) if self.journal is None else self.journal.take(batch.n_rows)
        n_stored = len(scores)
        if n_stored < batch.n_rows:
            assert frame is not None

            def locate(row: int) -> Location:
                return self.table.locate(*batch.position(n_stored + row))

            with refusals(self.table.name, locate):
                fresh = self.detector.anomaly_score(frame.iloc[n_stored:] if n_stored else frame)
            scores = np.concatenate([scores, fresh])
        flags = -scores < self.detector.offset_
        self.n_rows += batch.n_rows
        self.n_anomalies += int(flags.sum())
        if self.top is not None:
            self.top.see(batch, scores)
        if self._label is not None:
            self._labels.append(batch.cells[self._label])
            self._scores.append(scores)
        return Scored(batch, scores, flags, self._sentences(frame, flags), n_stored)

    def _sentences(self, frame: "pd.DataFrame | None", flags: npt.NDArray[np.bool_]) -> dict[int, str]:
        """Say why the flagged rows are anomalous, where the result has room for it."""
        if not self.layout.reasons or not flags.any():
            return {}
        assert frame is not None
        rows = np.flatnonzero(flags)
        self.explained(len(rows))
        return dict(Reasons(rows, self.detector.explain(frame.iloc[rows]), N_REASONS).sentences)

    def _write(self, scored: Scored) -> None:
        if self.journal is not None and scored.n_stored < len(scored.scores):
            self.journal.append(scored.scores[scored.n_stored :])
        columns = self.layout.columns(scored.batch.cells, scored.scores, scored.flags, scored.sentences)
        self.sink.write(scored.batch.file, pa.RecordBatch.from_arrays(columns, schema=self._schema))
