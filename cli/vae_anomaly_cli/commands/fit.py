"""`vae-anomaly fit`: learn a table or a folder of images once, score with it later."""

from typing import Annotated

import typer

from vae_anomaly_cli import options
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.kinds import refuse_with_images, refuse_with_tables
from vae_anomaly_cli.sources import holds_images


def fit(
    data: options.DataOrImages,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where the model goes, like orders.vae.", show_default=False
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output: the summary.")] = False,
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
    passes: Annotated[
        int,
        typer.Option(
            min=1,
            help="Go through DATA so often; after the first time the fit continues on another sample.",
            rich_help_panel=options.FITTING,
        ),
    ] = 1,
    device: options.DeviceName = options.Device.AUTO,
    quiet: options.Quiet = False,
) -> None:
    """Fit on the rows or images of DATA and save the model."""
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
    options.refuse_empty({"--output": output}, data)
    fit_options.check(None)
    given = options.InputOptions(data, input_format, delimiter, ids, label, anomalous, drop)
    if holds_images(data):
        refuse_with_images([*given.of_tables, *fit_options.of_tables, *["--passes"] * (passes > 1)])
        from vae_anomaly_cli.images.fit import fit_images

        fit_images(data, fit_options, output, device, Messages(quiet), as_json=as_json)
        return
    refuse_with_tables({"--size": size, "--look": look}, data)
    from vae_anomaly_cli.fit import fit_model

    fit_model(given, fit_options, output, passes, device, Messages(quiet), as_json=as_json)
