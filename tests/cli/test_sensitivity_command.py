"""`vae-anomaly sensitivity`: what a model notices, and what not."""

import json

import pandas as pd
import pytest

from vae_anomaly import load

RATE = ("--false-alarm-rate", "0.05", "-n", "20")


@pytest.fixture(scope="module")
def new_csv(later_orders, folder):
    """Normal orders that neither fit nor calibration saw: a little apart from those of the calibration."""
    path = folder / "unseen.csv"
    rows = later_orders[~later_orders["fraud"]].drop(columns="fraud")
    rows.assign(amount=rows["amount"] + 0.01).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def shown(run, calibrated, new_csv):
    return run("sensitivity", calibrated, new_csv, *RATE)


@pytest.fixture(scope="module")
def report(run, calibrated, new_csv):
    outcome = run("sensitivity", calibrated, new_csv, *RATE, "--json")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.text)


def test_shows_a_line_for_each_column_and_what_would_not_be_noticed(shown, calibrated, new_csv):
    assert shown.code == 0, shown.err
    lines = shown.text.splitlines()
    assert lines[0].startswith("Smallest changes of one cell that are noticed in at least 50 % of 20 normal rows, at a")
    assert lines[2].split() == ["shift", "up,", "shift", "down,", "other", "unseen", "value", "of"]
    assert lines[3].split() == [
        *("column", "or", "later", "or", "earlier", "level", "level", "missing", "another", "row")
    ]
    assert [line.split()[0] for line in lines[4:8]] == ["amount", "items", "shop", "paid"]
    assert lines[-1].endswith("this is not for choosing a model.")
    assert any(line.startswith("Would not be noticed") for line in lines)
    assert shown.err.splitlines()[-1] == f"planted 15 changes in 20 rows of {new_csv}"


def test_report_is_that_of_the_library(report, calibrated, new_csv):
    rows = pd.read_csv(new_csv, dtype={"order": str}).drop(columns="order")
    found = load(calibrated).sensitivity(rows, 0.05, n_rows=20)
    assert report["threshold"] == pytest.approx(found.threshold)
    assert report["sentences"] == found.sentences()
    assert [(one["column"], one["change"]) for one in report["changes"]] == [
        (change.column, change.kind) for change in found.changes
    ]
    assert report["not_noticed"] == [{"column": one.column, "change": one.kind} for one in found.not_noticed]
    assert report["by_calibration"] is True
    assert report["rows"] == 20


def test_amount_of_what_is_no_shift_is_null(report):
    amounts = {(one["column"], one["change"]): one["amount"] for one in report["changes"]}
    assert amounts["amount", "above"] > 0
    assert amounts["shop", "level"] is None


def test_table_goes_to_a_file(run, calibrated, new_csv, tmp_path, report):
    path = tmp_path / "changes.csv"
    outcome = run("sensitivity", calibrated, new_csv, *RATE, "-o", path)
    assert outcome.code == 0, outcome.err
    assert outcome.text == ""
    assert outcome.err.splitlines()[-1].endswith(f"; written to {path}")
    written = pd.read_csv(path)
    assert written.columns.tolist() == ["column", "change", "amount", "spreads", "share", "noticed"]
    assert written["column"].tolist() == [one["column"] for one in report["changes"]]


def test_table_goes_to_standard_output(run, calibrated, new_csv):
    outcome = run("sensitivity", calibrated, new_csv, *RATE, "-o", "-")
    assert outcome.frame["change"].iloc[0] == "above"


def test_rows_that_were_trained_on_are_warned_of(run, model, orders_csv):
    outcome = run("sensitivity", model, orders_csv, "--false-alarm-rate", "0.2", "-n", "5")
    assert outcome.code == 0, outcome.err
    assert "the model was trained on" in outcome.err


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--false-alarm-rate", "0"), "--false-alarm-rate 0: expected a share above 0 and below 1, like 0.01."),
        (("--false-alarm-rate", "nan"), "--false-alarm-rate nan: expected a share above 0 and below 1, like 0.01."),
        (("--power", "1.5"), "--power 1.5: expected a share above 0 and up to 1, like 0.5."),
        (("--json", "-o", "-"), "--json and --output - both write to standard output; choose one."),
    ],
)
def test_options_that_make_no_sense_are_refused(run, calibrated, new_csv, options, error):
    assert run("sensitivity", calibrated, new_csv, *options).error() == f"error: {error}"


def test_too_few_calibration_rows_are_an_error(run, calibrated, new_csv):
    line = run("sensitivity", calibrated, new_csv, "--false-alarm-rate", "0.0001").error()
    assert line == (
        f"error: a false-alarm rate of 0.01 % needs at least 9,999 calibration rows, and {calibrated} has 228; ask for "
        "0.437 % or more, or calibrate the model with more normal rows."
    )


def test_columns_of_the_model_have_to_be_there(run, calibrated, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("amount,items\n3,4\n")
    assert "shop" in run("sensitivity", calibrated, path).error()


def test_rows_that_are_alerts_already_are_refused(run, calibrated, tmp_path, later_orders):
    path = tmp_path / "odd.csv"
    later_orders.drop(columns="fraud").assign(amount=1e6).to_csv(path, index=False)
    line = run("sensitivity", calibrated, path, *RATE).error()
    assert "all 240 rows are alerts before anything is changed" in line


def test_images_are_refused(run, calibrated, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "DATA holds images" in run("sensitivity", calibrated, tmp_path).error()


def test_table_without_rows_is_refused(run, calibrated, tmp_path):
    path = tmp_path / "none.csv"
    path.write_text("order,amount,items,shop,paid\n")
    assert run("sensitivity", calibrated, path).code == 2
