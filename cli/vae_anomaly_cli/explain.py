"""Explaining rows, from options to exit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly_cli.console import Messages, counted, data_stream, one_line
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.labels import label_line, labels_of
from vae_anomaly_cli.options import Device, FitOptions, InputOptions
from vae_anomaly_cli.outputs import choose_target, save_table, write_table
from vae_anomaly_cli.reasons import FIELDS, Reasons, plain, plausible, rarity, shown_cell, subject_of, text_of
from vae_anomaly_cli.repairs import repaired_table
from vae_anomaly_cli.roles import FLAG, SCORE, assign_roles
from vae_anomaly_cli.scoring import Result, score_table
from vae_anomaly_cli.sources import dumps, open_table
from vae_anomaly_cli.tables import Table, read_table
from vae_anomaly_cli.top_k import rank_descending

EXPLAINED_ROWS = 5
ROW, RANK = "row", "rank"


@dataclass(frozen=True)
class Wanted:
    """What the user wants to know.

    Attributes
    ----------
    numbers : list of int
        Rows to explain, from 1.
    top : int or None
        So many of the most anomalous rows instead.
    n_cells : int
        TopK cells a row.
    output, repair : str or None
        Where a line for each cell goes, and where the table goes with cells replaced.
    as_json : bool
        Whether one JSON object is wanted.
    """

    numbers: list[int]
    top: int | None
    n_cells: int
    output: str | None
    repair: str | None
    as_json: bool


def explain_rows(
    given: InputOptions,
    fit_options: FitOptions,
    wanted: Wanted,
    model: str | None,
    device: Device,
    messages: Messages,
) -> None:
    """Fit or load, score all rows, and explain those that are wanted."""
    source = open_table(given.data, given.input_format, given.separator(), messages.warning)
    target = choose_target(wanted.output, source)
    repaired = None if wanted.repair is None else choose_target(wanted.repair, source, "--repair")
    roles = assign_roles(source, given)
    table = read_table(source)
    _check_rows(table, wanted.numbers)
    for name in roles.ids:
        if wanted.output is not None and name in (ROW, RANK, *FIELDS):
            raise InputError(f"--id {name}: the output has a column of that name; choose another.")
    labels = labels_of(table, roles.label, given.anomalous)

    result, done = score_table(table, roles, given.anomalous, model, fit_options, device, messages)
    chosen = [number - 1 for number in dict.fromkeys(wanted.numbers)]
    rows = np.array(chosen, dtype=np.intp) if chosen else rank_descending(result.scores, wanted.top or EXPLAINED_ROWS)
    reasons = result.explain(rows, messages, wanted.n_cells)
    done += f", {counted(len(rows), 'row')} explained"
    # Both tables before either is written: a failure leaves nothing half done.
    lines = None if wanted.output is None else cells_table(table, roles.ids, result, reasons)
    repairs = None if repaired is None else repaired_table(table, result, rows, messages, typed=repaired.typed)
    if lines is not None and target.path is not None:
        save_table(lines, target, target.path)
        done += f"; written to {target.path}"
    if repairs is not None and repaired is not None and repaired.path is not None:
        cells, n_replaced = repairs
        save_table(cells, repaired, repaired.path)
        done += f"; {counted(n_replaced, 'cell')} replaced in {repaired.path}"
    messages.note(done)
    summary = result.summary | {"output": None if target.path is None else str(target.path)}
    if labels is not None:
        summary["label"] = labels.measure(result.scores)
        messages.answer(label_line(summary["label"], table.n_rows))
    if wanted.as_json:
        typical = reasons.explanation.typical
        summary["typical_kl"] = float(typical.iloc[-1])
        summary["typical_contributions"] = typical.iloc[:-1].to_dict()
        summary["explained"] = explained_objects(table, roles.ids, result, rows, reasons)
        with data_stream() as stream:
            stream.write(f"{dumps(summary, indent=2)}\n".encode())
    elif lines is None:
        _show(table, roles.ids, result, rows, reasons)
    elif target.path is None:
        with data_stream() as stream:
            write_table(lines, target, stream)


def _check_rows(table: Table, numbers: list[int]) -> None:
    for number in numbers:
        if number > table.n_rows:
            raise InputError(
                f"--row {number}: {table.name} has {counted(table.n_rows, 'row')}; expected a number from 1 to "
                f"{table.n_rows}."
            )


def explained_objects(
    table: Table, ids: tuple[str, ...], result: Result, rows: npt.NDArray[np.intp], reasons: Reasons
) -> list[dict[str, Any]]:
    """Describe rows: number (from 1), ids, score, flag, reasons, and the terms that the score is the sum of."""
    names = table.cells.select(list(ids)).take(rows).to_pylist() if ids else [{} for _ in rows]
    return [
        {ROW: int(row) + 1, "ids": named, SCORE: float(result.scores[row]), FLAG: bool(result.flags[row])}
        | reasons.objects[row]
        for row, named in zip(rows, names, strict=True)
    ]


def cells_table(table: Table, ids: tuple[str, ...], result: Result, reasons: Reasons) -> pa.Table:
    """Lay out a line for each explained cell: row number (from 1), ids, score, rank and what a reason says.

    Cells of different columns share the columns observed, expected, lower and upper, which are text therefore.
    """
    lines = [(row, rank, reason) for row, found in reasons.of_row.items() for rank, reason in enumerate(found, 1)]
    rows = np.array([row for row, _, _ in lines], dtype=np.intp)
    columns: dict[str, Any] = {ROW: pa.array(rows + 1)}
    columns |= {name: table.cells[name].take(rows) for name in ids}
    columns |= {SCORE: result.scores[rows], RANK: pa.array([rank for _, rank, _ in lines], pa.int64())}
    for field in FIELDS:
        cells = [getattr(reason, field) for _, _, reason in lines]
        if field in ("nats", "tail_probability"):
            columns[field] = pa.array([plain(cell) for cell in cells], pa.float64())
        else:
            columns[field] = pa.array([text_of(cell) for cell in cells], pa.string())
    return pa.table(columns)


def _show(table: Table, ids: tuple[str, ...], result: Result, rows: npt.NDArray[np.intp], reasons: Reasons) -> None:
    """Write a block for each row: its score, what the combination costs, its most anomalous cells."""
    console = Console(highlight=False)
    threshold = -float(result.detector.offset_)
    for place, row in enumerate(rows):
        named = [f"{name} {table.cells[name][int(row)].as_py()}" for name in ids]
        score = float(result.scores[row])
        side = "above" if result.flags[row] else "not above"
        heading = Text(one_line(", ".join([f"row {row + 1}", *named])), style="bold")
        heading.append(": ", style="not bold")
        heading.append(f"{score:.2f} nats", style="bold red" if result.flags[row] else "bold")
        heading.append(f", {side} the threshold of {threshold:.2f}", style="not bold")
        if place:
            console.print()
        console.print(heading)
        kl = float(reasons.explanation.kl.iloc[place])
        bound = float(reasons.explanation.score.iloc[place])
        whole = "" if np.isclose(bound, score) else f" of a negative ELBO of {bound:.2f}"
        console.print(
            f"the combination of its cells (KL): {kl:.2f} nats{whole}, {reasons.excess[int(row)]:+.2f} against a "
            "typical row",
            style="dim",
        )
        console.print(_cells(reasons, int(row)))


def _cells(reasons: Reasons, row: int) -> RichTable:
    drawn = RichTable(box=None, pad_edge=True, header_style="dim")
    drawn.add_column("column", overflow="fold")
    drawn.add_column("observed", overflow="fold")
    drawn.add_column("expected", overflow="fold")
    drawn.add_column("plausible", overflow="fold", style="dim")
    drawn.add_column("nats", justify="right", no_wrap=True)
    drawn.add_column("as far out", no_wrap=True)
    for reason in reasons.of_row[row]:
        cells = (
            subject_of(reason),
            shown_cell(reason, "observed"),
            shown_cell(reason, "expected"),
            plausible(reason),
            f"{reason.nats:+.1f}",
            rarity(reason),
        )
        drawn.add_row(*(Text(one_line(cell)) for cell in cells))
    return drawn
