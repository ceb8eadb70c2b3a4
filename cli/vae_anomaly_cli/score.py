"""`vae-anomaly score`: how strange is each row."""

import sys
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import typer

from vae_anomaly_cli import options
from vae_anomaly_cli.console import Messages, data_stream
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.features import FLAG, REASONS, SCORE, Roles, assign_roles, earlier_columns
from vae_anomaly_cli.jsonl import dumps
from vae_anomaly_cli.labels import label_line, labels_of
from vae_anomaly_cli.models import counted
from vae_anomaly_cli.ranking import ranked_objects, show_ranking
from vae_anomaly_cli.reasons import Reasons
from vae_anomaly_cli.scoring import Result, check_options, score_table, strangest_first
from vae_anomaly_cli.sources import open_source
from vae_anomaly_cli.tables import Table, choose_target, read_table, save_table, write_table

SHOWN_ROWS = 10
MANY_ROWS = 1000


def score(
    data: options.Data,
    model: options.Model = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the table goes, in the format of its extension; '-' is standard output.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Only the strangest rows, the strangest first, wherever they go. Default: all rows in their "
            "order, and 10 on a terminal and with --json.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Say why: the strangest cells of the rows that are shown; in a table, those of the flagged or --top "
            "rows.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="One JSON object on standard output: summary and strangest rows.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    ids: options.Ids = None,
    label: options.Label = None,
    anomalous: options.Anomalous = None,
    drop: options.Drop = None,
    input_format: options.InputFormat = None,
    delimiter: options.Delimiter = None,
    contamination: options.Contamination = None,
    seed: options.Seed = None,
    n_estimators: options.Members = None,
    max_samples: options.MaxSamples = None,
    max_iter: options.MaxIter = None,
    latent_dim: options.LatentDim = None,
    columns: options.Columns = None,
    model_missing: options.ModelMissing = False,
    device: options.DeviceName = options.Device.AUTO,
    quiet: options.Quiet = False,
) -> None:
    """Score every row of DATA."""
    fit_options = options.FitOptions(
        contamination, seed, n_estimators, max_samples, max_iter, latent_dim, columns, model_missing
    )
    check_options(fit_options, model)
    if as_json and output == "-":
        raise InputError("--json and --output - both write to standard output; choose one.")
    table = read_table(open_source(data), input_format, options.separator(delimiter))
    target = choose_target(output, table)
    roles = assign_roles(table, ids, label, drop)
    if explain and REASONS in _kept(table, roles):
        raise InputError(
            f"--explain: {table.source.name} has a column '{REASONS}' of its own, and the output gets one. Rename it, "
            "or name the columns to keep with --id."
        )
    labels = labels_of(table, roles, anomalous)

    messages = Messages(quiet)
    result, done = score_table(table, roles, model, fit_options, device, messages)
    rows = None if top is None else strangest_first(result.scores, top)
    drawn = output is None and not as_json and sys.stdout.isatty()
    shown = strangest_first(result.scores, (top or SHOWN_ROWS) if drawn or as_json else 0)
    written = target.path is not None or not (drawn or as_json)
    reasons, sentences = None, None
    if explain:
        in_table = (np.flatnonzero(result.flags) if rows is None else rows) if written else shown
        explained = np.union1d(in_table, shown)
        # Where no row is flagged there may be nothing to explain.
        reasons = _explain(table, result, explained, messages) if len(explained) else None
        sentences = {} if reasons is None else {int(row): reasons.sentences[row] for row in in_table}
        done += f", {counted(len(explained), 'row')} explained"
    if target.path is not None:
        save_table(scored_table(table, roles, result, rows, sentences, typed=target.typed), target, target.path)
        done += f"; written to {target.path}"
    messages.note(done)
    summary = result.summary | {"output": None if target.path is None else str(target.path)}
    if labels is not None:
        summary["label"] = labels.measure(result.scores)
        messages.answer(label_line(summary["label"], table.n_rows))
    if as_json:
        summary["ranked"] = ranked_objects(scored_table(table, roles, result, shown, typed=True), shown, reasons)
        with data_stream() as stream:
            stream.write(f"{dumps(summary, indent=2)}\n".encode())
    elif drawn:
        show_ranking(scored_table(table, roles, result, shown, typed=False), shown, roles.ids, reasons)
    elif target.path is None:
        with data_stream() as stream:
            write_table(scored_table(table, roles, result, rows, sentences, typed=target.typed), target, stream)


def _explain(table: Table, result: Result, rows: npt.NDArray[np.intp], messages: Messages) -> Reasons:
    """Explain rows, and say so beforehand where that takes long."""
    if len(rows) > MANY_ROWS:
        messages.note(
            f"explaining {counted(len(rows), 'row')} of {table.source.name}, with a pass for each of "
            f"{counted(result.frame.shape[1], 'column')}; --top explains fewer"
        )
    return result.explain(rows, messages)


def _kept(table: Table, roles: Roles) -> list[str]:
    """Columns of the input that go to the output."""
    return list(roles.ids) or [name for name in table.names if name not in earlier_columns(table)]


def scored_table(
    table: Table,
    roles: Roles,
    result: Result,
    rows: npt.NDArray[np.intp] | None,
    sentences: Mapping[int, str] | None = None,
    *,
    typed: bool,
) -> pa.Table:
    """Return the ids, or all columns of the input, with score and flag appended.

    Parameters
    ----------
    table, roles, result : Table, Roles, Result
        What was scored.
    rows : ndarray of int or None
        Rows to take, in order; None takes all.
    sentences : mapping of int to str, optional
        Reasons by row, for a further column that is empty for the other rows.
    typed : bool
        Whether cells get their types, or stay text where the file has text.
    """
    columns = {name: table.values(name) if typed else table.cells[name] for name in _kept(table, roles)}
    columns |= {SCORE: pa.array(result.scores), FLAG: pa.array(result.flags)}
    if sentences is not None:
        columns[REASONS] = pa.array([sentences.get(row) for row in range(table.n_rows)], pa.string())
    scored = pa.table(columns)
    return scored if rows is None else scored.take(rows)
