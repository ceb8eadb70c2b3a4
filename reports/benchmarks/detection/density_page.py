"""The page of `density.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from benchmarks.detection.cells import OK
from benchmarks.foundation_page import markdown
from benchmarks.harness import console, surroundings

LATTICE = 0.5
TIGHT = "VAEDetector, importance-weighted"
DENSITIES = ("one Gaussian", "probabilistic PCA", "mixture by BIC", "kernels", "VAEDetector, ELBO", TIGHT)
DEFAULTS = ("defaults, ELBO", "defaults, importance-weighted")
PACKAGES = ("vae-anomaly", "torch", "scikit-learn", "numpy")

# The author's words, in Markdown; the figures around them follow from density.csv.
SAYS = """One seed. On the six tables where densities compare without reserve, the importance-weighted bound beats the
best of the others on three (Ionosphere, Stamps, glass: by 2.1 to 8.2 nats), is behind the mixture by BIC
on pendigits by 1.2, and far behind a single Gaussian on WDBC (4.0) and wine (18.7): with 178 and 59
training rows the default overfits, and its detection there owes nothing to its density. On the tables of
repeated values the ELBO is above one Gaussian on most, and the mixture by BIC above the ELBO on most: the
better likelihood is not the better detector (the same mixture's AUROC was not measured; PyOD's GMM, one
Gaussian, is .04 behind on the detection page). The ELBO is 1 to 11 nats below the importance-weighted
bound where rows are few or shapes are not Gaussian. Importance weights cost 16 s of scoring a table, with
64 draws against a thousand exemplars and more, and were left out on the widest."""

PAGE = """# Density: held-out log-likelihood of ADBench's tables

Made by `python reports/benchmarks/detection/density.py --seeds {seeds}`; edit the scripts, not this page.
`density.csv` has a row per table, seed and model. A run that is stopped goes on from there.

{surroundings}

## What this says

{says}

## What was measured

Fitted on a random half of the normal rows; the mean log-density, in nats per row, of the other half of the normal rows.
Columns are standardised with the training rows; a column that is constant there is left out, for all models. Higher is
better.

* VAEDetector with all columns declared `continuous`, so that every likelihood is a density of the value as it stands;
  everything else at its defaults. ELBO: the members' bound, `row_score="elbo"`;
  the default score pools it with an independence model and is lower. Importance-weighted: a tighter lower bound.
  Both may be below the model's log-density, never above but for the error of the draws.
* One Gaussian, mixture by BIC: scikit-learn's `GaussianMixture` with full covariances and `reg_covar=1e-3`; of one
  component, and of 1 to 10 as BIC says on the training rows.
* Kernels: `KernelDensity` with a Gaussian kernel; of 13 bandwidths from .02 to 2 the best by 3-fold cross-validation.
* Probabilistic PCA: `PCA.score_samples`; of 1, 2, 4, ..., 64 components the best by 3-fold cross-validation. Its noise
  variance is at least 1e-3.

## What can be compared

A density has no upper limit where values repeat: a narrow enough peak at each of them gains as much as one likes, and
its width says more of a model's floor than of the data. VAEDetector ties its smallest noise to the distance between a
column's neighbouring values; the mixtures and PCA stop at a variance of 1e-3, the kernels at a bandwidth of .02.
*Repeated* is the share of held-out cells whose exact value some training row has in that column. Tables with at most
{lattice:.0%} of them come first. On the others the numbers are shown, and rank nothing.

At its defaults VAEDetector gives columns of few values, whole numbers and steps a probability, not a density. A row's
number then mixes both, and compares with no density of the same row. It is listed separately.

## Tables of continuous numbers

Mean over seeds; the best of each row in bold.

{continuous}
{summary}
### Median row

The median held-out row instead of the mean: without the few rows that a model with thin tails pays for.

{medians}
## Tables of repeated values

{lattices}
## VAEDetector at its defaults

*Densities* counts the columns whose likelihood is a density; where that is all of them, the number compares with
those above.

{defaults}
## Seconds

Mean over tables of median fit seconds, with the search, and of scoring.

{seconds}
## What failed

{failed}"""


def number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def wide(
    found: pd.DataFrame, models: tuple[str, ...], what: str, how: Literal["mean", "median"] = "mean"
) -> pd.DataFrame:
    part = found[found["status"] == OK]
    return part.pivot_table(index="table", columns="model", values=what, aggfunc=how).reindex(columns=list(models))


def figures_table(found: pd.DataFrame, models: tuple[str, ...], what: str, *, best: bool = True) -> str:
    about = found.groupby("table")[["n_columns", "repeated"]].mean()
    rows = []
    for table, values in wide(found, models, what).iterrows():
        shown = [number(value) for value in values]
        if best:
            top = values.max()
            shown = [f"**{text}**" if value >= top - 5e-3 else text for text, value in zip(shown, values, strict=True)]
        n_columns, share = about.loc[str(table)]
        rows.append((str(table), f"{n_columns:,.0f}", f"{share:.0%}", *shown))
    return markdown(("table", "columns", "repeated", *models), rows) if rows else "None.\n"


def summary(found: pd.DataFrame) -> str:
    """How the tighter bound stands against each other model, over tables."""
    means = wide(found, DENSITIES, "nats")
    columns = found.groupby("table")["n_columns"].mean()
    lines = []
    for name in (model for model in DENSITIES if model != TIGHT):
        gap = (means[TIGHT] - means[name]).dropna()
        if gap.empty:
            continue
        each = (gap / columns[gap.index]).median()
        lines.append(
            f"* {TIGHT} against {name}: higher on {(gap > 0).sum()} of {len(gap)} tables; "
            f"the median difference is {gap.median():+.2f} nats per row, {each:+.3f} nats per cell."
        )
    return "\n".join(lines) + "\n"


def defaults_table(found: pd.DataFrame) -> str:
    part = found[found["model"].isin(DEFAULTS) & (found["status"] == OK)]
    about = part.groupby("table")[["n_columns", "n_density"]].mean()
    means = wide(part, DEFAULTS, "nats")
    rows = []
    for table, values in means.iterrows():
        n_columns, n_density = about.loc[str(table)]
        rows.append((str(table), f"{n_columns:,.0f}", f"{n_density:,.0f}", *(number(value) for value in values)))
    return markdown(("table", "columns", "densities", *DEFAULTS), rows)


def seconds_table(found: pd.DataFrame) -> str:
    models = (*DENSITIES, *DEFAULTS)
    fit, score = (wide(found, models, what, "median").mean() for what in ("fit_s", "score_s"))
    return markdown(("model", "fit, s", "score, s"), ((m, number(fit[m]), number(score[m])) for m in models))


def failed_lines(found: pd.DataFrame) -> str:
    lines = []
    for (model, table, status), part in found[found["status"] != OK].groupby(["model", "table", "status"]):
        lines.append(f"* {model}, {table}, seeds {', '.join(map(str, part['seed']))}: {status}.")
    return "\n".join(lines or ["Nothing."]) + "\n"


def write_page(found: pd.DataFrame, out: Path) -> None:
    share = found.groupby("table")["repeated"].transform("mean")
    continuous, lattices = found[share <= LATTICE], found[share > LATTICE]
    text = PAGE.format(
        seeds=" ".join(map(str, sorted(found["seed"].unique()))),
        surroundings=surroundings(PACKAGES),
        says=SAYS.strip(),
        lattice=LATTICE,
        continuous=figures_table(continuous, DENSITIES, "nats"),
        summary=summary(continuous),
        medians=figures_table(continuous, DENSITIES, "median_nats"),
        lattices=figures_table(lattices, DENSITIES, "nats", best=False),
        defaults=defaults_table(found),
        seconds=seconds_table(found),
        failed=failed_lines(found),
    )
    (out / "density.md").write_text(text, encoding="utf-8")
    console.log(f"wrote {out / 'density.md'}")
