"""`vae-anomaly compare`: VAEDetector beside simpler detectors, where anomalies are known."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from vae_anomaly_cli import options
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.kinds import refuse_images

if TYPE_CHECKING:
    from vae_anomaly.comparison import Setting


class Training(StrEnum):
    """Which rows detectors are fitted on."""

    CLEAN = "clean"
    ALL = "all"
    BOTH = "both"


SETTINGS: "dict[Training, tuple[Setting, ...]]" = {
    Training.CLEAN: ("clean",),
    Training.ALL: ("all",),
    Training.BOTH: ("clean", "all"),
}


def compare(
    data: options.Data,
    label: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Known anomalies: no feature, only for the measures. 0/1 and false/true (1 = anomaly), 1/-1 "
            "(-1 = anomaly), or two values of which --anomalous names one.",
            show_default=False,
            rich_help_panel=options.INPUT,
        ),
    ],
    anomalous: options.Anomalous = None,
    train: Annotated[
        Training,
        typer.Option(help="Fit on half of the normal rows, on all rows, or each in turn."),
    ] = Training.BOTH,
    n_splits: Annotated[int, typer.Option("--splits", min=1, help="Random splits, and seeds.")] = 3,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where a table with a row for each method, setting and split goes, in the format of its extension; "
            "'-' is standard output.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.", rich_help_panel=options.OUTPUT)
    ] = False,
    ids: options.Ids = None,
    drop: options.Drop = None,
    input_format: options.InputFormat = None,
    delimiter: options.Delimiter = None,
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
    """Lay VAEDetector beside simpler detectors on rows of DATA whose anomalies are known."""
    fit_options = options.FitOptions(
        None, seed, n_estimators, max_samples, max_iter, latent_dim, columns, model_missing
    )
    options.refuse_empty({"--output": output}, data)
    fit_options.check(None)
    refuse_images(data, "compare")
    if as_json and output == "-":
        raise InputError("--json and --output - both write to standard output; choose one.")
    from vae_anomaly_cli.compare import compare_rows

    given = options.InputOptions(data, input_format, delimiter, ids, label, anomalous, drop)
    compare_rows(given, fit_options, SETTINGS[train], n_splits, output, device, Messages(quiet), as_json=as_json)
