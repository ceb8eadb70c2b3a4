"""Records of fits, under the name of the package: counts, names of columns and nats, and no cell of the data."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from vae_anomaly.columns import Encoder
from vae_anomaly.data import Images, Table
from vae_anomaly.fitting import FittedModel
from vae_anomaly.records import logger_of

LOGGER = logger_of(__name__)


def log_rows(data: Table | Images, used: npt.NDArray[np.bool_]) -> None:
    """Say what was read."""
    if isinstance(data, Images):
        LOGGER.info("read %d images of shape %s", data.n_rows, data.shape)
        return
    n_left_out = len(used) - int(used.sum())
    LOGGER.info("read %d rows of %d columns; %d rows of weight 0 left out", data.n_rows, len(data.names), n_left_out)


def log_columns(encoder: Encoder) -> None:
    """Say what columns were taken for, and which are set aside."""
    kinds = Counter(column.kind for column in encoder.columns if column.is_used)
    LOGGER.debug("columns by kind: %s", dict(kinds))
    aside = [column.name for column in encoder.columns if not column.is_used]
    if aside:
        LOGGER.info("%d columns set aside: %s", len(aside), aside)


def log_fit(model: FittedModel[Encoder]) -> None:
    """Say how a training ended, and what it came to."""
    report, history = model.report, model.history
    if history.stopped_by:
        LOGGER.info("training ended by a callback at step %d: %s", report.n_iter, history.stopped_by)
    elif history.interrupted:
        LOGGER.info("training interrupted at step %d", report.n_iter)
    elif history.stopped_early:
        LOGGER.info("training stopped at step %d: held-out rows improve no more", report.n_iter)
    if history.rolled_back:
        LOGGER.info("training went back to its last finite weights once")
    calibration = model.decisions.calibration
    LOGGER.info(
        "fitted on %d rows in %d steps: ELBO %.4f, KL %.4f nats; threshold %.4f nats from %d calibration rows",
        *(report.n_rows, report.n_iter, report.elbo, report.kl, model.decisions.threshold.score),
        0 if calibration is None else calibration.n_rows,
    )
