"""`vae-anomaly score`: how strange is each row."""

import sys
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import typer

from vae_anomaly_cli import options
from vae_anomaly_cli.console import Messages, data_stream
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.features import FLAG, SCORE, Roles, assign_roles, scoring_frame, training_frame
from vae_anomaly_cli.jsonl import dumps
from vae_anomaly_cli.labels import label_line, read_labels
from vae_anomaly_cli.models import (
    check_model_path,
    counted,
    fit_detector,
    fit_line,
    load_detector,
    summary_of,
    unusable,
)
from vae_anomaly_cli.ranking import ranked_objects, show_ranking, strangest_first
from vae_anomaly_cli.sources import open_source
from vae_anomaly_cli.tables import Table, choose_target, read_table, save_table, write_table

SHOWN_ROWS = 10


def score(
    data: options.Data,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="FILE", help="Saved model; without one, fit on DATA itself."),
    ] = None,
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
    drop: options.Drop = None,
    input_format: options.InputFormat = None,
    delimiter: options.Delimiter = None,
    contamination: options.Contamination = None,
    seed: options.Seed = None,
    n_estimators: options.Members = None,
    max_samples: options.MaxSamples = None,
    max_iter: options.MaxIter = None,
    latent_dim: options.LatentDim = None,
    device: options.DeviceName = options.Device.AUTO,
    quiet: options.Quiet = False,
) -> None:
    """Score every row of DATA."""
    fit_options = options.FitOptions(contamination, seed, n_estimators, max_samples, max_iter, latent_dim)
    fit_options.parameters()
    if model is not None:
        fit_options.refuse_with_model()
        check_model_path(model)
    if as_json and output == "-":
        raise InputError("--json and --output - both write to standard output; choose one.")
    table = read_table(open_source(data), input_format, options.separator(delimiter))
    target = choose_target(output, table)
    roles = assign_roles(table, ids, label, drop)
    labels = None if roles.label is None else read_labels(table, roles.label)

    messages = Messages(quiet)
    result, done = _score(table, roles, model, fit_options, device, messages)
    ranked = strangest_first(result.scores, top)
    rows = None if top is None else ranked
    if target.path is not None:
        save_table(scored_table(table, roles, result, rows, typed=target.typed), target, target.path)
        done += f"; written to {target.path}"
    messages.note(done)
    summary = result.summary | {"output": None if target.path is None else str(target.path)}
    if labels is not None:
        summary["label"] = labels.measure(result.scores)
        messages.answer(label_line(summary["label"], table.n_rows))
    if as_json:
        shown = strangest_first(result.scores, top or SHOWN_ROWS)
        summary["ranked"] = ranked_objects(scored_table(table, roles, result, shown, typed=True), shown)
        with data_stream() as stream:
            stream.write(f"{dumps(summary, indent=2)}\n".encode())
    elif target.path is None and output is None and sys.stdout.isatty():
        shown = strangest_first(result.scores, top or SHOWN_ROWS)
        show_ranking(scored_table(table, roles, result, shown, typed=False), shown, roles.ids)
    elif target.path is None:
        with data_stream() as stream:
            write_table(scored_table(table, roles, result, rows, typed=target.typed), target, stream)


@dataclass(frozen=True)
class Result:
    """What a detector says of the rows of a table.

    Attributes
    ----------
    scores : ndarray of shape (rows,)
        Negative ELBO, nats.
    flags : ndarray of bool, shape (rows,)
        Whether each score is above the threshold.
    summary : dict
        What --json tells about the detector and the rows.
    """

    scores: npt.NDArray[np.float64]
    flags: npt.NDArray[np.bool_]
    summary: dict[str, Any]


def _score(
    table: Table,
    roles: Roles,
    model: str | None,
    fit_options: options.FitOptions,
    device: options.Device,
    messages: Messages,
) -> tuple[Result, str]:
    """Fit or load, score, and say in a line what was done."""
    from vae_anomaly import DataError

    try:
        if model is None:
            frame = training_frame(table, roles, messages)
            detector, seconds = fit_detector(table, frame, fit_options, device, messages)
            done = fit_line(table, detector.columns_, seconds)
        else:
            with messages.library_warnings():
                detector, seconds = load_detector(model, device), None
            frame = scoring_frame(table, roles, detector.columns_, messages)
            done = f"scored {table.source.name} with {model}: {counted(table.n_rows, 'row')}"
        with messages.library_warnings():
            scores = detector.anomaly_score(frame)
    except DataError as error:
        raise unusable(table, error) from error
    flags = -scores < detector.offset_
    n_anomalies = int(flags.sum())
    summary = summary_of(table, detector, seconds) | {"model": model, "n_anomalies": n_anomalies}
    done += f"; threshold {-detector.offset_:.2f} nats, {counted(n_anomalies, 'row')} flagged"
    return Result(scores, flags, summary), done


def scored_table(
    table: Table, roles: Roles, result: Result, rows: npt.NDArray[np.intp] | None, *, typed: bool
) -> pa.Table:
    """Return the ids, or all columns of the input, with score and flag appended.

    Parameters
    ----------
    table, roles, result : Table, Roles, Result
        What was scored.
    rows : ndarray of int or None
        Rows to take, in order; None takes all.
    typed : bool
        Whether cells get their types, or stay text where the file has text.
    """
    names = roles.ids or [name for name in table.names if name not in (SCORE, FLAG)]
    columns = {name: table.values(name) if typed else table.cells[name] for name in names}
    scored = pa.table(columns | {SCORE: pa.array(result.scores), FLAG: pa.array(result.flags)})
    return scored if rows is None else scored.take(rows)
