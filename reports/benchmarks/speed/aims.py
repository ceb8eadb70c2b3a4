"""What was asked for, what was measured, and whether that is met."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from benchmarks.speed.figures import MISSING, percent, ratio, shown, times
from benchmarks.speed.sections import REWRITE, SCORE, Parts
from benchmarks.speed.start import SCORE as SCORE_SMALL
from benchmarks.speed.workers import BEFORE, FOREST, OURS, PYOD

Aim = tuple[str, str, str, str]

FIT_SIZE, MIDDLE_SIZE, LARGE_SIZE = 10_000, 100_000, 1_000_000
FASTER = {FIT_SIZE: 10.0, MIDDLE_SIZE: 100.0}
FIT_SECONDS, LARGE_SECONDS, START_SECONDS = 1.2, 5.0, 3.0
TABLE_RATIO, ROW_MS = 0.8, 1.0
PYOD_RATE, FILE_SHARE, FILE_MIB, SEARCH_LOSS = 5.0, 0.6, 1024.0, 0.2


def measured(aim: str, asked: str, said: str, value: float, met: bool) -> Aim:
    if not np.isfinite(value):
        return aim, asked, MISSING, "not measured"
    return aim, asked, said, "yes" if met else "**no**"


def aims(parts: Parts) -> list[Aim]:
    made = {
        "score": of_score,
        "tables": of_tables,
        "fit": of_fit,
        "start": of_start,
        "files": of_files,
        "search": of_search,
    }
    return [aim for name, of in made.items() if name in parts for aim in of(parts[name])]


def of_fit(found: pd.DataFrame) -> Iterator[Aim]:
    small = found[(found["rows"] == FIT_SIZE) & (found["method"] == OURS)]["fit_s"].median()
    yield measured(f"fit of {FIT_SIZE:,} rows", "about 1 CPU s", f"{shown(small)} s", small, small < FIT_SECONDS)
    for size, factor in FASTER.items():
        value = ratio(found[found["rows"] == size], PYOD, OURS, "method", "fit_s")
        yield measured(
            f"fit of {size:,} rows, PyOD VAE / ours", f"{factor:.0f} times", times(value), value, value >= factor
        )
    large = found[(found["rows"] == LARGE_SIZE) & (found["method"] == OURS)]["fit_s"].median()
    asked = f"under {LARGE_SECONDS:.0f} CPU s"
    yield measured(f"fit of {LARGE_SIZE:,} rows", asked, f"{shown(large)} s", large, large < LARGE_SECONDS)
    value = ratio(found[found["rows"] == FIT_SIZE], BEFORE, OURS, "method", "fit_s")
    if np.isfinite(value):
        yield f"fit of {FIT_SIZE:,} rows, before / now", MISSING, times(value), MISSING


def of_score(found: pd.DataFrame) -> Iterator[Aim]:
    value = ratio(found, OURS, FOREST, "method", "rows_s")
    yield measured("scoring, ours / IsolationForest", "once", times(value), value, value >= 1)
    value = ratio(found, OURS, PYOD, "method", "rows_s")
    asked = f"{PYOD_RATE:.0f} times"
    yield measured("scoring, ours / PyOD VAE", asked, times(value), value, value >= PYOD_RATE)
    row = found[found["method"] == OURS]["row_ms"].median()
    yield measured("one row", f"under {ROW_MS:.0f} CPU ms", f"{shown(row)} ms", row, row < ROW_MS)
    value = ratio(found, OURS, BEFORE, "method", "rows_s")
    if np.isfinite(value):
        yield "scoring, now / before", MISSING, times(value), MISSING


def of_tables(found: pd.DataFrame) -> Iterator[Aim]:
    for name, part in found.groupby("table", sort=False):
        value = ratio(part, OURS, FOREST, "method", "rows_s")
        label = f"scoring {name} ({part['kind'].iloc[0]}), ours / IsolationForest"
        yield measured(label, f"{TABLE_RATIO:g} times", times(value), value, value >= TABLE_RATIO)


def of_start(found: pd.DataFrame) -> Iterator[Aim]:
    value = found[(found["program"] == SCORE_SMALL) & (found["method"] == OURS)]["cpu_s"].median()
    asked = f"under {START_SECONDS:.0f} CPU s"
    yield measured(
        "`vae-anomaly score` of 500 x 10, with its fit", asked, f"{shown(value)} s", value, value < START_SECONDS
    )


def of_files(found: pd.DataFrame) -> Iterator[Aim]:
    for kind, part in found.groupby("format"):
        value = ratio(part, REWRITE, SCORE, "method", "seconds")
        asked = f"{FILE_SHARE:.0%}".replace("%", " %")
        yield measured(f"{kind} file, throughput / pyarrow's", asked, percent(value), value, value >= FILE_SHARE)
        peak = part[part["method"] == SCORE]["peak_mib"].max()
        yield measured(f"{kind} file, peak memory", "under 1 GiB", f"{peak:,.0f} MiB", peak, peak < FILE_MIB)


def of_search(found: pd.DataFrame) -> Iterator[Aim]:
    wide = found.pivot_table(index="run", columns="jobs", values="seconds")
    loss = 1 - float((wide[1] / wide[2]).median()) / 2 if {1, 2} <= set(wide) else float("nan")
    asked = f"under {100 * SEARCH_LOSS:.0f} %"
    yield measured("search with 2 processes, loss of efficiency", asked, percent(loss), loss, loss < SEARCH_LOSS)
