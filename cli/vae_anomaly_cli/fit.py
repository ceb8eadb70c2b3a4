"""`vae-anomaly fit`: learn a table once, score with it later."""

from pathlib import Path
from typing import Annotated

import typer

from vae_anomaly_cli import options
from vae_anomaly_cli.console import Messages, data_stream
from vae_anomaly_cli.declarations import read_declarations
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.features import assign_roles, training_frame
from vae_anomaly_cli.jsonl import dumps
from vae_anomaly_cli.labels import label_line, labels_of
from vae_anomaly_cli.models import fit_detector, fit_line, summary_of
from vae_anomaly_cli.sources import format_of_name, open_source, same_file
from vae_anomaly_cli.tables import check_writable, read_table


def fit(
    data: options.Data,
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
    device: options.DeviceName = options.Device.AUTO,
    quiet: options.Quiet = False,
) -> None:
    """Fit on the rows of DATA and save the model."""
    fit_options = options.FitOptions(
        contamination, seed, n_estimators, max_samples, max_iter, latent_dim, columns, model_missing
    )
    fit_options.parameters()
    source = open_source(data)
    path = Path(output)
    if format_of_name(path)[0] is not None:
        raise InputError(f"--output {output} is named like a table; expected a name for a model, like orders.vae.")
    if same_file(source, path):
        raise InputError(f"--output {output} is the input file itself; name another file.")
    check_writable(path)
    table = read_table(source, input_format, options.separator(delimiter))
    roles = assign_roles(table, ids, label, drop)
    declared = read_declarations(table, roles, fit_options.column or [])
    labels = labels_of(table, roles, anomalous)

    messages = Messages(quiet)
    frame = training_frame(table, roles, declared, messages)
    detector, seconds = fit_detector(table, frame, fit_options, declared, device, messages)
    from vae_anomaly import save

    try:
        save(detector, path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error
    messages.note(
        f"{fit_line(table, detector.columns_, seconds)}; threshold {-detector.offset_:.2f} nats; written to {path}"
    )
    summary = summary_of(table, detector, seconds) | {"model": str(path)}
    if labels is not None:
        summary["label"] = labels.measure(detector.anomaly_score(frame))
        messages.answer(label_line(summary["label"], table.n_rows))
    if as_json:
        with data_stream() as stream:
            stream.write(f"{dumps(summary, indent=2)}\n".encode())
