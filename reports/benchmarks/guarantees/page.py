"""The page of `run.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.foundation_page import markdown
from benchmarks.guarantees import plots
from benchmarks.guarantees.drifting import (
    ALPHA,
    BATCH,
    CHANGES,
    FILE,
    MAX_ROWS,
    N_FILES,
    N_FITS,
    N_FITTED,
    NOTHING,
    SORTED,
)
from benchmarks.guarantees.fixed import ALPHAS, FDR, N_AUDITS, N_DRAWS, N_FAMILIES, N_SHIFTED, STREAM_ROWS
from benchmarks.guarantees.leak import BY_FOLD, N_FOLDS, N_NEW
from benchmarks.guarantees.parts import PARTS
from benchmarks.guarantees.real import (
    BEFORE,
    CONFIDENCE,
    FOREST,
    IMAGE_STEPS,
    METHODS,
    N_IMAGES,
    NONCONFORM,
    OURS,
    RATES,
    SHARES,
    TABLES,
)
from benchmarks.guarantees.real import N_FAMILIES as N_MIXED
from benchmarks.guarantees.studies import HERE, standard_error
from benchmarks.harness import console, surroundings

PACKAGES = ("vae-anomaly", "torch", "scikit-learn", "numpy", "scipy")
WORDS, PAGE_FILE = HERE / "says.md", HERE.parent / "guarantees.md"
COMMAND = "python reports/benchmarks/guarantees/run.py"
MISSING = "–"
MADE = "Each part has a CSV in `guarantees/`; a run that is stopped goes on from there."

Frame = pd.DataFrame


def percents(value: Any, digits: int = 1) -> str:
    return number(100 * float(value), digits)


def number(value: Any, digits: int = 3) -> str:
    return MISSING if math.isnan(float(value)) else f"{float(value):.{digits}f}"


def rows_of(value: Any) -> str:
    """So many rows, or that it does not happen."""
    return "never" if math.isinf(float(value)) else f"{float(value):,.0f}"


def records(frame: Frame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def mean_and_error(values: pd.Series[float]) -> str:
    """Of shares, in per cent."""
    if values.isna().all():
        return MISSING
    return f"{percents(float(values.mean()))} ± {percents(standard_error(values))}"


def mean_error_worst(values: pd.Series[float]) -> str:
    return MISSING if values.isna().all() else f"{mean_and_error(values)} ({percents(float(values.max()))})"


def beta_section(found: Frame) -> str:
    rows = [
        (
            f"{one['n_calibration']:,}",
            percents(one["rate"]),
            one["rank"],
            percents(one["mean_rate"], 2),
            percents(one["expected"], 2),
            number(one["ks_p"], 2),
            percents(one["share_above_rate"], 0),
            percents(one["bound"], 2),
            percents(one["share_above_bound"]),
        )
        for one in records(found.sort_values(["n_calibration", "rate"]))
    ]
    headings = (
        "calibration rows",
        "asked, %",
        "k",
        "mean rate, %",
        "k/(n+1), %",
        "p, KS test against Beta",
        "above what was asked, % of models",
        "95 % bound, %",
        "above the bound, % of models",
    )
    return f"""The threshold is the k-th largest of n calibration scores. {N_DRAWS:,} calibrations each; the share of
normal rows above it is known exactly. Smallest p of {len(found)} tests: {number(found["ks_p"].min())}.

{markdown(headings, rows)}"""


def sure_section(found: Frame) -> str:
    rows = []
    for (n, rate, confidence), part in found.groupby(["n_calibration", "rate", "confidence"]):
        by_ties = part.set_index("tied")["share_above"]
        rows.append(
            (
                f"{n:,}",
                percents(rate),
                percents(1 - float(str(confidence))),
                part["rank"].iloc[0],
                percents(by_ties.loc[0.0]),
                percents(by_ties.loc[0.8]),
            )
        )
    headings = ("calibration rows", "rate, %", "allowed, %", "k", "above the rate, %", "with 80 % ties, %")
    return f"""`set_threshold(false_alarm_rate=, confidence=)`: share of {N_DRAWS:,} models whose rate is above the one
asked for. Largest excess: {number(found["z"].max(), 1)} standard errors.

{markdown(headings, rows)}"""


def fdr_section(found: Frame) -> str:
    rows = []
    for (n, m, share), part in found.groupby(["n_calibration", "n_family", "share"]):
        cells = [f"{n:,}", f"{m:,}", percents(share, 0)]
        for effect, tied in ((2.0, 0.0), (4.0, 0.0), (4.0, 0.8)):
            one = part[(part["effect"] == effect) & (part["tied"] == tied)].iloc[0]
            cells += [f"{percents(one['fdr_bh'])} / {percents(one['power_bh'], 0)}"]
            cells += [f"{percents(one['fdr_storey'])} / {percents(one['power_storey'], 0)}"]
        rows.append(tuple(cells))
    z = {name: ((found[f"fdr_{name}"] - FDR) / found[f"se_{name}"].clip(lower=1e-9)).max() for name in ("bh", "storey")}
    beyond = found.loc[(found["power_bh"] > 0.5), "beyond_bh"]
    least, most = float(beyond.min()), float(beyond.max())
    n_bounds, n_wrong = found["n_bounds"].sum(), found["n_bounds_wrong"].sum()
    worst = found["n_bounds_wrong"].max() / N_FAMILIES
    headings = [
        "calibration rows",
        "family",
        "anomalies, %",
        *(f"{effect}: {name}" for effect in ("2 sd", "4 sd", "4 sd, 80 % ties") for name in ("BH", "Storey")),
    ]
    return f"""Selections at q = {percents(FDR, 0)} %: mean false share / power, in per cent. {N_FAMILIES} families,
each with a calibration of its own; {len(found)} settings. Largest (false share - q) in standard errors: BH
{number(z["bh"], 1)}, Storey {number(z["storey"], 1)}. Where power is above one half, between {percents(least, 0)} and
{percents(most, 0)} % of single families exceed q with BH: the promise is about the average. The 95 % bound on the
realised share was wrong in {n_wrong:,} of {n_bounds:,} selections, and in the worst setting in {percents(worst)} %
of the families.

{markdown(headings, rows)}"""


def chunks_section(found: Frame) -> str:
    rows = [
        (
            f"{size:,}",
            f"{int(part['same'].sum())} of {len(part)}",
            mean_and_error(part["false_by_chunk"]),
            f"{part['n_by_chunk'].mean():.0f}",
            percents(float(part["power_by_chunk"].mean()), 0),
        )
        for size, part in found.groupby("chunk")
    ]
    whole = found[found["chunk"] == found["chunk"].max()]
    rows.append(
        (
            "whole family",
            MISSING,
            mean_and_error(whole["false_together"]),
            MISSING,
            percents(float(whole["power_together"].mean()), 0),
        )
    )
    headings = (
        "rows of a chunk",
        "one selection, given in chunks: same cutoff",
        "false share of all that is flagged, a selection a chunk, %",
        "flagged",
        "power, %",
    )
    return f"""10,000 rows, 200 of them anomalies at 4 sd, 2,000 calibration rows, q = {percents(FDR, 0)} %;
{found["seed"].nunique()} families. This is why `select` takes the whole family, and the command line reads its input
twice.

{markdown(headings, rows)}"""


def streams_section(found: Frame) -> str:
    null, moved = found[found["shift"] == 0], found[found["shift"] > 0]
    rows = []
    for (n, tied), part in null.groupby(["n_calibration", "tied"]):
        n_streams = int(part["n_streams"].sum())
        cells = [f"{n:,}", "80 %" if float(str(tied)) else "none", f"{n_streams:,}"]
        for alpha in ALPHAS:
            share = float(np.average(part[f"alarms_{100 * alpha:g}"], weights=part["n_streams"]))
            cells.append(f"{percents(share)} ± {percents(math.sqrt(share * (1 - share) / n_streams))}")
        rows.append(tuple(cells))
    delays = [
        (
            f"{one['n_calibration']:,}",
            f"{one['shift']:g}",
            f"{one['after']:,}",
            int(one["n_false"]),
            percents(one["found"], 0),
            rows_of(one["delay"]),
            rows_of(one["delay_90"]),
        )
        for one in records(moved.sort_values(["shift", "after", "n_calibration"]))
    ]
    headings = (
        "calibration rows",
        "shift, sd",
        "rows before",
        "alarms before",
        "found, %",
        "median delay",
        "90 % within",
    )
    return f"""Streams of {STREAM_ROWS:,} rows in which nothing changes: share with an alarm, in per cent, which is to
be at most that of the heading.

{markdown(("calibration rows", "ties", "streams", "at 1 %", "at 5 %"), rows)}
A shift of the scores, alarm at 1 %: {N_SHIFTED} streams each, 5,000 rows after the shift; delays in rows.

{markdown(headings, delays)}"""


def audit_section(found: Frame) -> str:
    rows = []
    for share, part in found.groupby("contamination"):
        by_looks = part.set_index("looks")
        cells = [percents(float(str(share)))]
        for looks in ("0", "25", "50", "blind"):
            if looks in by_looks.index:
                one = by_looks.loc[looks]
                cells.append(f"{percents(one['fdr'])} ± {percents(one['se'])} / {percents(one['power'], 0)}")
            else:
                cells.append(MISSING)
        rows.append(tuple(cells))
    headings = ("anomalies in the reference, %", "no look", "25 looks", "50 looks", "that share cut off unseen")
    return f"""2,000 reference rows, some of them anomalies like those to be found; families of 1,000 rows with 20
anomalies at 4 sd; BH at q = {percents(FDR, 0)} %; {N_AUDITS} times. False share ± standard error / power, in per cent.

{markdown(headings, rows)}"""


def band_section(found: Frame) -> str:
    rows = [
        (
            f"{one['n_calibration']:,}",
            percents(one["held"]),
            percents(one["dkw_held"]),
            f"{percents(one['band_first'], 2)} / {percents(one['dkw_first'], 2)}",
            f"{percents(one['band_1'], 2)} / {percents(one['dkw_1'], 2)}",
            f"{percents(one['band_10'], 2)} / {percents(one['dkw_10'], 2)}",
        )
        for one in records(found.sort_values("n_calibration"))
    ]
    headings = (
        "calibration rows",
        "all bounds hold, %",
        "DKW's hold, %",
        "above the largest score: band / DKW, %",
        "nominal 1 %: band / DKW, %",
        "nominal 10 %: band / DKW, %",
    )
    return f"""Upper bounds for every threshold at once, at 95 %: {N_DRAWS:,} calibrations each (standard error .5).

{markdown(headings, rows)}"""


def leak_section(found: Frame) -> str:
    rows = []
    said = {"none": "`None` (in-sample)", BY_FOLD: "cross, everything learned by fold"}
    for (table, calibration), part in found.groupby(["table", "calibration"], sort=False):
        smallest = 1 / (part["n_calibration"].median() + 1)
        rows.append(
            (
                str(table),
                said.get(str(calibration), f'`"{calibration}"`'),
                len(part),
                f"{part['n_calibration'].median():.0f}",
                percents(smallest) if calibration != "none" else MISSING,
                *(mean_and_error(part[f"p_{100 * rate:g}"]) for rate in (0.02, 0.05, 0.1)),
                *(mean_and_error(part[f"flagged_{100 * rate:g}"]) for rate in (0.02, 0.05, 0.1)),
                mean_and_error(part["flagged_auto"]),
            )
        )
    headings = (
        "table",
        "`calibration=`",
        "fits",
        "calibration rows",
        "smallest p, %",
        "p ≤ 2 %",
        "p ≤ 5 %",
        "p ≤ 10 %",
        "`contamination=` 2 %",
        "5 %",
        "10 %",
        '`"auto"`',
    )
    sizes = ", ".join(f"{table} {int(part['n_rows'].iloc[0])}" for table, part in found.groupby("table", sort=False))
    return f"""The real detector at its defaults on rows of a known law (rows fitted: {sizes});
{N_NEW} new rows of
the same law each. Per cent of the new rows, mean ± standard error over fits. Gaussian: 20 columns. Heavy tails: 10
columns of Student's t with 1.5 degrees of freedom. Mixed: ten columns, levels that occur once, levels of Zipf's law,
counts, missing cells. In-sample p-values are ranks among the rows that were fitted.
Where the smallest p-value is above a share that is asked for, the threshold is the largest calibration score, and
flags as many rows as the smallest p-value says. "Everything learned by fold": four detectors of one member, each of
which sees nothing of its fold, not even for what columns are and how they are scaled. "Amounts": columns of a lognormal
law, sigma 2. "Every row twice": Gaussian rows, each there two times, so that most rows of a fold have a twin among
those trained on.

{markdown(headings, rows)}"""


def real_section(found: Frame) -> str:
    tables = [name for name in TABLES if (found["table"] == name).any()]
    sizes = []
    for table in tables:
        own = found[(found["table"] == table) & (found["method"] == OURS)]
        one = own.iloc[0]
        counts = (f"{one[name]:,.0f}" for name in ("n_fitted", "n_new", "n_calibration"))
        sizes.append((table, one["kind"], *counts))
    intro = f"""Half of the normal rows fitted, the others new; five splits. fashion_mnist: {N_IMAGES:,} ankle boots,
{IMAGE_STEPS} steps; everything else at the defaults of VAEDetector. adult has no anomalies: incomes above 50,000 stand
for them, and nobody should find them.
"""
    parts = [
        intro,
        markdown(("table", "calibration", "fitted", "new normal rows", "calibration rows"), sizes),
        "### New normal rows that are flagged\n\nPer cent, mean ± standard error over splits (worst split).\n",
    ]
    for rate in RATES:
        name = f"{100 * rate:g}"
        rows = []
        for table in tables:
            by = {method: found[(found["table"] == table) & (found["method"] == method)] for method in METHODS}
            rows.append(
                (
                    table,
                    percents(float(by[OURS][f"expected_{name}"].mean())),
                    mean_error_worst(by[OURS][f"flagged_{name}"]),
                    mean_error_worst(by[OURS][f"p_{name}"]),
                    mean_error_worst(by[BEFORE][f"flagged_{name}"]),
                    mean_error_worst(by[FOREST][f"p_{name}"]),
                    mean_error_worst(by[NONCONFORM][f"p_{name}"]),
                )
            )
        headings = (
            f"nominal {name} %",
            "k/(n+1)",
            "`contamination=`",
            "`p_values` ≤ nominal",
            "`calibration=None`",
            "split IsolationForest",
            "nonconform, IsolationForest",
        )
        parts.append(markdown(headings, rows))
    parts += ["### With 95 % confidence, and by default\n", sure_real(found, tables)]
    parts += ["### Selections\n", selections(found, tables)]
    return "\n".join(parts)


def sure_real(found: Frame, tables: list[str]) -> str:
    rows = []
    for table in tables:
        own = found[(found["table"] == table) & (found["method"] == OURS)]
        before = found[(found["table"] == table) & (found["method"] == BEFORE)]
        cells = [table]
        for rate in RATES:
            values = own[f"sure_{100 * rate:g}"].dropna()
            n_above = int((values > rate).sum())
            cells.append(f"{n_above} of {len(values)}: {percents(float(values.mean()))}" if len(values) else "refused")
        cells += [mean_error_worst(own["flagged_auto"]), percents(float(own["recall_auto"].mean()), 0)]
        cells += [mean_error_worst(before["flagged_auto"]), percents(float(before["recall_auto"].mean()), 0)]
        rows.append(tuple(cells))
    headings = (
        "table",
        "1 %: splits above, mean rate",
        "5 %",
        "10 %",
        '`"auto"`: normal rows flagged',
        "anomalies flagged",
        '`calibration=None`, `"auto"`: normal rows',
        "anomalies",
    )
    return f"""`set_threshold(false_alarm_rate=, confidence={CONFIDENCE})`: splits whose share of flagged new normal
rows is above the rate, and the mean share. A share of few new rows has an error of its own. Refused: too few
calibration rows. Then the default threshold, `contamination="auto"`, beside that of rows that were fitted. In per cent.

{markdown(headings, rows)}"""


def selections(found: Frame, tables: list[str]) -> str:
    intro = f"""BH at q = {percents(FDR, 0)} % from all new normal rows with anomalies among them; {N_MIXED} draws of
the anomalies a split. Mean false share / power, in per cent. Impossible: not even with every anomaly above all
calibration rows could any be selected, and `select` refuses or warns.
"""
    parts = [intro]
    for share in SHARES:
        name = f"{100 * share:g}"
        rows = []
        for table in tables:
            cells = [table]
            for method in METHODS:
                part = found[(found["table"] == table) & (found["method"] == method)]
                cells.append(selection_cell(part, name, in_sample=method == BEFORE))
            rows.append(tuple(cells))
        headings = (
            f"{name} % anomalies",
            "VAEDetector",
            "in-sample ranks",
            "split IsolationForest",
            "nonconform, IsolationForest",
        )
        parts.append(markdown(headings, rows))
    return "\n".join(parts)


def selection_cell(part: Frame, share: str, *, in_sample: bool) -> str:
    if part.empty:
        return MISSING
    n = part["n_calibration"]
    mixed = part[f"mixed_{share}"]
    if not in_sample and ((part["n_new"] + mixed) / (n + 1) > FDR * mixed).all():
        return "impossible"
    return f"{percents(float(part[f'fdp_{share}'].mean()))} / {percents(float(part[f'power_{share}'].mean()), 0)}"


def drift_section(found: Frame) -> str:
    rows = []
    for change in CHANGES:
        part = found[found["change"] == change]
        cells = [change, len(part)]
        for name in ("any", "column", "scores", "stream"):
            delays = part[name].fillna(np.inf)
            middle, late = (float(delays.quantile(q, interpolation="higher")) for q in (0.5, 0.9))
            cells.append(f"{rows_of(middle)} / {rows_of(late)}")
        rows.append(tuple(cells))
    null, in_order = found[found["change"] == NOTHING], found[found["change"] == SORTED]
    n_files = N_FILES * len(null)
    alarms = [
        ("scores of a file", f"{int(null['files_scores'].sum())} of {n_files:,}"),
        ("columns of a file, together", f"{int(null['files_columns'].sum())} of {n_files:,}"),
        ("either of them", f"{int(null['files_either'].sum())} of {n_files:,}"),
        ("stream of all files", f"{int(null['stream_alarm'].sum())} of {len(null):,}"),
        ("any alarm in all files of a stream", f"{int(null['any_alarm'].sum())} of {len(null):,}"),
        (
            "stream of all files, where each file is sorted by load",
            f"{int(in_order['stream_alarm'].sum())} of {len(in_order):,}",
        ),
    ]
    headings = (
        "change",
        "streams",
        "any alarm",
        "the column that changed is named",
        "its scores",
        "the stream",
    )
    return f"""A synthetic table of eight mixed columns, {N_FITTED:,} rows fitted, {N_FITS} fits; `check_drift` at
alpha = {ALPHA:g} on batches of {BATCH} rows. Rows until the alarm, median / 90 % of streams, of at most {MAX_ROWS:,}.
Shift: .5 standard deviations in one column. New level: 3 % of the rows have one. Missing: 5 % of a column, then 10 %.
Trend: .5 standard deviations over 2,000 rows.

{markdown(headings, rows)}
Nothing changes, {N_FILES} files of {FILE} rows:

{markdown(("alarm", "how often"), alarms)}"""


SECTIONS: tuple[tuple[str, str, Callable[[Frame], str]], ...] = (
    ("beta", "Thresholds follow the Beta law", beta_section),
    ("sure", "A bound for this very model", sure_section),
    ("band", "All thresholds at once", band_section),
    ("fdr", "False shares of selections", fdr_section),
    ("chunks", "Why a selection takes the whole family", chunks_section),
    ("audit", "A contaminated reference, and an audit", audit_section),
    ("streams", "Streams", streams_section),
    ("leak", "Rows that calibrate influenced nothing", leak_section),
    ("real", "Real tables and images", real_section),
    ("drift", "Drift of a table", drift_section),
)


def figures(found: dict[str, Frame]) -> dict[str, str]:
    """What the words of the page quote, in per cent or rows."""

    def of(part: str, column: str, *, digits: int = 1, **chosen: object) -> str:
        frame = found[part]
        for name, value in chosen.items():
            frame = frame[frame[name] == value]
        return percents(frame[column].mean(), digits) if len(frame) else MISSING

    def delay(change: str) -> str:
        return rows_of(found["drift"].loc[found["drift"]["change"] == change, "any"].fillna(np.inf).median())

    in_order = found["drift"][found["drift"]["change"] == SORTED]
    sure = found["real"][[f"sure_{100 * rate:g}" for rate in RATES]]
    amounts, heavy, twice = "amounts, 30 columns", "heavy tails", "every row twice"
    bound = 2 * 0.05 + 2 * 0.95 * (N_FOLDS - 1) / (leak_rows(found["leak"], amounts) + N_FOLDS)
    return {
        "stream_alarms": of("streams", "alarms_5", shift=0.0),
        "audit_power_before": of("audit", "power", digits=0, contamination=0.02, looks="0"),
        "audit_power": of("audit", "power", digits=0, contamination=0.02, looks="50"),
        "audit_fdr": of("audit", "fdr", contamination=0.02, looks="50"),
        "wine_before": of("real", "flagged_1", table="wine", method=BEFORE),
        "wine_expected": of("real", "expected_1", table="wine", method=OURS),
        "wine_now": of("real", "flagged_1", table="wine", method=OURS),
        "letter_before": of("real", "flagged_1", table="letter", method=BEFORE),
        "letter_now": of("real", "flagged_1", table="letter", method=OURS),
        "letter_recall_before": of("real", "recall_auto", digits=0, table="letter", method=BEFORE),
        "letter_recall_now": of("real", "recall_auto", digits=0, table="letter", method=OURS),
        "letter_auto_before": of("real", "flagged_auto", table="letter", method=BEFORE),
        "letter_auto_now": of("real", "flagged_auto", table="letter", method=OURS),
        "shuttle_flagged": of("real", "flagged_10", table="shuttle", method=OURS),
        "shuttle_p": of("real", "p_10", table="shuttle", method=OURS),
        "in_sample_fdp": of("real", "fdp_2", digits=0, table="wine", method=BEFORE),
        "n_above": str(int((sure > np.array(RATES)).sum().sum())),
        "n_sure": str(int(sure.notna().sum().sum())),
        "amounts": of("leak", "p_5", table=amounts, calibration="cross"),
        "amounts_by_fold": of("leak", "p_5", table=amounts, calibration=BY_FOLD),
        "amounts_proved": percents(bound),
        "heavy": of("leak", "p_5", table=heavy, calibration="cross"),
        "heavy_by_fold": of("leak", "p_5", table=heavy, calibration=BY_FOLD),
        "twice": of("leak", "p_5", table=twice, calibration="cross"),
        "delay_shift": delay("shift"),
        "delay_missing": delay("missing"),
        "sorted_alarms": str(int(in_order["stream_alarm"].sum())),
        "n_sorted": str(len(in_order)),
    }


def leak_rows(found: Frame, table: str) -> float:
    """Calibration rows of a cross calibration."""
    return float(found.loc[(found["table"] == table) & (found["calibration"] == "cross"), "n_calibration"].median())


def commits(found: dict[str, Frame]) -> str:
    counts = pd.concat([frame["commit"].astype(str) for frame in found.values()]).value_counts()
    return "Cells by state of the library: " + ", ".join(f"{n} at {commit}" for commit, n in counts.items()) + "."


def write_page() -> None:
    found = {name: study.read(name) for name, study in PARTS.items()}
    parts = [
        "# Guarantees: thresholds, p-values, selections, audits, drift",
        f"Made by `{COMMAND} --page`; edit the scripts, not this page.\n{MADE}",
        f"{surroundings(PACKAGES)} {commits(found)}",
        f"## What this says\n\n{WORDS.read_text(encoding='utf-8').strip().format(**figures(found))}",
    ]
    for name, title, section in SECTIONS:
        frame = found[name]
        if frame.empty:
            console.log(f"{name} was not measured and is not on the page")
            continue
        missing = len(PARTS[name].cells) - len(frame)
        note = f" {missing} of its {len(PARTS[name].cells)} cells are missing." if missing > 0 else ""
        seconds = frame["fit_s"].sum()
        said = f"`{COMMAND} --parts {name}`, {seconds / 60:.1f} minutes of a processor; `guarantees/{name}.csv`.{note}"
        parts.append(f"## {title}\n\n{said}\n\n{section(frame).strip()}")
        if name in plots.PLOTS:
            plots.PLOTS[name](frame, HERE / f"{name}.png")
            parts.append(f"![{title}](guarantees/{name}.png)")
    PAGE_FILE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    console.log(f"wrote {PAGE_FILE.relative_to(Path.cwd()) if PAGE_FILE.is_relative_to(Path.cwd()) else PAGE_FILE}")
