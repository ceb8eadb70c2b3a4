"""Is a row found that is usual for all rows and unusual for its own group?

    python reports/benchmarks/analyst/context.py ../shared/data

Three tables: 90 groups of a shop with a drop on the last day and planted changes; rented bicycles by hour and weekday,
with two days of a storm and planted drops; connections of a network by service.  Labels are read to measure by alone.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from benchmarks import runs
from benchmarks.foundation_page import markdown
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from vae_anomaly import VAEDetector
from vae_anomaly.data import Table

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Rows = dict[str, object]
HERE = Path(__file__).resolve().parent
SEEDS = range(5)

KEYS = ("store", "product", "channel")
SHAPE, N_DAYS, NOISE = (6, 5, 3), 540, 0.08
DROPPED, SHARE_LEFT = 2203.0, 0.21
CHANGES = {"-30 %": 0.7, "-50 %": 0.5, "-80 %": 0.2, "to 0": 0.0, "+50 %": 1.5}
N_TEST_DAYS, PLANTED_SHARE = 60, 0.02

STORM = ("2012-10-29", "2012-10-30")
BIKE_TEST, BIKE_DROP, BIKE_SHARE, MIN_RENTED = "2012-10-01", 0.4, 0.02, 20
N_TRAIN, N_NORMAL, N_ATTACKS = 20_000, 10_000, 500


TEXT = """## Values in their context

`python reports/benchmarks/analyst/context.py ../shared/data` measures `baseline_by` and `baseline_time` beside the
same detector without them and IsolationForest. No label was read but to measure. "Units of the group" is the same fit
with the units of the row's own group left out of the score: it ranks rows as `baseline_units="group"` does.

* **The case.** 90 groups, 540 days, Poisson sales around a mean with 8 % noise. On the last day one group falls by
  80 % and another to 0. The default ranks them between 16 and 71 of 90, IsolationForest between 6 and 70; compared with
  their group they are the second and the first with every seed, as by hand with median and deviation of the group.
* **Planted changes** in 2 % of 5,400 rows: without context they are found no better than by chance (AP .02 to .06).
  With it, changes of a half and more are found nearly whole, and -30 % and +50 % as by hand, in units of the group.
* **The units of the data cost.** As a log-density of the data the score says that a row of a wide group is less likely
  than one of a narrow group, which is true, and so ranks usual rows of wide groups above unusual ones of narrow
  groups: -30 % has an AP of .79 instead of .90, the storm an AUROC of .76 instead of .91.
* **Bicycles**, fitted up to September 2012 and judged from October to December: the two days of the storm (48 of 2,184
  hours), and 2 % of the hours with 60 % less. Context helps; what is reached for single hours (AP below .05) is little.
* **KDD99 by service: it harms.** AP .86 to .95 instead of .97. Attacks are rare among all connections, and a service
  explains them away: context is for groups that differ in level, not for every column with names in it. Three seeds,
  before the choice of scales was changed; all else is of the present code.

"""


@dataclass(frozen=True)
class Scorer:
    """Something that is fitted and gives an anomaly score for each row.

    Parameters
    ----------
    name : str
    fit : callable
        From training rows and a seed to a function of rows.
    """

    name: str
    fit: Callable[[pd.DataFrame, int], Callable[[pd.DataFrame], dict[str, FloatArray]]]


def forest(columns: list[str]) -> Scorer:
    """IsolationForest on numbers, and on levels one by one."""

    def fit(train: pd.DataFrame, seed: int) -> Callable[[pd.DataFrame], dict[str, FloatArray]]:
        encoder = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), columns), remainder="passthrough"
        )
        model = make_pipeline(encoder, IsolationForest(random_state=seed)).fit(numeric(train))
        return lambda rows: {"": -model.score_samples(numeric(rows))}

    return Scorer("IsolationForest", fit)


def numeric(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with dates as the day of the week."""
    dates = rows.select_dtypes("datetime").columns
    return rows.assign(**{name: rows[name].dt.day_of_week for name in dates})


def detector(
    name: str, by: list[str] | None = None, time: str | None = None, columns: dict[str, str] | None = None
) -> Scorer:
    """A VAEDetector; where it compares, with both units of the score."""

    def fit(train: pd.DataFrame, seed: int) -> Callable[[pd.DataFrame], dict[str, FloatArray]]:
        model = VAEDetector(baseline_by=by, baseline_time=time, columns=columns, random_state=seed).fit(train)

        def scores(rows: pd.DataFrame) -> dict[str, FloatArray]:
            found = model.anomaly_score(rows)
            units = model.encoder_.encode(Table(tuple(rows.columns), rows), fingerprints=False).units
            if units is None:
                return {"": found}
            # But for a constant what baseline_units="group" gives, without a second fit.
            added = units.log_jacobians.sum(1).numpy()
            return {", units of the data": found, ", units of the group": found + added}

        return scores

    return Scorer(name, fit)


def by_hand() -> Scorer:
    """What an analyst would do: the logarithm less the median of the group, divided by the group's deviation."""

    def fit(train: pd.DataFrame, _seed: int) -> Callable[[pd.DataFrame], dict[str, FloatArray]]:
        logs = np.log1p(train["volume"]).groupby([train[key] for key in KEYS])
        middle = logs.median()
        deviation = logs.agg(lambda cells: (cells - cells.median()).abs().median())

        def scores(rows: pd.DataFrame) -> dict[str, FloatArray]:
            groups = pd.MultiIndex.from_frame(rows[list(KEYS)])
            distance = np.log1p(rows["volume"]).to_numpy() - middle.loc[groups].to_numpy()
            return {"": np.abs(distance) / deviation.loc[groups].to_numpy()}

        return scores

    return Scorer("median and deviation of the group, by hand", fit)


def shop(seed: int) -> tuple[pd.DataFrame, FloatArray]:
    """Sales of 90 groups on 540 days, and the mean of each group."""
    rng = np.random.default_rng(seed)
    groups = pd.MultiIndex.from_product([range(n) for n in SHAPE], names=KEYS).to_frame(index=False)
    groups["product"] = groups["product"].map("ABCDE".__getitem__)
    means = rng.lognormal(7, 1.2, len(groups))
    # The group of the case is one of the usual size.
    means[np.abs(means - DROPPED).argmin()] = DROPPED
    rows = groups.loc[np.tile(np.arange(len(groups)), N_DAYS)].reset_index(drop=True)
    rows.insert(0, "date", np.repeat(pd.date_range("2024-01-01", periods=N_DAYS), len(groups)))
    expected = np.tile(means, N_DAYS) * np.exp(NOISE * rng.normal(size=len(rows)))
    return rows.assign(volume=rng.poisson(expected)), means


def shop_scorers() -> list[Scorer]:
    """What is compared on the sales."""
    keys = list(KEYS)
    return [
        forest(keys),
        detector("default"),
        by_hand(),
        detector("baseline_by", keys),
        detector("baseline_by and time", keys, "date"),
    ]


def measure_case(seed: int) -> Iterator[Rows]:
    """Ranks of two rows among the 90 of the last day: one group falls by 80 %, another to 0."""
    rows, means = shop(seed)
    n_groups = len(means)
    train, last = rows.iloc[:-n_groups], rows.iloc[-n_groups:].copy()
    fallen = int(np.abs(means - DROPPED).argmin())
    gone = int(np.argsort(means)[n_groups // 4])
    volumes = last["volume"].to_numpy().copy()
    volumes[fallen], volumes[gone] = round(SHARE_LEFT * DROPPED), 0
    last["volume"] = volumes
    for scorer in shop_scorers():
        start = time.perf_counter()
        scored = scorer.fit(train, seed)
        seconds = time.perf_counter() - start
        for kind, scores in scored(last).items():
            ranks = (-scores).argsort(kind="stable").argsort() + 1
            yield {
                "table": "shop, last day",
                "method": scorer.name + kind,
                "seed": seed,
                "what": "fell by 80 %",
                "rank": int(ranks[fallen]),
                "n_rows": n_groups,
                "seconds": seconds,
            }
            yield {
                "table": "shop, last day",
                "method": scorer.name + kind,
                "seed": seed,
                "what": "fell to 0",
                "rank": int(ranks[gone]),
                "n_rows": n_groups,
            }


def measure_planted(seed: int) -> Iterator[Rows]:
    """Average precision for changes in 2 % of the rows of 60 days, in groups of all sizes."""
    rows, means = shop(seed)
    cut = N_TEST_DAYS * len(means)
    train, test = rows.iloc[:-cut], rows.iloc[-cut:]
    rng = np.random.default_rng([seed, 1])
    planted = {name: rng.random(cut) < PLANTED_SHARE for name in CHANGES}
    for scorer in shop_scorers():
        scored = scorer.fit(train, seed)
        for name, chosen in planted.items():
            volume = test["volume"].to_numpy()
            changed = test.assign(volume=np.where(chosen, np.rint(volume * CHANGES[name]), volume).astype(int))
            for kind, scores in scored(changed).items():
                yield {
                    "table": "shop, planted",
                    "method": scorer.name + kind,
                    "seed": seed,
                    "what": name,
                    **quality(chosen, scores),
                    "n_rows": cut,
                }


def quality(labels: BoolArray, scores: FloatArray) -> dict[str, float]:
    """Average precision and area under the ROC curve."""
    return {"ap": float(average_precision_score(labels, scores)), "auroc": float(roc_auc_score(labels, scores))}


def bikes(data: Path) -> pd.DataFrame:
    """Rented bicycles by the hour, with the hour in the date."""
    rows = pd.read_csv(data / "bike_sharing" / "bike_hours.csv.gz")
    moments = pd.to_datetime(rows["dteday"], format="%m/%d/%y") + pd.to_timedelta(rows["hr"], unit="h")
    return rows.drop(columns=["dteday", "instant"]).assign(date=moments)


def bike_scorers() -> list[Scorer]:
    """What is compared on the bicycles; all see hour, weekday, month and weather."""
    return [
        forest([]),
        detector("default"),
        detector("baseline_by", ["hr", "weekday"]),
        detector("baseline_by and time", ["hr", "weekday"], "date"),
        detector("baseline_by working day and time", ["hr", "workingday"], "date"),
        detector("time", None, "date"),
    ]


def measure_bikes(data: Path, seed: int) -> Iterator[Rows]:
    """Ranks of the hours of a storm in three months, and average precision for 2 % of day-time hours less 60 %."""
    rows = bikes(data)
    train, test = rows[rows["date"] < BIKE_TEST], rows[rows["date"] >= BIKE_TEST].reset_index(drop=True)
    days = test["date"].dt.strftime("%Y-%m-%d").isin(STORM).to_numpy()
    rng = np.random.default_rng([seed, 2])
    usual = ~days & (test["cnt"] >= MIN_RENTED).to_numpy()
    chosen = usual & (rng.random(len(test)) < BIKE_SHARE)
    dropped = test.copy()
    for name in ("casual", "registered"):
        dropped[name] = np.where(chosen, np.rint(test[name] * BIKE_DROP), test[name]).astype(int)
    dropped["cnt"] = dropped["casual"] + dropped["registered"]
    for scorer in bike_scorers():
        scored = scorer.fit(train, seed)
        of_drops = scored(dropped)
        for kind, scores in scored(test).items():
            ranks = (-scores).argsort(kind="stable").argsort() + 1
            yield {
                "table": "bikes",
                "method": scorer.name + kind,
                "seed": seed,
                "what": "storm",
                "rank": float(np.median(ranks[days])),
                **quality(days, scores),
                "n_rows": len(test),
            }
            yield {
                "table": "bikes",
                "method": scorer.name + kind,
                "seed": seed,
                "what": "hour less 60 %",
                **quality(chosen[~days], of_drops[kind][~days]),
                "n_rows": len(test),
            }


def connections(data: Path) -> pd.DataFrame:
    """Connections of KDD99, each once, with names of columns from NSL-KDD."""
    names = [
        *("duration", "protocol_type", "service", "flag", "src_bytes", "dst_bytes", "land", "wrong_fragment", "urgent"),
        *("hot", "num_failed_logins", "logged_in", "num_compromised", "root_shell", "su_attempted", "num_root"),
        *("num_file_creations", "num_shells", "num_access_files", "num_outbound_cmds", "is_host_login"),
        *("is_guest_login", "count", "srv_count", "serror_rate", "srv_serror_rate", "rerror_rate", "srv_rerror_rate"),
        *("same_srv_rate", "diff_srv_rate", "srv_diff_host_rate", "dst_host_count", "dst_host_srv_count"),
        *("dst_host_same_srv_rate", "dst_host_diff_srv_rate", "dst_host_same_src_port_rate"),
        *("dst_host_srv_diff_host_rate", "dst_host_serror_rate", "dst_host_srv_serror_rate", "dst_host_rerror_rate"),
        *("dst_host_srv_rerror_rate", "class"),
    ]
    path = data / "kdd99_10pct" / "kddcup.data_10_percent.gz"
    return pd.read_csv(path, header=None, names=names).drop_duplicates(ignore_index=True)


def measure_connections(data: Path, seed: int) -> Iterator[Rows]:
    """Attacks among 10,000 normal connections, fitted on 20,000 other normal ones."""
    rows = connections(data)
    rng = np.random.default_rng([seed, 3])
    normal = rng.permutation(np.flatnonzero(rows["class"] == "normal."))
    attacks = rng.permutation(np.flatnonzero(rows["class"] != "normal."))[:N_ATTACKS]
    features = rows.drop(columns="class")
    train = features.iloc[normal[:N_TRAIN]]
    test = features.iloc[np.concatenate([normal[N_TRAIN : N_TRAIN + N_NORMAL], attacks])]
    labels = np.arange(len(test)) >= len(test) - len(attacks)
    scorers = [
        forest(["protocol_type", "service", "flag"]),
        detector("default"),
        detector("baseline_by", ["service"]),
        detector("baseline_by protocol and service", ["protocol_type", "service"]),
    ]
    for scorer in scorers:
        for kind, scores in scorer.fit(train, seed)(test).items():
            yield {
                "table": "KDD99",
                "method": scorer.name + kind,
                "seed": seed,
                "what": "attacks",
                **quality(labels, scores),
                "n_rows": len(test),
            }


def page(found: pd.DataFrame) -> str:
    """The tables as text."""
    parts = []
    for table, rows in found.groupby("table", sort=False):
        latest = runs.last(rows)
        lines = []
        for (method, what), part in latest.groupby(["method", "what"], sort=False):
            ranks = "" if part["rank"].isna().all() else ", ".join(f"{rank:g}" for rank in part["rank"])
            values = ["" if part[name].isna().all() else f"{part[name].mean():.3f}" for name in ("ap", "auroc")]
            lines.append((method, what, ranks, *values))
        parts += [f"### {table}\n", markdown(("method", "what", "rank by seed", "AP", "AUROC"), lines), ""]
    return TEXT + "\n".join(parts)


def main() -> None:
    """Measure, and write the CSV and the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of bike_sharing and kdd99_10pct")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--tables", nargs="+", default=["case", "planted", "bikes", "connections"])
    options = parser.parse_args()
    measures: dict[str, Callable[[int], Iterator[Rows]]] = {
        "case": measure_case,
        "planted": measure_planted,
        "bikes": lambda seed: measure_bikes(options.data, seed),
        "connections": lambda seed: measure_connections(options.data, seed),
    }
    path = HERE / "context.csv"
    # Warnings of many small fits say nothing of the measurement.
    warnings.simplefilter("ignore")
    for name in options.tables:
        for seed in options.seeds:
            runs.add(pd.DataFrame(measures[name](seed)), path, ("table", "method", "seed", "what"))
    (HERE / "context.md").write_text(page(pd.read_csv(path)), encoding="utf-8")


if __name__ == "__main__":
    main()
