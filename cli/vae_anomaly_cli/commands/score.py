"""`vae-anomaly score`: how strange is each row."""

from typing import Annotated

import typer

from vae_anomaly_cli import options
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError


def score(
    data: options.Data,
    model: options.Model = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the table goes, in the format of its extension; '-' is standard output. A directory (or a name "
            "that ends in '/') gets a file for each file of DATA.",
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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with an interrupted run of the same command, which had --model and --output FILE: rows that "
            "were scored are not scored again.",
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
    sample_rows: options.SampleRows = None,
    device: options.DeviceName = options.Device.AUTO,
    quiet: options.Quiet = False,
) -> None:
    """Score every row of DATA."""
    fit_options = options.FitOptions(
        contamination, seed, n_estimators, max_samples, max_iter, latent_dim, columns, model_missing, sample_rows
    )
    fit_options.check(model)
    if as_json and output == "-":
        raise InputError("--json and --output - both write to standard output; choose one.")
    from vae_anomaly_cli.score import Wanted, score_input

    given = options.InputOptions(data, input_format, delimiter, ids, label, anomalous, drop)
    score_input(given, fit_options, Wanted(output, top, explain, as_json, resume), model, device, Messages(quiet))
