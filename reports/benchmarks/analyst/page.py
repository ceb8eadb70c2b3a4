"""analyst.md: the parts of the analyst's benchmarks on one page.

python reports/benchmarks/analyst/page.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from benchmarks.harness import machine

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
PARTS = ("context", "patterns", "sensitivity", "cells")
HARM = 0.02
COLOURS = {"VAEDetector": "#1f77b4", "VAEDetector robust": "#2ca02c", "IsolationForest": "#7f7f7f"}


def loop_section() -> list[str]:
    frame = pd.read_csv(HERE / "loop.csv")
    last = frame[frame["n_reviewed"] == frame["n_reviewed"].max()]
    means = last.groupby("method", sort=False).mean(numeric_only=True)
    lines = [
        "| 50 reviews | found by a fixed list | by learning | AP of the rest before | after | AUROC | after | ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row.found_fixed:.1f} | **{row.found:.1f}** | {row.ap_before:.3f} | **{row.ap_after:.3f}** | "
        f"{row.auroc_before:.3f} | **{row.auroc_after:.3f}** | {row.learn_ms:.0f} |"
        for name, row in means.iterrows()
    ]
    by_table = last.groupby(["method", "table"]).mean(numeric_only=True)
    lines += ["", "Mean over seeds, by table (AP of rows that nobody reviewed; found of 50):", ""]
    lines += [
        "| table | VAEDetector AP | found | robust AP | found | IsolationForest AP | found |",
        "|---|---|---|---|---|---|---|",
    ]
    for table in sorted(set(last["table"])):
        cells = []
        for name in COLOURS:
            row = by_table.loc[(name, table)]
            cells += [f"{row.ap_before:.2f} -> {row.ap_after:.2f}", f"{row.found_fixed:.0f} -> {row.found:.0f}"]
        lines.append(f"| {table} | {' | '.join(cells)} |".replace("nan -> nan", "none left"))
    harmed = {
        name: [
            f"{table} {row.ap_after - row.ap_before:+.2f}"
            for (method, table), row in by_table.iterrows()
            if method == name and row.ap_after < row.ap_before - HARM
        ]
        for name in COLOURS
    }
    lines += ["", "Average precision of what was not reviewed falls by more than .02 on: "]
    lines[-1] += "; ".join(f"{name}: {', '.join(tables) or 'none'}" for name, tables in harmed.items()) + "."
    return lines


def draw_loop() -> None:
    frame = pd.read_csv(HERE / "loop.csv")
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), constrained_layout=True)
    for name, colour in COLOURS.items():
        means = frame[frame["method"] == name].groupby("n_reviewed").mean(numeric_only=True)
        for axis, after, before in ((axes[0], "found", "found_fixed"), (axes[1], "ap_after", "ap_before")):
            axis.plot(means.index, means[after], color=colour, label=f"{name}, learning")
            axis.plot(means.index, means[before], color=colour, linestyle=":", label=f"{name}, fixed list")
    axes[0].set(xlabel="rows reviewed", ylabel="anomalies among them")
    axes[1].set(xlabel="rows reviewed", ylabel="average precision of the rest", ylim=(0, None))
    axes[0].legend(fontsize=7, frameon=False)
    figure.savefig(HERE / "loop.png", dpi=110)


def recalibration_section() -> list[str]:
    frame = pd.read_csv(HERE / "recalibration.csv")
    means = frame.groupby("way", sort=False).mean(numeric_only=True)
    worst = dict(frame.groupby(["way", "table"]).mean(numeric_only=True)["at most 0.05"].groupby("way").max())
    lines = [
        "| calibrated with | p <= .01 | p <= .05 | p <= .1 | worst table, p <= .05 | `select(fdr=.1)`: false | found |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {way} | {row['at most 0.01']:.3f} | {row['at most 0.05']:.3f} | {row['at most 0.1']:.3f} | "
        f"{worst[str(way)]:.3f} | {row['fdp']:.3f} | {row['power']:.3f} |"
        for way, row in means.iterrows()
    ]


def main() -> None:
    draw_loop()
    says = (HERE / "says.md").read_text(encoding="utf-8")
    parts = [
        (HERE / f"{name}.md").read_text(encoding="utf-8").strip() for name in PARTS if (HERE / f"{name}.md").exists()
    ]
    page = says.replace("{loop}", "\n".join(loop_section())).replace(
        "{recalibration}", "\n".join(recalibration_section())
    )
    page = page.replace("{machine}", machine(("torch", "scikit-learn", "scipy", "numpy")))
    (HERE.parent / "analyst.md").write_text("\n\n".join([page.strip(), *parts]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
