"""The page of `run.py`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.detection import plots
from benchmarks.detection.cells import OK
from benchmarks.detection.figures import (
    FAR_BEHIND,
    FIGURES,
    ORDERING,
    TIE,
    by_table,
    critical_difference,
    interval,
    leads,
    measured,
    methods_of,
    microseconds_per_row,
    outcome,
    ranks,
    seconds,
    seed_means,
    slowness,
)
from benchmarks.detection.methods import MAX_PEER_SECONDS, METHODS, OURS_METHODS
from benchmarks.detection.protocol import CLEAN, CONTAMINATED, SETTING_NAMES, SETTINGS
from benchmarks.foundation_page import METRICS, OURS, markdown
from benchmarks.harness import console, surroundings

PACKAGES = ("vae-anomaly", "torch", "scikit-learn", "pyod", "numpy", "scipy")
N_BEST = 8
MISSING = "–"
# The author's words, says.md and tried.md; the figures around them follow from results.csv.
WORDS = Path(__file__).parent

PAGE = """# Detection: ADBench's tables

Made by `{command}`; edit the scripts, not this page.
`detection/results.csv` has a row per table, setting, seed and method. A run that is stopped goes on from there.

{surroundings} {commits}

## What this says

{says}

## What was measured

{n_tables} tables of ADBench's "Classical" group, numbers only. Tables of more than 10,000 rows are a random 10,000 of
them, drawn by the seed. Rows are standardised with the training rows. *Clean*: fitted on a random half of the normal
rows; the other half and all anomalies scored. *Contaminated*: fitted on all rows, the same rows scored. *Dirty
history*: fitted on a random half of all rows, with the anomalies that it holds, and the other half scored; of some
tables that half has few anomalies (2 to 5), so that single tables say little there. One split a seed, the same for all
methods. Up to 10,000 rows, seeds differ only in the order of the rows where the setting is contaminated. Nothing was
chosen by table or setting.

VAEDetector is at its defaults with `random_state=seed`; *accurate* and *robust* are its presets. New rows are scored
by `score_samples`. The rows of the fit, in the contaminated setting, are scored by `training_scores_`: a second,
shorter training that is timed as scoring; of the robust preset it is the same model. The others are PyOD's detectors at
their defaults, but for what is said here. A scored training row is not its own neighbour. Seeds 0 to {last_seed}; slow
methods have fewer, and were not run with a dirty history. Every method had one thread, and a peer {max_seconds} seconds
for a table.

{methods}
### Tables

{tables}
## Means

The mean over tables ± the standard error of that mean over seeds: how much another seed changes it, not how much
other tables would. *Tables* says so where a method failed on some: its mean is over the others, so it does not compare.

{means}
{scatter}
## Presets

What the training rows are taken for: *default* assumes nothing of them, *accurate* that they are normal, *robust* that
they hold anomalies. The scores of the rows of the fit do not depend on the preset, so *accurate* is not run there; what
the default needs more time for than *robust* is the second training. AUROC and average precision are means over tables
and seeds, fit seconds each table's median over seeds and then the mean over tables; microseconds are seconds of scoring
over rows, both added over tables.

{presets}
## Mean ranks

1 is best; a table's figure is its mean over the method's seeds. Who failed on a table is last there. Mean ranks nearer
than the critical difference (Nemenyi, 5 %) are not distinguished by these tables. VAEDetector is ranked at its defaults
alone, without its presets.

{ranks}
![Mean ranks](detection/ranks.png)

## Against each peer

VAEDetector minus the peer: the mean over tables with a 95 % t interval over tables, on the seeds that both have.
Wins, ties and losses count tables; a tie is a difference of at most {tie}. No correction for many comparisons.

{against}
## Seconds

Each table's median over seeds, then the mean over tables. PyOD scores the training rows as part of `fit`, VAEDetector
after it, so in the contaminated setting both together are shown; scoring alone is timed in the clean setting. A ratio
is VAEDetector's seconds over the peer's, both added over the tables that both have: above 1 the peer is faster.

{seconds}
## Where VAEDetector is far behind

By more than {far} behind the best peer of the table. That is the best of up to {n_peers}, chosen after the fact and
anew for each table: no single peer is that good.

{behind}
![Table by table](detection/tables.png)

## Table by table

Means over seeds. VAEDetector and the {n_best} peers with the best means; the best of each row in bold.

{detail}
{tried}
## What failed

{failed}"""


def number(value: float, digits: int = 3) -> str:
    return MISSING if np.isnan(value) else f"{value:.{digits}f}"


def name_of(setting: str, metric: str) -> str:
    return f"{SETTING_NAMES[setting]} {METRICS[metric]}"


def settings_of(found: pd.DataFrame) -> list[str]:
    return [setting for setting in SETTINGS if (found["setting"] == setting).any()]


def figures_of(found: pd.DataFrame) -> list[tuple[str, str]]:
    return [(setting, metric) for setting, metric in FIGURES if setting in settings_of(found)]


def command(found: pd.DataFrame) -> str:
    seeds = sorted(found["seed"].unique())
    return " ".join(["python reports/benchmarks/detection/run.py --seeds", *map(str, seeds), "--page"])


def commits(found: pd.DataFrame) -> str:
    """Which state of the library each of our rows was measured with."""
    own = found[found["method"].isin(OURS_METHODS)]
    counts = own["commit"].value_counts()
    said = ", ".join(f"{n} at {commit}" for commit, n in counts.items())
    return f"VAEDetector's {len(own)} rows: {said} (+: with local changes to the library)."


def methods_table(found: pd.DataFrame) -> str:
    rows = []
    for name in methods_of(found):
        part = found[found["method"] == name]
        seeds, where = sorted(part["seed"].unique()), (SETTING_NAMES[setting] for setting in settings_of(part))
        rows.append((name, METHODS[name].about, ", ".join(map(str, seeds)), ", ".join(where)))
    return markdown(("method", "what it is", "seeds", "setting"), rows)


def tables_table(found: pd.DataFrame) -> str:
    rows = []
    for table, part in found.drop_duplicates(["table", "setting"]).groupby("table"):
        sizes = {of.setting: f"{of.n_train:,} / {of.n_test:,}" for of in part.itertuples()}
        shapes = (sizes.get(setting, MISSING) for setting in settings_of(found))
        rows.append((str(table), f"{part['n_columns'].iloc[0]:,}", *shapes))
    names = (f"{SETTING_NAMES[setting]}: rows fitted / scored" for setting in settings_of(found))
    return markdown(("table", "columns", *names), rows)


def ordered(found: pd.DataFrame) -> list[str]:
    """Ours first, then by the mean of the clean and contaminated columns of the table of means; without one, last."""
    names = methods_of(found)
    columns = [by_table(found, *figure).mean() for figure in figures_of(found) if figure in ORDERING]
    means = pd.DataFrame(columns).mean(skipna=False).reindex(names)
    ours = [name for name in names if name in OURS_METHODS]
    return ours + [str(name) for name in means.drop(ours).sort_values(ascending=False, kind="stable").index]


def means_table(found: pd.DataFrame) -> str:
    rows = []
    for name in ordered(found):
        cells, n_tables, n_seeds = [], [], 0
        for setting, metric in figures_of(found):
            if name not in by_table(found, setting, metric):
                cells.append(MISSING)
                continue
            means = seed_means(found, setting, metric, name)
            error = means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else float("nan")
            cells.append(f"{number(means.mean())} ± {number(error)}")
            n_seeds = max(n_seeds, len(means))
            if metric == "auroc":
                n_tables.append(f"{by_table(found, setting, metric)[name].notna().sum()}")
        rows.append((name, f"{n_seeds}", " / ".join(n_tables), *cells))
    return markdown(("method", "seeds", "tables", *(name_of(*figure) for figure in figures_of(found))), rows)


def presets_table(found: pd.DataFrame) -> str:
    """Figures of our methods, by setting."""
    rows = []
    for name in (name for name in methods_of(found) if name in OURS_METHODS):
        for setting in settings_of(found):
            if name not in by_table(found, setting, "auroc"):
                continue
            quality = " / ".join(number(seed_means(found, setting, metric, name).mean()) for metric in METRICS)
            fit = number(seconds(found, setting, "fit_s")[name], 2)
            rows.append(
                (name, SETTING_NAMES[setting], quality, fit, number(microseconds_per_row(found, setting, name), 1))
            )
    return markdown(("method", "setting", " / ".join(METRICS.values()), "fit, s", "microseconds a row"), rows)


def ranks_table(found: pd.DataFrame) -> str:
    mean = pd.DataFrame({name_of(*figure): ranks(found, *figure).mean() for figure in figures_of(found)})
    ordering = [name_of(*figure) for figure in figures_of(found) if figure in ORDERING]
    mean = mean.loc[mean[ordering].mean(axis=1, skipna=False).sort_values(kind="stable").index]
    rows = [[str(name), *(number(rank, 2) for rank in mean.loc[name])] for name in mean.index]
    sizes = (ranks(found, *figure).shape for figure in figures_of(found))
    rows.append(["critical difference", *(number(critical_difference(n, m), 2) for m, n in sizes)])
    return markdown(("method", *mean.columns), rows)


def signed(differences: pd.Series[float]) -> str:
    mean, half = interval(differences)
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def against_table(found: pd.DataFrame) -> str:
    rows = []
    for setting in settings_of(found):
        auroc, ap = (leads(found, setting, metric) for metric in METRICS)
        for peer in (name for name in ordered(found) if name in auroc):
            for_peer = auroc[peer].dropna(), ap[peer].dropna()
            shown = [part for pair in for_peer for part in (" / ".join(map(str, outcome(pair))), signed(pair))]
            rows.append((SETTING_NAMES[setting], peer, str(len(for_peer[0])), *shown))
    names = (part for name in METRICS.values() for part in (f"{name}: won / tied / lost", f"{name} difference"))
    return markdown(("setting", "peer", "tables", *names), rows)


def seconds_table(found: pd.DataFrame) -> str:
    columns, ratios = {}, {}
    for setting in settings_of(found):
        shown, what = ("fit and score", "total_s") if setting == CONTAMINATED else ("fit", "fit_s")
        columns[f"{shown}, s, {SETTING_NAMES[setting]}"] = seconds(found, setting, what)
        ratios[f"{shown} ratio, {SETTING_NAMES[setting]}"] = slowness(found, setting, what)
    if CLEAN in settings_of(found):
        columns["score, s"], ratios["score ratio"] = (how(found, CLEAN, "score_s") for how in (seconds, slowness))
    wide = pd.DataFrame({**columns, **ratios}).loc[ordered(found)]
    digits = [3] * len(columns) + [1] * len(ratios)
    rows = [
        [str(name), *(number(value, n) for value, n in zip(wide.loc[name], digits, strict=True))] for name in wide.index
    ]
    return markdown(("method", *wide.columns), rows)


def behind_list(found: pd.DataFrame) -> str:
    lines = []
    for setting, metric in figures_of(found):
        peers = leads(found, setting, metric).drop(columns=list(OURS_METHODS), errors="ignore")
        worst = peers.min(axis=1).sort_values()
        far = worst[worst < -FAR_BEHIND]
        lines.append(f"* {name_of(setting, metric)}: {len(far)} of {len(worst)} tables.")
        own = by_table(found, setting, metric)[OURS]
        lines += [
            f"  * {table}: {own[table]:.3f}, {peers.loc[table].idxmin()} {-gap:.3f} ahead."
            for table, gap in zip(map(str, far.index), far, strict=True)
        ]
    return "\n".join(lines) + "\n"


def detail_tables(found: pd.DataFrame) -> str:
    parts = []
    for setting, metric in figures_of(found):
        wide = by_table(found, setting, metric)
        ours = [name for name in OURS_METHODS if name in wide]
        best = wide.drop(columns=ours).mean().sort_values(ascending=False).index[:N_BEST]
        shown = wide[[*ours, *best]]
        rows: list[Iterable[str]] = []
        for table in shown.index:
            top = shown.loc[table].max()
            values = (number(value) if not np.isnan(value) else "failed" for value in shown.loc[table])
            marks = (value >= top - 5e-4 for value in shown.loc[table])
            rows.append([table, *(f"**{v}**" if is_top else v for v, is_top in zip(values, marks, strict=True))])
        rows.append(["mean", *(number(value) for value in shown.mean())])
        parts.append(f"### {name_of(setting, metric)}\n\n" + markdown(("table", *shown.columns), rows))
    return "\n".join(parts)


def failed_table(found: pd.DataFrame) -> str:
    failed = found[found["status"] != OK]
    if failed.empty:
        return "Nothing.\n"
    rows = []
    for (method, setting, table), part in failed.groupby(["method", "setting", "table"]):
        reason = str(part["status"].iloc[0]).replace("|", "/")
        rows.append((method, SETTING_NAMES[str(setting)], table, ", ".join(map(str, part["seed"])), reason))
    return markdown(("method", "setting", "table", "seeds", "status"), rows)


def write_page(found: pd.DataFrame, out: Path) -> None:
    kept = measured(found)
    if not (kept["method"] == OURS).any():
        console.log(f"no page: {OURS} is not among what was measured")
        return
    if len(kept) < len(found):
        gone = found.drop(kept.index)[["method", "setting", "seed"]].drop_duplicates()
        said = "; ".join(
            f"{method}, {SETTING_NAMES[setting]}, seed {seed}" for method, setting, seed in gone.to_numpy()
        )
        console.log(f"not on the page, as these were not run on all tables: {said}")
    folder = out / "detection"
    scatter = ""
    if {CLEAN, CONTAMINATED} <= set(settings_of(kept)):
        plots.clean_and_contaminated(kept, folder / "means.png")
        scatter = "![Clean and contaminated means](detection/means.png)\n"
    plots.mean_ranks(kept, folder / "ranks.png")
    plots.table_by_table(kept, folder / "tables.png")
    text = PAGE.format(
        command=command(kept),
        surroundings=surroundings(PACKAGES),
        commits=commits(kept),
        says=WORDS.joinpath("says.md").read_text(encoding="utf-8").strip(),
        n_tables=kept["table"].nunique(),
        last_seed=kept["seed"].max(),
        max_seconds=MAX_PEER_SECONDS,
        methods=methods_table(kept),
        tables=tables_table(kept),
        means=means_table(kept),
        scatter=scatter,
        presets=presets_table(kept),
        ranks=ranks_table(kept),
        tie=TIE,
        against=against_table(kept),
        seconds=seconds_table(kept),
        far=FAR_BEHIND,
        n_peers=len([name for name in methods_of(kept) if name not in OURS_METHODS]),
        behind=behind_list(kept),
        n_best=N_BEST,
        detail=detail_tables(kept),
        tried=WORDS.joinpath("tried.md").read_text(encoding="utf-8"),
        failed=failed_table(kept),
    )
    (out / "detection.md").write_text(text, encoding="utf-8")
    console.log(f"wrote {out / 'detection.md'}")
