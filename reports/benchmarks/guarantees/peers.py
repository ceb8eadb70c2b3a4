"""IsolationForest with split-conformal p-values: plain, and by nonconform in an interpreter that has it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.harness import Array
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

# nonconform 2 needs Python 3.12.
INTERPRETER = os.environ.get("NONCONFORM_PYTHON", sys.executable)
PEER_SCRIPT = Path(__file__).with_name("nonconform_peer.py")
CALIBRATION_SHARE = 0.2


class SplitForest:
    """A fifth of the rows calibrates, as in VAEDetector's split."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, X: Array) -> SplitForest:
        order = np.random.default_rng(self.seed).permutation(len(X))
        self.n_calibration = max(round(CALIBRATION_SHARE * len(X)), 1)
        calibrating, fitted = order[: self.n_calibration], order[self.n_calibration :]
        self.forest = IsolationForest(random_state=self.seed).fit(X[fitted])
        self.scores = np.sort(-self.forest.score_samples(X[calibrating]))
        return self

    def p_values(self, X: Array) -> Array:
        n_at_least = self.n_calibration - np.searchsorted(self.scores, -self.forest.score_samples(X), "left")
        p: Array = (1 + n_at_least) / (1 + self.n_calibration)
        return p


def as_numbers(fitted: Any, *others: Any) -> tuple[Array, ...]:
    """What a careful user does before a forest: flattened images, medians for missing numbers, levels one-hot."""
    if not isinstance(fitted, pd.DataFrame):
        return tuple(np.asarray(rows, dtype=np.float64).reshape(len(rows), -1) for rows in (fitted, *others))
    numbers = make_column_selector(dtype_include="number")
    levels = make_column_selector(dtype_exclude="number")
    encoder = make_column_transformer(
        (SimpleImputer(strategy="median"), numbers),
        (OneHotEncoder(handle_unknown="ignore", min_frequency=10, sparse_output=False), levels),
    ).fit(fitted)
    return tuple(np.asarray(encoder.transform(rows), dtype=np.float64) for rows in (fitted, *others))
