"""Fitting on an input of any size, from options to exit."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from vae_anomaly_cli.console import Messages, data_stream
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.features import scoring_frame
from vae_anomaly_cli.labels import label_line, labels_of
from vae_anomaly_cli.models import end_if_interrupted, fit_line, refusals, save_model, summary_of
from vae_anomaly_cli.options import Device, FitOptions, InputOptions
from vae_anomaly_cli.outputs import check_writable
from vae_anomaly_cli.roles import assign_roles
from vae_anomaly_cli.scoring import Learned, draw, learn
from vae_anomaly_cli.sources import dumps, format_of_name, open_table
from vae_anomaly_cli.tables import Table

if TYPE_CHECKING:
    import pandas as pd


def fit_model(
    given: InputOptions,
    fit_options: FitOptions,
    output: str,
    passes: int,
    device: Device,
    messages: Messages,
    *,
    as_json: bool,
) -> None:
    """Fit, save the model, and say what was done."""
    path = Path(output)
    if format_of_name(path)[0] is not None:
        raise InputError(f"--output {output} is named like a table; expected a name for a model, like orders.vae.")
    table = open_table(given.data, given.input_format, given.separator(), messages.warning)
    if table.holds(path):
        raise InputError(f"--output {output} is the input file itself; name another file.")
    check_writable(path)
    roles = assign_roles(table, given)
    learned = learn(table, roles, given.anomalous, fit_options, device, messages, in_passes=passes > 1)
    detector, sampled = learned.detector, learned.table
    assert sampled is not None
    start = time.perf_counter()
    done = 1
    # Ctrl-C ends the fit with what was learned, and not the pass alone.
    with messages.library_warnings():
        while done < passes and not detector.fit_report_.interrupted:
            sampled = draw(table, roles, learned.names, fit_options, messages, done)
            with refusals(sampled.name, sampled.locate):
                detector.partial_fit(_frame(sampled, learned))
            done += 1
    seconds = (learned.seconds or 0.0) + time.perf_counter() - start
    save_model(detector, path)
    further = f", in {done} passes" if done > 1 else ""
    said = fit_line(sampled, detector.columns_, seconds)
    messages.note(f"{said}{further}; threshold {-detector.offset_:.2f} nats; written to {path}")
    summary = summary_of(table.name, sampled.n_input_rows, detector, seconds)
    summary |= {"fitted_rows": sampled.n_rows, "passes": done, "model": str(path)}
    labels = labels_of(sampled, roles.label, given.anomalous)
    if labels is not None:
        summary["label"] = labels.measure(detector.anomaly_score(_frame(sampled, learned)))
        messages.answer(label_line(summary["label"], sampled.n_rows))
    if as_json:
        with data_stream() as stream:
            stream.write(f"{dumps(summary, indent=2)}\n".encode())
    end_if_interrupted(detector, path)


def _frame(sampled: Table, learned: Learned) -> "pd.DataFrame":
    return scoring_frame(sampled.cells, learned.detector.columns_, sampled.source.cell_reader)
