"""`vae-anomaly explain`: why rows are anomalous, cell by cell."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from vae_anomaly_cli.command import OUTPUT, Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.options import (
    STANDARD_OUTPUT,
    FitOptions,
    InputOptions,
    ModelOptions,
    OutputOptions,
    RunOptions,
)
from vae_anomaly_cli.sources import Kind

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

    from vae_anomaly import PathToNormal
    from vae_anomaly.arrow_rows import RowFeatures
    from vae_anomaly_cli.output.targets import Target
    from vae_anomaly_cli.repair import RepairedTable
    from vae_anomaly_cli.table_data import TableData
    from vae_anomaly_cli.table_model import TableModel
    from vae_anomaly_cli.tables import Table

EXPLAINED_ROWS = 5

HELP = """Say why rows of DATA are anomalous.

\b
[bold]Examples[/bold]
  vae-anomaly explain data.csv                         the top five rows
  vae-anomaly explain new.csv -m orders.vae --row 41   one row, by its number
  vae-anomaly explain data.csv --top 100 -o cells.csv  a line for each cell
  vae-anomaly explain data.csv --top 100 --repair repaired.csv
  vae-anomaly explain new.csv -m orders.vae --repair repaired.csv --fdr 0.1
  vae-anomaly explain new.csv -m orders.vae --path --fixed age

For each row: its score, what the combination of its cells costs as a whole (KL), and its most anomalous cells, with \
what is predicted from the row's other cells instead, the range that holds 95 % of that, what the cell adds \
to the score above that of a typical row, and the share of the training cells that lie as far out. Rows are \
numbered from 1, through all files if there are several. DATA is read into memory. Without --model the fit expects \
anomalies among the rows (--preset robust), as that of vae-anomaly score does: the scores are the same.

DATA is a table; for images, vae-anomaly score --heatmaps shows where they are anomalous.

With --output the table has a line for each cell. With --repair, cells of the explained rows that are rarer, given the \
other cells, than one in a thousand are replaced by what is expected there: proposals, to be checked. The other cells \
stay as they are. With --fdr, too, the cells of all rows are looked at, and so many replaced that at most this share \
of the proposals is expected to be wrong; that needs the cells that a saved model was calibrated by (--model).

With --path each explained row has its path back to normal: which cells to change, in which order, until the row is \
below the threshold.

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class ExplainOptions:
    """Which rows to explain, and how."""

    row: Annotated[
        tuple[int, ...],
        Option(
            "Explain this row, counted from 1, through all files where there are several. Repeat for more.",
            common="Explain this row, counted from 1.",
            metavar="N",
            min=1,
        ),
    ] = ()
    top: Annotated[int | None, Option("Explain so many of the most anomalous rows. Default 5.", common=True, min=1)] = (
        None
    )
    cells: Annotated[int, Option("Cells per row, at most.", min=1)] = 5
    repair: Annotated[
        str | None,
        Option(
            "Where all rows of DATA go, with the cells replaced that look wrong in the explained ones.",
            common="Where all rows go, with cells replaced that look wrong.",
            metavar="FILE",
            panel=OUTPUT,
            is_path=True,
        ),
    ] = None

    fdr: Annotated[
        float | None,
        Option(
            "With --repair: look at the cells of all rows, and replace so many that at most this share of the "
            "proposals is expected to be wrong. Needs --model.",
            metavar="SHARE",
            panel=OUTPUT,
        ),
    ] = None
    path: Annotated[
        bool,
        Option(
            "Also say which cells to change, in which order, until the row is normal.",
            common="Say which cells to change until the row is normal.",
        ),
    ] = False
    fixed: Annotated[
        tuple[str, ...], Option("With --path: a column that cannot change. Repeat for more.", metavar="COLUMN")
    ] = ()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.fdr is not None and self.repair is None:
            raise InputError("--fdr says which cells --repair FILE replaces; give both.")
        if self.fdr is not None and not 0 < self.fdr < 1:
            raise InputError(f"--fdr {self.fdr:g}: expected a share between 0 and 1, such as 0.1.")
        if self.fixed and not self.path:
            raise InputError("--fixed says which columns --path leaves as they are; give both.")
        if self.row and self.top is not None:
            raise InputError("--row and --top both choose the rows to explain; give one of them.")
        if self.repair == STANDARD_OUTPUT:
            raise InputError(f"--repair {self.repair}: expected the name of a file of its own.")

    def rows(self, scores: "npt.NDArray[np.float64]") -> "npt.NDArray[np.intp]":
        """Return the rows to explain, from 0."""
        import numpy as np

        from vae_anomaly_cli.top_k import rank_descending

        if self.row:
            return np.array([number - 1 for number in dict.fromkeys(self.row)], dtype=np.intp)
        rows = rank_descending(scores, self.top or EXPLAINED_ROWS)
        return rows[~np.isnan(scores[rows])]

    def rows_to_repair(
        self, explained: "npt.NDArray[np.intp]", scores: "npt.NDArray[np.float64]"
    ) -> "npt.NDArray[np.intp]":
        """Return the rows whose cells may be replaced: with --fdr all that have a score."""
        import numpy as np

        return explained if self.fdr is None else np.flatnonzero(~np.isnan(scores))


@command(HELP, (Kind.TABLES,), without=("calibration", "calibration_groups"))
def explain(
    given: InputOptions,
    saved: ModelOptions,
    fitting: FitOptions,
    explaining: ExplainOptions,
    output: OutputOptions,
    run: RunOptions,
    messages: Messages,
) -> None:
    """Say why rows of DATA are anomalous."""
    from vae_anomaly_cli.output.partial_file import write_to_standard_output
    from vae_anomaly_cli.output.summary import write_summary
    from vae_anomaly_cli.render.explanation import ExplainedTable, check_ids
    from vae_anomaly_cli.render.reasons import Reasons
    from vae_anomaly_cli.repair import repaired_table
    from vae_anomaly_cli.table_data import TableData
    from vae_anomaly_cli.tables import read_table

    _check_goes_together(explaining, saved, output)
    data = TableData.open(given, messages, model=saved.model)
    target, repair_target = _targets(data, output.output, explaining.repair, saved.model)
    table = read_table(data.source)
    _check_rows(table, explaining.row)
    if output.output is not None:
        check_ids(data.columns.ids)
    labels = data.labels(table, messages)
    model = _model(data, saved.model, fitting, run, messages)
    features = model.features_of(table.cells)
    frame, n_unusable = features.frame, _check_usable(table, features, explaining.row, messages)
    with messages.library_warnings():
        scores = model.score_table(table, features)
        rows = explaining.rows(scores)
        reasons = Reasons.of(model, rows, frame.iloc[rows], explaining.cells)
        path = _path(model, frame.iloc[rows], explaining.fixed) if explaining.path else None
    explained = ExplainedTable(table, data.columns.ids, scores, model.threshold, reasons, path)
    # Both tables before either is written: a failure leaves nothing half done.
    lines = None if output.output is None else explained.cells_table()
    repaired = None
    if repair_target is not None:
        chosen, typed = explaining.rows_to_repair(rows, scores), repair_target.format.typed
        repaired = repaired_table(table, model, frame, chosen, messages, typed=typed, fdr=explaining.fdr)
    n_flagged = int((scores > model.threshold).sum())
    done = model.report if saved.model is None else f"{model.report}: {counted(table.n_rows - n_unusable, 'row')}"
    flagged = f"threshold {model.threshold:,.2f} nats, {counted(n_flagged, 'row')} flagged"
    written = _save(lines, target, repaired, repair_target)
    messages.note(f"{done}; {flagged}, {counted(len(rows), 'row')} explained{written}")
    summary = model.summary(table.n_rows, n_unusable)
    summary |= {"model": saved.model, "n_anomalies": n_flagged, "output": _text(target)}
    if repaired is not None:
        summary["repair"] = repaired.describe(messages, _text(repair_target))
    if labels is not None:
        measures = labels.measure(scores)
        summary["label"] = measures.describe()
        messages.answer(measures.line(data.noun))
    if output.as_json:
        write_summary(summary | explained.summary())
    elif lines is None:
        explained.show()
    elif target.path is None:
        write_to_standard_output(lines, target)


def _model(
    data: "TableData", path: str | None, fitting: FitOptions, run: RunOptions, messages: Messages
) -> "TableModel":
    """Load the model, or fit the rows."""
    if path is None:
        return data.fit_own_rows(fitting, run.device, messages)
    return data.load(path, run.device, messages)


def _check_goes_together(explaining: ExplainOptions, saved: ModelOptions, output: OutputOptions) -> None:
    """Refuse options that need others."""
    if explaining.fdr is not None and saved.model is None:
        raise InputError(
            "--fdr compares cells with those of rows that influenced nothing, which a saved model has; give --model."
        )
    if explaining.path and output.output is not None and not output.as_json:
        raise InputError("--path is shown, or goes into the summary of --json; leave out --output or add --json.")


def _targets(
    data: "TableData", output: str | None, repair: str | None, model: str | None
) -> "tuple[Target, Target | None]":
    """Settle where the table of cells goes, and the repaired table."""
    from vae_anomaly_cli.output.targets import choose_target

    target = choose_target(output, data.source, others={"--model": model})
    if repair is None:
        return target, None
    others = {"--model": model, "--output": target.path}
    return target, choose_target(repair, data.source, "--repair", others=others)


def _text(target: "Target | None") -> str | None:
    """Return where a table goes, for programs; nothing for standard output."""
    return None if target is None or target.path is None else str(target.path)


def _path(model: "TableModel", rows: "pd.DataFrame", fixed: tuple[str, ...]) -> "PathToNormal":
    """Find the changes that make rows normal."""
    from vae_anomaly import SpecificationError

    try:
        return model.detector.path_to_normal(rows, fixed=fixed)
    except SpecificationError as error:
        raise InputError(f"--path: {error}") from error


def _save(
    lines: "pa.Table | None", target: "Target", repaired: "RepairedTable | None", repair_target: "Target | None"
) -> str:
    """Write the files that are wanted, and say so."""
    from vae_anomaly_cli.output.partial_file import save_table

    said = ""
    if lines is not None and target.path is not None:
        save_table(lines, target, target.path)
        said += f"; written to {target.path}"
    if repaired is not None and repair_target is not None and repair_target.path is not None:
        save_table(repaired.cells, repair_target, repair_target.path)
        said += f"; {counted(repaired.n_replaced, 'cell')} replaced in {repair_target.path}"
    return said


def _check_usable(table: "Table", features: "RowFeatures", numbers: tuple[int, ...], messages: Messages) -> int:
    """Warn of the rows without a score, and refuse to explain one of them, or nothing; return how many there are."""
    from vae_anomaly_cli.models import Unusable

    for number in numbers:
        if number - 1 in features.problems:
            where, problem = table.locate(number - 1).where, features.problems[number - 1]
            raise InputError(f"--row {number}: the row has no score, and nothing to explain; {where}: {problem}.")
    unusable = Unusable("row")
    for row in sorted(features.problems):
        unusable.add(partial(table.locate, row), features.problems[row])
    unusable.warn(messages, table.n_rows)
    if unusable.count == table.n_rows:
        raise CommandError(unusable.none_of(table.name, table.n_rows))
    return unusable.count


def _check_rows(table: "Table", numbers: tuple[int, ...]) -> None:
    """Refuse numbers of rows that are not there."""
    for number in numbers:
        if number > table.n_rows:
            raise InputError(
                f"--row {number}: {table.name} has {counted(table.n_rows, 'row')}; expected a number from 1 to "
                f"{table.n_rows}."
            )
