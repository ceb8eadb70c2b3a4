"""`--preset`: what the rows of a fit are taken for, and what a fit on the rows that are judged takes them for."""

import json

import pytest

from vae_anomaly import VAEDetector, load, read_manifest
from vae_anomaly.detectors.parameters import PRESETS
from vae_anomaly.errors import NotAvailable
from vae_anomaly_cli import options
from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.models import EXPECTATIONS
from vae_anomaly_cli.options import Device, FitOptions, InputOptions
from vae_anomaly_cli.table_data import TableData

ID = ("--id", "order")
EXPECTED = "anomalies expected among the rows (preset robust)"


@pytest.fixture(scope="module")
def robust(run, orders_csv, folder, fast):
    """A model of the orders that expects anomalies among them, all of which train."""
    path = folder / "robust.vae"
    outcome = run("fit", orders_csv, "-o", path, *ID, "--preset", "robust", "--calibration", "none", *fast)
    assert outcome.code == 0, outcome.err
    assert f", {EXPECTED}; threshold " in outcome.err
    return path


def test_presets_are_those_of_the_library():
    assert tuple(PRESETS) == options.PRESETS
    assert {*EXPECTATIONS, options.DEFAULT} == set(PRESETS)


def test_score_without_a_model_expects_anomalies_and_says_so(run, orders_csv, robust, fast):
    at_once = run("score", orders_csv, *ID, *fast)
    assert at_once.code == 0
    assert f", {EXPECTED}; threshold " in at_once.err
    assert at_once.err.count("expected") == 1
    with_model = run("score", orders_csv, *ID, "-m", robust)
    assert at_once.frame["anomaly_score"].equals(with_model.frame["anomaly_score"])
    assert at_once.frame["is_anomaly"].equals(with_model.frame["is_anomaly"])


def test_scores_and_threshold_are_those_of_the_rows_of_a_fit_in_python(run, orders_csv, orders, fast):
    told = run("score", orders_csv, *ID, "--device", "cpu", *fast)
    summary = json.loads(run("score", orders_csv, *ID, "--device", "cpu", "--json", *fast).text)
    assert summary["preset"] == "robust"
    frame = orders.drop(columns="order").assign(paid=orders["paid"] == "true")
    detector = VAEDetector(max_iter=10, n_estimators=2, calibration=None).fit(frame)
    scores = told.frame["anomaly_score"].astype(float)
    assert scores.tolist() == (-detector.training_scores_).tolist()
    assert (told.frame["is_anomaly"] == "true").tolist() == detector.training_decisions_["is_anomaly"].tolist()
    assert scores.tolist() != detector.anomaly_score(frame).tolist()
    assert summary["n_anomalies"] == int((scores > summary["threshold"]).sum())


def test_explain_without_a_model_explains_the_scores_of_score(run, orders_csv, fast):
    scored = run("score", orders_csv, *ID, *fast).frame
    outcome = run("explain", orders_csv, *ID, "--row", "41", "--json", *fast)
    (row,) = json.loads(outcome.text)["explained"]
    assert EXPECTED in outcome.err
    assert row["anomaly_score"] == float(scored["anomaly_score"][40])


@pytest.mark.parametrize("preset", options.PRESETS)
def test_preset_that_is_given_wins_and_is_in_the_model(run, orders_csv, tmp_path, preset, fast):
    path = tmp_path / "m.vae"
    fitted = run("fit", orders_csv, "-o", path, *ID, "--calibration", "none", "--preset", preset, "--json", *fast)
    assert (fitted.code, json.loads(fitted.text)["preset"]) == (0, preset)
    assert read_manifest(path)["parameters"]["preset"] == preset == load(path).preset
    at_once = run("score", orders_csv, *ID, "--preset", preset, *fast)
    assert at_once.frame["anomaly_score"].equals(run("score", orders_csv, *ID, "-m", path).frame["anomaly_score"])
    said = [words for words in EXPECTATIONS.values() if words in at_once.err]
    assert said == [words for name, words in EXPECTATIONS.items() if name == preset]


def test_fit_assumes_nothing_by_default(run, orders_csv, model):
    assert read_manifest(model)["parameters"]["preset"] == "default"
    assert "preset" not in run("info", model).text


def test_info_says_what_the_rows_were_taken_for(run, robust, uncalibrated, image_model):
    (line,) = [line for line in run("info", robust).text.splitlines() if line.startswith(" preset ")]
    assert line.split(maxsplit=1)[1].rstrip() == EXPECTED
    for path in (uncalibrated, image_model):
        shown = run("info", path)
        assert shown.code == 0
        assert "preset" not in shown.text


def test_preset_does_not_go_with_a_model_and_others_are_refused(run, orders_csv, model):
    for command in ("score", "explain"):
        line = run(command, orders_csv, "-m", model, "--preset", "robust").error()
        assert line.startswith("error: --preset cannot go with --model: a saved model keeps what it was fitted with.")
    refused = run("fit", orders_csv, "-o", "m.vae", "--preset", "careful")
    assert refused.code == 2
    assert "'careful' is not one of" in " ".join(refused.err.replace("\u2502", " ").split())


def test_fit_does_not_keep_the_rows_besides_the_table(orders_csv):
    quiet = Messages(quiet=True)
    data = TableData.open(InputOptions((str(orders_csv),)), quiet)
    fitted = data.fit(FitOptions(max_iter=2, n_estimators=1), Device.CPU, quiet)
    with pytest.raises(NotAvailable):
        fitted.detector.training_scores_  # noqa: B018
