"""`vae-anomaly explain`: why rows are anomalous, cell by cell."""

from typing import Annotated

import typer

from vae_anomaly_cli import options
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.kinds import refuse_images


def explain(
    data: options.Data,
    model: options.Model = None,
    numbers: Annotated[
        list[int] | None,
        typer.Option(
            "--row", min=1, metavar="N", help="Explain this row, counted from 1. Repeat for more.", show_default=False
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="Explain so many of the most anomalous rows. Default 5.", show_default=False),
    ] = None,
    n_cells: Annotated[int, typer.Option("--cells", min=1, help="TopK cells a row.")] = 5,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where a table with a line for each cell goes, in the format of its extension; '-' is standard "
            "output.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    repair: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Where all rows of DATA go, with the cells replaced that look wrong in the explained ones.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.", rich_help_panel=options.OUTPUT)
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
    """Say why rows of DATA are anomalous."""
    fit_options = options.FitOptions(
        contamination, seed, n_estimators, max_samples, max_iter, latent_dim, columns, model_missing, sample_rows
    )
    options.refuse_empty({"--model": model, "--output": output, "--repair": repair}, data)
    fit_options.check(model)
    refuse_images(data, "explain")
    if numbers and top is not None:
        raise InputError("--row and --top both choose the rows to explain; give one of them.")
    if as_json and output == "-":
        raise InputError("--json and --output - both write to standard output; choose one.")
    if repair is not None and (repair == "-" or repair == output):
        raise InputError(f"--repair {repair}: expected the name of a file of its own.")
    from vae_anomaly_cli.explain import Wanted, explain_rows

    given = options.InputOptions(data, input_format, delimiter, ids, label, anomalous, drop)
    wanted = Wanted(numbers or [], top, n_cells, output, repair, as_json)
    explain_rows(given, fit_options, wanted, model, device, Messages(quiet))
