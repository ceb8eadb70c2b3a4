"""The fixed splits and metrics of the tabular benchmark, read from a file outside the repository."""

from __future__ import annotations

import importlib.util
import os
import sys
import zipfile
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from benchmarks.harness import DATA, Array
from sklearn.preprocessing import StandardScaler

VARIABLE = "ADBENCH_PROTOCOL"
CLEAN, CONTAMINATED, HISTORY = "semi", "unsup", "history"
SETTINGS = (CLEAN, CONTAMINATED, HISTORY)
SETTING_NAMES = {CLEAN: "clean", CONTAMINATED: "contaminated", HISTORY: "dirty history"}

Labels = npt.NDArray[np.int64]
Split = tuple[Array, Array, Labels]


def stop(message: str) -> NoReturn:
    """One line on stderr, exit code 2."""
    sys.stderr.write(message + "\n")
    raise SystemExit(2)


def protocol_file() -> Path:
    return Path(os.environ.get(VARIABLE, DATA.parent / "protocol.py"))


@cache
def protocol(folder: Path | None = None) -> Any:
    """The module; with a folder, for the tables there instead of ADBench's."""
    path = protocol_file()
    if not path.is_file():
        stop(
            f"{path} is not there: expected a Python file with names(), splits(name, setting, seed), "
            f"capped(name, seed) and metrics(y, scores). Say where it is with {VARIABLE}."
        )
    specification = importlib.util.spec_from_file_location("adbench_protocol", path)
    assert specification is not None
    assert specification.loader is not None
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    if folder is not None:
        module.FOLDER = folder
    return module


def tables(folder: Path | None = None) -> list[str]:
    """Names of the tables on this machine, the one with the fewest cells first."""
    there = Path(protocol(folder).FOLDER)
    names: list[str] = protocol(folder).names()
    if not names:
        stop(f"{there} holds no tables: expected .npz files with X and y. ADBENCH_DIR says where ADBench's are.")
    return sorted(names, key=lambda name: _n_cells(there / f"{name}.npz", protocol(folder).ROW_CAP))


def _n_cells(path: Path, row_cap: int) -> int:
    """Of the table that is used, from the header of the array alone."""
    with zipfile.ZipFile(path) as archive, archive.open("X.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        n_rows, n_columns = read(file)[0]
    return int(min(n_rows, row_cap) * n_columns)


@lru_cache(maxsize=2)
def splits(table: str, setting: str, seed: int, folder: Path | None = None) -> Split:
    """Training rows, scored rows and their labels, 1 for anomalies."""
    if setting == HISTORY:
        return _history(table, seed, folder)
    train, test, y = protocol(folder).splits(table, setting, seed)
    return train, test, y


def _history(table: str, seed: int, folder: Path | None) -> Split:
    """A random half of all rows, with the anomalies that it holds, to train on, and the other half to score."""
    X, y, rng = protocol(folder).capped(table, seed)
    order = rng.permutation(len(y))
    fitted, scored = order[: len(y) // 2], order[len(y) // 2 :]
    scaler = StandardScaler().fit(X[fitted])
    return scaler.transform(X[fitted]), scaler.transform(X[scored]), y[scored]


def metrics(y: Labels, scores: Array) -> tuple[float, float]:
    """AUROC and average precision."""
    auroc, ap = protocol().metrics(y, scores)
    return float(auroc), float(ap)
