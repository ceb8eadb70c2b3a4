"""The page of `foundation.py`: tables and the sentences that follow from them."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

import vae_anomaly

OURS = "VAEDetector"
METRICS = {"auroc": "AUROC", "ap": "AP"}
PACKAGES = ("vae-anomaly", "torch", "scikit-learn", "pyod", "numpy", "pandas")

PAGE = """# Foundation: detection, density, contract

Made by `python reports/benchmarks/foundation.py --seeds {seeds}` in {minutes:.1f} minutes;
edit the scripts, not this page.

{surroundings}

## What this says

{says}
## Detection

Mean ± standard deviation over {seeds} seeds; seconds are medians. *Contaminated*: fitted on all rows, the same rows
scored, by VAEDetector with `training_scores_`, whose making counts as scoring. *Clean*: fitted on a random half of
the normal rows, the others and all anomalies scored; one split a seed, the same for all methods. In the
contaminated setting all methods see one set of rows: their spread is that of their own seed, 0 for methods without
one. VAEDetector takes the DataFrame as it is; for the others numeric columns are imputed by the median and
standardised, categorical ones one-hot encoded and columns without a value dropped, which is in their seconds.
Everything at its defaults; kNN is the mean distance to 5 neighbours, LOF has 20, Gaussian is a GaussianMixture of
one component; a scored training row is not its own neighbour. Methods take turns within a seed.

{detection}
### Seed by seed

VAEDetector's figure minus the other's, mean ± standard deviation; negative where VAEDetector is worse.

{paired}
## Density

A linear VAE with shared noise (6 columns, 2 latents, 1,000 training and 1,000 held-out rows) is probabilistic PCA;
closed form is scikit-learn's `PCA.score`, in the units of the data. The VAE's noise is learned by gradient steps, so
its held-out gap can have either sign; on training rows, where the closed form is the maximum, a gap above 0 by
more than rounding would be an error of the draws.

{gaps}
Two Gaussians in two columns whose units differ by a factor of 100; 1,500 training rows. *Density settings*: 4 members
on all rows, Gaussian noise, standard normal prior, no hidden cells, 1,000 steps. The competitors are fitted on columns
divided by their true units, which is what a user who knows them would do.

{density}
Integral of exp(score) over a rectangle of 100 by 100 points around the training rows: 1 for a density, below 1 for a
bound that is not tight.

{mass}
## scikit-learn's contract

`check_estimator(VAEDetector())` at full defaults. {contract}
"""


def plus_minus(values: pd.Series[float], digits: int = 3) -> str:
    """Mean and standard deviation; of one value itself."""
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def markdown(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cases(found: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """The rows of each table and setting, in their order."""
    keys = found[["table", "setting"]].drop_duplicates().to_numpy().tolist()
    return [(table, setting, found[(found.table == table) & (found.setting == setting)]) for table, setting in keys]


def by_method(part: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per seed, one column per method."""
    order = part["method"].drop_duplicates().tolist()
    return part.pivot_table(index="seed", columns="method", values=metric)[order]


def lead(part: pd.DataFrame, metric: str) -> pd.DataFrame:
    """VAEDetector minus each other method: one row per seed, one column per method."""
    wide = by_method(part, metric)
    return wide.drop(columns=OURS).rsub(wide[OURS], axis=0)


def detection_table(found: pd.DataFrame) -> str:
    rows = []
    for table, setting, part in cases(found):
        auroc, ap, fit_s, score_s = (by_method(part, metric) for metric in ("auroc", "ap", "fit_s", "score_s"))
        fits = fit_s.median()
        for method in map(str, auroc):
            quality, seconds = (
                (plus_minus(auroc[method]), plus_minus(ap[method])),
                (fits[method], score_s[method].median()),
            )
            rows.append(
                (table, setting, method, *quality, *(f"{s:.3f}" for s in seconds), f"{fits[method] / fits[OURS]:.3f}")
            )
    return markdown(("table", "setting", "method", "AUROC", "AP", "fit, s", "score, s", "fit / VAEDetector's"), rows)


def paired_table(found: pd.DataFrame) -> str:
    rows, header = [], ["table", "setting", "metric"]
    for metric, name in METRICS.items():
        for table, setting, part in cases(found):
            gap = lead(part, metric)
            rows.append((table, setting, name, *(plus_minus(gap[peer]) for peer in gap)))
    return markdown([*header, *(f"minus {peer}" for peer in gap)], rows)


def what_it_says(found: pd.DataFrame, density: pd.DataFrame) -> str:
    lines = []
    for metric, name in METRICS.items():
        lost, n_ahead, n = [], 0, 0
        for table, setting, part in cases(found):
            gap = lead(part, metric).mean()
            behind = [f"{peer} by {-float(gap[peer]):.3f}" for peer in gap.index if gap[peer] < 0]
            n_ahead, n = n_ahead + len(gap) - len(behind), n + len(gap)
            if behind:
                lost.append(f"  * {table}, {setting}: {', '.join(behind)}.")
        lines.append(f"* {name}: VAEDetector's mean is ahead in {n_ahead} of {n} comparisons. It is behind on")
        lines += lost or ["  * nothing here."]
    own = [(table, setting, part[part["method"] == OURS]) for table, setting, part in cases(found)]
    chance = ", ".join(
        f"{table} {setting} ({part.auroc.mean():.3f})" for table, setting, part in own if part.auroc.mean() < 0.5
    )
    lines.append(f"* Worse than chance, AUROC below 0.5: {chance or 'nowhere'}.")
    fits = pd.DataFrame([by_method(part, "fit_s").median() for _, _, part in cases(found)]).sum()
    ours = fits[OURS]
    lines.append(
        f"* Median fit seconds, added over tables and settings: {ours / fits['PyOD VAE']:.2f} times PyOD's VAE's and"
    )
    lines.append(f"  {ours / fits['IsolationForest']:.0f} times IsolationForest's.")
    warned = [(table, setting, part.fit_warnings) for table, setting, part in own]
    noted = ", ".join(f"{t} {s} {(n > 0).sum()} of {len(n)}" for t, s, n in warned if n.any())
    lines.append(f"* Fits in which it gave a `FitWarning` about itself: {noted or 'none'}.")
    below = density.rsub(density["true density"], axis=0).mean()
    lines += [
        f"* {name}: {float(below[name]):.3f} nats per row below the true density."
        for name in map(str, density)
        if OURS in name
    ]
    lines.append("* Three tables are three examples: they say little about a fourth.")
    return "\n".join(lines) + "\n"


def figures_table(measured: pd.DataFrame, header: tuple[str, str], digits: int = 3) -> str:
    return markdown(header, ((str(name), plus_minus(measured[name], digits)) for name in measured))


def git(*arguments: str, folder: Path) -> str:
    ran = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def surroundings() -> str:
    folder = Path(vae_anomaly.__file__).parent
    commit = git("rev-parse", "--short", "HEAD", folder=folder) or "unknown"
    changed = " with local changes to the library" if git("status", "--porcelain", ".", folder=folder) else ""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    today = dt.datetime.now(tz=dt.UTC).date()
    return (
        f"{today}, commit {commit}{changed}. Python {platform.python_version()}, {packages}. "
        f"{platform.system()}, {os.cpu_count()} cores, no GPU used, torch with {torch.get_num_threads()} threads. "
        "The machine was shared with other work: seconds are rough, ratios within this page matter."
    )


def page(
    found: pd.DataFrame,
    gaps: pd.DataFrame,
    density: pd.DataFrame,
    mass: pd.DataFrame,
    contract: tuple[str, list[str]],
    where: str,
    minutes: float,
) -> str:
    summary, not_passed = contract
    return PAGE.format(
        seeds=found.seed.nunique(),
        surroundings=where,
        minutes=minutes,
        says=what_it_says(found, density),
        detection=detection_table(found),
        paired=paired_table(found),
        gaps=figures_table(gaps, ("rows and model", "nats per row"), digits=4),
        density=figures_table(density, ("density of 3,000 held-out rows", "nats per row")),
        mass=figures_table(mass, ("score", "integral of its exp")),
        contract="\n".join([summary, "", *not_passed]),
    )
