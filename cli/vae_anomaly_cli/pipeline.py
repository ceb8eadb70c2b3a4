"""The one pipeline of scores, for rows and images in any number: read, score and write batch by batch, all at once."""

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly_cli.columns import FLAG, P_VALUE, SCORE
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.flagging import Decision
from vae_anomaly_cli.labels import LabelColumn, Measures
from vae_anomaly_cli.models import CellBatch, Features, Model, RowScores, UnusableFiles
from vae_anomaly_cli.output.journal import KeptRows
from vae_anomaly_cli.output.sinks import Sink
from vae_anomaly_cli.progress import progress_bar
from vae_anomaly_cli.render.reasons import Reasons
from vae_anomaly_cli.stages import run_stages
from vae_anomaly_cli.top_k import Ranked, TopK
from vae_anomaly_cli.types import InferredType, without_missing

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Layout:
    """The columns of the result.

    Attributes
    ----------
    source : pyarrow.Schema
        Of the input.
    kept : list of str
        Columns of the input.
    types : dict of str to InferredType
        What those of them are that are text in the input and typed in the result.
    text : str or None
        Name of a last column with a text for some rows.
    """

    source: pa.Schema
    kept: list[str]
    types: Mapping[str, InferredType]
    text: str | None = None

    @property
    def schema(self) -> pa.Schema:
        """Names and types."""
        fields = [
            pa.field(name, self.types[name].type) if name in self.types else self.source.field(name)
            for name in self.kept
        ]
        fields += [pa.field(SCORE, pa.float64()), pa.field(P_VALUE, pa.float64()), pa.field(FLAG, pa.bool_())]
        return pa.schema(fields if self.text is None else [*fields, pa.field(self.text, pa.string())])

    def columns(
        self, cells: pa.RecordBatch | pa.Table, judged: RowScores, flags: Flags, texts: Mapping[int, str]
    ) -> list[pa.Array]:
        """Rows of the input, with what was found out about them.

        Parameters
        ----------
        cells : RecordBatch or Table
            The rows.
        judged : RowScores
            Their scores and p-values; those that are NaN become missing values.
        flags : ndarray of bool, shape (rows,)
            Which are flagged; missing where there is no score.
        texts : mapping of int to str
            The texts, by row from 0.
        """
        columns = [
            self.types[name].cast(without_missing(cells[name])) if name in self.types else cells[name]
            for name in self.kept
        ]
        without_score = np.isnan(judged.scores)
        columns += [
            pa.array(judged.scores, mask=without_score),
            pa.array(judged.p_values, mask=np.isnan(judged.p_values)),
            pa.array(flags, mask=without_score),
        ]
        if self.text is not None:
            columns.append(pa.array([texts.get(row) for row in range(len(judged))], pa.string()))
        return columns

    def table(self, ranked: Ranked, flags: Flags, texts: Mapping[int, str]) -> pa.Table:
        """Return the most anomalous rows as a table."""
        return pa.table(self.columns(ranked.cells, ranked.judged, flags, texts), schema=self.schema)


class Explained(Protocol):
    """What was found out about the rows of a batch besides their scores."""

    @property
    def texts(self) -> Mapping[int, str]:
        """For the last column of the result, by row from 0."""


class Explainer(Protocol):
    """Explains rows while they are scored, and when they are ranked.

    Attributes
    ----------
    n_rows : int
        Rows whose cells were explained so far.
    """

    @property
    def n_rows(self) -> int: ...

    def needs(self, batch: Any) -> bool:
        """Whether a batch has to be explained although its scores are known from an interrupted run."""

    def explain(self, batch: Any, features: Any, flags: Flags) -> Explained:
        """Explain some rows of a batch, in the thread that scores."""

    def write(self, explained: Any, stopped: threading.Event) -> None:
        """Write what does not go into the result, in the thread that writes; leave when stopped."""

    def reasons(self, ranked: Ranked, flags: Flags) -> Reasons | None:
        """Explain the cells of ranked rows."""


@dataclass(frozen=True)
class Read:
    """A batch, with its features where they are needed."""

    batch: CellBatch
    features: Features | None


@dataclass(frozen=True)
class Scored:
    """A batch with its scores; the first `n_stored` of them are known from an interrupted run."""

    batch: CellBatch
    judged: RowScores
    flags: Flags
    n_stored: int
    texts: Mapping[int, str]
    explained: Explained | None


class Pipeline:
    """A model at work on its source, and what is left of it in the end.

    Parameters
    ----------
    model : Model
        Reads features and scores them.
    names : list of str
        Columns to read.
    layout : Layout
        Columns of the result.
    sink : Sink
        Where the result goes.
    messages : Messages
        Shows progress and warnings.
    decision : Decision
        Flags rows.
    kept : KeptRows, optional
        Has the scores of the first rows, and gets those of the others.
    explainer : Explainer, optional
        Explains rows as they are scored.
    label : LabelColumn, optional
        The column that the scores are compared with.
    n_top : int
        How many of the most anomalous rows to keep.

    Attributes
    ----------
    n_rows, n_scored, n_flagged : int
        Rows so far; those with a score; those that are flagged.
    family : FamilyCounts
        The p-values so far.
    top : TopK
        The most anomalous of them.
    unusable : UnusableFiles
        Files of the input without a score.
    """

    def __init__(
        self,
        model: Model,
        names: list[str],
        layout: Layout,
        sink: Sink,
        messages: Messages,
        *,
        decision: Decision,
        kept: KeptRows | None = None,
        explainer: Explainer | None = None,
        label: LabelColumn | None = None,
        n_top: int = 0,
    ) -> None:
        self.model, self.names, self.layout, self.sink = model, names, layout, sink
        from vae_anomaly.decisions import FamilyCounts

        self.messages, self.decision, self.kept = messages, decision, kept
        self.explainer, self.label = explainer, label
        self.family = FamilyCounts()
        self.n_rows = self.n_scored = self.n_flagged = 0
        self.top = TopK(n_top)
        self.unusable = UnusableFiles()
        self._schema = layout.schema
        self._stopped = threading.Event()
        self._advance: Callable[[CellBatch], None] = lambda _batch: None
        self._labels: list[pa.Array] = []
        self._scores: list[npt.NDArray[np.float64]] = []

    def run(self, *, separate_writer: bool = True) -> None:
        """Score all rows; `separate_writer` says whether a thread of its own writes them."""
        with (
            self.messages.library_warnings(),
            progress_bar(self.model.source.size, "scoring", self.model.noun, self.messages) as self._advance,
        ):
            run_stages(self._read(), self._score, self._write, separate_writer=separate_writer, stopped=self._stopped)

    def measures(self) -> Measures | None:
        """Compare the scores with the labels, where there are some."""
        if self.label is None:
            return None
        values = self.model.values(pa.chunked_array(self._labels))
        labels = self.label.usable(values, self.messages)
        return None if labels is None else labels.measure(np.concatenate(self._scores))

    def _read(self) -> Generator[Read, None, None]:
        n_known = 0 if self.kept is None else self.kept.n_rows
        for batch in self.model.batches(self.names):
            known = batch.first + batch.n_rows <= n_known
            needed = not known or (self.explainer is not None and self.explainer.needs(batch))
            yield Read(batch, self.model.features(batch) if needed else None)

    def _score(self, read: Read) -> Scored:
        batch, features = read.batch, read.features
        stored = RowScores.nothing() if self.kept is None else self.kept.take(batch.n_rows)
        if features is None and np.isnan(stored.scores).any():
            # Files without a score: why is not stored.
            features = self.model.features(batch)
        judged = stored
        if len(stored) < batch.n_rows:
            assert features is not None
            judged = RowScores.joined(stored, self.model.score(batch, features, len(stored)))
        flags = self.decision.flags(judged)
        self._note(batch, judged, flags)
        explained = None
        texts: dict[int, str] = {}
        if features is not None:
            texts |= features.problems
            for row, problem in features.problems.items():
                self.unusable.add(self.model.source.locate(*batch.position(row)).file, problem)
            if self.explainer is not None:
                explained = self.explainer.explain(batch, features, flags)
                texts |= explained.texts
        self._advance(batch)
        return Scored(batch, judged, flags, len(stored), texts, explained)

    def _note(self, batch: CellBatch, judged: RowScores, flags: Flags) -> None:
        """Count rows, and keep what is wanted of them in the end."""
        self.n_rows += batch.n_rows
        self.n_scored += batch.n_rows - int(np.isnan(judged.scores).sum())
        self.n_flagged += int(flags.sum())
        self.family.add(judged.p_values[~np.isnan(judged.p_values)])
        self.top.add(batch, judged)
        if self.label is not None:
            self._labels.append(batch.cells[self.label.name])
            self._scores.append(judged.scores)

    def _write(self, scored: Scored) -> None:
        if scored.explained is not None and self.explainer is not None:
            self.explainer.write(scored.explained, self._stopped)
            if self._stopped.is_set():
                return
        if self.kept is not None and scored.n_stored < len(scored.judged):
            self.kept.append(scored.judged.take(slice(scored.n_stored, None)))
        columns = self.layout.columns(scored.batch.cells, scored.judged, scored.flags, scored.texts)
        file, _ = scored.batch.position(0)
        self.sink.write(file, pa.RecordBatch.from_arrays(columns, schema=self._schema))
