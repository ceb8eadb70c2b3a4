"""Rows of an input that a person should look at next: their cells, why, and a column to fill in."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vae_anomaly.batches import FLAG, LIKELIHOOD, P_VALUE, REASONS, SCORE, WHY, no_formula
from vae_anomaly_cli.columns import FILE, ROW
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.data import Data
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.flagging import Decision
from vae_anomaly_cli.models import Model, library_errors
from vae_anomaly_cli.output.sinks import NoOutput
from vae_anomaly_cli.pipeline import Layout, Pipeline
from vae_anomaly_cli.render.taught import Taught
from vae_anomaly_cli.table_model import TableModel
from vae_anomaly_cli.top_k import Ranked, TopK

# Rows that the library chooses from, for each that is wanted; equal rows, of which it takes one, have equal scores.
CANDIDATES_PER_ROW, MAX_EQUAL = 3, 3
UNCERTAIN = "uncertain"

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Proposals:
    """What to look at.

    Attributes
    ----------
    table : pyarrow.Table
        A line for each row, in the order to look at them.
    row_name, file_name : str or None
        What the columns are called that say where rows are.
    n_scored : int
        Rows of the input that have a score.
    n_uncertain : int
        How many are not among the most anomalous, and tell the most.
    n_answered : int
        Rows that were answered before.
    """

    table: pa.Table
    row_name: str
    file_name: str | None
    n_scored: int
    n_uncertain: int
    n_answered: int


@dataclass(frozen=True)
class Candidates:
    """Rows of an input, in their order.

    Attributes
    ----------
    rows, files, rows_in_file : ndarray of int, shape (rows,)
        Which rows of the whole input they are, in which of its files, and where there; all from 0.
    cells : pyarrow.Table
        All their cells.
    """

    rows: Positions
    files: Positions
    rows_in_file: Positions
    cells: pa.Table

    @classmethod
    def of(cls, *parts: Ranked) -> "Candidates":
        """All rows of several rankings, each once."""
        known = [part for part in parts if len(part)]
        rows = np.concatenate([part.rows for part in known])
        _, first = np.unique(rows, return_index=True)
        files, rows_in_file = (
            np.concatenate([getattr(part, name) for part in known])[first] for name in ("files", "rows_in_file")
        )
        return cls(rows[first], files, rows_in_file, pa.concat_tables([part.cells for part in known]).take(first))


def propose(data: Data, model: Model, n_rows: int, messages: Messages) -> Proposals:
    """Score all rows of an input, batch by batch, and choose those to look at.

    Parameters
    ----------
    data : Data
        The input.
    model : Model
        Scores it.
    n_rows : int
        How many are wanted.
    messages : Messages
        Shows progress and warnings.

    Raises
    ------
    InputError
        If the input has columns of the names that a review has for its own.
    CommandError
        If no row can be scored.
    """
    row_name, file_name = _own_names(data)
    detector = model.detector
    taught, boundary = Taught.of(detector), detector.boundary_
    n_candidates = CANDIDATES_PER_ROW * n_rows + MAX_EQUAL * taught.n_rows
    top = TopK(n_candidates, max_equal=MAX_EQUAL)
    near = TopK(n_candidates, lambda scores: -np.abs(scores - boundary), MAX_EQUAL)
    names = [name for name in data.source.schema.names if name in {*data.columns.of_input, *data.read_columns(model)}]
    layout = Layout(data.source.schema, data.columns.of_input, {})
    pipeline = Pipeline(
        model,
        names,
        layout,
        NoOutput(),
        messages,
        decision=Decision(detector.threshold_),
        also=(top, near),
    )
    pipeline.run(separate_writer=False)
    tally = pipeline.tally
    tally.unusable.warn(messages, tally.n_rows)
    if not tally.n_scored:
        raise CommandError(tally.unusable.none_of(data.source.name, tally.n_rows))
    candidates = Candidates.of(top.ranked(n_candidates), near.ranked(n_candidates))
    seen = model.features_again(candidates.cells, candidates.rows).usable
    with messages.library_warnings(), library_errors(data.source.name):
        chosen = detector.review(seen, k=n_rows)
    positions = chosen["row"].to_numpy(dtype=np.intp)
    numbers = candidates.rows if file_name is None else candidates.rows_in_file
    own: dict[str, Any] = {row_name: numbers[positions] + 1}
    if file_name is not None:
        own[file_name] = pa.array([data.parts[file].name for file in candidates.files[positions]], pa.string())
    own[SCORE] = chosen["anomaly_score"].to_numpy()
    if taught.is_in_use:
        own[LIKELIHOOD] = detector.likelihood_score(_taken(seen, positions)) if len(positions) else np.empty(0)
    p_values = chosen["p_value"].to_numpy(dtype=np.float64)
    own |= {P_VALUE: pa.array(p_values, mask=np.isnan(p_values)), WHY: pa.array(chosen["why"].tolist(), pa.string())}
    if isinstance(model, TableModel):
        own[REASONS] = pa.array([no_formula(str(text)) for text in chosen["reason"]], pa.string())
    own |= {name: candidates.cells[name].take(positions) for name in data.columns.of_input}
    own[FLAG] = pa.nulls(len(positions), pa.string())
    n_uncertain = int((chosen["why"] == UNCERTAIN).sum())
    return Proposals(pa.table(own), row_name, file_name, tally.n_scored, n_uncertain, taught.n_rows)


def _own_names(data: Data) -> tuple[str, str | None]:
    """Return what row and file are called in the review; refuse other names that are taken."""
    own = [name for name in data.columns.of_input if name in (REASONS, WHY, LIKELIHOOD)]
    if own:
        raise InputError(
            f"{data.source.name} has a column '{own[0]}', and the review has one of its own. Rename it in a copy."
        )
    return data.columns.own_name(ROW), data.columns.own_name(FILE) if len(data.parts) > 1 else None


def _taken(seen: Any, positions: npt.NDArray[np.intp]) -> Any:
    return seen.iloc[positions] if hasattr(seen, "iloc") else seen.take(positions)
