"""What a study of the guarantees is: cells that are measured one by one, each a row of a CSV."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks.detection.cells import OK, Cell, Row, attempt
from benchmarks.harness import Array

from vae_anomaly.decisions import Calibration, Contamination

HERE = Path(__file__).resolve().parent
AFTER = ("status", "fit_s", "commit")
SEED = "seed"

Flags = npt.NDArray[np.bool_]
Measure = Callable[[Cell], Row]


@dataclass(frozen=True)
class Study:
    """Cells and what is measured of each.

    Attributes
    ----------
    keys, values : tuple of str
        Columns of the CSV: what names a cell, the seed among it, and what is found.
    cells : tuple of Cell
        In the order in which they are measured.
    measure : callable
        The row of a cell.
    """

    keys: tuple[str, ...]
    values: tuple[str, ...]
    cells: tuple[Cell, ...]
    measure: Measure

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.keys, *self.values, *AFTER)

    def row(self, cell: Cell) -> Row:
        """Names, findings, seconds of the processor; or why there are none."""
        begin = time.process_time()
        found = attempt(lambda: self.measure(cell), None)
        return {**dict(zip(self.keys, cell, strict=True)), **found, "fit_s": time.process_time() - begin}

    def chosen(self, seeds: Sequence[int] | None) -> list[Cell]:
        place = self.keys.index(SEED)
        return [cell for cell in self.cells if seeds is None or int(cell[place]) in seeds]

    def read(self, name: str, folder: Path = HERE) -> pd.DataFrame:
        """What was found; empty where the study was not run."""
        path = folder / f"{name}.csv"
        if not path.exists():
            return pd.DataFrame(columns=list(self.columns))
        frame = pd.read_csv(path, keep_default_na=False, na_values=["", "nan"])
        return frame[frame["status"] == OK]


def in_sample(fitted: Array, new: Array, rates: Sequence[float]) -> tuple[Array, list[float]]:
    """Ranks among the rows that were fitted, and shares flagged by the thresholds that these give."""
    calibration = Calibration.of("training", [fitted])
    flagged = [float(Contamination(rate).find(calibration).flags(new).mean()) for rate in rates]
    return calibration.p_values(new[:, None]), flagged


def standard_error(values: pd.Series[float]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
