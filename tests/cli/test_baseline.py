"""`--baseline-by` and `--baseline-time`: numbers compared with those of the row's own group."""

import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import VAEDetector, load

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

BY = ("--baseline-by", "store,product", "--baseline-time", "date")


def sales(n_days: int, start: str, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    groups = np.tile(np.arange(6), n_days)
    sizes = np.array([20.0, 60, 2_000, 9_000, 150, 600])[groups]
    return pd.DataFrame(
        {
            "store": groups // 2 + 1,
            "product": np.array(["A", "B"])[groups % 2],
            "date": np.repeat(pd.date_range(start, periods=n_days), 6),
            "volume": np.rint(sizes * np.exp(0.08 * rng.normal(size=len(groups)))).astype(int),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("baseline")


@pytest.fixture(scope="module")
def history(folder):
    path = folder / "history.csv"
    sales(100, "2024-01-01", 0).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def later(folder):
    rows = sales(2, "2024-04-10", 1)
    rows.loc[3, "volume"] = 1_800
    path = folder / "later.csv"
    rows.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def compared(run, fast, history, folder):
    path = folder / "sales.vae"
    outcome = run("fit", history, "-o", path, *BY, *fast)
    assert outcome.code == 0, outcome.err
    return path


def test_command_does_what_the_library_does(compared, history, later):
    detector = load(compared)
    assert detector.baseline_columns_ == ("store", "product", "date")
    frame = pd.read_csv(history, parse_dates=["date"])
    by_hand = VAEDetector(baseline_by=("store", "product"), baseline_time="date", max_iter=10, n_estimators=2).fit(
        frame
    )
    rows = pd.read_csv(later, parse_dates=["date"])
    assert detector.anomaly_score(rows) == pytest.approx(by_hand.anomaly_score(rows))


def test_row_that_fell_in_its_group_is_flagged_and_its_group_named(run, compared, later):
    outcome = run("explain", later, "-m", compared, "--top", "1", "--json")
    assert outcome.code == 0, outcome.err
    (found,) = json.loads(outcome.text)["explained"]
    reason = found["reasons"][0]
    assert list(found["contributions_by_group"]) == ["volume"]
    assert sum(found["contributions"].values()) + found["kl"] == pytest.approx(found["anomaly_score"])
    assert reason["column"] == "volume"
    assert reason["group"] == {"store": 2, "product": "B"}
    assert reason["expected"] == pytest.approx(9_000, rel=0.15)
    shown = run("explain", later, "-m", compared, "--top", "1").text
    assert "numbers compared with those of store 2 / product B" in shown


def test_info_says_what_is_compared_with_what(run, compared):
    text = " ".join(run("info", compared).text.split())
    assert "compared by store (3 groups) / product (6 groups)" in text
    assert "compared volume on a logarithmic scale" in text
    assert "in time" in text
    assert json.loads(run("info", compared, "--json").text)["baseline"]["n_groups"] == [3, 6]


def test_keys_that_are_set_aside_are_read(run, fast, history, later, folder):
    path = folder / "identifiers.vae"
    outcome = run(
        "fit", history, "-o", path, "--baseline-by", "store", "--baseline-by", "product", *fast,
        "--column", "store=identifier", "--column", "product=identifier",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    scored = run("score", later, "-m", path, "-o", "-")
    frame = pd.read_csv(later)
    expected = load(path).anomaly_score(frame.assign(date=pd.to_datetime(frame["date"])))
    found = scored.frame.set_index(scored.frame["row"].astype(int) - 1 if "row" in scored.frame else scored.frame.index)
    assert found["anomaly_score"].astype(float).sort_index().to_numpy() == pytest.approx(expected, abs=1e-3)


def test_units_of_the_group_can_be_asked_for(run, fast, history, folder):
    path = folder / "units.vae"
    assert run("fit", history, "-o", path, *BY, "--baseline-units", "group", *fast).code == 0
    assert "in units of the spread of the group" in " ".join(run("info", path).text.split())


def test_rows_are_scored_without_a_model(run, fast, history):
    outcome = run("score", history, *BY, *fast, "-o", "-")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--baseline-by", "stoer"), "--baseline-by stoer: "),
        (("--baseline-by", "store", "--drop", "store"), "--drop says that it is none. To compare by it alone, give"),
        (("--baseline-by", "store", "--id", "store"), "--id says that it is none"),
        (("--baseline-by", "store,store"), "the column is named more than once"),
        (("--baseline-by", "date", "--baseline-time", "date"), "the column is named more than once"),
        (("--baseline-time", "volume"), "baseline_time='volume' is"),
        (("--baseline-by", "store", "--passes", "2"), "--passes 2: what --baseline-by"),
        (("--baseline-by", "store", "--no-raw-values"), "Leave one of them out."),
        (("--baseline-units", "group"), "and none are compared; give --baseline-by or --baseline-time"),
        (("--baseline-by", "store", "--drop", "volume,date"), "no column holds numbers that vary"),
    ],
)
def test_what_cannot_be_is_one_line(run, fast, history, tmp_path, options, words):
    outcome = run("fit", history, "-o", tmp_path / "m.vae", *options, *fast)
    assert words in outcome.error()


def test_key_that_is_missing_at_score_time_is_named(run, compared, later, tmp_path):
    path = tmp_path / "without.csv"
    pd.read_csv(later).drop(columns="store").to_csv(path, index=False)
    assert "lacks column 'store' of the 4 columns" in run("score", path, "-m", compared, "-o", "-").error()


def test_rows_of_new_groups_are_told_of(run, compared, later, tmp_path):
    path = tmp_path / "new.csv"
    pd.read_csv(later).assign(store=77).to_csv(path, index=False)
    outcome = run("score", path, "-m", compared, "-o", "-")
    assert outcome.code == 0, outcome.err
    assert "12 of 12 rows are of groups without a baseline of their own" in outcome.err
