"""What a model file remembers of columns that are no features, and names that differ in case or blanks."""

import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import load, save


@pytest.fixture(scope="module")
def sales() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {
            "order": [f"o{number:04d}" for number in range(n)],
            "age": rng.normal(40, 9, n).round(1),
            "income": rng.normal(3, 1, n).round(2),
            "comment": "none",
            "state": np.where(np.arange(n) % 20 == 3, "fraud", "fine"),
        }
    )
    frame.loc[frame["state"] == "fraud", "income"] = 30.0
    return frame


@pytest.fixture(scope="module")
def sales_model(run, fast, sales, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sales")
    path = folder / "sales.csv"
    sales.to_csv(path, index=False)
    options = ("--id", "order", "--drop", "comment", "--label", "state", "--anomalous", "fraud")
    outcome = run("fit", path, "-o", folder / "sales.vae", *options, *fast)
    assert outcome.code == 0, outcome.err
    return path, folder / "sales.vae"


@pytest.fixture
def written(tmp_path):
    def write(frame: pd.DataFrame, name: str = "new.csv"):
        path = tmp_path / name
        frame.to_csv(path, index=False)
        return path

    return write


def test_info_shows_columns_that_are_no_features(run, sales_model):
    _, model = sales_model
    shown = " ".join(run("info", model).text.split())
    assert "id order dropped comment label state (fraud = anomaly)" in shown
    assert json.loads(run("info", model, "--json").text)["column_roles"] == {
        "ids": ["order"],
        "dropped": ["comment"],
        "label": "state",
        "anomalous": "fraud",
        "normal": [],
    }


def test_score_needs_no_repetition_and_does_not_warn(run, sales_model):
    path, model = sales_model
    outcome = run("score", path, "-m", model)
    assert list(outcome.frame) == ["row", "order", "anomaly_score", "p_value", "is_anomaly", "problem"]
    assert "warning" not in outcome.err
    assert "label 'state' (fraud = anomaly, 10 of 200 rows): AUROC 1.000" in outcome.err


def test_a_label_that_is_not_there_is_not_missed(run, sales_model, sales, written):
    path, model = sales_model
    outcome = run("score", written(sales.drop(columns=["state", "comment"])), "-m", model)
    assert "warning" not in outcome.err
    assert "state" not in outcome.err
    assert (outcome.frame["anomaly_score"] == run("score", path, "-m", model).frame["anomaly_score"]).all()


def test_a_label_of_the_model_that_is_empty_does_not_end_the_run(run, sales_model, sales, written):
    _, model = sales_model
    outcome = run("score", written(sales.assign(state="")), "-m", model)
    assert outcome.code == 0
    assert "the label 'state' of the model is left out: every cell of it is empty" in outcome.err


def test_a_label_of_the_user_that_is_empty_ends_the_run(run, sales_model, sales, written):
    _, model = sales_model
    assert (
        "every cell is empty" in run("score", written(sales.assign(state="")), "-m", model, "--label", "state").error()
    )


def test_rows_without_an_id_go_to_the_output_whole(run, sales_model, sales, written):
    _, model = sales_model
    outcome = run("score", written(sales[["income", "age"]]), "-m", model)
    assert list(outcome.frame)[1:3] == ["income", "age"]
    assert "has no column 'order', by which the model names rows" in outcome.err


def test_options_override_what_is_remembered(run, sales_model, sales, written):
    _, model = sales_model
    new = written(sales.assign(seen=(sales["state"] == "fine").astype(int)))
    outcome = run("score", new, "-m", model, "--id", "comment", "--label", "seen")
    assert list(outcome.frame) == ["row", "comment", "anomaly_score", "p_value", "is_anomaly", "problem"]
    assert "label 'seen' (1 = anomaly, 190 of 200 rows): AUROC 0.000" in outcome.err
    assert "warning" not in outcome.err


def test_evaluate_and_threshold_know_the_label(run, sales_model, tmp_path):
    path, model = sales_model
    assert json.loads(run("evaluate", path, "-m", model, "--json").text)["n_anomalies"] == 10
    moved = tmp_path / "moved.vae"
    assert "10 of them anomalous" in run("threshold", model, "--labels", path, "-o", moved).err
    assert load(moved).column_roles_ == load(model).column_roles_


def test_evaluate_says_which_label_it_misses(run, sales_model, sales, written):
    _, model = sales_model
    error = run("evaluate", written(sales.drop(columns="state")), "-m", model).error()
    assert "has no column 'state'" in error
    assert "was fitted with --label state" in error


@pytest.mark.parametrize("command", ["explain", "drift"])
def test_other_commands_do_not_warn_of_the_label(run, sales_model, command):
    path, model = sales_model
    outcome = run(command, path, "-m", model)
    assert outcome.code == 0, outcome.err
    assert "does not know" not in outcome.err


def test_audit_shows_the_id_alone(run, sales_model):
    path, model = sales_model
    assert list(run("audit", model, path, "-n", "2").frame) == [
        "row",
        "anomaly_score",
        "p_value",
        "reasons",
        "order",
        "is_anomaly",
    ]


def test_calibration_takes_the_rows_that_the_remembered_label_calls_normal(run, sales_model, sales, written, tmp_path):
    _, model = sales_model
    rng = np.random.default_rng(5)
    new = written(sales.assign(age=rng.normal(40, 9, 200).round(3), income=rng.normal(3, 1, 200).round(3)))
    outcome = run("calibrate", new, "-m", model, "-o", tmp_path / "c.vae")
    assert "190 rows, 10 not labelled normal left out" in outcome.err


def test_names_that_differ_in_case_and_blanks_match_with_one_note(run, sales_model, sales, written):
    path, model = sales_model
    renamed = sales.rename(columns={"age": "\ufeff AGE", "income": "Income\xa0", "state": "State", "order": "Order"})
    new = written(renamed)
    outcome = run("score", new, "-m", model)
    assert outcome.frame["anomaly_score"].tolist() == run("score", path, "-m", model).frame["anomaly_score"].tolist()
    assert outcome.frame.columns[1] == "Order"
    assert "taken for columns 'age', 'income' of the model" in outcome.err
    assert "label 'State' (fraud = anomaly, 10 of 200 rows)" in outcome.err


def test_two_names_that_could_be_meant_are_refused(run, sales_model, sales, written):
    _, model = sales_model
    new = written(sales.rename(columns={"age": "Age"}).assign(AGE=1.0))
    error = run("score", new, "-m", model).error()
    assert "lacks column 'age' of the 2 columns that the model uses" in error
    assert "Did you mean '" in error


def test_repair_writes_under_the_names_of_the_file(run, sales_model, sales, written, tmp_path):
    _, model = sales_model
    repaired = tmp_path / "repaired.csv"
    new = written(sales.rename(columns={"age": "AGE"}))
    run("explain", new, "-m", model, "--repair", repaired)
    assert list(pd.read_csv(repaired)) == list(pd.read_csv(new))


def test_calibration_group_is_remembered(run, fast, sales, written, tmp_path):
    model = tmp_path / "grouped.vae"
    path = written(sales.assign(shop=np.where(np.arange(200) % 2, "a", "b")))
    options = ("--drop", "comment,order,state", "--calibration-groups", "shop")
    assert run("fit", path, "-o", model, *options, *fast).code == 0
    assert "by 'shop'" in " ".join(run("info", model).text.split())
    assert "lacks column 'shop'" in run("score", written(sales, "without.csv"), "-m", model).error()


def test_python_keeps_the_columns_that_are_no_features(sales_model, tmp_path):
    _, model = sales_model
    detector = load(model)
    assert detector.column_roles_.names == ("order", "comment", "state")
    again = tmp_path / "again.vae"
    save(detector, again)
    assert load(again).column_roles_ == detector.column_roles_


def test_images_remember_which_folders_are_normal(run, fast_images, inspected, good, tmp_path):
    model = tmp_path / "images.vae"
    options = ("--label", "folder", "--normal", "good")
    assert run("fit", inspected, "-o", model, *options, *fast_images).code == 0
    assert json.loads(run("evaluate", inspected, "-m", model, "--json").text)["n_anomalies"] == 3
    outcome = run("score", good, "-m", model, "-o", tmp_path / "scores.csv")
    assert outcome.code == 0
    assert "the label 'folder' of the model is left out" in outcome.err


def test_durations_in_a_typed_file_are_scored_as_seconds(run, fast, tmp_path):
    rng = np.random.default_rng(0)
    seconds = rng.exponential(100, 200).round()
    frame = pd.DataFrame({"load": rng.normal(size=200), "took": pd.to_timedelta(seconds, unit="s")})
    frame.to_parquet(tmp_path / "calls.parquet")
    assert run("fit", tmp_path / "calls.parquet", "-o", tmp_path / "calls.vae", *fast).code == 0
    outcome = run("score", tmp_path / "calls.parquet", "-m", tmp_path / "calls.vae")
    assert outcome.code == 0, outcome.err
    expected = load(tmp_path / "calls.vae").anomaly_score(frame)
    assert outcome.frame["anomaly_score"].astype(float).to_numpy() == pytest.approx(expected)
