"""`vae-anomaly sensitivity`: the smallest change of each column that a model notices, and what it would not notice."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from vae_anomaly_cli.command import Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.options import OutputOptions, ReadOptions, RunOptions, check_model_path
from vae_anomaly_cli.sources import Kind, check_found, kind_of

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly_cli.table_model import TableModel
    from vae_anomaly_cli.tables import Table

MAX_READ_ROWS = 10_000

HELP = """Say which changes of a single cell MODEL notices in the rows of DATA, and which it would not.

\b
[bold]Examples[/bold]
  vae-anomaly sensitivity orders.vae normal.csv
  vae-anomaly sensitivity orders.vae normal.csv --false-alarm-rate 0.001
  vae-anomaly sensitivity orders.vae normal.csv --power 0.9 -o sensitivity.csv
  vae-anomaly sensitivity orders.vae normal.csv --json

DATA holds normal rows that the model has not seen; of more than 10,000 a sample is taken. One cell of a row is \
changed at a time. Numbers and dates are shifted up and down: the table has the smallest shift that is noticed, in \
the column's own units, to within 5 %. Levels are replaced by another one and by one that training did not have, \
cells are taken away, and values of other rows take their place, which breaks combinations alone.

A change is noticed where at least --power of the rows are then above the threshold; the table shows the share that \
is, and 'no' where that is too few. The threshold is that of --false-alarm-rate, by the calibration rows of the model, \
or by DATA where it has none; the threshold in the model plays no part and stays as it is.

It says what this model does with one changed cell. It does not say which model finds more of real anomalies, which \
change many cells at once, and is not for choosing one: see vae-anomaly compare.

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class SensitivityOptions:
    """Which model and rows, and what counts as noticed."""

    model: Annotated[str, Option("Model file.", metavar="MODEL", is_argument=True, is_path=True)]
    data: Annotated[
        tuple[str, ...],
        Option("Normal rows that the model has not seen.", metavar="DATA", is_argument=True, is_path=True),
    ]
    false_alarm_rate: Annotated[
        float,
        Option(
            "Share of normal rows that may be flagged, above 0 and below 1.",
            common="Share of normal rows that may be flagged.",
            metavar="RATE",
        ),
    ] = 0.01
    power: Annotated[
        float,
        Option(
            "Share of the rows in which a change has to be noticed, above 0 and up to 1.",
            common="Share of the rows in which a change has to be noticed.",
            metavar="SHARE",
        ),
    ] = 0.5
    rows: Annotated[
        int, Option("Change so many rows, at most.", common=True, flags=("--rows", "-n"), metavar="N", min=1)
    ] = 200

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        check_model_path(self.model)
        # NaN is in no range.
        if not 0 < self.false_alarm_rate < 1:
            raise InputError(
                f"--false-alarm-rate {self.false_alarm_rate:g}: expected a share above 0 and below 1, like 0.01."
            )
        if not 0 < self.power <= 1:
            raise InputError(f"--power {self.power:g}: expected a share above 0 and up to 1, like 0.5.")


@command(HELP)
def sensitivity(
    examining: SensitivityOptions, reading: ReadOptions, output: OutputOptions, run: RunOptions, messages: Messages
) -> None:
    """Say which changes of a single cell MODEL notices."""
    from vae_anomaly_cli.models import decision_errors, library_errors
    from vae_anomaly_cli.output.partial_file import save_table, write_to_standard_output
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.output.targets import choose_target
    from vae_anomaly_cli.progress import progress_bar
    from vae_anomaly_cli.render.drawings import show_drawings
    from vae_anomaly_cli.render.sensitivities import cells_of, describe_sensitivity, drawn_sensitivity
    from vae_anomaly_cli.table_data import TableData
    from vae_anomaly_cli.tables import sample_table

    check_found(examining.data)
    given = reading.of(examining.data)
    if kind_of(given.data) is Kind.IMAGES:
        raise InputError("sensitivity changes the cells of tables, and DATA holds images. Give a table.")
    data = TableData.open(given, messages, model=examining.model, labels="unused")
    target = choose_target(output.output, data.source, others={"MODEL": examining.model})
    model = data.load(examining.model, run.device, messages)
    with progress_bar(data.source.size, "reading", "row", messages) as done:
        table = sample_table(data.source, data.read_columns(model), MAX_READ_ROWS, progress=done)
    frame = _usable(model, table, messages)
    _warn_of_trained(model, frame, messages)
    has_calibration = model.detector.decisions_.calibration is not None
    holder = examining.model if has_calibration else data.source.name
    more = "calibrate the model with more normal rows" if has_calibration else "give more normal rows"
    with library_errors(data.source.name), decision_errors(holder, more), messages.library_warnings():
        found = model.detector.sensitivity(
            frame, examining.false_alarm_rate, power=examining.power, n_rows=examining.rows
        )
    written = "" if target.path is None else f"; written to {target.path}"
    messages.note(
        f"planted {counted(len(found.changes), 'change')} in {counted(found.n_rows, 'row')} of "
        f"{data.source.name}{written}"
    )
    if output.output is not None:
        table_of_changes = cells_of(found)
        if target.path is None:
            write_to_standard_output(table_of_changes, target)
        else:
            save_table(table_of_changes, target, target.path)
    if output.as_json:
        about = {"model": examining.model, "input": data.source.name, "output": output.output}
        write_summary(about | describe_sensitivity(found))
    elif output.output is None:
        show_drawings(drawn_sensitivity(found))


def _usable(model: "TableModel", table: "Table", messages: Messages) -> "pd.DataFrame":
    """Return what the detector sees of the rows that can be scored, with a warning of the others."""
    from vae_anomaly_cli.models import Unusable

    features = model.features_of(table.cells)
    unusable = Unusable("row")
    for row, problem in sorted(features.problems.items()):
        unusable.add(partial(table.locate, row), problem)
    unusable.warn(messages, table.n_rows)
    if unusable.count == table.n_rows:
        if not table.n_rows:
            raise InputError(f"{table.name} has no rows; expected normal rows to change.")
        raise CommandError(unusable.none_of(table.name, table.n_rows))
    return features.usable


def _warn_of_trained(model: "TableModel", frame: "pd.DataFrame", messages: Messages) -> None:
    with messages.library_warnings():
        seen = ~model.detector.decisions_.unseen(model.detector.compared(frame).fingerprints)
    if seen.any():
        messages.warning(
            f"the model was trained on {counted(int(seen.sum()), 'row')} of these, in which it notices more than in "
            "others. Give rows that it has not seen."
        )
