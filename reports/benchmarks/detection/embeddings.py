"""Anomaly detection on image embeddings: ResNet-18 features of MVTec AD's categories, as ADBench has them.

pip install -c constraints.txt -e ".[benchmark]"
python reports/benchmarks/detection/embeddings.py

What is finished is in embeddings.csv; a second run goes on from there.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from benchmarks.detection import cells
from benchmarks.detection.measuring import COLUMNS, N_KEYS, row_of
from benchmarks.detection.methods import ACCURATE, METHODS, Method
from benchmarks.detection.protocol import splits, tables
from benchmarks.foundation_page import METRICS, OURS, markdown, plus_minus
from benchmarks.harness import DATA, SEEDS, Array, console, surroundings
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.decomposition import PCA

VARIABLE = "ADBENCH_EMBEDDINGS"
FOLDER = Path(os.environ.get(VARIABLE, DATA / "mvtec_resnet18"))
PREFIX = "MVTec-AD_"
SETTING = "semi"
VARIANCE_KEPT = 0.9
PACKAGES = ("vae-anomaly", "torch", "scikit-learn", "pyod", "numpy")

# The author's words, in Markdown; the figures around them follow from embeddings.csv.
SAYS = """One seed. VAEDetector has the highest mean on both measures: AUROC .837, the Gaussian shrunk by Ledoit and
Wolf .821, the fifth neighbour .800; average precision .798 against at most .747. It is ahead on six of
eight categories; on capsule and pill a full-covariance Gaussian is, by .02. The aim was .88 over fifteen
categories; eight are here, so the two do not compare, but .837 is not near it. Directions of small variance
matter (every Gaussian beats the fifth neighbour), and about 130 images do not teach 512 columns. A fit
takes 8 s, where the Gaussian takes hundredths: with a shrunk Gaussian .016 behind, take that one unless
reasons and likelihoods are wanted."""

PAGE = """# Image embeddings: MVTec AD by ResNet-18

Made by `python reports/benchmarks/detection/embeddings.py --seeds {seeds}`; edit the script, not this page.
`embeddings.csv` has a row per category, seed and method. A run that is stopped goes on from there.

{surroundings}

## What this says

{says}

## What was measured

{n_tables} categories of MVTec AD as ADBench distributes them: a row is an image, its {n_columns} columns are features
of a ResNet-18 that was trained on ImageNet. Fitted on a random half of the normal images; the other half and all
anomalies scored. Columns are standardised with the training rows. Everything at its defaults, with {rows} training rows
in {n_columns} columns. The images are for non-commercial use and not part of this repository.

* KNN, LOF, IForest, MCD and PCA are PyOD's; KNN is the distance to the fifth neighbour. MCD needs more rows than
  columns to leave any out: here it is the empirical Gaussian.
* Gaussian, Ledoit-Wolf and Gaussian, empirical: the Mahalanobis distance of scikit-learn's `LedoitWolf` and
  `EmpiricalCovariance`; the latter is singular where there are fewer rows than columns, and takes the pseudo-inverse.
* Probabilistic PCA: scikit-learn's `PCA({kept})`, `score_samples`.

## Means

Each category's mean over seeds counts once. ± is the standard deviation over seeds of the mean over categories.
Seconds are the mean over categories of medians; the ratio is VAEDetector's fit seconds over the method's.

{means}
## Category by category

AUROC, mean over seeds; the best of each row in bold.

{auroc}
Average precision.

{ap}
## What failed

{failed}"""


def squared_distance(model: Any, X: Array, _: bool) -> Any:
    return model.mahalanobis(X)


def minus_density(model: Any, X: Array, _: bool) -> Any:
    return -model.score_samples(X)


GAUSSIANS = {
    "Gaussian, Ledoit-Wolf": Method(lambda _, __: LedoitWolf(), squared_distance),
    "Gaussian, empirical": Method(lambda _, __: EmpiricalCovariance(), squared_distance),
    "probabilistic PCA": Method(lambda _, seed: PCA(VARIANCE_KEPT, random_state=seed), minus_density),
}
COMPARED: dict[str, Method] = {
    **{name: METHODS[name] for name in (OURS, ACCURATE, "KNN", "LOF", "IForest", "PCA")},
    **GAUSSIANS,
    "MCD": METHODS["MCD"],
}


def measure(cell: cells.Cell) -> cells.Row:
    table, setting, seed, name = cell
    return row_of(cell, COMPARED[name], splits(PREFIX + table, setting, int(seed), FOLDER))


def figures_table(found: pd.DataFrame, metric: str) -> str:
    names = [name for name in COMPARED if name in set(found["method"])]
    wide = found.pivot_table(index="table", columns="method", values=metric).reindex(columns=names)
    rows = []
    for table in map(str, wide.index):
        best = wide.loc[table].max()
        shown = (f"{value:.3f}" if value == value else "–" for value in wide.loc[table])
        rows.append(
            [table, *(f"**{s}**" if v >= best - 5e-4 else s for s, v in zip(shown, wide.loc[table], strict=True))]
        )
    return markdown(("category", *names), rows)


def means_table(found: pd.DataFrame) -> str:
    ours = found[found["method"] == OURS].groupby("table")["fit_s"].median()
    rows = []
    for name in COMPARED:
        part = found[(found["method"] == name) & (found["status"] == cells.OK)]
        if part.empty:
            continue
        by_seed = part.groupby("seed")[list(METRICS)].mean()
        fit, score = (part.groupby("table")[what].median() for what in ("fit_s", "score_s"))
        quality = (plus_minus(by_seed[metric]) for metric in METRICS)
        ratio = ours.reindex(fit.index).sum(skipna=False) / fit.sum()
        seconds = (f"{fit.mean():.3f}", f"{score.mean():.3f}", f"{ratio:.1f}")
        rows.append((name, f"{part['table'].nunique()}", *quality, *seconds))
    header = ("method", "categories", *METRICS.values(), "fit, s", "score, s", "fit ratio")
    return markdown(header, rows)


def failed_lines(found: pd.DataFrame) -> str:
    lines = []
    for (method, table, status), part in found[found["status"] != cells.OK].groupby(["method", "table", "status"]):
        lines.append(f"* {method}, {table}, seeds {', '.join(map(str, part['seed']))}: {status}.")
    return "\n".join(lines or ["Nothing."]) + "\n"


def main() -> None:
    names = [name.removeprefix(PREFIX) for name in tables(FOLDER)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--tables", nargs="+", choices=names, default=names, metavar="CATEGORY")
    parser.add_argument("--methods", nargs="+", choices=list(COMPARED), default=list(COMPARED), metavar="METHOD")
    parser.add_argument("--again", nargs="+", choices=list(COMPARED), default=[], metavar="METHOD")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes, of one thread each")
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    ledger = cells.Ledger(chosen.out / "embeddings.csv", COLUMNS, N_KEYS)
    planned = [
        (table, SETTING, str(seed), name)
        for name in COMPARED
        for seed in chosen.seeds
        for table in chosen.tables
        if name in chosen.methods
    ]
    with ledger.alone():
        ledger.forget(lambda row: row["method"] in chosen.again)
        cells.fill(ledger, planned, measure, chosen.jobs)
    found = ledger.frame()
    text = PAGE.format(
        seeds=" ".join(map(str, sorted(found["seed"].unique()))),
        surroundings=surroundings(PACKAGES),
        says=SAYS.strip(),
        n_tables=found["table"].nunique(),
        n_columns=found["n_columns"].max(),
        rows=f"{found['n_train'].min()} to {found['n_train'].max()}",
        kept=VARIANCE_KEPT,
        means=means_table(found),
        auroc=figures_table(found, "auroc"),
        ap=figures_table(found, "ap"),
        failed=failed_lines(found),
    )
    (chosen.out / "embeddings.md").write_text(text, encoding="utf-8")
    console.log(f"wrote {chosen.out / 'embeddings.md'}")


if __name__ == "__main__":
    main()
