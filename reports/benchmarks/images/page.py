"""Lay the figures of small.py, inspection.py, likelihood.py and speed.py out as images.md.

python reports/benchmarks/images/page.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.harness import surroundings
from benchmarks.images.sets import CHANGES, SETS

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "images.md"
OTHER, REST = "other set", "rest"
PUBLISHED = {"ELBO": "86.76", "importance weighted": "84.78", "exemplar prior": "82.09"}
MADE = """Made by `python reports/benchmarks/images/page.py` from what `small.py`, `inspection.py`, `likelihood.py` and
`speed.py` measured; edit the other pages in `images/`, not this one. AUROC and average precision; means and standard
errors over seeds.

"""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(values: pd.Series[float]) -> str:
    """Mean and, from two seeds on, the standard error."""
    present = values.dropna()
    if present.empty:
        return ""
    if len(present) == 1:
        return f"{present.iloc[0]:.3f}"
    return f"{present.mean():.3f} ± {present.std() / np.sqrt(len(present)):.3f}"


def summary(small: pd.DataFrame) -> str:
    """A row a method: the two sets, their weakest changed images, and the means over classes."""
    rows = []
    for method, own in small.groupby("method", sort=False):
        cells = [str(method)]
        for name in SETS[::-1]:
            one = own[own["task"] == name]
            cells += [shown(one[OTHER]), shown(one[[*CHANGES]].min(axis=1))]
        for name in SETS:
            classes = own[own["task"].str.fullmatch(rf"{name} \d")]
            whole = classes.groupby("seed")[REST].agg(["mean", "count"])
            cells.append(shown(whole.loc[whole["count"] == 10, "mean"]))
        rows.append(
            [*cells, str(own["seed"].nunique()), f"{own['fit_s'].median():.1f}", f"{own['images_s'].median():,.0f}"]
        )
    headings = (
        "method",
        "Fashion in, MNIST out",
        "weakest change",
        "MNIST in, Fashion out",
        "weakest change",
        "one digit",
        "one Fashion class",
        "seeds",
        "fit, s",
        "images/s",
    )
    return table(headings, rows)


def changes(small: pd.DataFrame) -> str:
    rows = []
    for name in SETS[::-1]:
        for method, own in small[small["task"] == name].groupby("method", sort=False):
            rows.append([name, str(method), *[shown(own[kind]) for kind in CHANGES]])
    return table(("trained on", "method", *CHANGES), rows)


def classes(small: pd.DataFrame, method: str) -> str:
    rows = []
    for name in SETS:
        own = small[small["method"] == method]
        rows.append([name, *[shown(own.loc[own["task"] == f"{name} {label}", REST]) for label in range(10)]])
    return table(("set", *map(str, range(10))), rows)


def inspection(found: pd.DataFrame) -> str:
    rows = []
    for (name, method), own in found.groupby(["set", "method"], sort=True):
        figures = [shown(own[key]) for key in ("image_auroc", "pixel_auroc", "pixel_ap")]
        times = [f"{own[key].median():.2f}" if own[key].notna().any() else "" for key in ("fit_s", "image_s")]
        rows.append([str(name), str(method), *figures, str(own["seed"].nunique()), *times])
    headings = ("images", "method", "image AUROC", "pixel AUROC", "pixel AP", "seeds", "fit, s", "s per image")
    return table(headings, rows)


def likelihood(found: pd.DataFrame) -> str:
    rows = []
    for name, own in found.groupby("recipe", sort=False):
        for one in own.to_dict("records"):
            seconds = "" if pd.isna(one["train_s"]) else f"{one['train_s']:,.0f}"
            rows.append(
                [
                    str(name),
                    f"{one['nll']:.2f} ± {one['error']:.2f}",
                    f"{-one['elbo']:.2f}",
                    f"{one['draws']:,}",
                    f"{one['epochs']:,}",
                    seconds,
                    PUBLISHED.get(str(name), ""),
                ]
            )
    headings = ("trained on", "-log p(x), nats", "-ELBO", "samples", "epochs", "trained, s", "published")
    return table(headings, rows)


def speed(found: pd.DataFrame) -> str:
    keys = ("fit_s", "trained_s", "score_s", "limit_share", "auroc")
    rows = [
        [str(name), str(method), *[f"{own[key].median():,.3g}" if own[key].notna().any() else "" for key in keys]]
        for (name, method), own in found.groupby(["images", "method"], sort=True)
    ]
    headings = (
        "images",
        "method",
        "fit, s",
        "trained, images/s",
        "scored, images/s",
        "share of product rate",
        "AUROC",
    )
    return table(headings, rows)


def main() -> None:
    small = pd.read_csv(HERE / "small.csv").sort_values(["method", "task", "seed"], kind="stable")
    parts = [
        "# Images: small ones as wholes, large ones through windows",
        MADE + surroundings(("vae-anomaly", "torch", "scikit-learn", "pyod", "numpy")),
        (HERE / "says.md").read_text(encoding="utf-8").strip(),
        f"## Small images\n\n{(HERE / 'small.md').read_text(encoding='utf-8').strip()}\n\n{summary(small)}",
        f"Changed images, by kind:\n\n{changes(small)}",
        f"One class normal and the other nine anomalous, by class, VAEDetector:\n\n{classes(small, 'VAEDetector')}",
    ]
    if (HERE / "inspection.csv").exists():
        said = (HERE / "inspection.md").read_text(encoding="utf-8").strip()
        parts.append(f"## Inspection images\n\n{said}\n\n{inspection(pd.read_csv(HERE / 'inspection.csv'))}")
    if (HERE / "likelihood.csv").exists():
        said = (HERE / "likelihood.md").read_text(encoding="utf-8").strip()
        parts.append(f"## Likelihood\n\n{said}\n\n{likelihood(pd.read_csv(HERE / 'likelihood.csv'))}")
    if (HERE / "speed.csv").exists():
        parts.append(f"## Speed\n\n{speed(pd.read_csv(HERE / 'speed.csv'))}")
    parts.append((HERE / "tried.md").read_text(encoding="utf-8").strip())
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
