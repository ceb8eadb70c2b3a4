"""`vae-anomaly score`: how anomalous is each row, or each image."""

from typing import Annotated

import typer

from vae_anomaly_cli import options
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.kinds import refuse_with_images, refuse_with_tables
from vae_anomaly_cli.sources import holds_images


def score(
    data: options.DataOrImages,
    model: options.Model = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the table goes, in the format of its extension; '-' is standard output. A directory (or a name "
            "that ends in '/') gets a file for each table of DATA.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Only the most anomalous rows, the most anomalous first, wherever they go. Default: all rows in their "
            "order, and 10 on a terminal and with --json. Of images, also the heat maps, and the sheet (default 24).",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Say why: the most anomalous cells of the rows that are shown; in a table, those of the flagged or "
            "--top rows.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="One JSON object on standard output: summary and most anomalous rows.",
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
    heatmaps: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Of images: where a page for each goes that shows where it is anomalous.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.png",
            help="Of images: where the most anomalous go together, on one contact sheet.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    good: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Of images: sub-folder of DATA with normal ones, against which the others are only reported as "
            "AUROC; '.' is DATA itself. Repeat for more.",
            rich_help_panel=options.INPUT,
        ),
    ] = None,
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
    size: options.ImageSize = None,
    look: options.ImageLook = None,
    device: options.DeviceName = options.Device.AUTO,
    quiet: options.Quiet = False,
) -> None:
    """Score every row, or every image, of DATA."""
    fit_options = options.FitOptions(
        contamination,
        seed,
        n_estimators,
        max_samples,
        max_iter,
        latent_dim,
        columns,
        model_missing,
        sample_rows,
        size,
        look,
    )
    options.refuse_empty({"--model": model, "--output": output, "--heatmaps": heatmaps, "--sheet": sheet}, data)
    fit_options.check(model)
    if as_json and output == "-":
        raise InputError("--json and --output - both write to standard output; choose one.")
    given = options.InputOptions(data, input_format, delimiter, ids, label, anomalous, drop)
    if holds_images(data):
        of_tables = ["--explain"] * explain + ["--resume"] * resume
        refuse_with_images([*given.of_tables, *fit_options.of_tables, *of_tables])
        from vae_anomaly_cli.images.score import WantedOfImages, score_images

        of_images = WantedOfImages(output, top, as_json, heatmaps, sheet, tuple(good or ()))
        score_images(data, fit_options, of_images, model, device, Messages(quiet))
        return
    refuse_with_tables({"--size": size, "--look": look, "--heatmaps": heatmaps, "--sheet": sheet, "--good": good}, data)
    from vae_anomaly_cli.score import Wanted, score_input

    score_input(given, fit_options, Wanted(output, top, explain, as_json, resume), model, device, Messages(quiet))
