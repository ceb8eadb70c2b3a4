"""Is an error found equally well in every kind of column?

    python reports/benchmarks/balance.py

A table with one column of each kind, all monotone images of numbers that are correlated in the same way, so that
an error of the same size can be planted in each of them.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks import runs
from benchmarks.foundation_page import markdown
from benchmarks.harness import SEEDS, add_methods
from benchmarks.planted_page import OWN
from scipy import stats
from sklearn.metrics import average_precision_score

from vae_anomaly import VAEDetector

FloatArray = npt.NDArray[np.float64]
HERE = Path(__file__).resolve().parent

N_ROWS = 3_000
CORRELATION = 0.9
ERROR_SHARE = 0.03
MIN_ERROR, MAX_ERROR = 1.0, 2.0
MEASURES = {
    "first in its row": "Share of errors that are the first cell named for their row",
    "cell AP": "Average precision among all cells",
}
RANKINGS = ("contribution", "contribution above typical", "log p(cell given others)", "cell_scores")


def _levels(numbers: FloatArray, names: list[str]) -> npt.NDArray[np.object_]:
    """Equally frequent levels, in the order of the numbers."""
    indices = np.floor(stats.norm.cdf(numbers) * len(names)).clip(max=len(names) - 1).astype(int)
    levels: npt.NDArray[np.object_] = np.array(names, dtype=object)[indices]
    return levels


# Numbers with a standard normal distribution to cells of each kind.
KINDS: dict[str, Callable[[FloatArray], object]] = {
    "continuous": lambda y: 20 + 3 * y,
    "tiny scale": lambda y: 1000 + 1e-4 * y,
    "positive": lambda y: np.exp(5 + 1.2 * y),
    "bounded": lambda y: np.clip(0.5 + 0.3 * y, 0, 1),
    "integer": lambda y: np.rint(40 + 6 * y),
    "count": lambda y: np.floor(np.exp(1.5 + 1.2 * y)),
    "zero-inflated": lambda y: np.where(y < -0.2, 0.0, 50 * (y + 0.2)),
    "binary": lambda y: _levels(y, ["no", "yes"]),
    "boolean": lambda y: y > 0,
    "categorical": lambda y: _levels(y, ["red", "green", "blue", "white", "black"]),
    "ordinal": lambda y: pd.Categorical(_levels(y, list("SML")), categories=list("SML"), ordered=True),
    "datetime": lambda y: pd.Timestamp("2024-01-01") + pd.to_timedelta(np.rint(y * 86_400 * 90), unit="s"),
}


def plant(seed: int) -> tuple[pd.DataFrame, npt.NDArray[np.bool_]]:
    """A table and the cells whose number was mirrored: drawn from the other side, between 1 and 2 deviations out."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(N_ROWS, 1))
    numbers = CORRELATION * common + np.sqrt(1 - CORRELATION**2) * rng.normal(size=(N_ROWS, len(KINDS)))
    eligible = np.flatnonzero((np.abs(common[:, 0]) > MIN_ERROR) & (np.abs(common[:, 0]) < MAX_ERROR))
    rows = rng.choice(eligible, round(ERROR_SHARE * N_ROWS), replace=False)
    columns = np.resize(np.arange(len(KINDS)), len(rows))
    wrong = np.zeros(numbers.shape, dtype=bool)
    wrong[rows, columns] = True
    numbers[wrong] = -numbers[wrong]
    return pd.DataFrame({kind: make(numbers[:, index]) for index, (kind, make) in enumerate(KINDS.items())}), wrong


def measure(method: str, seed: int) -> pd.DataFrame:
    """How well each ranking finds the errors of each kind of column, among all cells."""
    frame, wrong = plant(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explanation = VAEDetector(random_state=seed).set_params(preset=OWN[method]).fit(frame).explain(frame)
    contributions = explanation.contributions.to_numpy()
    scores = dict(
        zip(
            RANKINGS,
            (
                contributions,
                contributions - explanation.typical.to_numpy()[:-1],
                -explanation.log_likelihood.to_numpy(),
                explanation.cell_scores.to_numpy(),
            ),
            strict=True,
        )
    )
    lines = []
    for ranking, anomalous in scores.items():
        first = anomalous.argmax(1)
        for index, kind in enumerate(KINDS):
            counted = ~wrong | (np.arange(len(KINDS)) == index)
            rows = wrong[:, index]
            lines.append(
                {
                    "method": method,
                    "seed": seed,
                    "ranking": ranking,
                    "kind": kind,
                    "cell AP": average_precision_score(wrong[counted], anomalous[counted]),
                    "first in its row": float((first[rows] == index).mean()),
                }
            )
    return pd.DataFrame(lines)


def page(found: pd.DataFrame) -> str:
    results = runs.last(found, ["method"])
    earlier = runs.before(found, results, ["method"])
    made = (
        f"Made by `python reports/benchmarks/balance.py` (number of seeds: {results['seed'].nunique()}); edit the "
        f"script, not this page. Every figure is in [`balance.csv`](balance.csv).\n\n{runs.told(results)}"
    )
    what = (
        f"{N_ROWS:,} rows; every column is a monotone image of numbers with correlation {CORRELATION**2:.2f} to each "
        f"other; {ERROR_SHARE:.0%} of the rows have one number mirrored to the other side. The detector is fitted on "
        'the table with its errors and explains the same rows: a case for `preset="robust"`, which '
        "`vae-anomaly explain` takes there by itself. The default, for new rows, is beside it."
    )
    dates = (
        "Dates are modelled by their hour, weekday, day and month unless a column is declared as `datetime+trend`; "
        "here their place in time is mirrored, which then is hardly to be seen. The run before still modelled it."
    )
    lines = ["# Errors of equal size in columns of every kind", "", made, what, "", dates, ""]
    for method, part in results.groupby("method", sort=False):
        for measured, heading in MEASURES.items():
            lines += [f"## {method}: {heading[0].lower()}{heading[1:]}", "", _by_kind(part, measured)]
    lines += ["## Beside the run before", "", "VAEDetector, means over kinds and seeds: the run before → the last.", ""]
    lines += [runs.moved(earlier, results, ["ranking"], MEASURES), "By kind, `cell_scores`:", ""]
    old, new = (rows[rows["ranking"] == "cell_scores"] for rows in (earlier, results))
    lines += [runs.moved(old, new, ["kind"], MEASURES)]
    return "\n".join(lines)


def _by_kind(part: pd.DataFrame, measured: str) -> str:
    means = part.pivot_table(index="kind", columns="ranking", values=measured, sort=False)[list(RANKINGS)]
    rows = [*means.iterrows(), ("mean", means.mean()), ("spread over kinds", means.std())]
    return markdown(("kind", *RANKINGS), ((kind, *(f"{value:.3f}" for value in row)) for kind, row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    add_methods(parser, OWN)
    options = parser.parse_args()
    path = HERE / "balance.csv"
    for seed in options.seeds:
        for method in options.methods:
            runs.add(measure(method, seed), path, ("method", "seed", "ranking", "kind"))
    (HERE / "balance.md").write_text(page(pd.read_csv(path)), encoding="utf-8")


if __name__ == "__main__":
    main()
