"""Labels of rows, in either convention."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vae_anomaly.errors import SpecificationError


def anomalous(y: Any, n_rows: int) -> npt.NDArray[np.bool_]:
    """Labels as booleans: 1 or True is anomalous, or -1 where there are 1 and -1, as `predict` has it.

    Raises
    ------
    SpecificationError
        If they are something else, or not as many as rows.
    """
    labels = np.asarray(y)
    labels = labels.ravel() if labels.ndim < 2 or labels.shape[1:] == (1,) else labels
    if labels.shape != (n_rows,):
        raise SpecificationError(f"there are {labels.size} labels for {n_rows} rows. Give one for each.")
    try:
        found = set(np.unique(labels).tolist())
    except TypeError:
        # What cannot be put in order, as a missing label and others.
        found = {None}
    if found <= {0, 1}:
        return labels.astype(bool)
    if found <= {-1, 1}:
        return np.isin(labels, [-1])
    raise SpecificationError(
        "labels are 0 and 1 (1 for anomalous), booleans, or 1 and -1 (-1 for anomalous); none is missing."
    )
