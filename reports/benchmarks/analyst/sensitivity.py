"""Whether changes of the reported size are noticed as often as said, in rows that the report has not seen.

    python reports/benchmarks/analyst/sensitivity.py

Writes analyst/sensitivity.csv and analyst/sensitivity.md.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from benchmarks.harness import SEEDS, console, machine

from vae_anomaly import VAEDetector
from vae_anomaly_datasets import load_cardiotocography, load_thyroid_sick

FOLDER = Path(__file__).parent
TABLES = {"cardiotocography": load_cardiotocography, "thyroid_sick": load_thyroid_sick}
RATE, POWERS = 0.05, (0.5, 0.9)
N_ROWS = 200
SIDES = {"above": 1.0, "below": -1.0}


def split(table: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Normal rows to fit on, to report on, and to check the report with."""
    rows, labels = TABLES[table]()
    normal = rows[labels == 0].sample(frac=1, random_state=seed).reset_index(drop=True)
    half, quarter = len(normal) // 2, len(normal) // 4
    return normal[:half], normal[half : half + quarter], normal[half + quarter :]


def measured(table: str, seed: int) -> Iterator[dict[str, Any]]:
    train, reported, checked = split(table, seed)
    detector = VAEDetector(random_state=seed).fit(train)
    for power in POWERS:
        begin = perf_counter()
        found = detector.sensitivity(reported, RATE, power=power, n_rows=N_ROWS, random_state=seed)
        seconds = perf_counter() - begin
        rows = checked[detector.anomaly_score(checked) <= found.threshold]
        columns = {column.name: column for column in detector.columns_}
        for change in found.changes:
            if change.kind not in SIDES or not change.noticed:
                continue
            shares = {}
            for name, factor in (("whole", 1.0), ("half", 0.5)):
                column = columns[change.column]
                amount = factor * change.amount
                amount = max(1.0, np.floor(amount / column.step)) * column.step if column.step else amount
                moved = rows[change.column].to_numpy(dtype=float) + SIDES[change.kind] * amount
                low = -np.inf if column.low is None else column.low
                high = np.inf if column.high is None else column.high
                shifted = rows.assign(**{change.column: np.clip(moved, low, high)})
                shares[name] = float((detector.anomaly_score(shifted) > found.threshold).mean())
            yield {
                "table": table,
                "seed": seed,
                "power": power,
                "column": change.column,
                "change": change.kind,
                "amount": change.amount,
                "spreads": change.amount / change.spread,
                "said": change.share,
                **shares,
                "n_checked": len(rows),
                "seconds": seconds,
            }


def shown_table() -> str:
    """The table of the shipped data set, as a terminal shows it."""
    train, reported, _ = split("cardiotocography", 0)
    found = VAEDetector(random_state=0).fit(train).sensitivity(reported, RATE, n_rows=N_ROWS)
    kinds = ("above", "below", "level", "unseen level", "missing", "permuted")
    lines = [
        "| column | shift up | shift down | other level | unseen level | missing | value of another row |",
        f"|---|{'---:|' * len(kinds)}",
    ]
    by_column: dict[str, dict[str, Any]] = {}
    for change in found.changes:
        by_column.setdefault(change.column, {})[change.kind] = change
    for name, changes in by_column.items():
        cells = [
            ""
            if kind not in changes
            else (changes[kind].amount_text or "no")
            if changes[kind].is_shift
            else f"{'' if changes[kind].noticed else 'no, '}{100 * changes[kind].share:.0f} %"
            for kind in kinds
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    blind = [sentence for sentence in found.sentences() if sentence.startswith("Would not")]
    return "\n".join([*lines, "", *(f"{sentence}\n" for sentence in [found.sentences()[0], *blind])])


def page(frame: pd.DataFrame) -> str:
    lines = [
        "| table | share asked for | changes | said | in other rows | within .1 of what was said | half the size |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (table, power), part in frame.groupby(["table", "power"], sort=False):
        within = ((part["whole"] - part["said"]).abs() <= 0.1).mean()
        lines.append(
            f"| {table} | {power:g} | {len(part):,} | {part['said'].mean():.3f} | {part['whole'].mean():.3f} | "
            f"{100 * within:.0f} % | {part['half'].mean():.3f} |"
        )
    template = (FOLDER / "sensitivity_template.md").read_text()
    return template.format(
        coverage="\n".join(lines),
        table=shown_table(),
        seeds=frame["seed"].nunique(),
        seconds=f"{frame['seconds'].mean():.0f}",
        machine=machine(("torch", "scikit-learn")),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="TABLE")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--page", action="store_true", help="write only sensitivity.md, from sensitivity.csv")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    path = FOLDER / "sensitivity.csv"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not chosen.page:
            lines: list[dict[str, Any]] = []
            for table in chosen.tables:
                for seed in chosen.seeds:
                    found = list(measured(table, seed))
                    means = pd.DataFrame(found)[["said", "whole", "half"]].mean().round(3).to_dict()
                    console.log(table, seed, len(found), means)
                    lines += found
            pd.DataFrame(lines).to_csv(path, index=False, float_format="%.5g")
        (FOLDER / "sensitivity.md").write_text(page(pd.read_csv(path)))


if __name__ == "__main__":
    main()
