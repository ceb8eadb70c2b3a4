"""Lay the figures of features.py out as features.md.

python reports/benchmarks/images/features_page.py
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from benchmarks.harness import surroundings
from benchmarks.images.features import METHODS, REAL, SIMPLE
from benchmarks.images.page import shown, table
from benchmarks.images.surfaces import SURFACES

HERE = Path(__file__).resolve().parent
MEASURES = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "pixel_ap": "pixel average precision"}
HEAD = """# Inspection images by pretrained features

Made by `python reports/benchmarks/images/features_page.py` from what `features.py` measured, and `features_says.md`;
edit that. Means and standard errors over seeds; where there is no error, one seed.

"""


def measured(found: pd.DataFrame, measure: str) -> str:
    """A row for each set, a column for each method; at the end the mean over the sets that all methods have."""
    methods = [method for method in METHODS if (found["method"] == method).any()]
    rows = []
    for name in (*REAL, *SURFACES):
        own = found[found["set"] == name]
        if not own.empty:
            rows.append([name, *[shown(own.loc[own["method"] == method, measure]) for method in methods]])
    means = found.pivot_table(values=measure, index="set", columns="method")
    compared = [method for method in methods if not means[method].isna().any()]
    rows.append(
        ["mean over sets", *[f"{means[method].mean():.3f}" if method in compared else "" for method in methods]]
    )
    return table(("set", *methods), rows)


def margins(found: pd.DataFrame) -> str:
    """How far the detector is ahead of the best of the simple methods."""
    means = found.groupby(["set", "method"])[list(MEASURES)].mean()
    rows = []
    for name in dict.fromkeys(found["set"]):
        ahead = []
        for measure in MEASURES:
            others = max(means.loc[(name, method), measure] for method in SIMPLE)
            ahead.append(f"{means.loc[(name, METHODS[0]), measure] - others:+.3f}")
        rows.append([name, *ahead])
    return table(("set", *MEASURES.values()), rows)


def speed(found: pd.DataFrame) -> str:
    rows = []
    for method, own in found.groupby("method", sort=False):
        rows.append([str(method), f"{own['fit_s'].median():.0f}", f"{own['images_s'].median():.1f}"])
    return table(("method", "fit, s", "images/s"), rows)


def located() -> str:
    """What neighbours and pixels locate, alone and added to the map of the detector."""
    columns = ["nats", *MEASURES, "added_pixel_ap"]
    found = pd.read_csv(HERE / "neighbours.csv")
    figures = found[columns].map(lambda value: "" if pd.isna(value) else f"{value:.3f}")
    rows = [list(map(str, row)) for row in pd.concat([found[["set", "map"]], figures], axis=1).to_numpy()]
    return table(("set", "map", "nats", *MEASURES.values(), "pixel AP, added to the default"), rows)


def main() -> None:
    found = pd.read_csv(HERE / "features.csv")
    parts = [
        HEAD,
        surroundings(("vae-anomaly", "torch", "numpy", "scikit-image")),
        "\n\n",
        (HERE / "features_says.md").read_text(encoding="utf-8"),
    ]
    for measure, words in MEASURES.items():
        parts += [f"\n## {words[0].upper()}{words[1:]}\n\n", measured(found, measure), "\n"]
    parts += ["\n## Ahead of the best of the simple methods\n\n", margins(found), "\n"]
    parts += [
        "\n## Given neighbours, and pixels\n\nMade by `neighbours.py`, seed 0; nats are those of held-out images.\n\n"
    ]
    parts += [located(), "\n"]
    parts += ["\n## Speed\n\nMedians over sets and seeds, on a machine shared with other work.\n\n", speed(found), "\n"]
    (HERE / "features.md").write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
