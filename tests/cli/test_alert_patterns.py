"""`vae-anomaly score --patterns`: flagged rows by what is out of place in them."""

import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import load
from vae_anomaly_cli.commands import score as command


@pytest.fixture(scope="module")
def bad_orders(later_orders, folder):
    """Orders with dates: every twentieth of a very high amount, and five from a shop that is new."""
    frame = later_orders.drop(columns="fraud")
    frame.loc[:4, "items"] = 5_000
    dates = pd.date_range("2026-05-03", periods=len(frame), freq="D")
    return frame.assign(day=dates.strftime("%Y-%m-%d"))


@pytest.fixture(scope="module")
def bad_csv(bad_orders, folder):
    path = folder / "bad.csv"
    bad_orders.to_csv(path, index=False)
    return path


def pattern_of(column, found):
    """The first pattern that is about a column most of all."""
    return next(one for one in found["patterns"] if one["cells"][0]["column"] == column)


@pytest.fixture(scope="module")
def described(run, calibrated, bad_csv):
    outcome = run("score", bad_csv, "-m", calibrated, "--patterns", "--date", "day", "--json", "-q")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.text)


def test_json_has_patterns_with_their_rows_and_cells(described, bad_orders):
    found = described["patterns"]
    assert found["n_flagged"] == found["n_sorted"] == described["n_anomalies"]
    amounts, items = pattern_of("amount", found), pattern_of("items", found)
    assert amounts["cells"][0]["direction"] == items["cells"][0]["direction"] == "above"
    of_amount = [row for one in found["patterns"] if one["cells"][0]["column"] == "amount" for row in one["rows"]]
    assert set(range(20, 241, 20)) <= set(of_amount)
    assert amounts["rows"] == sorted(amounts["rows"])
    assert items["rows"] == [1, 2, 3, 4, 5]
    assert set(items["typical_rows"]) <= set(items["rows"])
    assert items["cells"][0]["typical"] == 5_000
    assert (items["first"], items["last"]) == ("2026-05-03T00:00:00", "2026-05-07T00:00:00")
    assert items["sentence"].endswith("% of the alerts, 2026-05-03 to 2026-05-07")
    assert found["sentences"][items["pattern"] - 1] == items["sentence"]


def test_patterns_are_those_of_the_library(described, calibrated, bad_orders):
    rows = bad_orders.drop(columns=["order", "day"])
    found = load(calibrated).patterns(rows, date=bad_orders["day"])
    listed = described["patterns"]["patterns"]
    assert [len(one["rows"]) for one in listed] == [pattern.count for pattern in found.patterns]
    for number, one in enumerate(listed):
        assert one["rows"] == (np.flatnonzero(found.labels == number) + 1).tolist()


def test_table_of_patterns_is_shown_beside_a_file(run, calibrated, bad_csv, tmp_path):
    path = tmp_path / "scored.csv"
    outcome = run("score", bad_csv, "-m", calibrated, "--patterns", "--date", "day", "-o", path)
    assert outcome.code == 0, outcome.err
    lines = outcome.text.splitlines()
    assert lines[0].startswith("Patterns of ")
    assert lines[0].endswith(" flagged rows:")
    assert lines[2].split() == ["pattern", "rows", "share", "dates", "typical", "rows"]
    assert lines[3].startswith("amount far above expected")
    assert "pattern" not in pd.read_csv(path).columns


def test_rows_of_several_files_are_named_with_their_file(run, calibrated, bad_orders, tmp_path):
    bad_orders[:100].to_csv(tmp_path / "a.csv", index=False)
    bad_orders[100:].to_csv(tmp_path / "b.csv", index=False)
    outcome = run("score", tmp_path, "-m", calibrated, "--patterns", "--json", "-q")
    amounts = pattern_of("amount", json.loads(outcome.text)["patterns"])
    assert {"file": str(tmp_path / "b.csv"), "row": 20} in amounts["rows"]
    assert amounts["first"] is None


def test_date_is_read_where_it_is_not_kept(run, calibrated, bad_csv):
    outcome = run("score", bad_csv, "-m", calibrated, "--patterns", "--date", "day", "--id", "order", "--json", "-q")
    assert pattern_of("items", json.loads(outcome.text)["patterns"])["first"] == "2026-05-03T00:00:00"


def test_without_a_model_the_flagged_rows_are_sorted_too(run, bad_csv, fast):
    outcome = run("score", bad_csv, "--patterns", "--drop", "order", "--json", "-q", *fast)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.text)
    assert found["patterns"]["n_flagged"] == found["n_anomalies"]


def test_of_many_flagged_rows_the_most_anomalous_are_sorted(run, calibrated, bad_csv, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "MAX_SORTED_ROWS", 8)
    outcome = run("score", bad_csv, "-m", calibrated, "--patterns", "-o", tmp_path / "scored.csv")
    assert outcome.text.splitlines()[0].startswith("Patterns of 8 flagged rows of ")


def test_no_flagged_rows_have_no_patterns(run, calibrated, bad_orders, tmp_path):
    path = tmp_path / "few.csv"
    rows = bad_orders[20:200]
    rows[load(calibrated).predict(rows.drop(columns=["order", "day"])) == 1].to_csv(path, index=False)
    outcome = run("score", path, "-m", calibrated, "--patterns", "-o", tmp_path / "scored.csv")
    assert outcome.code == 0, outcome.err
    assert outcome.text == "No row is flagged, and there are no patterns.\n"


def test_rows_without_a_score_are_in_no_pattern(run, calibrated, bad_orders, tmp_path):
    path = tmp_path / "odd.csv"
    bad_orders.astype({"amount": object}).assign(amount=["n.n.", *bad_orders["amount"].tolist()[1:]]).to_csv(
        path, index=False
    )
    outcome = run("score", path, "-m", calibrated, "--patterns", "--json", "-q")
    assert pattern_of("items", json.loads(outcome.text)["patterns"])["rows"] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--patterns"], "--patterns: the table goes to standard output, where patterns would stand in it. Give -o "),
        (["--date", "day"], "--date belongs to --patterns, which is not given. Leave it out, or give both."),
        (["--patterns", "--json", "--date", "when"], "bad.csv has no such column."),
        (["--patterns", "--json", "--date", "shop"], " and others that are no dates; expected dates like 2026-02-28."),
    ],
)
def test_what_makes_no_sense_is_refused(run, calibrated, bad_csv, options, error):
    assert error in run("score", bad_csv, "-m", calibrated, "-q", *options).error()
