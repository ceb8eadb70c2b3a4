"""`vae-anomaly sample`: new rows, drawn from a model."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from vae_anomaly_cli.command import Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import OutputOptions, RunOptions, check_model_path

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from vae_anomaly.columns import Column

N_ROWS = 10
MAX_ROWS = 10_000_000
MAX_SHOWN = 10

HELP = """Draw new rows from MODEL.

\b
[bold]Examples[/bold]
  vae-anomaly sample orders.vae                     ten rows, as CSV
  vae-anomaly sample orders.vae -n 1000 -o new.csv
  vae-anomaly sample orders.vae -n 1000 --random-state 1 -o new.parquet
  vae-anomaly sample orders.vae -n 5000 | vae-anomaly score - -m orders.vae

Rows are like those that the model was fitted on, as far as it has learned them: to try out a pipeline, or to look at \
what it takes for normal. They are no anonymous copy of the data: a rare level in them is one of the training.

Columns have the names, the order and the types of the training. Those that were set aside, and dates whose place in \
time is not modelled, have no values and are left out; the command says which. The same --random-state gives the same \
rows, those of detector.sample(n, random_state=...), with numbers as fine as in the training.

MODEL is of a table. Without -o the rows go to standard output, as CSV; they are held in memory.

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class SampleOptions:
    """Which model, and how many rows."""

    model: Annotated[str, Option("Model file.", metavar="MODEL", is_argument=True, is_path=True)]
    rows: Annotated[
        int, Option("Draw so many rows.", common=True, flags=("--rows", "-n"), metavar="N", min=1, max=MAX_ROWS)
    ] = N_ROWS
    random_state: Annotated[
        int, Option("Seed: the same one draws the same rows.", common=True, min=0, max=2**31 - 1)
    ] = 0

    def __post_init__(self) -> None:
        """Refuse early what is no file."""
        check_model_path(self.model)


@command(HELP)
def sample(sampling: SampleOptions, output: OutputOptions, run: RunOptions, messages: Messages) -> None:
    """Draw new rows from MODEL."""
    from vae_anomaly import PatchDetector
    from vae_anomaly_cli.models import open_model
    from vae_anomaly_cli.output.partial_file import save_table, write_to_standard_output
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.output.targets import choose_target_alone

    target = choose_target_alone(output.output, others={"MODEL": sampling.model})
    with messages.library_warnings():
        detector = open_model(sampling.model, run.device)
    if isinstance(detector, PatchDetector) or detector.model_.takes_images:
        raise InputError(
            f"{sampling.model} is a model of images, and sample draws rows of tables. Name one of a table."
        )
    with messages.library_warnings():
        drawn = detector.sample(sampling.rows, random_state=sampling.random_state)
    table, absent = _typed(drawn, detector.columns_)
    if absent:
        shown = ", ".join(f"{name} ({why})" for name, why in list(absent.items())[:MAX_SHOWN])
        more = f" and {len(absent) - MAX_SHOWN:,} more" if len(absent) > MAX_SHOWN else ""
        messages.warning(f"{counted(len(absent), 'column')} left out, of which the model has no values: {shown}{more}")
    if target.path is not None:
        save_table(table, target, target.path)
    elif not output.as_json:
        write_to_standard_output(table, target)
    written = "" if target.path is None else f"; written to {target.path}"
    messages.note(
        f"drew {counted(table.num_rows, 'row')} of {counted(table.num_columns, 'column')} from {sampling.model}"
        f"{written}"
    )
    if output.as_json:
        write_summary(
            {
                "model": sampling.model,
                "output": None if target.path is None else str(target.path),
                "random_state": sampling.random_state,
                "columns": {field.name: str(field.type) for field in table.schema},
                "left_out": absent,
                "rows": table.num_rows if target.path is not None else table.to_pylist(),
            }
        )


def _typed(drawn: Any, columns: "tuple[Column, ...]") -> "tuple[pa.Table, dict[str, str]]":
    """Return rows with the types of the training, and the columns without values, with the reason."""
    import pandas as pd
    import pyarrow as pa

    from vae_anomaly_cli.imputation import as_in_column

    frame = drawn if isinstance(drawn, pd.DataFrame) else pd.DataFrame(drawn, columns=[each.name for each in columns])
    cells: dict[str, pa.Array] = {}
    absent: dict[str, str] = {}
    for column in columns:
        if not column.is_used:
            absent[column.name] = f"set aside: {column.reason}"
        elif column.likelihood is None:
            absent[column.name] = "its place in time is not modelled: fit with datetime+trend"
        else:
            cells[column.name] = _array(frame[column.name].map(partial(as_in_column, column=column)), column)
    if not cells:
        raise InputError("the model has values for none of its columns; nothing can be drawn.")
    return pa.table(cells), absent


def _array(values: "pd.Series[Any]", column: "Column") -> "pa.Array":
    """Return the cells of a column as what they were: whole numbers, numbers, true/false, dates or text."""
    import pandas as pd
    import pyarrow as pa

    if column.boolean:
        return pa.array([None if pd.isna(cell) else bool(cell) for cell in values], pa.bool_())
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pa.array(values, pa.timestamp("us"))
    if pd.api.types.is_numeric_dtype(values.dtype):
        known = values.dropna()
        is_whole = column.resolution >= 1 and bool((known == known.round()).all())
        return pa.array(values.astype("Int64") if is_whole else values.astype("float64"), from_pandas=True)
    return pa.array([None if pd.isna(cell) else str(cell) for cell in values], pa.string())
