"""One method in a process of its own: takes orders as lines of JSON and answers each with one.

Times are CPU seconds of the process, all its threads together: other work on the machine hardly changes them.
Imports no more of vae_anomaly than its detector, so that an earlier version can be measured by the same lines.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 100_000
N_LATENTS, N_HIDDEN = 8, 16
ANOMALOUS, NOISE = 0.05, 0.3
TEST_ROWS, TEST_SEED = 10_000, 1_000
ONE_ROW_CALLS = 100

Answer = dict[str, Any]


@cache
def table(
    n_rows: int, n_columns: int, seed: int, dtype: str = "float64"
) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.bool_]]:
    """Continuous columns of a curved eight-dimensional density, made by the block; one row in twenty is an anomaly.

    Half of these are far out in the density's own directions, half have cells that do not go together.
    """
    shape = np.random.default_rng(n_columns)
    inner, outer = shape.normal(size=(N_LATENTS, N_HIDDEN)), shape.normal(size=(N_HIDDEN, n_columns))
    rows, anomalous = np.empty((n_rows, n_columns), dtype), np.zeros(n_rows, dtype=bool)
    for begin in range(0, n_rows, BLOCK):
        n = min(BLOCK, n_rows - begin)
        rng = np.random.default_rng((seed, begin))
        kind = rng.random(n)
        far, torn = kind < ANOMALOUS / 2, kind > 1 - ANOMALOUS / 2
        latents = rng.normal(size=(n, N_LATENTS)) * np.where(far, 3.0, 1.0)[:, None]
        block = np.tanh(0.5 * latents @ inner) @ outer
        block[torn] = block[rng.integers(n, size=(int(torn.sum()), n_columns)), np.arange(n_columns)]
        block += NOISE * rng.normal(size=block.shape)
        rows[begin : begin + n], anomalous[begin : begin + n] = block, far | torn
    return rows, anomalous


def made(method: str, settings: Answer) -> Any:
    """An unfitted detector, at its defaults but for the settings."""
    if method == "VAEDetector":
        from vae_anomaly import VAEDetector

        return VAEDetector(**settings)
    if method == "PyOD VAE":
        from pyod.models.vae import VAE

        return VAE(verbose=0, **settings)
    from sklearn.ensemble import IsolationForest

    return IsolationForest(random_state=0, **settings)


def normality(method: str, model: Any, X: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Higher is more normal."""
    scores: npt.NDArray[np.float64] = (
        -model.decision_function(X) if method == "PyOD VAE" else np.asarray(model.score_samples(X))
    )
    return scores


class Bench:
    """Holds the fitted model between two orders."""

    def __init__(self) -> None:
        self.method, self.model = "", None

    def ready(self, method: str) -> Answer:
        """First calls import and compile."""
        self.method = method
        few, _ = table(500, 5, 0)
        normality(method, made(method, {}).fit(few), few)
        return {"library": sys.modules[made(method, {}).__module__].__file__, "threads": self.threads()}

    def threads(self) -> int:
        torch = sys.modules.get("torch")
        return int(torch.get_num_threads()) if torch else 1

    def memory(self) -> Answer:
        return {"peak_mib": peak_mib()}

    def fit(self, rows: int, columns: int, settings: Answer, dtype: str = "float64", named: bool = False) -> Answer:
        X: Any = table(rows, columns, 0, dtype)[0]
        if named:
            import pandas as pd

            X = pd.DataFrame(X, columns=[f"x{index}" for index in range(columns)])
        model = made(self.method, settings)
        begin = time.process_time()
        self.model = model.fit(X)
        return {"fit_s": time.process_time() - begin, "peak_mib": peak_mib()}

    def auroc(self, columns: int) -> Answer:
        from sklearn.metrics import roc_auc_score

        X, anomalous = table(TEST_ROWS, columns, TEST_SEED)
        return {"auroc": roc_auc_score(anomalous, -normality(self.method, self.model, X))}

    def score(self, rows: int, columns: int, dtype: str = "float64") -> Answer:
        X, _ = table(rows, columns, TEST_SEED, dtype)
        begin = time.process_time()
        normality(self.method, self.model, X)
        return {"rows_s": rows / (time.process_time() - begin), "peak_mib": peak_mib()}

    def one_row(self, columns: int, calls: int = ONE_ROW_CALLS) -> Answer:
        X, _ = table(TEST_ROWS, columns, TEST_SEED)
        taken = []
        for index in range(calls):
            row = X[index : index + 1]
            begin = time.process_time()
            normality(self.method, self.model, row)
            taken.append(time.process_time() - begin)
        return {"row_ms": 1e3 * median(taken)}

    def save(self, path: str) -> Answer:
        assert self.model is not None
        from vae_anomaly import save

        save(self.model, path)
        return {}


def peak_mib(process: int | str = "self") -> float:
    """The most memory that a process has had at once; the rusage would begin with that of the process it came from."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> None:
    warnings.simplefilter("ignore")
    bench, answers = Bench(), sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        order = json.loads(line)
        work: Callable[..., Answer] = getattr(bench, order.pop("do"))
        answers.write(json.dumps(work(**order)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
