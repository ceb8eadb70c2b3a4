"""Who watches a fit: progress, TensorBoard, and what users bring, in skorch's manner.

A callback is told when a fit begins, at each check of the training, and when the detector is fitted.  It sees all
and, as long as it leaves the rows as they are, changes nothing that is learned, but for ending the training with
`StopTraining`.
"""

from __future__ import annotations

from vae_anomaly.callbacks.bars import open_bar
from vae_anomaly.callbacks.base import Callback
from vae_anomaly.callbacks.checkpoint import Checkpoint
from vae_anomaly.callbacks.progress_bar import ProgressBar
from vae_anomaly.callbacks.records_of_fits import scalars_of, shown_parameters
from vae_anomaly.callbacks.tensorboard_log import TensorBoard
from vae_anomaly.callbacks.watch import (
    NO_WATCH,
    Watch,
    add_to_every_fit,
    check_callbacks,
    remove_from_every_fit,
    watched,
)
from vae_anomaly.model import StopTraining, TrainingCheck

__all__ = [
    "NO_WATCH",
    "Callback",
    "Checkpoint",
    "ProgressBar",
    "StopTraining",
    "TensorBoard",
    "TrainingCheck",
    "Watch",
    "add_to_every_fit",
    "check_callbacks",
    "open_bar",
    "remove_from_every_fit",
    "scalars_of",
    "shown_parameters",
    "watched",
]
