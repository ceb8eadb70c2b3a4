"""A process that scores one row and says what that took since its start, and then what rows take: a line of JSON.

python reports/benchmarks/speed/scoring_process.py model.vae|model.onnx rows.npy

Imports what its method needs and no more.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ONE_ROW_CALLS, TIMES = 200, 3


def scorer(model: str) -> Callable[[Any], Any]:
    if model.endswith(".onnx"):
        from vae_anomaly import OnnxModel

        return OnnxModel(model).score_samples
    from vae_anomaly import load

    return load(model).score_samples


def peak_mib() -> float:
    """The largest resident size since the program was started: `getrusage` counts that of the parent, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def taken(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    model, path = sys.argv[1:]
    rows = np.load(path)
    score = scorer(model)
    score(rows[:1])
    began, peak = time.process_time(), peak_mib()
    one = taken(lambda: [score(rows[row : row + 1]) for row in range(ONE_ROW_CALLS)]) / ONE_ROW_CALLS
    score(rows)
    every = min(taken(lambda: score(rows)) for _ in range(TIMES))
    answer = {"start_s": began, "start_mib": peak, "row_ms": 1e3 * one, "rows_s": len(rows) / every}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
