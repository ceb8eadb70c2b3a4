"""Comparing detectors, from options to exit."""

import io
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly_cli.console import Messages, counted, data_stream
from vae_anomaly_cli.declarations import read_declarations
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.features import training_frame
from vae_anomaly_cli.labels import Labels, read_labels
from vae_anomaly_cli.models import new_detector, refusals
from vae_anomaly_cli.options import Device, FitOptions, InputOptions
from vae_anomaly_cli.outputs import choose_target, save_table, write_table
from vae_anomaly_cli.roles import assign_roles, training_columns
from vae_anomaly_cli.sources import dumps, open_table
from vae_anomaly_cli.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly import Comparison
    from vae_anomaly.comparison import Setting

OURS = "VAEDetector"
WIDE, NARROW = 200, 93
MIN_ANOMALIES, MIN_NORMAL = 2, 4
CAPTION = "Mean ± standard deviation over splits, seconds means; the [95 % intervals] hold together. More with -o FILE."


def compare_rows(
    given: InputOptions,
    fit_options: FitOptions,
    settings: "Sequence[Setting]",
    n_splits: int,
    output: str | None,
    device: Device,
    messages: Messages,
    *,
    as_json: bool,
) -> None:
    """Fit all detectors in all settings, and write or show their measures."""
    source = open_table(given.data, given.input_format, given.separator(), messages.warning)
    target = choose_target(output, source)
    roles = assign_roles(source, given)
    assert roles.label is not None
    table = read_table(source)
    labels = read_labels(table.values(roles.label), roles.label, given.anomalous)
    rows = np.flatnonzero(labels.known)
    _check_counts(labels)
    declared = read_declarations(source, roles, fit_options.column or [])

    names = training_columns(source, roles, messages)
    frame = training_frame(table, names, declared).iloc[rows]
    from vae_anomaly import compare as compare_detectors
    from vae_anomaly import simple_detectors

    start = time.perf_counter()
    with refusals(table.name, lambda row: table.locate(int(rows[row]))), messages.library_warnings():
        comparison = compare_detectors(
            frame,
            labels.is_anomaly[rows],
            detectors={OURS: new_detector(fit_options, declared, device), **simple_detectors(declared)},
            settings=settings,
            n_splits=n_splits,
            random_state=fit_options.seed or 0,
            verbose=messages.progress,
        )
    skipped = (
        f"; {counted(table.n_rows - len(rows), 'row')} without a label left out" if len(rows) < table.n_rows else ""
    )
    done = (
        f"compared on {table.name}: {counted(len(rows), 'row')}, {counted(frame.shape[1], 'column')}, "
        f"{counted(len(comparison.measures), 'fit')}, {time.perf_counter() - start:.1f} s{skipped}"
    )
    measured = pa.Table.from_pandas(comparison.measures, preserve_index=False)
    if target.path is not None:
        save_table(measured, target, target.path)
        done += f"; written to {target.path}"
    messages.note(done)
    if as_json:
        summary = {"input": table.name, "rows": table.n_rows, "label": _of(labels), "seed": fit_options.seed or 0}
        summary |= {"splits": n_splits, "output": None if target.path is None else str(target.path)}
        text = dumps(summary | {"settings": _objects(comparison)}, indent=2)
    elif output == "-":
        for setting in comparison.settings:
            messages.answer(f"{setting}: {comparison.verdict(setting)}")
        with data_stream() as stream:
            write_table(measured, target, stream)
        return
    elif sys.stdout.isatty():
        show_comparison(comparison, Console(highlight=False))
        return
    else:
        plain = Console(file=io.StringIO(), width=WIDE, highlight=False, soft_wrap=True, color_system=None)
        with plain.capture() as captured:
            show_comparison(comparison, plain)
        text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    with data_stream() as stream:
        stream.write(f"{text}\n".encode())


def _check_counts(labels: Labels) -> None:
    """Refuse labels that nothing can be measured with."""
    n_anomalies = int(labels.is_anomaly[labels.known].sum())
    n_normal = int(labels.known.sum()) - n_anomalies
    if labels.anomaly is None:
        raise InputError(
            f"--label {labels.name}: all {counted(int(labels.known.sum()), 'row')} have the same label; a comparison "
            "needs normal rows and anomalies. Choose another column, or label some anomalies."
        )
    if n_anomalies < MIN_ANOMALIES or n_normal < MIN_NORMAL:
        raise InputError(
            f"--label {labels.name}: {n_anomalies} of {counted(n_anomalies + n_normal, 'row')} with a label are "
            f"anomalies ({labels.anomaly}); a comparison needs at least {MIN_ANOMALIES} anomalies and "
            f"{MIN_NORMAL} normal rows. Label more of them."
        )


def _of(labels: Labels) -> dict[str, Any]:
    return {
        "column": labels.name,
        "anomaly_value": labels.anomaly,
        "n_anomalies": int(labels.is_anomaly[labels.known].sum()),
        "n_labelled": int(labels.known.sum()),
    }


def _objects(comparison: "Comparison") -> dict[str, Any]:
    """Describe each setting for programs: rows, verdict, and methods with the highest AUROC first."""
    described = {}
    for setting in comparison.settings:
        verdict = comparison.verdict(setting)
        counts = comparison.measures[comparison.measures["setting"] == setting].iloc[0]
        part = comparison.summary[comparison.summary["setting"] == setting].drop(columns="setting")
        described[setting] = {
            "n_fitted": int(counts["n_fitted"]),
            "n_scored": int(counts["n_scored"]),
            "verdict": {"outcome": verdict.outcome, "method": verdict.method, "text": verdict.text},
            "methods": part.to_dict("records"),
        }
    return described


def show_comparison(comparison: "Comparison", console: Console) -> None:
    """Draw a table and write a verdict for each setting."""
    for setting in comparison.settings:
        measures = comparison.measures[comparison.measures["setting"] == setting]
        console.print(Text(_heading(setting, measures), style="bold"))
        console.print(_drawn(comparison, setting, int(measures["n_anomalies"].iloc[0]), console))
        console.print(Text(f"{comparison.verdict(setting)}\n"))
    console.print(Text(CAPTION, style="dim"))


def _heading(setting: str, measures: "pd.DataFrame") -> str:
    n_fitted, n_scored, n_anomalies = (int(measures[name].iloc[0]) for name in ("n_fitted", "n_scored", "n_anomalies"))
    n_splits = int(measures["split"].nunique())
    if setting == "clean":
        return (
            f"clean: fitted on half of the normal rows ({n_fitted:,}), scored {n_scored:,} others with "
            f"{n_anomalies:,} anomalies; {counted(n_splits, 'split')}"
        )
    return (
        f"all: fitted on all {n_fitted:,} rows, {n_anomalies:,} anomalies among them, and scored the same; "
        f"{counted(n_splits, 'seed')}"
    )


def _drawn(comparison: "Comparison", setting: str, n_anomalies: int, console: Console) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    columns: dict[str, Callable[[dict[Hashable, Any]], str]] = {
        "\nAUROC": lambda row: _plus_minus(row, "auroc"),
        f"less that\nof {OURS}": _difference,
        "average\nprecision": lambda row: _plus_minus(row, "average_precision"),
        f"precision\nat {n_anomalies}": lambda row: _plus_minus(row, "precision_at_n"),
        "fit\n(s)": lambda row: f"{row['fit_seconds']:.2f}",
        "score\n(s)": lambda row: f"{row['score_seconds']:.2f}",
    }
    if console.width < NARROW:
        columns = dict(list(columns.items())[:3])
    drawn.add_column("\nmethod", no_wrap=True)
    for heading in columns:
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row in comparison.summary[comparison.summary["setting"] == setting].to_dict("records"):
        drawn.add_row(
            Text(str(row["method"])),
            *(Text(cell(row)) for cell in columns.values()),
            style={"better": "green", "worse": "dim", "first": "bold"}.get(row["standing"], ""),
        )
    return drawn


def _difference(row: dict[Hashable, Any]) -> str:
    if row["standing"] == "first":
        return ""
    return f"{row['difference']:+.3f} [{row['lower']:+.3f}, {row['upper']:+.3f}]"


def _plus_minus(row: dict[Hashable, Any], name: str) -> str:
    mean, deviation = row[name], row[f"{name}_sd"]
    return f"{mean:.3f}" if np.isnan(deviation) else f"{mean:.3f} ±{deviation:.3f}"
