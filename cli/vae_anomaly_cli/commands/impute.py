"""`vae-anomaly impute`: a table with its missing values filled."""

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vae_anomaly_cli.command import command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.options import (
    ROBUST,
    FitOptions,
    InputOptions,
    ModelOptions,
    OutputOptions,
    PartsOptions,
    RunOptions,
)
from vae_anomaly_cli.sources import Kind

if TYPE_CHECKING:
    from vae_anomaly_cli.imputation import Imputation
    from vae_anomaly_cli.stores import Place
    from vae_anomaly_cli.table_model import TableModel

MAX_SHOWN = 10

HELP = """Fill the missing values of DATA with what is expected of them.

\b
[bold]Examples[/bold]
  vae-anomaly impute orders.csv -o filled.csv           fitted on DATA itself
  vae-anomaly impute new.csv -m orders.vae -o filled.csv
  vae-anomaly impute 'parts/*.csv' -m orders.vae -o filled/
  vae-anomaly impute orders.csv --missing-values -999 -o filled.parquet
  vae-anomaly impute orders.csv -o filled.csv --json | jq .filled

All rows and columns of DATA are written, in their order; cells that are there stay as they are. A missing number \
gets its mean given the other cells of the row, as finely as the column has its numbers, and a missing level the most \
probable one. These are the most plausible values, with less spread than the true ones: to compute with them as if \
they had been observed makes intervals too narrow.

What cannot be filled stays missing, and is said: columns that are no features (--id, --label, --drop) or were set \
aside, dates whose place in time is not modelled (--column NAME=datetime+trend models it), levels that the model knows \
by their hashes alone, and rows without any value. Cells that the model cannot read are no missing ones, and stay.

Without --model the fit is that of vae-anomaly score, on DATA itself (--preset robust). Without -o the table goes to \
standard output. DATA is a table, and may be larger than memory; text becomes typed Parquet or JSON Lines in one more \
pass.

Exit codes: see vae-anomaly --help.
"""


@command(HELP, (Kind.TABLES,), without=("calibration", "calibration_groups", "anomalous", "normal", "contamination"))
def impute(
    given: InputOptions,
    saved: ModelOptions,
    fitting: FitOptions,
    output: OutputOptions,
    run: RunOptions,
    messages: Messages,
) -> None:
    """Fill the missing values of DATA with what is expected of them."""
    from vae_anomaly_cli.distributed.scoring import is_in_parts
    from vae_anomaly_cli.imputation import Imputation
    from vae_anomaly_cli.output.sinks import NoOutput, open_sink
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.output.targets import choose_target
    from vae_anomaly_cli.progress import progress_bar
    from vae_anomaly_cli.table_data import TableData

    data = TableData.open(given, messages, model=saved.model, labels="unused")
    target = choose_target(output.output, data.source, parts=data.parts, others={"--model": saved.model})
    if target.is_directory and target.path is not None:
        # Refuses a folder that holds a run in parts.
        is_in_parts(PartsOptions(), target, resume=False)
    if saved.model is None:
        model = data.fit(fitting.for_own_rows(ROBUST), run.device, messages)
    else:
        model = data.load(saved.model, run.device, messages)
    is_written = target.path is not None or not output.as_json
    types = data.infer_types(data.source.names, messages) if is_written and target.format.typed else {}
    imputation = Imputation(model, types)
    with contextlib.ExitStack() as closing:
        sink = open_sink(target, data.parts, imputation.schema, None, closing) if is_written else NoOutput()
        closing.callback(sink.discard)
        with progress_bar(data.source.size, "filling", data.noun, messages) as done, messages.library_warnings():
            imputation.run(sink, done, separate_writer=target.is_resumable)
        sink.finish()
    left = _left(imputation, model)
    _say(imputation, left, data.source.name, target.path, messages)
    if output.as_json:
        filled = imputation.filled_columns
        write_summary(
            {
                "input": data.source.name,
                "model": saved.model,
                "output": None if target.path is None else str(target.path),
                "rows": imputation.n_rows,
                "n_filled": sum(filled.values()),
                "filled": filled,
                "not_filled": {name: {"cells": cells, "why": why} for name, (cells, why) in left.items()},
                "rows_without_value": imputation.n_without_value,
                "unreadable_cells": imputation.n_unreadable,
            }
        )


def _say(
    imputation: "Imputation", left: Mapping[str, tuple[int, str]], source: str, path: "Place | None", messages: Messages
) -> None:
    """Say what was filled, and what could not be."""
    if left:
        n_left = sum(cells for cells, _ in left.values())
        which = _listed([f"{name} {cells:,} ({why})" for name, (cells, why) in left.items()])
        messages.warning(f"{counted(n_left, 'missing value')} could not be filled: {which}")
    if imputation.n_without_value:
        rows = counted(imputation.n_without_value, "row")
        stayed = "stayed as it is" if imputation.n_without_value == 1 else "stayed as they are"
        messages.warning(f"{rows} without a value in any column of the model {stayed}.")
    if imputation.n_unreadable:
        messages.warning(
            f"{counted(imputation.n_unreadable, 'cell')} could not be read as what the model has there, and stayed: "
            "vae-anomaly score says which rows have them."
        )
    filled = imputation.filled_columns
    which = f" ({_listed([f'{name} {count:,}' for name, count in filled.items()])})" if filled else ""
    written = "" if path is None else f"; written to {path}"
    messages.note(
        f"{counted(imputation.n_rows, 'row')} of {source}: {counted(sum(filled.values()), 'missing value')} filled"
        f"{which}{written}"
    )


def _listed(texts: list[str]) -> str:
    others = f" and {len(texts) - MAX_SHOWN:,} more columns" if len(texts) > MAX_SHOWN else ""
    return ", ".join(texts[:MAX_SHOWN]) + others


def _left(imputation: "Imputation", model: "TableModel") -> dict[str, tuple[int, str]]:
    """Count the cells of each column that are missing still, the most first, and say why."""
    by_input = {model.given.get(column.name, column.name): column for column in model.detector.columns_}
    found: dict[str, tuple[int, str]] = {}
    for name, cells in imputation.left.most_common():
        if not cells:
            continue
        column = by_input.get(name)
        if column is None:
            why = "no feature"
        elif not column.is_used:
            why = f"set aside: {column.reason}"
        elif column.likelihood is None:
            why = f"its place in time is not modelled: --column {name}=datetime+trend"
        else:
            why = "a level known by its hash alone, or no room in the type of the column"
        found[name] = cells, why
    return found
