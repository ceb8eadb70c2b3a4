"""Whether patterns of alerts are their causes: attack types and planted errors, beside k-means on the raw columns.

    python reports/benchmarks/analyst/patterns.py
    python reports/benchmarks/analyst/patterns.py --tables nsl_kdd --seeds 0

Writes analyst/patterns.csv and analyst/patterns.md.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from benchmarks.harness import DATA, SEEDS, console, machine
from benchmarks.planted_errors import FEW_VALUES, load_adult, load_default_credit, load_thyroid
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, silhouette_score, v_measure_score
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from vae_anomaly import VAEDetector

FOLDER = Path(__file__).parent
N_TRAINED, N_JUDGED, MAX_OF_CLASS = 10_000, 5_000, 250
N_CLEAN, N_OF_KIND = 1_500, 60
MAX_CLUSTERS, SILHOUETTE_ROWS = 20, 1_000
KINDS = ("unit", "sign", "swapped columns", "typo", "constant", "two cells")
METRICS = ("ami", "v_measure")

Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """Rows to fit on, rows to judge, and the cause of each of these; empty where it is normal."""

    train: pd.DataFrame
    rows: pd.DataFrame
    causes: Labels


def nsl_kdd(rng: np.random.Generator) -> Case:
    train = pd.read_csv(DATA / "nsl_kdd" / "nsl_kdd_train20.csv.gz")
    test = pd.read_csv(DATA / "nsl_kdd" / "nsl_kdd_test.csv.gz")
    test = test.iloc[np.sort(rng.permutation(len(test))[:N_JUDGED])].reset_index(drop=True)
    no_features = ["class", "difficulty", "label"]
    normal = train[train["label"] == 0].drop(columns=no_features)
    causes = test["class"].where(test["label"] == 1, "").to_numpy(dtype=str)
    return Case(normal, test.drop(columns=no_features), causes)


def kdd99(rng: np.random.Generator) -> Case:
    names = pd.read_csv(DATA / "nsl_kdd" / "nsl_kdd_train20.csv.gz", nrows=1).columns[:42].tolist()
    frame = pd.read_csv(DATA / "kdd99_10pct" / "kddcup.data_10_percent.gz", header=None, names=names)
    frame = frame.drop_duplicates().sample(frac=1, random_state=int(rng.integers(2**31))).reset_index(drop=True)
    kinds = frame.pop("class").str.rstrip(".")
    normal = np.flatnonzero(kinds == "normal")
    of_class = kinds.groupby(kinds).cumcount()
    attacks = np.flatnonzero((kinds != "normal") & (of_class < MAX_OF_CLASS))
    judged = np.concatenate([attacks, normal[N_TRAINED : N_TRAINED + N_JUDGED // 2]])
    causes = kinds.where(kinds != "normal", "").to_numpy(dtype=str)
    return Case(frame.iloc[normal[:N_TRAINED]], frame.iloc[judged].reset_index(drop=True), causes[judged])


def planted(load: Callable[[], pd.DataFrame], rng: np.random.Generator) -> Case:
    """Six kinds of errors, each always in the same columns, in rows that are clean otherwise."""
    frame = load().sample(frac=1, random_state=int(rng.integers(2**31))).reset_index(drop=True)
    counts: dict[Any, int] = frame.nunique().to_dict()
    frame = frame.loc[:, [counts[name] > 1 for name in frame]]
    numeric: list[Any] = [
        name for name in frame if pd.api.types.is_numeric_dtype(frame[name]) and counts[name] > FEW_VALUES
    ]
    texts: list[Any] = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    levels: list[Any] = [name for name in frame if name not in numeric]
    frame[numeric] = frame[numeric].astype(float)
    n_clean = min(N_CLEAN, len(frame) // 3)
    n_of_kind = min(N_OF_KIND, n_clean // 8)
    rows = frame.iloc[: n_clean + len(KINDS) * n_of_kind].reset_index(drop=True)
    train = frame.iloc[len(rows) : len(rows) + N_TRAINED]
    unit, sign, first, second, constant = (rng.permutation(numeric).tolist() * 2)[:5]
    wrong = rng.permutation(levels).tolist()[0]
    typo = rng.permutation(texts or levels).tolist()[0]
    causes = np.full(len(rows), "", dtype="U16")
    for number, kind in enumerate(KINDS):
        own = n_clean + number * n_of_kind + np.arange(n_of_kind)
        causes[own] = kind
        if kind == "unit":
            rows.loc[own, unit] = rows.loc[own, unit] * 100 + 1
        elif kind == "sign":
            rows.loc[own, sign] = -rows.loc[own, sign] - float(frame[sign].std())
        elif kind == "swapped columns":
            rows.loc[own, [first, second]] = rows.loc[own, [second, first]].to_numpy()
        elif kind == "typo":
            cells = rows.loc[own, typo].tolist()
            rows.loc[own, typo] = [
                f"{cell}{'xyz'[place % 3]}" if texts else cell + 70 + place % 3 for place, cell in enumerate(cells)
            ]
        elif kind == "constant":
            rows.loc[own, constant] = float(frame[constant].max()) * 3
        else:
            rows.loc[own, unit] = float(frame[unit].max()) * 2
            rows.loc[own, wrong] = rng.permutation(frame[wrong].dropna().unique().astype(object))[0]
    return Case(train, rows, causes)


TABLES: dict[str, Callable[[np.random.Generator], Case]] = {
    "nsl_kdd": nsl_kdd,
    "kdd99": kdd99,
    "planted_adult": lambda rng: planted(load_adult, rng),
    "planted_default_credit": lambda rng: planted(load_default_credit, rng),
    "planted_thyroid": lambda rng: planted(load_thyroid, rng),
}


def raw_columns(frame: pd.DataFrame, scaler: Any) -> npt.NDArray[np.float64]:
    """Numbers with missing ones at the median, levels one-hot, scaled."""
    numbers = frame.select_dtypes("number")
    levels = frame.drop(columns=numbers.columns).astype(str)
    filled = numbers.fillna(numbers.median()).fillna(0.0)
    dummies = [pd.get_dummies(levels)] if levels.shape[1] else []
    columns = pd.concat([filled, *dummies], axis=1).to_numpy(dtype=np.float64)
    scaled: npt.NDArray[np.float64] = scaler.fit_transform(columns)
    return scaled


def k_means(frame: pd.DataFrame, n_clusters: int, seed: int) -> Iterator[tuple[str, Labels]]:
    """k-means with as many clusters as there are patterns, and with as many as the silhouette says."""
    for name, scaler in (("z", StandardScaler()), ("01", MinMaxScaler())):
        columns = raw_columns(frame, scaler)
        largest = min(MAX_CLUSTERS, len(columns) - 1)
        found = {
            k: KMeans(k, n_init=3, random_state=seed).fit_predict(columns)
            for k in {*range(2, largest + 1), min(n_clusters, len(columns))}
        }
        yield f"k-means {name}, same number", found[min(n_clusters, len(columns))]
        silhouettes = {
            k: silhouette_score(columns, found[k], sample_size=min(SILHOUETTE_ROWS, len(columns)), random_state=seed)
            for k in range(2, largest + 1)
            if len(set(found[k])) > 1
        }
        yield f"k-means {name}, by silhouette", found[max(silhouettes, key=silhouettes.__getitem__)]


def measured(table: str, seed: int) -> Iterator[dict[str, Any]]:
    case = TABLES[table](np.random.default_rng(seed))
    detector = VAEDetector(random_state=seed).fit(case.train)
    is_cause = case.causes != ""
    flagged = detector.decide(case.rows)["is_anomaly"].to_numpy()
    for alerts, chosen in (("all causes", is_cause), ("flagged", flagged)):
        begin = perf_counter()
        patterns = detector.patterns(case.rows, chosen)
        seconds = perf_counter() - begin
        truth = np.where(is_cause, case.causes, "normal")[chosen]
        methods = {"patterns": patterns.labels[chosen]}
        methods |= dict(k_means(case.rows[chosen], len(patterns) + (patterns.n_other > 0), seed))
        for method, labels in methods.items():
            yield {
                "table": table,
                "seed": seed,
                "alerts": alerts,
                "method": method,
                "n_alerts": int(chosen.sum()),
                "n_causes": len(set(truth)),
                "n_clusters": len(set(labels.tolist())),
                "ami": adjusted_mutual_info_score(truth, labels),
                "v_measure": v_measure_score(truth, labels),
                "n_other": patterns.n_other if method == "patterns" else 0,
                "seconds": seconds if method == "patterns" else np.nan,
            }


def shown_patterns() -> list[str]:
    """The patterns of the flagged rows of the whole NSL-KDD test set, with the attack types in them."""
    train = pd.read_csv(DATA / "nsl_kdd" / "nsl_kdd_train20.csv.gz")
    test = pd.read_csv(DATA / "nsl_kdd" / "nsl_kdd_test.csv.gz")
    no_features = ["class", "difficulty", "label"]
    detector = VAEDetector(random_state=0).fit(train[train["label"] == 0].drop(columns=no_features))
    patterns = detector.patterns(test.drop(columns=no_features))
    lines = ["| rows | share | what is out of place | classes in it |", "|---:|---:|---|---|"]
    for number, pattern in enumerate(patterns.patterns):
        counts = test["class"][patterns.labels == number].value_counts(normalize=True)
        classes = ", ".join(f"{name} {100 * share:.0f} %" for name, share in counts[counts >= 0.02].head(3).items())
        lines.append(f"| {pattern.count:,} | {100 * pattern.share:.1f} % | {pattern.what} | {classes} |")
    share = patterns.n_other / patterns.n_alerts
    return [*lines, f"| {patterns.n_other:,} | {100 * share:.1f} % | (of no pattern) | |"]


def page(frame: pd.DataFrame) -> str:
    template = (FOLDER / "patterns_template.md").read_text()
    tables = []
    for alerts, part in frame.groupby("alerts", sort=False):
        mean = part.groupby(["table", "method"], sort=False)[list(METRICS)].mean()
        methods = list(dict.fromkeys(part["method"]))
        lines = [
            f"| {alerts} | rows | causes | clusters | {' | '.join(methods)} |",
            f"|---|---:|---:|---:|{'---|' * len(methods)}",
        ]
        for table in dict.fromkeys(part["table"]):
            own = part[part["table"] == table]
            ours = own[own["method"] == "patterns"]
            cells = [
                f"{mean.loc[(table, name), 'ami']:.3f} / {mean.loc[(table, name), 'v_measure']:.3f}" for name in methods
            ]
            counts = (ours["n_alerts"].mean(), ours["n_causes"].mean(), ours["n_clusters"].mean())
            lines.append(f"| {table} | {' | '.join(f'{count:,.0f}' for count in counts)} | {' | '.join(cells)} |")
        tables.append("\n".join(lines))
    return template.format(
        tables="\n\n".join(tables),
        patterns="\n".join(shown_patterns()),
        seeds=frame["seed"].nunique(),
        machine=machine(("torch", "scikit-learn", "scipy")),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="TABLE")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--page", action="store_true", help="write only patterns.md, from patterns.csv")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    path = FOLDER / "patterns.csv"
    if not chosen.page:
        lines: list[dict[str, Any]] = []
        for table in chosen.tables:
            for seed in chosen.seeds:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = list(measured(table, seed))
                console.log(table, seed, {f"{row['alerts']}, {row['method']}": round(row["ami"], 3) for row in found})
                lines += found
                pd.DataFrame(lines).to_csv(path, index=False, float_format="%.5g")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (FOLDER / "patterns.md").write_text(page(pd.read_csv(path)))


if __name__ == "__main__":
    main()
