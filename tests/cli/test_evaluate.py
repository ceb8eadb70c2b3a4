"""`vae-anomaly evaluate`: a model and its threshold on rows whose anomalies are known."""

import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import load
from vae_anomaly.comparison import intervals
from vae_anomaly.decisions.evaluation import Evaluation, effective_rows, wilson
from vae_anomaly_cli.sources import table_source


@pytest.fixture(scope="module")
def scores(calibrated, later_orders):
    rows = later_orders.drop(columns=["order", "fraud"])
    return load(calibrated).anomaly_score(rows.assign(paid=rows["paid"] == "true"))


def test_shows_each_measure_with_its_interval(run, calibrated, later_csv, later_orders, scores):
    outcome = run("evaluate", later_csv, "-m", calibrated, "--label", "fraud", "--id", "order")
    assert outcome.code == 0, outcome.err
    threshold = load(calibrated).threshold_
    n_flagged = int((scores > threshold.score).sum())
    assert outcome.err.splitlines()[-1] == (
        f"evaluated {later_csv} with {calibrated}: 240 rows, 12 anomalous; {n_flagged} above the threshold of "
        f"{threshold.score:,.2f} nats"
    )
    lines = outcome.text.splitlines()
    names = ["measure", "AUROC", "average precision"]
    names += [f"precision at {rank}" for rank in sorted({n_flagged, 10, 12, 100})]
    names += ["recall at the threshold", "false-alarm rate", "expected false-alarm rate"]
    assert [line for line, name in zip(lines, names, strict=False) if not line.startswith(name)] == []
    assert lines[1].split()[1:] == ["1.000", "0.758", "to", "1.000"]
    assert lines[len(names) - 3].endswith("12 of 12")
    assert lines[-1].startswith("The false-alarm rate agrees with what the model expects: ")


def test_json_has_numbers(run, calibrated, later_csv, later_orders, scores):
    shown = json.loads(run("evaluate", later_csv, "-m", calibrated, "--label", "fraud", "--json").text)
    threshold = load(calibrated).threshold_
    normal = ~later_orders["fraud"].to_numpy()
    measures = shown["measures"]
    assert measures["auroc"]["value"] == intervals.auroc(~normal, scores) == 1
    assert measures["recall_at_the_threshold"]["value"] == 1
    assert measures["precision_at_12"] == {
        "value": 1,
        "lower": wilson(1, 12)[0],
        "upper": 1,
        "n_hits": 12,
        "n_rows": 12,
    }
    assert measures["false_alarm_rate"]["n_hits"] == int((scores[normal] > threshold.score).sum())
    assert shown["expected"]["false_alarm_rate"] == threshold.expected_rate
    assert shown["label"] == {"column": "fraud", "anomaly_value": "true", "n_anomalies": 12, "n_labelled": 240}
    assert (shown["n_rows"], shown["n_anomalies"], shown["trained_on"]) == (240, 12, 0)


def test_batches_make_no_difference(run, calibrated, later_csv, monkeypatch):
    options = ("evaluate", later_csv, "-m", calibrated, "--label", "fraud", "--json", "-q")
    whole = run(*options)
    monkeypatch.setattr(table_source, "ROWS_PER_BATCH", 50)
    assert run(*options).out == whole.out


def test_rows_without_a_label_are_left_out(run, calibrated, later_orders, write):
    frame = later_orders.assign(fraud=later_orders["fraud"].map({True: "1", False: "0"}))
    frame.loc[:9, "fraud"] = None
    data = write("open.csv", frame.to_csv(index=False))
    outcome = run("evaluate", data, "-m", calibrated, "--label", "fraud", "--json")
    assert "230 rows, 12 anomalous" in outcome.err
    assert outcome.err.splitlines()[-1].endswith("nats; 10 without a label left out")
    assert json.loads(outcome.text)["n_rows"] == 230


def test_normal_rows_alone_have_a_false_alarm_rate(run, calibrated, later_orders, write):
    rows = pd.concat([later_orders, *[later_orders[later_orders["fraud"]]] * 3])
    data = write("fine.csv", rows.assign(fraud=0).to_csv(index=False))
    shown = json.loads(run("evaluate", data, "-m", calibrated, "--label", "fraud", "--json").text)
    assert list(shown["measures"]) == ["false_alarm_rate"]
    # The frauds are called normal here: more false alarms than expected.
    assert shown["verdict"].startswith("More false alarms than the model expects")


def test_anomalies_alone_have_a_recall(run, calibrated, later_orders, write):
    data = write("bad.csv", later_orders[later_orders["fraud"]].to_csv(index=False))
    options = ("--label", "fraud", "--anomalous", "True", "--json")
    shown = json.loads(run("evaluate", data, "-m", calibrated, *options).text)
    assert list(shown["measures"]) == ["recall_at_the_threshold"]
    assert (shown["n_anomalies"], shown["verdict"]) == (12, "")


def test_labels_of_one_value_say_anomaly_where_they_can_say_nothing_else(run, calibrated, later_orders, write):
    for label in ("true", "-1"):
        data = write("all.csv", later_orders.assign(fraud=label).to_csv(index=False))
        outcome = run("evaluate", data, "-m", calibrated, "--label", "fraud", "--json")
        assert json.loads(outcome.text)["n_anomalies"] == len(later_orders)
    data = write("all.csv", later_orders.assign(fraud="1").to_csv(index=False))
    line = run("evaluate", data, "-m", calibrated, "--label", "fraud").error()
    assert "every label is 1, which means anomaly beside 0, and normal beside -1" in line
    for option, n_anomalies in (("--anomalous", len(later_orders)), ("--normal", 0)):
        outcome = run("evaluate", data, "-m", calibrated, "--label", "fraud", option, "1", "--json")
        assert json.loads(outcome.text)["n_anomalies"] == n_anomalies


def test_folders_of_images_are_labels(run, image_model, inspected):
    options = ("--label", "folder", "--normal", "good", "--json")
    shown = json.loads(run("evaluate", inspected, "-m", image_model, *options).text)
    assert (shown["n_rows"], shown["n_anomalies"]) == (9, 3)
    assert shown["label"]["normal_values"] == ["good"]
    assert shown["measures"]["false_alarm_rate"]["n_rows"] == 6


def test_model_without_calibration_expects_nothing(run, uncalibrated, tmp_path):
    data = tmp_path / "known.csv"
    load(uncalibrated).sample(20, random_state=0).assign(odd=np.arange(20) % 5 == 0).to_csv(data, index=False)
    outcome = run("evaluate", data, "-m", uncalibrated, "--label", "odd")
    assert outcome.code == 0, outcome.err
    assert "expected" not in outcome.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--label is missing"),
        (("--label", "frau"), "has no such column. Did you mean 'fraud'?"),
        (("--label", "shop"), "the model uses this column as a feature"),
        (("--label", "fraud", "--normal", "x"), "--normal x: column 'fraud' has no such value"),
        (("--label", "fraud", "-o", "m.csv"), "No such option: -o"),
    ],
)
def test_misuse_is_refused_in_one_line(run, calibrated, later_csv, options, said):
    assert said in run("evaluate", later_csv, "-m", calibrated, *options).error()


def test_model_is_needed(run, later_csv):
    assert "Missing option '--model'" in run("evaluate", later_csv, "--label", "fraud").error()


def test_warns_of_rows_that_were_trained_on(run, many):
    path, model = many
    outcome = run("evaluate", path, "-m", model, "--label", "fraud")
    assert f"the model was trained on 1,500 rows of {path}: measures on new ones are lower" in outcome.err


def test_wilson_by_hand():
    # 2 of 10 with z = 1.959964: (.2 + .192073 +- 1.959964 sqrt(.016 + .0096036)) / 1.384146.
    assert wilson(0.2, 10) == pytest.approx((0.056682, 0.509838), abs=1e-6)
    assert wilson(0.0, 5)[0] == 0
    assert wilson(1.0, 5)[1] == 1


def test_effective_rows_follow_from_delongs_variance():
    rng = np.random.default_rng(0)
    is_anomaly = np.arange(300) < 60
    scores = rng.normal(size=300) + is_anomaly
    shares = intervals.placements(is_anomaly, scores)
    variance = shares[is_anomaly].var(ddof=1) / 60 + shares[~is_anomaly].var(ddof=1) / 240
    auroc, n_rows = effective_rows(is_anomaly, scores)
    assert auroc == pytest.approx(intervals.auroc(is_anomaly, scores))
    assert n_rows == pytest.approx(auroc * (1 - auroc) / variance)
    assert 60 < n_rows < 240


def test_interval_of_the_auroc_covers():
    # Normal scores one standard deviation apart: the AUROC is Phi(1 / sqrt(2)).
    rng = np.random.default_rng(0)
    is_anomaly = np.arange(130) < 30
    covered = 0
    for _ in range(400):
        measure = Evaluation.of(is_anomaly, rng.normal(size=130) + is_anomaly, 9.0).measures[0]
        covered += measure.lower <= 0.7602499 <= measure.upper
    assert 0.92 < covered / 400 < 0.98


def test_measures_by_hand():
    is_anomaly = np.array([True, False, True, False, False])
    found = Evaluation.of(is_anomaly, np.array([5.0, 4.0, 3.0, 2.0, 1.0]), 2.5)
    values = {each.name: each.value for each in found.all}
    assert values == pytest.approx(
        {
            "AUROC": 5 / 6,
            "average precision": (1 + 2 / 3) / 2,
            "precision at 2": 1 / 2,
            "precision at 3": 2 / 3,
            "recall at the threshold": 1,
            "false-alarm rate": 1 / 3,
        }
    )
