"""Calibration rows for a person to look at, and the answers that come back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.batches import FLAG, REASONS, SCORE
from vae_anomaly_cli.answers import TOLERANCE, is_score, read_answer, read_score
from vae_anomaly_cli.console import counted
from vae_anomaly_cli.data import Data
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.image_model import ImageModel
from vae_anomaly_cli.models import Model
from vae_anomaly_cli.passes import Judged
from vae_anomaly_cli.render.reasons import Reasons
from vae_anomaly_cli.sources import TableSource
from vae_anomaly_cli.table_model import TableModel
from vae_anomaly_cli.tables import read_table

if TYPE_CHECKING:
    from vae_anomaly.decisions import Calibration

ROW, P_VALUE = "row", "p_value"
OWN_COLUMNS = (ROW, SCORE, P_VALUE, REASONS, FLAG)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Suspects:
    """Calibration rows that nobody has looked at, the most anomalous first.

    Attributes
    ----------
    rows : ndarray of int, shape (rows,)
        Which rows of the input they are, from 0.
    scores : ndarray of shape (rows,)
        Nats, as they are in the calibration.
    folds : ndarray of int, shape (rows,)
        Of the calibration.
    p_values : ndarray of shape (rows,)
        Share of the calibration rows that are at least as anomalous.
    fingerprints : ndarray of int, shape (rows,), or None
        What they are known by where their scores cannot be found again.
    """

    rows: Rows
    scores: npt.NDArray[np.float64]
    folds: Rows
    p_values: npt.NDArray[np.float64]
    fingerprints: Rows | None

    @classmethod
    def of(cls, calibration: "Calibration", n: int) -> "Suspects":
        """Return the first so many of a calibration."""
        suspects = calibration.suspects
        chosen = np.flatnonzero(~suspects.is_normal)[:n]
        scores = suspects.scores[chosen]
        shares = (1 + calibration.pooled.n_above(scores)) / calibration.n_rows
        known = suspects.fingerprints
        return cls(
            suspects.ids[chosen], scores, suspects.folds[chosen], shares, None if known is None else known[chosen]
        )

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Review:
    """Rows to look at, as a table with a column to fill in.

    Attributes
    ----------
    suspects : Suspects
        The rows.
    cells : pyarrow.Table or None
        Their cells, where the input is given.
    reasons : Reasons or None
        Why they are anomalous, by position.
    """

    suspects: Suspects
    cells: pa.Table | None = None
    reasons: Reasons | None = None

    def table(self) -> pa.Table:
        """Return row number (from 1), score, rank, reasons, cells, and an empty column for the answers."""
        columns: dict[str, Any] = {
            ROW: pa.array(self.suspects.rows + 1),
            SCORE: pa.array(self.suspects.scores),
            P_VALUE: pa.array(self.suspects.p_values),
        }
        if self.reasons is not None:
            texts = self.reasons.sentences
            columns[REASONS] = pa.array([texts[index] for index in range(len(self.suspects))], pa.string())
        if self.cells is not None:
            columns |= {name: self.cells[name] for name in self.cells.column_names}
        columns[FLAG] = pa.nulls(len(self.suspects), pa.string())
        return pa.table(columns)


def review_with_cells(data: Data, model: Model, suspects: Suspects) -> Review:
    """Find the rows in the input that the model was fitted on, or calibrated with, and say why they are anomalous.

    Raises
    ------
    InputError
        If they are not there, or have other scores.
    """
    kept = data.columns.kept
    own = [name for name in kept if name in OWN_COLUMNS]
    if own:
        raise InputError(
            f"{data.source.name} has a column '{own[0]}', and the review has one of its own. Name columns to show with "
            "--id."
        )
    if not len(suspects):
        return Review(suspects)
    order = np.argsort(suspects.rows, kind="stable")
    back = np.argsort(order, kind="stable")
    wanted = suspects.rows[order]
    if isinstance(model, ImageModel):
        cells, judged = _images(model, wanted)
        reasons = None
        if suspects.fingerprints is None:
            _check_scores(data, suspects, judged.comparisons[back])
        else:
            _check_fingerprints(data, suspects, judged.fingerprints[back])
    else:
        assert isinstance(model, TableModel)
        cells = _rows(model, data.read_columns(model), wanted)
        frame = model.features_of(cells).frame
        comparisons = model.detector.compared(frame).comparisons
        reasons = Reasons.of(model, np.arange(len(suspects)), frame.iloc[back])
        _check_scores(data, suspects, comparisons[back])
    return Review(suspects, cells.select(kept).take(back), reasons)


def _rows(model: TableModel, names: list[str], wanted: Rows) -> pa.Table:
    """Read rows of a table, given in ascending order."""
    parts: list[pa.Table] = []
    n_rows = 0
    for batch in model.batches(names):
        n_rows = batch.first + batch.n_rows
        here = wanted[(wanted >= batch.first) & (wanted < n_rows)] - batch.first
        if len(here):
            # Copies: a slice would hold the whole batch.
            parts.append(pa.Table.from_batches([batch.cells]).take(here))
        if n_rows > wanted[-1]:
            break
    _check_size(model, wanted, n_rows)
    return pa.concat_tables(parts)


def _images(model: ImageModel, wanted: Rows) -> tuple[pa.Table, Judged]:
    """Read images, given in ascending order."""
    _check_size(model, wanted, model.source.n_files)
    batches = list(model.source.batches_of(wanted.tolist(), model.n_per_batch))
    judged = Judged.joined([Judged.of(model, batch, model.features(batch)) for batch in batches])
    return pa.Table.from_batches([batch.cells for batch in batches]), judged


def _check_size(model: Model, wanted: Rows, n_rows: int) -> None:
    if wanted[0] < 0 or wanted[-1] >= n_rows:
        raise InputError(
            f"{model.source.name} has {counted(n_rows, model.noun)}, and the calibration {model.noun} "
            f"{wanted[-1] + 1:,}; expected what the model was fitted on, or calibrated with."
        )


def _check_scores(data: Data, suspects: Suspects, comparisons: npt.NDArray[np.float64]) -> None:
    """Refuse rows with other scores than the calibration has: they are others."""
    found = comparisons[np.arange(len(suspects)), suspects.folds]
    others = np.flatnonzero(~np.isclose(found, suspects.scores, rtol=TOLERANCE, atol=TOLERANCE))
    if len(others):
        first = others[0]
        raise InputError(
            f"{data.source.name}: {data.noun} {suspects.rows[first] + 1:,} has a score of {found[first]:,.2f} nats, "
            f"and {suspects.scores[first]:,.2f} in the calibration: expected what the model was fitted on, or "
            "calibrated with, in the same order. Give that, or leave DATA out."
        )


def _check_fingerprints(data: Data, suspects: Suspects, found: Rows) -> None:
    """Refuse other rows than those of the calibration."""
    others = np.flatnonzero(found != suspects.fingerprints)
    if len(others):
        raise InputError(
            f"{data.source.name}: {data.noun} {suspects.rows[others[0]] + 1:,} is another than that of the "
            "calibration: expected what the model was fitted on, in the same order. Give that, or leave DATA out."
        )


@dataclass(frozen=True)
class Answers:
    """What a person found.

    Attributes
    ----------
    rows : ndarray of int, shape (answers,)
        Which rows were looked at, from 0.
    is_anomaly : ndarray of bool, shape (answers,)
        What they are.
    n_open : int
        Rows of the review without an answer.
    n_without_score : int
        Answers without the score by which their rows are known to be those of the model.
    """

    rows: Rows
    is_anomaly: npt.NDArray[np.bool_]
    n_open: int
    n_without_score: int


def read_answers(source: TableSource, calibration: "Calibration", model: str) -> Answers:
    """Read a review that was filled in.

    Raises
    ------
    InputError
        If a column is missing, a cell cannot be read, or a row is none of the calibration.
    """
    missing = [name for name in (ROW, FLAG) if name not in source.names]
    if missing:
        raise InputError(
            f"{source.name} has no column '{missing[0]}'; expected a review, as vae-anomaly audit -o writes it, with "
            f"{FLAG} filled in."
        )
    table = read_table(source)
    suspects = calibration.suspects
    scores = dict(zip(suspects.ids.tolist(), suspects.scores.tolist(), strict=True))
    given = table.cells[SCORE].to_pylist() if SCORE in source.names else [None] * table.n_rows
    answers: dict[int, bool] = {}
    n_open = n_without_score = 0
    cells = zip(table.cells[ROW].to_pylist(), table.cells[FLAG].to_pylist(), given, strict=True)
    for index, (number, cell, given_score) in enumerate(cells):
        location = table.locate(index)
        where = f"{location.file}, {location.where}"
        answer = read_answer(cell, where)
        if answer is None:
            n_open += 1
            continue
        row = _row(number, where)
        if row in answers:
            raise InputError(f"{where}: row {row + 1:,} is answered twice; expected one answer for each.")
        score = read_score(given_score, where)
        n_without_score += score is None
        if row not in scores or (score is not None and not is_score(score, scores[row])):
            raise InputError(
                f"{where}: row {row + 1:,} with this score is none of the calibration rows of {model} that are to be "
                "looked at; it was dropped before, or the review is of another model. Write a new one with vae-anomaly "
                "audit -o."
            )
        answers[row] = answer
    rows, is_anomaly = np.array(list(answers), dtype=np.int64), np.array(list(answers.values()), dtype=bool)
    return Answers(rows, is_anomaly, n_open, n_without_score)


def _row(cell: object, where: str) -> int:
    try:
        number = float(str(cell))
    except ValueError:
        number = 0.0
    if not number.is_integer() or number < 1:
        raise InputError(f"{where}: {ROW} holds '{cell}'; expected the number of a row, as the review had it.")
    return int(number) - 1
