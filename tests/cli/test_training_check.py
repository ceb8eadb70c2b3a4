"""What `vae-anomaly score` says of a file whose rows are not like those of the training."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import VAEDetector, load
from vae_anomaly.decisions import FamilyCounts
from vae_anomaly_cli.flagging import Decision, unlike_calibration
from vae_anomaly_cli.sources import table_source
from vae_anomaly_cli.training_check import differences_of, lines_of_flags


def calls(seed, n=300):
    """Calls of one month: what a bank's file of May looks like."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "seconds": rng.normal(200, 20, n).round(1),
            "age": rng.integers(18, 80, n).astype(float),
            "job": rng.choice(["clerk", "nurse", "cook"], n),
            "month": "may",
        }
    )


@pytest.fixture(scope="module")
def may(run, tmp_path_factory):
    """A model of 1,500 calls of May."""
    folder = tmp_path_factory.mktemp("calls")
    calls(0, 1500).to_csv(folder / "may.csv", index=False)
    outcome = run("fit", folder / "may.csv", "-o", folder / "may.vae", "--max-iter", "80", "--n-estimators", "1")
    assert outcome.code == 0, outcome.err
    return folder / "may.vae"


def warnings_of(outcome):
    assert outcome.code in (0, 3), outcome.err
    return [line.removeprefix("warning: ") for line in outcome.err.splitlines() if line.startswith("warning: ")]


def checked(run, may, write, frame, *options):
    path = write("new.csv", frame.to_csv(index=False))
    outcome = run("score", path, "-m", may, "--json", *options)
    return warnings_of(outcome), json.loads(outcome.text)["against_training"]


def test_says_nothing_of_rows_like_those_of_the_training(run, may, write):
    lines, found = checked(run, may, write, calls(1))
    assert lines == []
    assert (found["unusual"], found["sentences"], found["compared_rows"]) == (False, [], 300)
    assert found["flagged_share"] < 0.1
    assert {column["column"] for column in found["columns"]} == {"seconds", "age", "job", "month"}


def test_names_the_column_that_makes_every_row_anomalous_and_what_differs_there(run, may, write):
    new = calls(2).assign(month=np.where(np.arange(300) % 3 == 0, "jul", "jun"))
    (line,), found = checked(run, may, write, new)
    rate = f"{100 * load(may).threshold_.expected_rate:.3g} %"
    assert line.startswith(
        f"every row is flagged: 300 of 300 rows flagged; {rate} of normal ones expected: 'month' is always 'may' in "
        "training, 'jun' and 1 more in 100 % here (+"
    )
    assert line.endswith(" nats a row). See vae-anomaly drift.")
    assert found["sentences"] == [line]
    assert found["flagged_share"] == 1.0
    assert found["nats"][0]["column"] == "month"
    month = found["columns"][0]
    assert (month["column"], month["what"], month["level"], month["now"]) == ("month", "unseen", "jun", 1.0)


def far_out(frame):
    return frame.assign(seconds=frame["seconds"] + 5000)


def with_gaps(frame):
    return frame.assign(age=frame["age"].where(np.arange(len(frame)) % 4 > 0))


def with_new_job(frame):
    return frame.assign(job=frame["job"].where(np.arange(len(frame)) % 5 > 0, "pilot"))


def of_one_job(frame):
    return frame.assign(job="cook")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (far_out, "'seconds' "),
        (with_gaps, "'age' is missing in 25 % of the rows (training 0 %)"),
        (with_new_job, "'job' is 'pilot' in 20 % of the rows, never in training"),
        (of_one_job, "'job' is 'cook' in 100 % of the rows (training 3"),
    ],
)
def test_says_how_a_column_differs(run, may, write, change, said):
    lines, found = checked(run, may, write, change(calls(3)))
    assert any(said in line for line in lines), lines
    assert found["unusual"]


def test_values_beyond_the_training_are_counted(run, may, write):
    (line,), found = checked(run, may, write, far_out(calls(3)))
    above = next(each for each in found["columns"] if each["what"] == "above" and each["column"] == "seconds")
    assert above["now"] == 1.0
    assert above["unusual"]
    assert line.startswith("every row is flagged")


def test_hours_that_training_never_had_are_told_of(run, write, tmp_path):
    """Office hours in training, and a file of the night: neutral for the score, and said."""
    rng = np.random.default_rng(0)

    def visits(first, hours, n=800):
        days = pd.Timestamp(first) + pd.to_timedelta(np.sort(rng.integers(0, 120, n)), unit="D")
        return pd.DataFrame({"when": days + pd.to_timedelta(rng.choice(hours, n), unit="h"), "x": rng.normal(size=n)})

    model = tmp_path / "v.vae"
    path = write("day.csv", visits("2025-01-01", np.arange(8, 18)).to_csv(index=False))
    assert run("fit", path, "-o", model, "--max-iter", "40", "--n-estimators", "1").code == 0
    night = write("night.csv", visits("2025-06-01", [1, 2], 200).to_csv(index=False))
    found = json.loads(run("score", night, "-m", model, "--json").text)["against_training"]
    hour = next(each for each in found["columns"] if each["column"] == "when (hour)")
    known = {part.kind: part.levels for part in load(model).columns_[0].parts}["hour"]
    assert hour["unusual"] is ("01h" not in known)
    assert hour["what"] == ("unseen" if "01h" not in known else "levels")
    later = write("later.csv", visits("2025-06-01", np.arange(8, 18), 200).to_csv(index=False))
    assert not json.loads(run("score", later, "-m", model, "--json").text)["against_training"]["unusual"]


def test_batches_and_an_interruption_make_no_difference(run, may, write, monkeypatch):
    new = with_gaps(with_new_job(calls(4)))
    whole = checked(run, may, write, new)
    monkeypatch.setattr(table_source, "ROWS_PER_BATCH", 40)
    assert checked(run, may, write, new) == whole


def test_fail_on_drift_has_the_exit_code_of_drift_when_all_is_written(run, may, write, tmp_path):
    for seed, change, code in ((5, lambda frame: frame, 0), (6, with_new_job, 3)):
        path, scored = write("new.csv", change(calls(seed)).to_csv(index=False)), tmp_path / "scored.csv"
        assert run("drift", path, "-m", may, "--fail-on-drift").code == code
        outcome = run("score", path, "-m", may, "--fail-on-drift", "-o", scored, "--json")
        assert outcome.code == code, outcome.err
        assert len(pd.read_csv(scored)) == 300
        assert json.loads(outcome.text)["against_training"]["drift"]["drifted"] is (code == 3)
        assert run("score", path, "-m", may, "-o", scored).code == 0


def test_fail_on_drift_needs_a_model_with_a_calibration(run, orders_csv, uncalibrated, write):
    assert "--fail-on-drift compares rows with" in run("score", orders_csv, "--fail-on-drift").error()


@pytest.mark.parametrize(
    ("counts", "expected", "said"),
    [
        ((300, 300, 1.0, 9.0), None, ["every row is flagged: 300 of 300 rows."]),
        ((300, 290, 1.0, 9.0), None, ["nearly every row is flagged: 290 of 300 rows."]),
        # Who asks for so many alerts has them.
        ((300, 290, 1.0, 9.0), 0.97, []),
        ((300, 100, 1.0, 9.0), None, []),
        ((30, 0, 2.5, 2.5), None, ["all 30 rows have the same score: nothing tells them apart."]),
        # A handful that somebody picked.
        ((3, 3, 2.5, 2.5), None, []),
    ],
)
def test_run_that_tells_nothing_apart_says_so(counts, expected, said):
    names = ("n_scored", "n_flagged", "lowest", "highest")
    run = SimpleNamespace(**dict(zip(names, counts, strict=True)))
    assert lines_of_flags(None, [], run, expected, "row") == said


def test_equal_scores_without_a_model_are_told_of(run, write, fast):
    outcome = run("score", write("same.csv", "x,y\n" + "1.5,2\n" * 30), *fast)
    assert outcome.code == 0, outcome.err
    assert "all 30 rows have the same score: nothing tells them apart." in warnings_of(outcome)


@pytest.mark.parametrize("n_rows", [60, 530])
def test_false_alarms_are_rare(n_rows):
    detector = VAEDetector(max_iter=40, early_stopping=False, n_estimators=1, random_state=0).fit(calls(8, 900))
    said = 0
    for seed in range(100, 140):
        new = calls(seed, n_rows)
        decided = detector.decide(new)
        family = FamilyCounts()
        family.add(decided["p_value"].to_numpy())
        n_flagged = int(decided["is_anomaly"].sum())
        calibration = detector.decisions_.calibration
        differences = differences_of(detector.columns_, detector.decisions_.columns, detector.column_samples(new))
        said += any(each.is_told for each in differences)
        said += unlike_calibration(Decision(detector.threshold_), calibration, family, n_flagged, "row") is not None
    assert said <= 2


def test_nats_by_column_are_those_of_the_score():
    detector = VAEDetector(max_iter=40, early_stopping=False, n_estimators=1, random_state=0).fit(calls(8, 600))
    nats = detector.nats_by_column(calls(9).assign(month="jun"))
    more = nats["nats_now"] - nats["nats_before"]
    assert more.idxmax() == "month"
    assert more["month"] > 3
    assert abs(more.drop("month")).max() < 1
