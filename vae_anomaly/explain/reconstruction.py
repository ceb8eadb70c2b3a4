"""What a model expects in every cell of a row, given the row."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from vae_anomaly.columns import Encoder
from vae_anomaly.data import Images, Table
from vae_anomaly.explain.conditionals import expected_cells
from vae_anomaly.fitting import FittedModel


def reconstruct(model: FittedModel[Encoder], data: Table | Images) -> list[npt.NDArray[Any]] | npt.NDArray[Any]:
    """Columns of a table, or images, in data units: the mean over draws and members, or the most probable level."""
    batch = model.encoder.encode(data)
    expected = expected_cells(model.vae, batch, model.noise, weighted=False).numpy()
    return model.encoder.decode(expected, batch.units)
