"""From rows of results.csv to means, ranks and differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks.detection.cells import OK
from benchmarks.detection.methods import METHODS, PRESETS
from benchmarks.detection.protocol import CLEAN, CONTAMINATED, SETTINGS
from benchmarks.foundation_page import METRICS, OURS
from scipy.stats import studentized_range
from scipy.stats import t as student

TIE = 0.005
FAR_BEHIND = 0.02
FIGURES = tuple((setting, metric) for setting in SETTINGS for metric in METRICS)
# What (nearly) all methods have: methods are ordered by the mean of these.
ORDERING = tuple(figure for figure in FIGURES if figure[0] in (CLEAN, CONTAMINATED))


def measured(found: pd.DataFrame) -> pd.DataFrame:
    """The rows that compare like with like: the methods and seeds of a setting that were run on all of its tables.

    Its tables are those of the seed of VAEDetector that has most.  `total_s` is what fit and scores take together.
    """
    kept = []
    for _, part in found.groupby("setting"):
        own = part[part["method"] == OURS]
        fullest = own["seed"].mode().min()
        there = part[part["table"].isin(own.loc[own["seed"] == fullest, "table"])]
        n_tables = there.groupby(["method", "seed"])["table"].transform("size")
        kept.append(there[n_tables == there["table"].nunique()])
    return pd.concat(kept).assign(total_s=lambda rows: rows["fit_s"] + rows["score_s"])


def methods_of(found: pd.DataFrame) -> list[str]:
    """In the order of the registry."""
    there = set(found["method"])
    return [name for name in METHODS if name in there]


def by_seed(found: pd.DataFrame, setting: str, metric: str) -> pd.DataFrame:
    """One row a table and seed, one column a method; NaN where it failed or was not run."""
    part = found[(found["setting"] == setting) & (found["status"] == OK)]
    wide = part.pivot_table(index=["table", "seed"], columns="method", values=metric)
    there = found[found["setting"] == setting]
    return wide.reindex(columns=methods_of(there))


def by_table(found: pd.DataFrame, setting: str, metric: str, how: str = "mean") -> pd.DataFrame:
    """One row a table, one column a method; NaN where it failed with any of its seeds."""
    part = found[found["setting"] == setting]
    wide = by_seed(found, setting, metric).groupby("table").agg(how)
    failed = part.assign(failed=part["status"] != OK).pivot_table(
        index="table", columns="method", values="failed", aggfunc="any"
    )
    failed = failed[wide.columns]
    return wide.reindex(failed.index).mask(failed.astype(bool))


def seed_means(found: pd.DataFrame, setting: str, metric: str, method: str) -> npt.NDArray[np.float64]:
    """The mean over tables for each seed; tables without a figure for every seed are left out."""
    wide = by_seed(found, setting, metric).reset_index().pivot_table(index="table", columns="seed", values=method)
    means: npt.NDArray[np.float64] = wide.dropna().mean().to_numpy(np.float64)
    return means if len(means) else np.array([np.nan])


def ranks(found: pd.DataFrame, setting: str, metric: str) -> pd.DataFrame:
    """1 is best; who failed is last.  VAEDetector is ranked once, at its defaults."""
    wide = by_table(found, setting, metric).drop(columns=PRESETS, errors="ignore")
    return wide.rank(axis=1, ascending=False, na_option="bottom")


def critical_difference(n_methods: int, n_tables: int) -> float:
    """Nemenyi's, at 5 %: mean ranks nearer than this are not distinguished."""
    quantile = float(studentized_range.ppf(0.95, n_methods, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_tables)))


def leads(found: pd.DataFrame, setting: str, metric: str, method: str = OURS) -> pd.DataFrame:
    """The method minus each other one: table means over the seeds that both have."""
    wide = by_seed(found, setting, metric)
    return wide.drop(columns=method).rsub(wide[method], axis=0).groupby("table").mean()


def interval(differences: Sequence[float] | pd.Series[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % t interval."""
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    half = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return float(values.mean()), half


def outcome(differences: pd.Series[float]) -> tuple[int, int, int]:
    """Wins, ties and losses."""
    wins, losses = int((differences > TIE).sum()), int((differences < -TIE).sum())
    return wins, len(differences) - wins - losses, losses


def seconds(found: pd.DataFrame, setting: str, what: str) -> pd.Series[float]:
    """The mean over tables of median seconds, for each method."""
    return by_table(found, setting, what, "median").mean()


def microseconds_per_row(found: pd.DataFrame, setting: str, method: str) -> float:
    """Seconds of scoring over rows scored, both added over the tables; medians of seeds."""
    part = found[(found["setting"] == setting) & (found["method"] == method)]
    medians = part.groupby("table")[["score_s", "n_test"]].median().sum()
    return float(1e6 * medians["score_s"] / medians["n_test"])


def slowness(found: pd.DataFrame, setting: str, what: str) -> pd.Series[float]:
    """VAEDetector's seconds over each other's, both added over the tables that both have."""
    wide = by_table(found, setting, what, "median")
    return pd.Series({name: wide[OURS][wide[name].notna()].sum() / wide[name].sum() for name in wide.columns})
