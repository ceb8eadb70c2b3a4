import json

import pytest

X = [f"{i % 9}.5" for i in range(29)] + ["400"]


@pytest.fixture
def measure(run, write, fast):
    def score_with(*labels, options=()):
        rows = "".join(f"{x},{label}\n" for x, label in zip(X, labels, strict=True))
        outcome = run("score", write("t.csv", "x,y\n" + rows), "--label", "y", *options, "--json", *fast)
        assert outcome.code == 0, outcome.err
        summary = json.loads(outcome.text)
        assert sum(summary["columns"].values()) == 1
        return summary["label"], outcome.err.splitlines()[-1]

    return score_with


@pytest.mark.parametrize(
    ("normal", "anomaly", "meaning"),
    [("0", "1", "1"), ("1", "-1", "-1"), ("false", "true", "true"), ("False", "True", "true"), ("0.0", "1.0", "1")],
)
def test_both_conventions_are_told_apart(measure, normal, anomaly, meaning):
    measures, line = measure(*[normal] * 29, anomaly)
    assert measures["auroc"] == measures["average_precision"] == 1.0
    assert line == f"label 'y' ({meaning} = anomaly, 1 of 30 rows): AUROC 1.000, average precision 1.000"


def test_rows_without_a_label_are_left_out(measure):
    measures, line = measure("", "NA", *["0"] * 27, "1")
    assert measures["n_labelled"] == 28
    assert "1 of 28 rows" in line
    assert "2 rows without a label left out" in line


def test_one_class_has_nothing_to_measure(measure):
    measures, line = measure(*["0"] * 30)
    assert measures["auroc"] is None
    assert "all rows have the same label, nothing to measure" in line


@pytest.mark.parametrize("levels", ["ok fraud", "0 1 2", "-1 0 1", "1 2", "true 1"])
def test_other_labels_are_refused_with_the_remedy(run, write, levels):
    cells = levels.split()
    path = write("t.csv", "x,y\n" + "".join(f"{x},{cells[i % len(cells)]}\n" for i, x in enumerate(X)))
    outcome = run("score", path, "--label", "y")
    assert outcome.code == 2
    assert "expected 0 and 1 or true and false (1, true = anomaly), or scikit-learn's -1 and 1" in outcome.err


def test_empty_label_column_is_refused(run, write):
    outcome = run("score", write("t.csv", "x,y\n1,\n2,\n"), "--label", "y")
    assert outcome.code == 2
    assert "--label y: every cell is empty" in outcome.err


@pytest.mark.parametrize(
    ("labels", "options", "meaning"),
    [
        (("ok", "fraud"), ("--normal", "ok"), "not ok"),
        (("1", "2"), ("--normal", "1"), "not 1"),
        (("1.0", "2.0"), ("--normal", "1"), "not 1"),
        (("true", "false"), ("--normal", "True"), "not True"),
        (("ok", "fraud"), ("--anomalous", "fraud"), "fraud"),
    ],
)
def test_either_of_two_values_is_named(measure, labels, options, meaning):
    measures, line = measure(*[labels[0]] * 29, labels[1], options=options)
    assert measures["auroc"] == 1.0
    assert line.startswith(f"label 'y' ({meaning} = anomaly, 1 of 30 rows): AUROC 1.000")


def test_all_values_that_are_not_normal_are_anomalous(measure):
    labels = [*["ok", "fine", ""] * 9, "ok", "fraud", "theft"]
    measures, line = measure(*labels, options=("--normal", "ok", "--normal", "fine"))
    assert (measures["n_anomalies"], measures["n_labelled"]) == (2, 21)
    assert measures["normal_values"] == ["ok", "fine"]
    assert measures["anomaly_value"] is None
    assert "(not ok or fine = anomaly, 2 of 21 rows)" in line
    assert "9 rows without a label left out" in line


@pytest.mark.parametrize("normal", [("ok",), ("ok", "fraud")])
def test_one_kind_of_value_has_nothing_to_measure(measure, normal):
    options = [part for value in normal for part in ("--normal", value)]
    measures, line = measure(*["ok"] * 29, normal[-1], options=options)
    assert (measures["auroc"], measures["n_anomalies"]) == (None, None)
    assert "all rows have the same label" in line


def test_normal_value_that_is_not_there_is_refused(run, write):
    path = write("t.csv", "x,y\n1,ok\n2,fraud\n")
    line = run("score", path, "--label", "y", "--normal", "good").error()
    assert line == "error: --normal good: column 'y' has no such value; expected one of 'ok', 'fraud'."
    line = run("score", write("t.csv", "x,y\n1,ok\n2,fraud\n3,theft\n"), "--label", "y", "--anomalous", "fraud").error()
    assert "expected two values, one of them 'fraud'" in line
    assert line.endswith("or those that are normal with --normal.")
