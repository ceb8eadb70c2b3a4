"""What was asked for, what was measured, and whether that is met."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from benchmarks.speed.figures import MISSING, percent, ratio, shown, times
from benchmarks.speed.sections import REWRITE, SCORE, Parts, limit
from benchmarks.speed.workers import BEFORE, FOREST, OURS, PYOD

Aim = tuple[str, str, str, str]

FIT_SIZE, MIDDLE_SIZE, LARGE_SIZE = 10_000, 100_000, 1_000_000
FASTER = {FIT_SIZE: 10.0, MIDDLE_SIZE: 100.0}
LARGE_SECONDS = 5.0
PYOD_RATE, FILE_SHARE, FILE_MIB, SEARCH_LOSS = 5.0, 0.6, 1024.0, 0.2


def measured(aim: str, asked: str, said: str, value: float, met: bool) -> Aim:
    if not np.isfinite(value):
        return aim, asked, MISSING, "not measured"
    return aim, asked, said, "yes" if met else "**no**"


def aims(parts: Parts) -> list[Aim]:
    made = {"fit": of_fit, "score": of_score, "terms": of_terms, "files": of_files, "search": of_search}
    rows = [aim for name, of in made.items() if name in parts for aim in of(parts[name])]
    return rows + (of_limits(parts["limits"]) if "limits" in parts else [])


def of_fit(found: pd.DataFrame) -> Iterator[Aim]:
    for size, factor in FASTER.items():
        value = ratio(found[found["rows"] == size], PYOD, OURS, "method", "fit_s")
        yield measured(
            f"fit of {size:,} rows, PyOD VAE / ours", f"{factor:.0f} times", times(value), value, value >= factor
        )
    large = found[(found["rows"] == LARGE_SIZE) & (found["method"] == OURS)]["fit_s"].median()
    asked = f"under {LARGE_SECONDS:.0f} s"
    yield measured(f"fit of {LARGE_SIZE:,} rows", asked, f"{shown(large)} s", large, large < LARGE_SECONDS)
    value = ratio(found[found["rows"] == FIT_SIZE], BEFORE, OURS, "method", "fit_s")
    if np.isfinite(value):
        yield f"fit of {FIT_SIZE:,} rows, before / now", MISSING, times(value), MISSING


def of_score(found: pd.DataFrame) -> Iterator[Aim]:
    one = found[found["threads"] == 1]
    two = found[found["threads"] == 2]
    value = ratio(one, OURS, FOREST, "method", "rows_s")
    yield measured("scoring, ours / IsolationForest, one thread each", "once", times(value), value, value >= 1)
    both = pd.concat([one[one["method"] == FOREST], two[two["method"] == OURS]])
    value = ratio(both, OURS, FOREST, "method", "rows_s")
    yield measured(
        "scoring, ours with 2 threads / IsolationForest at its default", "once", times(value), value, value >= 1
    )
    value = ratio(one, OURS, PYOD, "method", "rows_s")
    asked = f"{PYOD_RATE:.0f} times"
    yield measured("scoring, ours / PyOD VAE, one thread each", asked, times(value), value, value >= PYOD_RATE)
    value = ratio(pd.concat([fastest(found, OURS), fastest(found, PYOD)]), OURS, PYOD, "method", "rows_s")
    label = "scoring, ours / PyOD VAE, each with the number of threads that suits it"
    yield measured(label, asked, times(value), value, value >= PYOD_RATE)
    value = ratio(one, OURS, BEFORE, "method", "rows_s")
    if np.isfinite(value):
        yield "scoring, now / before, one thread each", MISSING, times(value), MISSING


def fastest(found: pd.DataFrame, method: str) -> pd.DataFrame:
    """Its runs with the number of threads that has the largest median."""
    own = found[found["method"] == method]
    return own[own["threads"] == own.groupby("threads")["rows_s"].median().idxmax()]


def of_terms(found: pd.DataFrame) -> Iterator[Aim]:
    value = ratio(found, "exemplars", "encoder, decoder, likelihood", "term", "us_row")
    yield measured("time of the exemplars / of the network", "at most once", times(value), value, value <= 1)


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


def of_limits(found: pd.DataFrame) -> list[Aim]:
    achieved = limit(found).groupby(["work", "threads"])["achieved"].median()
    rows = []
    for work in ("training", "scoring"):
        for n in sorted(map(int, found["threads"].unique())):
            label = f"{work}, achieved / possible, {n} thread{'s' if n > 1 else ''}"
            rows.append((label, "to be shown", percent(float(achieved[work, n])), MISSING))
    return rows
