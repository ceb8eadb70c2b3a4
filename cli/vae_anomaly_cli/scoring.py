"""The detector of a command, fitted on rows of the input or loaded, and its scores for rows in memory."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.declarations import read_declarations
from vae_anomaly_cli.features import scoring_frame, training_frame
from vae_anomaly_cli.labels import labels_of
from vae_anomaly_cli.models import fit_detector, fit_line, load_detector, refusals, summary_of
from vae_anomaly_cli.options import SAMPLE_ROWS, Device, FitOptions
from vae_anomaly_cli.progress import row_progress
from vae_anomaly_cli.reasons import N_REASONS, Reasons
from vae_anomaly_cli.roles import Roles, scoring_columns, training_columns
from vae_anomaly_cli.sources import TableSource
from vae_anomaly_cli.tables import Table, sample_table

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly import VAEDetector


@dataclass(frozen=True)
class Learned:
    """A detector, and how it came about.

    Attributes
    ----------
    detector : VAEDetector
        Fitted.
    names : list of str
        Columns of the input that it sees.
    table : Table or None
        The rows that it was fitted on; None if it was loaded.
    seconds : float or None
        What the fit took.
    done : str
        All that in a line.
    """

    detector: "VAEDetector"
    names: list[str]
    table: Table | None
    seconds: float | None
    done: str


def learn(
    table: TableSource,
    roles: Roles,
    anomalous: str | None,
    fit_options: FitOptions,
    device: Device,
    messages: Messages,
    *,
    in_passes: bool = False,
) -> Learned:
    """Fit on all rows, or on a sample where they are too many; it may be the first of several passes."""
    declared = read_declarations(table, roles, fit_options.column or [])
    names = training_columns(table, roles, messages)
    sampled = draw(table, roles, names, fit_options, messages)
    if sampled.drawn is None:
        # Labels that cannot be used are known before the work; those of a sample may be too few to tell.
        labels_of(sampled, roles.label, anomalous)
    frame = training_frame(sampled, names, declared)
    detector, seconds = fit_detector(sampled, frame, fit_options, declared, device, messages, in_passes=in_passes)
    return Learned(detector, names, sampled, seconds, fit_line(sampled, detector.columns_, seconds))


def draw(
    table: TableSource, roles: Roles, names: list[str], fit_options: FitOptions, messages: Messages, turn: int = 0
) -> Table:
    """Read the rows of one pass of a fit: all, or a sample that is another one in each turn."""
    label = [] if roles.label is None or roles.label in names else [roles.label]
    most = fit_options.sample_rows or SAMPLE_ROWS
    with row_progress(table, "reading", messages) as done:
        return sample_table(table, [*names, *label], most, (fit_options.seed or 0, turn), done)


def recall(table: TableSource, roles: Roles, model: str, device: Device, messages: Messages) -> Learned:
    """Load a model that takes the columns of the input."""
    with messages.library_warnings():
        detector = load_detector(model, device)
    names = scoring_columns(table, roles, detector.columns_, messages)
    return Learned(detector, names, None, None, f"scored {table.name} with {model}")


@dataclass(frozen=True)
class Result:
    """What a detector says of the rows of a table in memory.

    Attributes
    ----------
    detector : VAEDetector
        Who says it.
    frame : DataFrame
        The features of the rows.
    scores : ndarray of shape (rows,)
        Negative ELBO, nats.
    flags : ndarray of bool, shape (rows,)
        Whether each score is above the threshold.
    summary : dict
        What --json tells about the detector and the rows.
    """

    detector: "VAEDetector"
    frame: "pd.DataFrame"
    scores: npt.NDArray[np.float64]
    flags: npt.NDArray[np.bool_]
    summary: dict[str, Any]

    def explain(self, rows: npt.NDArray[np.intp], messages: Messages, n: int = N_REASONS) -> Reasons:
        """Say why some rows (from 0) are anomalous, with at most `n` cells each."""
        with messages.library_warnings():
            return Reasons(rows, self.detector.explain(self.frame.iloc[rows]), n)


def score_table(
    table: Table,
    roles: Roles,
    anomalous: str | None,
    model: str | None,
    fit_options: FitOptions,
    device: Device,
    messages: Messages,
) -> tuple[Result, str]:
    """Fit or load, score rows in memory, and say in a line what was done."""
    if model is None:
        learned = learn(table.source, roles, anomalous, fit_options, device, messages)
        done = learned.done
    else:
        learned = recall(table.source, roles, model, device, messages)
        done = f"{learned.done}: {counted(table.n_rows, 'row')}"
    detector = learned.detector
    with refusals(table.name, table.locate), messages.library_warnings():
        frame = scoring_frame(table.cells, detector.columns_, table.source.cell_reader)
        scores = detector.anomaly_score(frame)
    flags = -scores < detector.offset_
    n_anomalies = int(flags.sum())
    summary = summary_of(table.name, table.n_rows, detector, learned.seconds)
    summary |= {"model": model, "n_anomalies": n_anomalies}
    done += f"; threshold {-detector.offset_:.2f} nats, {counted(n_anomalies, 'row')} flagged"
    return Result(detector, frame, scores, flags, summary), done
