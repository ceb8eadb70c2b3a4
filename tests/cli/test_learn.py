"""`vae-anomaly learn`: what a person found, for the scores to come."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import load
from vae_anomaly_cli.render.taught import Taught

N_REVIEWED = 40


@pytest.fixture(scope="module")
def todo(run, model, later_csv, later_orders, folder):
    """The forty rows of the later orders to look at first, filled in: frauds are anomalous."""
    text = run("review", later_csv, "-m", model, "-n", str(N_REVIEWED), "-q").out
    frame = pd.read_csv(io.BytesIO(text), dtype=str, keep_default_na=False)
    fraud = later_orders["fraud"].to_numpy()[frame["row"].astype(int) - 1]
    return frame.assign(is_anomaly=np.where(fraud, "1", "0"))


@pytest.fixture(scope="module")
def todo_csv(todo, folder):
    path = folder / "todo.csv"
    todo.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def learned(run, model, todo_csv, later_csv, folder):
    """The model of the orders that has learned from them, calibrated with the later orders."""
    path = folder / "learned.vae"
    outcome = run("learn", model, todo_csv, "--calibrate", later_csv, "-o", path)
    assert outcome.code == 0, outcome.err
    return path, outcome


def test_answers_are_in_the_model_and_what_they_changed_is_said(learned, todo_csv, model):
    path, outcome = learned
    before, after = load(model), load(path)
    assert (after.answers_.n_rows, after.answers_.n_anomalies) == (N_REVIEWED, 12)
    assert outcome.out == b""
    said = [line for line in outcome.err.splitlines() if not line.startswith("warning")]
    assert said[0] == (
        f"{N_REVIEWED} answers of {todo_csv}, 12 anomalous; threshold moved from {before.threshold_.score:,.2f} to "
        f"{after.threshold_.score:,.2f} nats; written to {path}"
    )
    assert said[1:-1] == [f"learned: {sentence}" for sentence in Taught.of(after).sentences]
    assert said[-1] == after.threshold_.sentence()


def test_learned_model_is_that_of_the_library(learned, model, todo, later_orders, later_csv):
    path, _ = learned
    detector = load(model)
    rows = later_orders.iloc[todo["row"].astype(int) - 1]
    orders = pd.read_csv(later_csv).drop(columns="fraud")
    detector.learn(orders.iloc[todo["row"].astype(int) - 1], rows["fraud"].to_numpy(), calibration=orders)
    np.testing.assert_allclose(load(path).anomaly_score(orders), detector.anomaly_score(orders), rtol=1e-6)


def test_frauds_are_further_from_the_others_than_before(learned, model, later_csv, later_orders):
    path, _ = learned
    orders, fraud = pd.read_csv(later_csv).drop(columns="fraud"), later_orders["fraud"].to_numpy()

    def gap(detector):
        scores = detector.anomaly_score(orders)
        return (scores[fraud].mean() - scores[~fraud].mean()) / scores[~fraud].std()

    assert gap(load(path)) >= gap(load(model))


def test_score_has_the_score_without_what_was_learned_beside(run, learned, model, later_csv):
    path, _ = learned
    before = run("score", later_csv, "-m", model).frame
    after = run("score", later_csv, "-m", path).frame
    columns = before.columns.tolist()
    columns.insert(columns.index("anomaly_score") + 1, "likelihood_score")
    assert after.columns.tolist() == columns
    assert after["likelihood_score"].tolist() == before["anomaly_score"].tolist()
    assert after["anomaly_score"].tolist() != before["anomaly_score"].tolist()
    assert (after["p_value"] != "").all()


def test_ranked_table_has_it_too(run, learned, later_csv):
    path, _ = learned
    every = run("score", later_csv, "-m", path).frame
    top = run("score", later_csv, "-m", path, "--top", "7", "--only-top").frame
    rows = every.iloc[top["row"].astype(int) - 1]
    assert top["likelihood_score"].tolist() == rows["likelihood_score"].tolist()


@pytest.mark.parametrize("rule", [("--alerts", "9"), ("--fdr", "0.3")])
def test_rules_that_take_two_passes_have_it_too(run, learned, later_csv, rule):
    path, _ = learned
    every = run("score", later_csv, "-m", path).frame
    ruled = run("score", later_csv, "-m", path, *rule)
    assert ruled.code == 0, ruled.err
    assert ruled.frame["likelihood_score"].tolist() == every["likelihood_score"].tolist()


def test_ranked_rows_of_json_have_it_too(run, learned, later_csv):
    ranked = json.loads(run("score", later_csv, "-m", learned[0], "--json").text)["ranked"]
    assert "likelihood_score" not in ranked[0]["cells"]
    assert "likelihood_score" in ranked[0]


def test_score_of_learned_scores_drops_both_columns(run, learned, later_csv, write):
    path, _ = learned
    once = run("score", later_csv, "-m", path)
    again = run("score", write("scored.csv", once.out), "-m", path)
    assert again.out == once.out


def test_column_of_that_name_is_refused(run, learned, later_orders, write):
    data = write("named.csv", later_orders.rename(columns={"order": "likelihood_score"}).to_csv(index=False))
    assert "has a column 'likelihood_score' of its own" in run("score", data, "-m", learned[0]).error()
    assert "has a column 'likelihood_score'" in run("review", data, "-m", learned[0]).error()


def test_forget_gives_the_scores_of_before(run, learned, model, later_csv, tmp_path):
    path, _ = learned
    outcome = run("learn", path, "--forget", "-o", tmp_path / "m.vae")
    assert outcome.code == 0, outcome.err
    assert f"forgot {N_REVIEWED} answers of {path}; written to {tmp_path / 'm.vae'}" in outcome.err
    assert load(tmp_path / "m.vae").answers_ is None
    before, after = (run("score", later_csv, "-m", each).frame for each in (model, tmp_path / "m.vae"))
    assert after["anomaly_score"].tolist() == before["anomaly_score"].tolist()
    assert "has learned from no answers" in run("learn", model, "--forget", "-o", tmp_path / "n.vae").error()


def test_answered_rows_are_not_listed_again_and_all_reviews_are_given(
    run, model, learned, todo, todo_csv, later_csv, tmp_path
):
    path, _ = learned
    frame = run("review", later_csv, "-m", path, "-n", "15").frame
    assert "likelihood_score" in frame.columns
    assert not set(frame["row"]) & set(todo["row"])
    second = tmp_path / "next.csv"
    frame.assign(is_anomaly="0").to_csv(second, index=False)
    together = run("learn", path, todo_csv, second, "--calibrate", later_csv, "-o", tmp_path / "m.vae")
    assert together.code == 0, together.err
    assert f"{N_REVIEWED + 15} answers of {todo_csv} and 1 more, 12 anomalous" in together.err
    assert load(tmp_path / "m.vae").answers_.n_rows == N_REVIEWED + 15
    alone = run("learn", path, second, "--calibrate", later_csv, "-o", tmp_path / "n.vae")
    assert f"{N_REVIEWED} of the rows that were answered before are not given again" in alone.err


def test_answers_of_two_reviews_may_not_differ(run, model, todo, todo_csv, tmp_path):
    other = tmp_path / "other.csv"
    todo.assign(is_anomaly="0").to_csv(other, index=False)
    error = run("learn", model, todo_csv, other, "-o", tmp_path / "m.vae").error()
    assert f"{other}, line 2: is_anomaly is 0, and 1 in {todo_csv}, line 2, for an equal row" in error


def test_review_of_before_is_known_by_its_likelihood(run, learned, todo_csv, later_csv, tmp_path):
    outcome = run("learn", learned[0], todo_csv, "--calibrate", later_csv, "-o", tmp_path / "m.vae")
    assert outcome.code == 0, outcome.err
    assert load(tmp_path / "m.vae").answers_.n_rows == N_REVIEWED


def test_without_calibration_rows_there_are_no_p_values(run, model, todo_csv, later_csv, tmp_path):
    path = tmp_path / "m.vae"
    outcome = run("learn", model, todo_csv, "-o", path)
    assert outcome.code == 0, outcome.err
    assert "warning: " in outcome.err
    assert "calibrat" in outcome.err
    frame = run("score", later_csv, "-m", path).frame
    assert (frame["p_value"] == "").all()


def test_model_may_be_changed_in_place(run, model, todo_csv, later_csv, tmp_path):
    path = tmp_path / "m.vae"
    path.write_bytes(model.read_bytes())
    assert run("learn", path, todo_csv, "--calibrate", later_csv, "-o", path).code == 0
    assert load(path).answers_.n_rows == N_REVIEWED


def test_json_has_what_was_learned(run, model, todo_csv, later_csv, tmp_path):
    path = tmp_path / "m.vae"
    outcome = run("learn", model, todo_csv, "--calibrate", later_csv, "-o", path, "--json")
    assert outcome.code == 0, outcome.err
    shown = json.loads(outcome.text)
    assert (shown["n_answers"], shown["n_anomalies"], shown["n_open"]) == (N_REVIEWED, 12, 0)
    learned = shown["learned"]
    assert (learned["n_rows"], learned["n_anomalies"], learned["in_use"]) == (N_REVIEWED, 12, True)
    assert [number["column"] for number in learned["numbers"]] == load(path).learned_.frame()["column"].tolist()
    assert learned["sentences"] == Taught.of(load(path)).sentences
    assert shown["threshold"]["sentence"] == load(path).threshold_.sentence()


def test_answers_may_be_written_in_several_ways_and_left_open(run, model, todo, later_csv, tmp_path):
    given = ["1", "true", "Yes", "1.0", "0", "FALSE", "no", "0.0", "", " ", "NA"] + [""] * (N_REVIEWED - 11)
    todo.assign(is_anomaly=given, comment="looked").to_csv(tmp_path / "todo.csv", index=False)
    outcome = run("learn", model, tmp_path / "todo.csv", "--calibrate", later_csv, "-o", tmp_path / "m.vae")
    assert outcome.code == 0, outcome.err
    assert f"8 answers of {tmp_path / 'todo.csv'}, 4 anomalous, 32 not looked at" in outcome.err


def test_spreadsheets_may_have_written_it(run, model, todo, later_csv, learned, tmp_path):
    numbers = todo.astype({"anomaly_score": float, "p_value": float, "amount": float})
    path = tmp_path / "todo.csv"
    numbers.to_csv(path, index=False, sep=";", decimal=",", encoding="utf-8-sig", lineterminator="\r\n")
    outcome = run("learn", model, path, "--calibrate", later_csv, "-o", tmp_path / "m.vae")
    assert outcome.code == 0, outcome.err
    orders = pd.read_csv(later_csv).drop(columns="fraud")
    np.testing.assert_allclose(load(tmp_path / "m.vae").anomaly_score(orders), load(learned[0]).anomaly_score(orders))


def test_typed_reviews_are_read(run, model, later_orders, learned, todo, later_csv, tmp_path):
    assert run("review", later_csv, "-m", model, "-n", str(N_REVIEWED), "-o", tmp_path / "todo.parquet").code == 0
    frame = pd.read_parquet(tmp_path / "todo.parquet")
    fraud = later_orders["fraud"].to_numpy()[frame["row"] - 1]
    frame.assign(is_anomaly=fraud).to_parquet(tmp_path / "filled.parquet")
    outcome = run("learn", model, tmp_path / "filled.parquet", "--calibrate", later_csv, "-o", tmp_path / "m.vae")
    assert outcome.code == 0, outcome.err
    orders = pd.read_csv(later_csv).drop(columns="fraud")
    np.testing.assert_allclose(load(tmp_path / "m.vae").anomaly_score(orders), load(learned[0]).anomaly_score(orders))


def test_info_shows_answers_and_what_was_learned(run, learned, model):
    path, _ = learned
    text = " ".join(run("info", path).text.split())
    assert f"{N_REVIEWED} rows, 12 anomalous" in text
    assert Taught.of(load(path)).sentences[0] in text
    shown = json.loads(run("info", path, "--json").text)["answers"]
    assert (shown["n_rows"], shown["n_anomalies"], shown["in_use"]) == (N_REVIEWED, 12, True)
    assert "answers" not in run("info", model).text
    assert "answers" not in json.loads(run("info", model, "--json").text)


def twice(frame):
    other = frame.head(1).assign(is_anomaly=np.where(frame["is_anomaly"].head(1) == "1", "0", "1"))
    return pd.concat([frame, other])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop(columns="is_anomaly"), "has no column 'is_anomaly'; expected a review"),
        (lambda frame: frame.assign(is_anomaly=""), "is_anomaly is empty in all 40 rows, and nothing changes"),
        (lambda frame: frame.assign(is_anomaly="maybe"), "line 2: is_anomaly holds 'maybe'; expected 1 or 0"),
        (lambda frame: frame.drop(columns="amount"), "lacks column 'amount' of the 4 columns that the model uses"),
        (lambda frame: frame.assign(amount="much"), "line 2: 'amount' holds 'much', which is no number"),
        (lambda frame: frame.assign(amount="", items="", shop="", paid=""), "line 2: holds no value in any column"),
        (lambda frame: frame.assign(anomaly_score="high"), "line 2: anomaly_score holds 'high'"),
        (lambda frame: frame.assign(anomaly_score="-99"), "line 2: anomaly_score is -99.00, and "),
        (
            lambda frame: frame.replace({"amount": frame["amount"][0]}, "50.01"),
            "or its cells were changed",
        ),
        (twice, "line 2, for an equal row; expected one answer for equal rows"),
    ],
)
def test_reviews_that_cannot_be_learned_from_are_refused_with_their_line(run, model, todo, tmp_path, change, said):
    path = tmp_path / "todo.csv"
    change(todo).to_csv(path, index=False)
    assert said in run("learn", model, path, "-o", tmp_path / "m.vae").error()
    assert not (tmp_path / "m.vae").exists()


def test_review_of_another_model_is_refused(run, many, todo_csv, calibrated, model, later_csv, tmp_path):
    assert "of the 2 columns that the model uses" in run("learn", many[1], todo_csv, "-o", tmp_path / "m.vae").error()


def test_without_scores_it_is_said_that_cells_cannot_be_checked(run, model, todo, later_csv, tmp_path):
    path = tmp_path / "todo.csv"
    todo.drop(columns=["anomaly_score", "p_value", "row"]).to_csv(path, index=False)
    outcome = run("learn", model, path, "--calibrate", later_csv, "-o", tmp_path / "m.vae")
    assert outcome.code == 0, outcome.err
    assert f"warning: {path} has no anomaly_score for {N_REVIEWED} answers" in outcome.err
    assert "'why'" not in outcome.err


def test_rows_of_the_training_do_not_calibrate(run, many, tmp_path):
    data, model = many
    assert run("review", data, "-m", model, "-n", "10", "-o", tmp_path / "todo.csv").code == 0
    frame = pd.read_csv(tmp_path / "todo.csv", dtype=str, keep_default_na=False)
    frame.assign(is_anomaly=["1", "0"] * 5).to_csv(tmp_path / "todo.csv", index=False)
    error = run("learn", model, tmp_path / "todo.csv", "--calibrate", data, "-o", tmp_path / "m.vae").error()
    assert f"--calibrate {data}: " in error
    assert "trained on" in error
    assert not (tmp_path / "m.vae").exists()


@pytest.mark.parametrize("answer", ["0", "1"])
def test_one_kind_of_answer_is_taken_or_says_why_not(run, model, todo, later_csv, tmp_path, answer):
    todo.assign(is_anomaly=answer).to_csv(tmp_path / "todo.csv", index=False)
    outcome = run("learn", model, tmp_path / "todo.csv", "--calibrate", later_csv, "-o", tmp_path / "m.vae")
    assert outcome.code in (0, 2)
    if outcome.code:
        assert outcome.error()


def test_images_are_read_again_by_path(run, image_model, inspected, tmp_path):
    todo, path = tmp_path / "todo.csv", tmp_path / "m.vae"
    assert run("review", inspected, "-m", image_model, "-o", todo).code == 0
    frame = pd.read_csv(todo)
    frame.assign(is_anomaly=frame["path"].str.contains("scratch").astype(int)).to_csv(todo, index=False)
    outcome = run("learn", image_model, todo, "--images", inspected, "-o", path)
    assert outcome.code == 0, outcome.err
    assert load(path).answers_.n_anomalies == 3
    scored = run("score", inspected, "-m", path).frame
    assert "likelihood_score" in scored.columns
    again = run("review", inspected, "-m", path)
    assert again.code == 0, again.err
    assert again.frame.empty


def test_images_that_are_not_there_are_refused(run, image_model, inspected, good, tmp_path):
    todo, path = tmp_path / "todo.csv", tmp_path / "m.vae"
    assert run("review", inspected, "-m", image_model, "-o", todo).code == 0
    frame = pd.read_csv(todo).assign(is_anomaly=1)
    frame.to_csv(todo, index=False)
    assert "give the folder that was reviewed with --images" in run("learn", image_model, todo, "-o", path).error()
    error = run("learn", image_model, todo, "--images", good, "-o", path).error()
    assert f"has no image '{frame['path'][0]}'" in error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-o", "m.vae"), "REVIEW is missing; expected a review that was filled in"),
        (("todo.csv",), "Missing option"),
        (("none.csv", "-o", "m.vae"), "none.csv does not exist"),
        (("todo.csv", "--forget", "-o", "m.vae"), "REVIEW is to learn from, and --forget forgets"),
        (("--forget", "--calibrate", "x.csv", "-o", "m.vae"), "--calibrate is to learn from, and --forget forgets"),
        (("none.csv", "-o", "-"), "--output -: a model goes to a file"),
        (("none.csv", "-o", "m.csv"), "none.csv does not exist"),
    ],
)
def test_misuse_is_refused_in_one_line(run, model, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run("learn", model, *options)
    assert outcome.code == 2
    assert said in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_images_flag_is_for_images_and_calibrate_for_data_of_the_kind(run, model, todo_csv, good, tmp_path):
    path = tmp_path / "m.vae"
    assert "is a model of tables, whose cells" in run("learn", model, todo_csv, "--images", good, "-o", path).error()
    error = run("learn", model, todo_csv, "--calibrate", good, "-o", path).error()
    assert "holds images, and" in error


@pytest.mark.usefixtures("few_windows")
def test_models_of_patches_say_that_they_do_not_learn(run, good, fast_images, tmp_path, write):
    path = tmp_path / "patches.vae"
    assert run("fit", good, "-o", path, "--method", "patch", *fast_images).code == 0
    assert "is a model of patches, and reviews teach" in run("review", good, "-m", path).error()
    todo = write("todo.csv", "path,is_anomaly\n0.png,1\n")
    assert "is a model of patches" in run("learn", path, todo, "--images", good, "-o", path).error()


def test_maps_of_images_go_by_the_learned_score(run, image_model, inspected, tmp_path):
    todo, path = tmp_path / "todo.csv", tmp_path / "m.vae"
    assert run("review", inspected, "-m", image_model, "-o", todo).code == 0
    frame = pd.read_csv(todo)
    frame.assign(is_anomaly=frame["path"].str.contains("scratch").astype(int)).to_csv(todo, index=False)
    assert run("learn", image_model, todo, "--images", inspected, "-o", path).code == 0
    plain = run("score", inspected, "-m", path).frame
    drawn = run("score", inspected, "-m", path, "--heatmaps", tmp_path / "maps")
    assert drawn.code == 0, drawn.err
    for name in ("anomaly_score", "likelihood_score"):
        assert drawn.frame[name].astype(float).tolist() == pytest.approx(plain[name].astype(float).tolist(), rel=1e-6)


def test_models_that_compare_with_a_baseline_learn_too(run, later_orders, later_csv, fast, tmp_path):
    path, todo = tmp_path / "m.vae", tmp_path / "todo.csv"
    fitted = run("fit", later_csv, "-o", path, "--drop", "order,fraud", "--baseline-by", "shop", *fast)
    assert fitted.code == 0, fitted.err
    assert run("review", later_csv, "-m", path, "-n", "30", "-o", todo).code == 0
    frame = pd.read_csv(todo)
    frame.assign(is_anomaly=frame["fraud"].astype(int)).to_csv(todo, index=False)
    outcome = run("learn", path, todo, "-o", path)
    assert outcome.code == 0, outcome.err
    assert not set(run("review", later_csv, "-m", path, "-n", "30").frame["row"].astype(int)) & set(frame["row"])
