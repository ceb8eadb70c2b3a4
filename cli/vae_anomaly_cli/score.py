"""Scoring an input and showing the result, from options to exit."""

import contextlib
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly_cli.console import Messages, counted, data_stream
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.journal import Journal, identity, kept_scores
from vae_anomaly_cli.labels import label_line
from vae_anomaly_cli.models import summary_of
from vae_anomaly_cli.options import Device, FitOptions, InputOptions
from vae_anomaly_cli.outputs import Target, choose_target, save_table, write_table
from vae_anomaly_cli.overlap import stopped_by_signals
from vae_anomaly_cli.progress import row_progress
from vae_anomaly_cli.ranking import ranked_objects, show_ranking
from vae_anomaly_cli.reasons import N_REASONS, Reasons
from vae_anomaly_cli.roles import REASONS, assign_roles, kept_columns
from vae_anomaly_cli.scoring import learn, recall
from vae_anomaly_cli.sinks import FileByFile, Nowhere, OneFile, Pipe, Sink
from vae_anomaly_cli.sources import TableSource, dumps, open_table
from vae_anomaly_cli.streaming import Layout, Stream
from vae_anomaly_cli.top_k import Ranked
from vae_anomaly_cli.types import InferredType

SHOWN_ROWS = 10


@dataclass(frozen=True)
class Wanted:
    """What the user wants of the scores.

    Attributes
    ----------
    output : str or None
        Where the table goes.
    top : int or None
        Only so many of the most anomalous rows; None wants all.
    explain, as_json : bool
        Whether reasons are wanted, and one JSON object.
    resume : bool
        Whether to go on with an interrupted run.
    """

    output: str | None
    top: int | None
    explain: bool
    as_json: bool
    resume: bool

    @property
    def drawn(self) -> bool:
        """Whether a terminal shows a ranking."""
        return self.output is None and not self.as_json and sys.stdout.isatty()

    @property
    def n_ranked(self) -> int:
        """How many of the most anomalous rows are wanted, wherever they go."""
        return self.top or (SHOWN_ROWS if self.drawn or self.as_json else 0)


def score_input(
    given: InputOptions,
    fit_options: FitOptions,
    wanted: Wanted,
    model: str | None,
    device: Device,
    messages: Messages,
) -> None:
    """Fit or load, score every row, and write or show what is wanted."""
    table = open_table(given.data, given.input_format, given.separator(), messages.warning)
    target = choose_target(wanted.output, table, parts=True)
    roles = assign_roles(table, given)
    kept = kept_columns(table, roles)
    _check(table, target, kept, wanted, model)
    if model is None:
        learned = learn(table, roles, given.anomalous, fit_options, device, messages)
    else:
        learned = recall(table, roles, model, device, messages)

    written = target.path is not None or not (wanted.drawn or wanted.as_json)
    streamed = written and wanted.top is None
    inferred: dict[str, InferredType] = {}
    if wanted.as_json or (written and target.typed):
        with row_progress(table, "reading", messages) as read:
            inferred = table.infer_types(kept, read)
    in_file = Layout(kept, inferred if target.typed else {}, written and wanted.explain)
    shown = Layout(kept, inferred, False) if wanted.as_json else Layout(kept, {}, False)
    label = [] if roles.label is None else [roles.label]
    names = [name for name in table.names if name in {*kept, *learned.names, *label}]
    with contextlib.ExitStack() as closing:
        closing.enter_context(stopped_by_signals())
        journal = None
        if _keeps_scores(table, target, model) and model is not None:
            journal = closing.enter_context(kept_scores(target, identity(model, table), resume=wanted.resume))
        sink = _sink(target, table, in_file.schema(table), journal, closing) if streamed else Nowhere()
        closing.callback(sink.discard)
        reasons = streamed and wanted.explain
        stream = Stream(
            table, names, learned.detector, Layout(kept, in_file.inferred, reasons), sink, journal, messages
        )
        stream.collect(wanted.n_ranked, roles.label)
        stream.run(aside=target.is_file or target.is_directory)
        measures = stream.measures(given.anomalous)
        ranking = _rank(stream, wanted, messages)
        sink.finish()
        if written and not streamed and ranking is not None:
            _write_ranking(ranking, in_file, table, target)

    detector = learned.detector
    done = learned.done if model is None else f"{learned.done}: {counted(stream.n_rows, 'row')}"
    done += f"; threshold {-detector.offset_:.2f} nats, {counted(stream.n_anomalies, 'row')} flagged"
    if wanted.explain:
        done += f", {counted(stream.n_explained, 'row')} explained"
    messages.note(done if target.path is None else f"{done}; written to {target.path}")
    summary = summary_of(table.name, stream.n_rows, detector, learned.seconds)
    summary |= {"model": model, "fitted_rows": None if learned.table is None else learned.table.n_rows}
    summary |= {"n_anomalies": stream.n_anomalies, "output": None if target.path is None else str(target.path)}
    if measures is not None:
        summary["label"] = measures
        messages.answer(label_line(measures, stream.n_rows))
    if ranking is None:
        return
    if wanted.as_json:
        summary["ranked"] = ranked_objects(ranking.scored(shown, table), ranking.places(table), ranking.reasons)
        with data_stream() as out:
            out.write(f"{dumps(summary, indent=2)}\n".encode())
    elif wanted.drawn:
        show_ranking(ranking.scored(shown, table), ranking.places(table), roles.ids, ranking.reasons)


def _check(table: TableSource, target: Target, kept: list[str], wanted: Wanted, model: str | None) -> None:
    """Refuse what cannot go together."""
    if wanted.top is not None and target.is_directory:
        raise InputError(f"--top ranks the rows of all files; expected the name of one file, not {wanted.output}.")
    if wanted.explain and REASONS in kept:
        raise InputError(
            f"--explain: {table.name} has a column '{REASONS}' of its own, and the output gets one. Rename it, "
            "or name the columns to keep with --id."
        )
    if wanted.resume and not _keeps_scores(table, target, model):
        raise InputError(
            "--resume goes on with a run that had --model, files as input, and --output FILE; without these nothing "
            "is kept. Leave it out."
        )


def _keeps_scores(table: TableSource, target: Target, model: str | None) -> bool:
    """Whether an interrupted run can be gone on with."""
    return model is not None and table.identity() is not None and (target.is_file or target.is_directory)


def _sink(
    target: Target, table: TableSource, schema: pa.Schema, journal: Journal | None, closing: contextlib.ExitStack
) -> Sink:
    if target.path is None:
        return Pipe(target, closing.enter_context(data_stream()), schema)
    if target.is_directory:
        return FileByFile(target, table, schema, journal)
    return OneFile(target, target.path, schema)


@dataclass(frozen=True)
class Ranking:
    """The most anomalous rows, and why they are anomalous if that was asked for; reasons go by rank, from 0."""

    ranked: Ranked
    flags: npt.NDArray[np.bool_]
    reasons: Reasons | None

    def scored(self, layout: Layout, table: TableSource) -> pa.Table:
        """Return the rows as a table, the most anomalous first."""
        sentences = {} if self.reasons is None else dict(self.reasons.sentences)
        columns = layout.columns(self.ranked.cells, self.ranked.scores, self.flags, sentences)
        return pa.table(columns, schema=layout.schema(table))

    def places(self, table: TableSource) -> list[tuple[str | None, int]]:
        """Say where each row stands: the file if there are several, and the row there, from 1."""
        names = [file.name if len(table.files) > 1 else None for file in table.files]
        return [(names[file], int(row) + 1) for file, row in zip(self.ranked.files, self.ranked.places, strict=True)]


def _rank(stream: Stream, wanted: Wanted, messages: Messages) -> Ranking | None:
    if stream.top is None:
        return None
    ranked = stream.top.ranked()
    flags = -ranked.scores < stream.detector.offset_
    reasons = None
    if wanted.explain:
        # Flagged rows of a streamed table have been explained there.
        stream.explained(len(ranked.scores) - int(flags.sum() if stream.layout.reasons else 0))
        with messages.library_warnings():
            explanation = stream.detector.explain(stream.features(ranked.cells))
        reasons = Reasons(np.arange(len(ranked.scores)), explanation, N_REASONS)
    return Ranking(ranked, flags, reasons)


def _write_ranking(ranking: Ranking, layout: Layout, table: TableSource, target: Target) -> None:
    cells = ranking.scored(layout, table)
    if target.path is not None:
        save_table(cells, target, target.path)
        return
    with data_stream() as out:
        write_table(cells, target, out)
