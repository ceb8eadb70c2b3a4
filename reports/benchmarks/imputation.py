"""Values for hidden cells of numeric tables: VAEDetector's `impute` beside scikit-learn's imputers.

python reports/benchmarks/imputation.py
python reports/benchmarks/imputation.py --seeds 0 1 --tables wine breastw
python reports/benchmarks/imputation.py --methods VAEDetector
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks import runs
from benchmarks.foundation_page import OURS, markdown, plus_minus
from benchmarks.harness import DATA, Array, console, fit_warnings, machine, options, there
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from vae_anomaly import VAEDetector
from vae_anomaly_datasets import load_cardiotocography, load_wine

ADBENCH = ("breastw", "Pima", "WDBC", "letter", "fault", "pendigits")
SHIPPED = {"wine": load_wine, "cardiotocography": load_cardiotocography}
FILES: dict[str, Path | None] = dict.fromkeys(SHIPPED) | {name: DATA / "adbench" / f"{name}.npz" for name in ADBENCH}
SLOWEST = ("letter", "fault")
DEFAULT = tuple(name for name in FILES if name not in SLOWEST)
MECHANISMS = {"at random": "completely at random", "not at random": "not at random"}
SHARES = (0.1, 0.3, 0.5)
MAX_ROWS = 2_000
CLOSE = 0.01
PACKAGES = ("vae-anomaly", "torch", "scikit-learn", "numpy", "pandas")

PAGE = """# Imputation: values for hidden cells

Made by `python reports/benchmarks/imputation.py`; edit the scripts, not this page. `imputation.csv` has a row per
table, mechanism, share, seed, method and run. Figures are from the last run of each method, on the same hidden cells
(number of seeds that all of them have: {seeds}):

{runs}
{machine} Seconds of different runs do not compare.

## What was measured

Root mean squared error at the hidden cells, in standard deviations of the column: columns are standardised on all
their values before cells are hidden. Normal rows and anomalies together, at most {cap:,} rows, drawn by the seed;
integer-valued columns keep their steps, and nobody's values are rounded to them. Each method is fitted on the
table with missing values and fills the same table. A row may lose all its cells.

*Completely at random*: each cell is hidden with the given probability. *Not at random*: a cell of the first half of the
columns (rounded down) is hidden with probability sigmoid(value + b), with b solved in each column so that the mean
over rows is the given share; the other columns are complete.

`VAEDetector(random_state=seed).fit(X).impute(X)`, scikit-learn's `IterativeImputer(random_state=seed)` (10 rounds),
`KNNImputer()` (5 neighbours) and `SimpleImputer()` (means), at their defaults. Eight tables were chosen, by their
size and number of columns, before any result; the two that take longest to fit, letter and fault, are not run unless
`--tables` names them. Seconds are fitting and filling together.

{sizes}
## What this says

{says}
## Beside the run before

VAEDetector, mean RMSE over tables and seeds: the run before → the last. Between them its defaults became 4 members that
see up to 4,096 rows each, and draws are weighted by their importance when a cell is filled; the score has no part.

{moved}
## Means over the tables

Each table's mean over seeds counts once; in brackets the number of tables where the method's mean is smallest.

{means}
{seconds}
## Table by table

RMSE, mean ± standard deviation over seeds.

{detail}"""


# Tables with missing values


def load(table: str, seed: int) -> Array:
    """The rows of a table, standardised; a column with one value is centred."""
    X = SHIPPED[table]()[0].to_numpy(np.float64) if table in SHIPPED else _protocol().capped(table, seed)[0]
    kept = np.random.default_rng(seed).permutation(len(X))[:MAX_ROWS]
    standardised: Array = StandardScaler().fit_transform(X[np.sort(kept)])
    return standardised


def _protocol() -> Any:
    specification = importlib.util.spec_from_file_location("protocol", DATA.parent / "protocol.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def hidden_cells(X: Array, mechanism: str, share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    uniform = rng.random(X.shape)
    if mechanism == "at random":
        return uniform < share
    hidden = np.zeros(X.shape, dtype=bool)
    for column in range(X.shape[1] // 2):
        values = X[:, column]

        def excess(shift: float, values: Array = values) -> float:
            return float(expit(values + shift).mean()) - share

        reach = 50 + float(np.abs(values).max())
        hidden[:, column] = uniform[:, column] < expit(values + brentq(excess, -reach, reach))
    return hidden


# Methods


def ours(seed: int, X: Array) -> Array:
    filled: Array = VAEDetector(random_state=seed).fit(X).impute(X)
    return filled


METHODS: dict[str, Callable[[int, Array], Array]] = {
    OURS: ours,
    "IterativeImputer": lambda seed, X: IterativeImputer(max_iter=10, random_state=seed).fit_transform(X),
    "KNNImputer": lambda _, X: KNNImputer(n_neighbors=5).fit_transform(X),
    "column means": lambda _, X: SimpleImputer().fit_transform(X),
}


def measure(tables: list[str], seeds: list[int], methods: list[str], path: Path) -> None:
    """Each seed of a table is written to the file when it is done."""
    warm_up = load("wine", 0)
    for name in methods:
        with fit_warnings():
            METHODS[name](0, np.where(warm_up > 2, np.nan, warm_up))
    for seed in seeds:
        for table in tables:
            rows: list[dict[str, Any]] = []
            X = load(table, seed)
            for mechanism in MECHANISMS:
                for share in SHARES:
                    hidden = hidden_cells(X, mechanism, share, np.random.default_rng([seed, round(100 * share)]))
                    missing = np.where(hidden, np.nan, X)
                    for name in methods:
                        begin = time.perf_counter()
                        with fit_warnings() as said:
                            filled = METHODS[name](seed, missing)
                        seconds = time.perf_counter() - begin
                        if filled.shape != X.shape or not np.isfinite(filled).all():
                            console.log(f"{name} left missing values: {table}, {mechanism}, {share}, seed {seed}")
                        error = float(np.sqrt(((filled - X)[hidden] ** 2).mean()))
                        row: dict[str, Any] = {"table": table, "mechanism": mechanism, "share": share, "seed": seed}
                        row |= {"method": name, "rmse": error, "seconds": seconds, "rows": len(X)}
                        row |= {"columns": X.shape[1], "hidden": int(hidden.sum())}
                        row |= {"empty_rows": int(hidden.all(1).sum()), "fit_warnings": len(said)}
                        rows.append(row)
            runs.add(pd.DataFrame(rows), path, ("table", "mechanism", "share", "seed", "method"))
            console.log(f"{table}, seed {seed}")


# Page


def means(found: pd.DataFrame) -> pd.DataFrame:
    """RMSE, mean over seeds: one row a mechanism, share and table, one column a method."""
    order = list(METHODS)
    keys = ["mechanism", "share", "table"]
    return found.pivot_table(index=keys, columns="method", values="rmse", sort=False)[order]


def says(found: pd.DataFrame) -> str:
    wide = means(found)
    gap = wide[OURS] - wide.drop(columns=OURS).min(axis=1)
    best, near = int((gap <= 0).sum()), int((gap <= CLOSE).sum())
    lines = [
        f"* Over {len(gap)} tables, mechanisms and shares, VAEDetector's mean RMSE is the smallest in {best},",
        f"  the smallest or within {CLOSE} of it in {near}.",
    ]
    for peer in wide.columns.drop(OURS):
        ratio = wide[OURS] / wide[peer]
        lines.append(
            f"* Beside {peer}: smaller in {int((ratio < 1).sum())} of {len(ratio)}; VAEDetector's RMSE is\n"
            f"  {float(np.exp(np.log(ratio).mean())):.3f} times the other's, geometric mean; "
            f"{float(ratio.min()):.3f} to {float(ratio.max()):.3f}."
        )
    lines.append(f"* Behind the smallest by more than {CLOSE}:" + ("" if (gap > CLOSE).any() else " nowhere."))
    first = wide.drop(columns=OURS).idxmin(axis=1)
    for key in gap.index[gap > CLOSE]:
        mechanism, share, table = key
        lines.append(f"  * {table}, {MECHANISMS[mechanism]}, {share:.0%}: by {gap[key]:.3f}, behind {first[key]}.")
    own = found[found["method"] == OURS]
    lines.append(f"* VAEDetector's fits that gave a `FitWarning`: {(own.fit_warnings > 0).sum()} of {len(own)}.")
    empty = own[own.empty_rows > 0]
    lines.append(f"* Tables with rows that lost all cells: {len(empty)} of {len(own)}, {empty.empty_rows.sum()} rows.")
    return "\n".join(lines) + "\n"


def means_table(found: pd.DataFrame) -> str:
    wide = means(found)
    first = wide.eq(wide.min(axis=1), axis=0)
    keys = ["mechanism", "share"]
    mean, wins = wide.groupby(keys, sort=False).mean(), first.groupby(keys, sort=False).sum()
    rows = []
    for mechanism, share in mean.index:
        of, won = mean.loc[(mechanism, share)], wins.loc[(mechanism, share)]
        rows.append((MECHANISMS[mechanism], f"{share:.0%}", *(f"{of[name]:.3f} ({won[name]})" for name in METHODS)))
    return markdown(("hidden", "share", *METHODS), rows)


def seconds_table(found: pd.DataFrame) -> str:
    median = found.pivot_table(index="table", columns="method", values="seconds", aggfunc="median", sort=False)
    rows = [(str(table), *(f"{median.loc[table, name]:.2f}" for name in METHODS)) for table in median.index]
    return markdown(("median seconds", *METHODS), rows)


def detail_table(found: pd.DataFrame) -> str:
    rows = []
    for table, mechanism, share in found[["table", "mechanism", "share"]].drop_duplicates().to_numpy().tolist():
        part = found[(found.table == table) & (found.mechanism == mechanism) & (found.share == share)]
        figures = (plus_minus(part.loc[part["method"] == name, "rmse"]) for name in METHODS)
        rows.append((table, MECHANISMS[mechanism], f"{share:.0%}", *figures))
    return markdown(("table", "hidden", "share", *METHODS), rows)


def sizes_table(found: pd.DataFrame) -> str:
    sizes = found.drop_duplicates("table")
    rows = ((size.table, f"{size.rows:,}", f"{size.columns}") for size in sizes.itertuples())
    return markdown(("table", "rows", "columns"), rows)


def page(found: pd.DataFrame) -> str:
    now = runs.last(found)
    earlier = runs.before(found, now)
    rmse = {"rmse": "RMSE"}
    return PAGE.format(
        runs=runs.told(now),
        machine=machine(PACKAGES),
        cap=MAX_ROWS,
        seeds=now["seed"].nunique(),
        sizes=sizes_table(now),
        says=says(now),
        moved="\n".join(runs.moved(earlier, now, index, rmse) for index in (["mechanism", "share"], ["table"])),
        means=means_table(now),
        seconds=seconds_table(now),
        detail=detail_table(now),
    )


def main() -> None:
    chosen = options(__doc__, FILES, METHODS, DEFAULT)
    tables = there(FILES, chosen.tables)
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / "imputation.csv"
    if chosen.methods:
        measure(tables, chosen.seeds, chosen.methods, path)
    (chosen.out / "imputation.md").write_text(page(pd.read_csv(path)), encoding="utf-8")
    console.log(f"wrote {chosen.out / 'imputation.md'}")


if __name__ == "__main__":
    main()
