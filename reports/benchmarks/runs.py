"""CSVs whose rows say in which run they were measured, so that a method is measured again without its peers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from benchmarks.foundation_page import OURS, git, markdown

import vae_anomaly

RUN = "run"
TABLE_AND_METHOD = ("table", "method")


def this_run() -> str:
    """Date and the library's commit: what several commands of one day measure of one library is one run."""
    commit = git("log", "-1", "--format=%h", "--", ".", folder=Path(vae_anomaly.__file__).parent)
    return f"{dt.datetime.now(tz=dt.UTC).date()} {commit or 'unknown'}"


def add(found: pd.DataFrame, path: Path, keys: Sequence[str], float_format: str = "%.6g") -> None:
    """Append rows to a CSV; rows of this run with the same keys make way for them, those of earlier runs stay."""
    if found.empty:
        return
    rows = found.assign(**{RUN: this_run()})
    if path.exists():
        rows = pd.concat([pd.read_csv(path), rows]).drop_duplicates([*keys, RUN], keep="last")
    rows.to_csv(path, index=False, float_format=float_format, lineterminator="\n")


def last(rows: pd.DataFrame, of: Sequence[str] = TABLE_AND_METHOD) -> pd.DataFrame:
    """The last run of each table and method, with the seeds that all of them have; our methods first."""
    kept = rows[_is_last(rows, of)]
    seeds = kept.groupby(list(of))["seed"].agg(frozenset)
    shared = kept[kept["seed"].isin(frozenset.intersection(*seeds))]
    return shared.sort_values("method", key=lambda names: ~names.str.startswith(OURS), kind="stable")


def before(rows: pd.DataFrame, now: pd.DataFrame, of: Sequence[str] = TABLE_AND_METHOD) -> pd.DataFrame:
    """The run before the last of what has one, with the seeds of `now`."""
    earlier = rows[~_is_last(rows, of) & rows["seed"].isin(now["seed"])]
    return earlier[_is_last(earlier, of)]


def _is_last(rows: pd.DataFrame, of: Sequence[str]) -> pd.Series:
    return rows[RUN] == rows.groupby(list(of))[RUN].transform("last")


def told(rows: pd.DataFrame) -> str:
    """Which methods are from which run; what follows a comma or dot in their names is left out."""
    lines = []
    for run, part in rows.groupby(RUN, sort=False):
        names = part["method"].str.split(r"[,.]", regex=True).str[0].unique()
        date, commit = str(run).split()
        lines.append(f"* {', '.join(names)}: {date}, library of commit {commit}.")
    return "\n".join(lines) + "\n"


def moved(earlier: pd.DataFrame, now: pd.DataFrame, index: Sequence[str], values: Mapping[str, str]) -> str:
    """Means in the run before and in the last of its methods, `values` with their headings, by group of rows."""
    same = now[now["method"].isin(earlier["method"])]
    old, new = (rows.groupby(list(index), sort=False)[list(values)].mean() for rows in (earlier, same))
    shown = old.map("{:.3f}".format) + " → " + new.loc[old.index].map("{:.3f}".format)
    return markdown((*index, *values.values()), shown.reset_index().to_numpy().tolist())
