"""Drift of a mixed table: rows until `check_drift` says so, and how often it does where nothing has changed."""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import pandas as pd
from benchmarks.detection.cells import Cell, Row
from benchmarks.guarantees.studies import Study

from vae_anomaly import VAEDetector

N_FITTED = 2_000
ALPHA = 0.01
BATCH, MAX_ROWS = 100, 4_000
FILE, N_FILES = 200, 10
N_FITS, N_STREAMS, N_NULL = 5, 4, 40
TREND_ROWS = 2_000
# What changes, and the column that it changes.
CHANGES = {"shift": "temperature", "new level": "site", "missing": "humidity", "trend": "temperature"}
NOTHING, SORTED = "nothing", "nothing, but files are sorted"


def table(n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of a machine: two hidden causes behind eight columns."""
    one, other = rng.normal(size=(2, n_rows))
    noise = rng.normal(size=(4, n_rows))
    humidity = 50 + 10 * (0.6 * other + 0.8 * noise[3])
    humidity[rng.random(n_rows) < 0.05] = np.nan
    return pd.DataFrame(
        {
            "temperature": 20 + 5 * (0.8 * one + 0.6 * noise[0]),
            "pressure": 3 + 0.4 * (0.8 * one - 0.6 * noise[1]),
            "speed": np.exp(0.5 * other + 0.3 * noise[2]),
            "load": rng.normal(100, 15, n_rows),
            "faults": rng.poisson(np.exp(1 + 0.4 * other)),
            "site": rng.choice(["north", "south", "east", "west"], n_rows, p=[0.5, 0.25, 0.15, 0.1]),
            "mode": np.where(one + rng.normal(size=n_rows) > 0, "high", "low"),
            "humidity": humidity,
        }
    )


def changed(rows: pd.DataFrame, change: str, rng: np.random.Generator) -> pd.DataFrame:
    """The rows after the change; the first of them is the first that may be different."""
    rows = rows.copy()
    if change == "shift":
        rows["temperature"] += 0.5 * 5
    elif change == "trend":
        rows["temperature"] += 0.5 * 5 * np.minimum(np.arange(len(rows)) / TREND_ROWS, 1)
    elif change == "new level":
        rows.loc[rng.random(len(rows)) < 0.03, "site"] = "harbour"
    elif change == "missing":
        rows.loc[rng.random(len(rows)) < 0.05 / 0.95, "humidity"] = np.nan
    return rows


@lru_cache(maxsize=1)
def fitted(seed: int) -> VAEDetector:
    detector = VAEDetector(random_state=seed)
    detector.fit(table(N_FITTED, np.random.default_rng([seed, 0])))
    return detector


def measure(cell: Cell) -> Row:
    change, seed, number = cell
    detector = copy.copy(fitted(int(seed)))
    rng = np.random.default_rng([int(seed), 1, int(number), [NOTHING, *CHANGES, SORTED].index(change)])
    if change in {NOTHING, SORTED}:
        return files(detector, rng, "load" if change == SORTED else None)
    rows = changed(table(MAX_ROWS, rng), change, rng)
    found: Row = {"n_calibration": detector.calibration_.n_rows}
    wanted = ("any", "scores", "column", "stream")
    for begin in range(0, MAX_ROWS, BATCH):
        report = detector.check_drift(rows.iloc[begin : begin + BATCH], ALPHA)
        says = {
            "any": report.drifted,
            "scores": report.scores_moved,
            "column": any(shift.column == CHANGES[change] for shift in report.moved),
            "stream": report.stream.alarm(ALPHA),
        }
        found |= {name: begin + BATCH for name in wanted if says[name] and name not in found}
        if all(name in found for name in wanted):
            break
    return found


def files(detector: VAEDetector, rng: np.random.Generator, by: str | None) -> Row:
    """Alarms of files in which nothing has changed, each sorted by a column or as the rows come."""
    reports = []
    for _ in range(N_FILES):
        rows = table(FILE, rng)
        reports.append(detector.check_drift(rows if by is None else rows.sort_values(by), ALPHA))
    return {
        "n_calibration": detector.calibration_.n_rows,
        "files_scores": sum(report.scores_moved for report in reports),
        "files_columns": sum(bool(report.moved) for report in reports),
        "files_either": sum(report.scores_moved or bool(report.moved) for report in reports),
        "stream_alarm": int(reports[-1].stream.alarm(ALPHA)),
        "any_alarm": int(any(report.drifted for report in reports)),
    }


DRIFT = Study(
    ("change", "seed", "stream_number"),
    (
        "n_calibration",
        "any",
        "scores",
        "column",
        "stream",
        "files_scores",
        "files_columns",
        "files_either",
        "stream_alarm",
        "any_alarm",
    ),
    tuple(
        (change, str(seed), str(number))
        for seed in range(N_FITS)
        for change in (*CHANGES, NOTHING, SORTED)
        for number in range(N_NULL if change == NOTHING else N_STREAMS)
    ),
    measure,
)
