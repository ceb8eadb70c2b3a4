"""The rows of a table, scored by a detector that is fitted on them or loaded."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.declarations import read_declarations
from vae_anomaly_cli.features import Roles, scoring_frame, training_frame
from vae_anomaly_cli.models import (
    check_model_path,
    counted,
    fit_detector,
    fit_line,
    load_detector,
    summary_of,
    unusable,
)
from vae_anomaly_cli.options import Device, FitOptions
from vae_anomaly_cli.reasons import N_REASONS, Reasons
from vae_anomaly_cli.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly import VAEDetector


@dataclass(frozen=True)
class Result:
    """What a detector says of the rows of a table.

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
        """Say why some rows (from 0) are strange, with at most `n` cells each."""
        with messages.library_warnings():
            return Reasons(rows, self.detector.explain(self.frame.iloc[rows]), n)


def check_options(fit_options: FitOptions, model: str | None) -> None:
    """Refuse, before anything is read, options that cannot be used.

    Raises
    ------
    InputError
        If an option has no usable value, the model is no file, or both are given.
    """
    fit_options.parameters()
    if model is not None:
        fit_options.refuse_with_model()
        check_model_path(model)


def score_table(
    table: Table, roles: Roles, model: str | None, fit_options: FitOptions, device: Device, messages: Messages
) -> tuple[Result, str]:
    """Fit or load, score, and say in a line what was done."""
    declared = read_declarations(table, roles, fit_options.column or [])
    from vae_anomaly import DataError

    try:
        if model is None:
            frame = training_frame(table, roles, declared, messages)
            detector, seconds = fit_detector(table, frame, fit_options, declared, device, messages)
            done = fit_line(table, detector.columns_, seconds)
        else:
            with messages.library_warnings():
                detector, seconds = load_detector(model, device), None
            frame = scoring_frame(table, roles, detector.columns_, messages)
            done = f"scored {table.source.name} with {model}: {counted(table.n_rows, 'row')}"
        with messages.library_warnings():
            scores = detector.anomaly_score(frame)
    except DataError as error:
        raise unusable(table, error) from error
    flags = -scores < detector.offset_
    n_anomalies = int(flags.sum())
    summary = summary_of(table, detector, seconds) | {"model": model, "n_anomalies": n_anomalies}
    done += f"; threshold {-detector.offset_:.2f} nats, {counted(n_anomalies, 'row')} flagged"
    return Result(detector, frame, scores, flags, summary), done


def strangest_first(scores: npt.NDArray[np.float64], top: int | None) -> npt.NDArray[np.intp]:
    """Rows from the highest score down; equal scores in the order of the file."""
    return np.argsort(-scores, kind="stable")[:top]
