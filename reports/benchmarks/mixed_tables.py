"""Detection in real mixed tables: VAEDetector on the raw table beside detectors of numbers on a one-hot encoding.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/mixed_tables.py
python reports/benchmarks/mixed_tables.py --seeds 0 1 --tables german_credit ai4i2020
python reports/benchmarks/mixed_tables.py --methods VAEDetector
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks import runs
from benchmarks.foundation_page import OURS, markdown, plus_minus
from benchmarks.harness import DATA, Array, console, fit_warnings, machine, options, there
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from vae_anomaly import NumericEncoder, PooledELBO, VAEDetector

Labelled = tuple[pd.DataFrame, npt.NDArray[np.int64]]

FILES: dict[str, Path | None] = {
    "thyroid_sick": DATA / "thyroid_sick" / "sick.csv.gz",
    "hypothyroid": DATA / "thyroid_sick" / "hypothyroid.csv.gz",
    "nsl_kdd": DATA / "nsl_kdd" / "nsl_kdd_train20.csv.gz",
    "ai4i2020": DATA / "ai4i2020" / "ai4i2020.csv.gz",
    "german_credit": DATA / "german_credit" / "german_credit.csv.gz",
}
NSL_KDD_TEST = DATA / "nsl_kdd" / "nsl_kdd_test.csv.gz"
NOT_FEATURES = {
    "thyroid_sick": ("Class", "label"),
    "hypothyroid": ("Class", "label"),
    "nsl_kdd": ("class", "difficulty", "label"),
    "ai4i2020": ("UDI", "Product ID", "Machine failure", "label"),
    "german_credit": ("CLASSIFICATION", "label"),
}
SETTINGS = ("clean", "contaminated")
MAX_NSL_KDD_ROWS = 10_000
MIN_FREQUENCY = 10
N_NEIGHBORS = 5
CLOSE = 0.01
METRICS = {"auroc": "AUROC", "ap": "AP"}
PACKAGES = ("vae-anomaly", "torch", "scikit-learn", "numpy", "pandas")

PAGE = """# Mixed tables: detection with text, flags and missing values

Made by `python reports/benchmarks/mixed_tables.py`; edit the scripts, not this page. `mixed_tables.csv` has a row per
table, setting, seed, method and run. Figures are from the last run of each method, on the same splits
(number of seeds that all of them have: {seeds}):

{runs}
{machine} PyOD is that of `constraints.txt`. Seconds of different runs do not compare.

## What was measured

VAEDetector takes the DataFrame as it is, at its defaults, with `random_state=seed`: new rows are scored by
`score_samples`, the rows of the fit by `training_scores_`, whose second training is in the seconds to score.
*Missing ignored* is the same with `row_score=PooledELBO(missing="ignored")`, in tables with missing cells: by default a
missing cell costs what it is expected to cost.

The others take text columns one-hot encoded (missing cells as a level, levels in fewer than {min_frequency} training
rows together, unknown levels as zeros), numeric ones with the median of the training rows for missing values, then
standardised; a column without a training value is dropped. That is in their seconds. IsolationForest
(`random_state=seed`), LOF (20 neighbours), PyOD's KNN (5 neighbours, the largest distance) and PyOD's ECOD are at their
defaults; kNN mean is the mean distance to {neighbors} neighbours. A scored training row is not its own neighbour.

*Clean*: fitted on a random half of the normal rows; the other half and all anomalies scored. *Contaminated*: fitted on
all rows, the same rows scored. One split a seed, the same for all methods; methods without a seed of their own have
spread 0 in the contaminated setting. NSL-KDD is fitted on normal rows of its training file and scored on its test file,
which has attacks, services and levels that the training file has not; at most {cap:,} rows of each, drawn by the seed.
The original class columns, row numbers and NSL-KDD's difficulty are dropped.

{rows}
## What this says

{says}
## Beside the run before

VAEDetector, means over seeds: the run before → the last. Between them its defaults changed: 4 members that see up to
4,096 rows each for 8 that saw 512, a pool of the ELBO and the independence model for the ELBO alone, counted by a soft
minimum, missing cells neutral for missing cells ignored, and a view of their own for the rows of the fit. In the
thyroid tables which cells are missing says something of the row, as what was not measured was not asked for: what
being neutral gives away there is the difference to *missing ignored*.

{moved}
## Means over the tables

Each table's mean over seeds counts once, *missing ignored* is table by table; seconds are the mean over tables of
median fit seconds.

{means}
## Table by table

Mean ± standard deviation over seeds; seconds are medians.

{detail}"""


# Tables


def read(path: Path, table: str) -> Labelled:
    frame = pd.read_csv(path)
    label = frame["label"].to_numpy(np.int64)
    return frame.drop(columns=list(NOT_FEATURES[table])), label


def cases(table: str, seed: int) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame, npt.NDArray[np.int64]]]:
    """Setting, training rows, scored rows and their labels."""
    path = FILES[table]
    assert path is not None
    X, y = read(path, table)
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(y == 0))
    if table == "nsl_kdd":
        test, truth = read(NSL_KDD_TEST, table)
        scored = rng.permutation(len(truth))[:MAX_NSL_KDD_ROWS]
        yield "clean", X.iloc[normal[:MAX_NSL_KDD_ROWS]], test.iloc[scored], truth[scored]
        return
    half = normal[: len(normal) // 2]
    rest = np.setdiff1d(np.arange(len(y)), half)
    yield "clean", X.iloc[half], X.iloc[rest], y[rest]
    yield "contaminated", X, X, y


# Methods


def pyod_class(module: str, name: str) -> Any:
    try:
        imported = __import__(f"pyod.models.{module}", fromlist=[name])
    except ModuleNotFoundError as error:
        raise SystemExit(
            'this benchmark needs PyOD: python -m pip install -c constraints.txt -e ".[benchmark]"'
        ) from error
    return getattr(imported, name)


class Peer:
    """Encoding and detector of numbers, fitted on training rows, timed together."""

    def __init__(self, model: Any, score: Callable[[Any, Array, bool], Any]) -> None:
        self.model, self.score = model, score

    def fit(self, X: pd.DataFrame) -> Peer:
        self.encoder = NumericEncoder(min_frequency=MIN_FREQUENCY)
        self.model.fit(self.encoder.fit_transform(X))
        return self

    def anomaly_score(self, X: pd.DataFrame, seen: bool) -> Array:
        scores: Array = self.score(self.model, self.encoder.transform(X), seen)
        return scores


def forest_score(model: Any, X: Array, _: bool) -> Any:
    return -model.score_samples(X)


def lof_score(model: Any, X: Array, seen: bool) -> Any:
    return -(model.negative_outlier_factor_ if seen else model.score_samples(X))


def knn_score(model: Any, X: Array, seen: bool) -> Any:
    return model.kneighbors(None if seen else X)[0].mean(1)  # None: a training row is not its own neighbour


def pyod_score(model: Any, X: Array, seen: bool) -> Any:
    return model.decision_scores_ if seen else model.decision_function(X)


PEERS: dict[str, Callable[[int], Peer]] = {
    "IsolationForest": lambda seed: Peer(IsolationForest(random_state=seed), forest_score),
    "LOF": lambda _: Peer(LocalOutlierFactor(n_neighbors=20, novelty=True), lof_score),
    "kNN mean": lambda _: Peer(NearestNeighbors(n_neighbors=N_NEIGHBORS), knn_score),
    "PyOD KNN": lambda _: Peer(pyod_class("knn", "KNN")(), pyod_score),
    "PyOD ECOD": lambda _: Peer(pyod_class("ecod", "ECOD")(), pyod_score),
}
# Where cells are missing: they add nothing to a score, where by default they add what they are expected to.
IGNORED = f"{OURS}, missing ignored"
OWN: dict[str, Any] = {OURS: "auto", IGNORED: PooledELBO(missing="ignored")}
METHODS = (*OWN, *PEERS)


def measure(method: str, train: pd.DataFrame, test: pd.DataFrame, seed: int, seen: bool) -> tuple[Array, float, float]:
    begin = time.perf_counter()
    if method in OWN:
        detector = VAEDetector(row_score=OWN[method], random_state=seed).fit(train)
        middle = time.perf_counter()
        scores: Array = -detector.training_scores_ if seen else detector.anomaly_score(test)
    else:
        peer = PEERS[method](seed).fit(train)
        middle = time.perf_counter()
        scores = peer.anomaly_score(test, seen)
    return scores, middle - begin, time.perf_counter() - middle


def detection(tables: list[str], seeds: list[int], methods: list[str], path: Path) -> None:
    """Each seed of a table is written to the file when it is done."""
    for _, train, test, _ in cases(tables[0], seeds[0]):  # first calls import and compile
        for method in methods:
            with fit_warnings():
                measure(method, train[:200], test[:200], 0, seen=False)
        break
    for seed in seeds:
        for table in tables:
            rows: list[dict[str, Any]] = []
            for setting, train, test, truth in cases(table, seed):
                for method in methods:
                    if method == IGNORED and not train.isna().to_numpy().any():
                        continue
                    with fit_warnings() as said:
                        scores, fit_s, score_s = measure(method, train, test, seed, setting == "contaminated")
                    row: dict[str, Any] = {"table": table, "setting": setting, "seed": seed, "method": method}
                    row |= {"auroc": roc_auc_score(truth, scores), "ap": average_precision_score(truth, scores)}
                    row |= {"fit_s": fit_s, "score_s": score_s, "rows_fit": len(train), "rows_scored": len(test)}
                    row |= {"columns": train.shape[1], "text_columns": train.select_dtypes(exclude="number").shape[1]}
                    row |= {"anomalies": int(truth.sum()), "fit_warnings": len(said)}
                    rows.append(row)
            runs.add(pd.DataFrame(rows), path, ("table", "setting", "seed", "method"))
            console.log(f"{table}, seed {seed}")


# Page


def parts(found: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    keys = found[["setting", "table"]].drop_duplicates().to_numpy().tolist()
    ordered = sorted(keys, key=lambda key: SETTINGS.index(key[0]))
    return [(setting, table, found[(found.setting == setting) & (found.table == table)]) for setting, table in ordered]


def means(found: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds, one row a setting, table and method; seconds are medians."""
    how: dict[str, Any] = {"auroc": "mean", "ap": "mean", "fit_s": "median"}
    return found.groupby(["setting", "table", "method"], sort=False, as_index=False).agg(how)


def says(found: pd.DataFrame) -> str:
    averaged, lines = means(found), []
    for metric, name in METRICS.items():
        wide = averaged.pivot_table(index=["setting", "table"], columns="method", values=metric, sort=False)
        peers = wide[list(PEERS)]
        gap = wide[OURS] - peers.max(axis=1)
        best, near = int((gap >= 0).sum()), int((gap >= -CLOSE).sum())
        lines.append(
            f"* {name}: VAEDetector is best in {best} of {len(gap)} tables and settings, "
            f"best or within {CLOSE} of the best in {near}."
        )
        lines.extend(
            f"  * {setting}, {table}: {-float(gap[setting, table]):.3f} behind {peers.loc[(setting, table)].idxmax()}."
            for setting, table in gap.index[gap < -CLOSE]
        )
    own = found[found["method"] == OURS]
    auroc = [(setting, table, part.auroc.mean()) for setting, table, part in parts(own)]
    below = [f"{table} {setting} ({mean:.3f})" for setting, table, mean in auroc if mean < 0.5]
    lines.append(f"* VAEDetector's AUROC below 0.5, worse than chance: {', '.join(below) or 'nowhere'}.")
    lines.append(f"* VAEDetector's fits that gave a `FitWarning`: {(own.fit_warnings > 0).sum()} of {len(own)}.")
    return "\n".join(lines) + "\n"


def means_table(found: pd.DataFrame) -> str:
    averaged, rows = means(found), []
    for setting in SETTINGS:
        part = averaged[(averaged.setting == setting) & (averaged.method != IGNORED)]
        for method, of in part.groupby("method", sort=False):
            figures = (f"{of.auroc.mean():.3f}", f"{of.ap.mean():.3f}", f"{of.fit_s.mean():.2f}")
            rows.append((setting, f"{len(of)}", str(method), *figures))
    return markdown(("setting", "tables", "method", "AUROC", "AP", "fit, s"), rows)


def detail_table(found: pd.DataFrame) -> str:
    rows = []
    for setting, table, part in parts(found):
        for method, of in part.groupby("method", sort=False):
            quality = (plus_minus(of.auroc), plus_minus(of.ap))
            seconds = (f"{of.fit_s.median():.2f}", f"{of.score_s.median():.2f}")
            rows.append((setting, table, str(method), *quality, *seconds))
    return markdown(("setting", "table", "method", "AUROC", "AP", "fit, s", "score, s"), rows)


def rows_table(found: pd.DataFrame) -> str:
    rows = []
    for setting, table, part in parts(found):
        first = part.iloc[0]
        names = ("columns", "text_columns", "rows_fit", "rows_scored", "anomalies")
        rows.append((setting, table, *(f"{first[name]:,}" for name in names)))
    return markdown(("setting", "table", "columns", "of them text", "rows fitted", "rows scored", "anomalies"), rows)


def page(found: pd.DataFrame) -> str:
    now = runs.last(found)
    earlier = runs.before(found, now)
    return PAGE.format(
        runs=runs.told(now),
        machine=machine(PACKAGES),
        min_frequency=MIN_FREQUENCY,
        neighbors=N_NEIGHBORS,
        cap=MAX_NSL_KDD_ROWS,
        seeds=now["seed"].nunique(),
        rows=rows_table(now),
        says=says(now),
        moved="\n".join(runs.moved(earlier, now, index, METRICS) for index in (["setting"], ["setting", "table"])),
        means=means_table(now),
        detail=detail_table(now),
    )


def main() -> None:
    chosen = options(__doc__, FILES, METHODS)
    tables = there(FILES, chosen.tables)
    for module, name in (("knn", "KNN"), ("ecod", "ECOD")):
        if f"PyOD {name}" in chosen.methods:
            pyod_class(module, name)
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / "mixed_tables.csv"
    if chosen.methods:
        detection(tables, chosen.seeds, chosen.methods, path)
    (chosen.out / "mixed_tables.md").write_text(page(pd.read_csv(path)), encoding="utf-8")
    console.log(f"wrote {chosen.out / 'mixed_tables.md'}")


if __name__ == "__main__":
    main()
