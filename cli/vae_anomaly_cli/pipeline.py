"""The one pipeline of scores, for rows and images in any number: read, score and write batch by batch, all at once."""

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.batches import FLAG, P_VALUE, SCORE, RowScores
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.flagging import Decision
from vae_anomaly_cli.labels import LabelColumn
from vae_anomaly_cli.models import CellBatch, Features, Model, likelihood_scores
from vae_anomaly_cli.output.journal import KeptRows
from vae_anomaly_cli.output.sinks import Sink
from vae_anomaly_cli.progress import progress_bar
from vae_anomaly_cli.render.reasons import Reasons
from vae_anomaly_cli.stages import run_stages
from vae_anomaly_cli.tally import Tally
from vae_anomaly_cli.top_k import Ranked
from vae_anomaly_cli.types import InferredType, without_missing

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Places:
    """Where rows are.

    Attributes
    ----------
    rows : ndarray of int, shape (rows,)
        Which rows, from 0: of their file, or of images.
    files : ndarray of int, shape (rows,)
        In which file of the input.
    """

    rows: npt.NDArray[np.int64]
    files: npt.NDArray[np.int64]


@dataclass(frozen=True)
class OwnColumns:
    """Columns of the result besides scores and flags; None where there is none.

    Attributes
    ----------
    row : str or None
        Number of the row in its file, or of the image, from 1: the first column.
    file : str or None
        The file of the row, where there are several: the second.
    problem : str or None
        Why a row could not be scored.
    likelihood : str or None
        The score without what a model has learned from answers: beside the score.
    reasons : str or None
        Why a row is anomalous: the last.
    judged_by : str or None
        Whether the model of the row's group judged it, or the pooled one: after the flag.
    files : tuple of str
        Names of the files; none of images, which are files themselves.
    """

    row: str | None = None
    file: str | None = None
    problem: str | None = None
    reasons: str | None = None
    files: tuple[str, ...] = ()
    likelihood: str | None = None
    judged_by: str | None = None


@dataclass(frozen=True)
class Texts:
    """Texts for rows of a batch, by row from 0."""

    problems: Mapping[int, str] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)


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
    own : OwnColumns
        What else it has.
    """

    source: pa.Schema
    kept: list[str]
    types: Mapping[str, InferredType]
    own: OwnColumns = field(default_factory=OwnColumns)

    @property
    def schema(self) -> pa.Schema:
        """Names and types."""
        own = self.own
        fields = [pa.field(own.row, pa.int64())] if own.row is not None else []
        fields += [pa.field(own.file, pa.string())] if own.file is not None else []
        fields += [
            pa.field(name, self.types[name].type) if name in self.types else self.source.field(name)
            for name in self.kept
        ]
        numbers = [name for name in (SCORE, own.likelihood, P_VALUE) if name is not None]
        fields += [*(pa.field(name, pa.float64()) for name in numbers), pa.field(FLAG, pa.bool_())]
        fields += [
            pa.field(name, pa.string()) for name in (own.judged_by, own.problem, own.reasons) if name is not None
        ]
        return pa.schema(fields)

    def columns(
        self, cells: pa.RecordBatch | pa.Table, places: Places, judged: RowScores, flags: Flags, texts: Texts
    ) -> list[pa.Array]:
        """Rows of the input, with what was found out about them.

        Parameters
        ----------
        cells : RecordBatch or Table
            The rows.
        places : Places
            Where they are.
        judged : RowScores
            Their scores and p-values; those that are NaN become missing values.
        flags : ndarray of bool, shape (rows,)
            Which are flagged; missing where there is no score.
        texts : Texts
            Problems and reasons.
        """
        own, n_rows = self.own, len(judged)
        columns = [] if own.row is None else [pa.array(places.rows + 1)]
        if own.file is not None:
            columns.append(pa.array(own.files).take(pa.array(places.files)))
        columns += [
            self.types[name].cast(without_missing(cells[name])) if name in self.types else cells[name]
            for name in self.kept
        ]
        without_score = np.isnan(judged.scores)
        columns.append(pa.array(judged.scores, mask=without_score))
        if own.likelihood is not None:
            columns.append(pa.array(judged.likelihoods, mask=without_score))
        columns += [
            pa.array(judged.p_values, mask=np.isnan(judged.p_values)),
            pa.array(flags, mask=without_score),
        ]
        if own.judged_by is not None:
            columns.append(pa.array(judged.judged_by, pa.string(), mask=without_score))
        if own.problem is not None:
            columns.append(_text_column(texts.problems, n_rows))
        if own.reasons is not None:
            columns.append(_text_column(texts.reasons, n_rows))
        return columns

    def table(self, ranked: Ranked, flags: Flags, reasons: Mapping[int, str]) -> pa.Table:
        """Return the most anomalous rows as a table."""
        places = Places(ranked.rows_in_file if self.own.files else ranked.rows, ranked.files)
        columns = self.columns(ranked.cells, places, ranked.judged, flags, Texts(reasons=reasons))
        return pa.table(columns, schema=self.schema)


def _text_column(texts: Mapping[int, str], n_rows: int) -> pa.Array:
    return pa.array([texts.get(row) for row in range(n_rows)], pa.string()) if texts else pa.nulls(n_rows, pa.string())


class KeepsRows(Protocol):
    """Keeps what is wanted of scored rows."""

    def add(self, batch: CellBatch, judged: RowScores) -> None:
        """Take a batch."""


class Explained(Protocol):
    """What was found out about the rows of a batch besides their scores."""

    @property
    def texts(self) -> Mapping[int, str]:
        """Reasons, by row from 0."""


class Explainer(Protocol):
    """Explains rows while they are scored, and when they are ranked.

    Attributes
    ----------
    n_rows : int
        Rows whose cells were explained so far.
    """

    @property
    def n_rows(self) -> int: ...

    def note(self, n_rows: int) -> None:
        """Count rows that were explained elsewhere."""

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
    texts: Texts
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
    also : sequence of KeepsRows
        Keep other rows, or something of all.
    sampled : sequence of str
        Columns of which to keep some rows, drawn at random; none by default.

    Attributes
    ----------
    tally : Tally
        What is known of the rows so far.
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
        also: Sequence[KeepsRows] = (),
        sampled: Sequence[str] = (),
    ) -> None:
        self.model, self.names, self.layout, self.sink = model, names, layout, sink
        self.messages, self.decision, self.kept = messages, decision, kept
        self.explainer, self._also = explainer, also
        self.tally = Tally(model.noun, n_top=n_top, sampled=sampled, label=None if label is None else label.name)
        self._schema = layout.schema
        self._stopped = threading.Event()
        self._advance: Callable[[CellBatch], None] = lambda _batch: None

    def run(self, *, separate_writer: bool = True) -> None:
        """Score all rows; `separate_writer` says whether a thread of its own writes them."""
        with (
            self.messages.library_warnings(),
            progress_bar(self.model.source.size, "scoring", self.model.noun, self.messages) as self._advance,
        ):
            run_stages(self._read(), self._score, self._write, separate_writer=separate_writer, stopped=self._stopped)

    def _read(self) -> Generator[Read, None, None]:
        n_known = 0 if self.kept is None else self.kept.n_rows
        for batch in self.model.batches(self.names):
            known = batch.first + batch.n_rows <= n_known
            needed = not known or self.layout.own.likelihood is not None
            needed = needed or (self.explainer is not None and self.explainer.needs(batch))
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
        if self.layout.own.likelihood is not None and judged.likelihoods is None:
            # Not kept beside the scores of an interrupted run.
            assert features is not None
            judged = replace(judged, likelihoods=likelihood_scores(self.model, features, batch.n_rows))
        flags = self.decision.flags(judged)
        self.tally.add(batch, judged, flags)
        for keeper in self._also:
            keeper.add(batch, judged)
        explained = None
        problems: Mapping[int, str] = {}
        if features is not None:
            problems = features.problems
            self.tally.note_problems(self.model, batch, problems)
            if self.explainer is not None:
                explained = self.explainer.explain(batch, features, flags)
        texts = Texts(problems, {} if explained is None else explained.texts)
        self._advance(batch)
        return Scored(batch, judged, flags, len(stored), texts, explained)

    def _write(self, scored: Scored) -> None:
        if scored.explained is not None and self.explainer is not None:
            self.explainer.write(scored.explained, self._stopped)
            if self._stopped.is_set():
                return
        if self.kept is not None and scored.n_stored < len(scored.judged):
            self.kept.append(scored.judged.take(slice(scored.n_stored, None)))
        batch = scored.batch
        file, first = batch.position(0)
        if not self.layout.own.files:
            first = batch.first
        places = Places(np.arange(first, first + batch.n_rows), np.full(batch.n_rows, file))
        columns = self.layout.columns(batch.cells, places, scored.judged, scored.flags, scored.texts)
        written = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        self.sink.write(file, written)
        self.tally.n_written += written.num_rows
