"""Rows that a saved model cannot score: one bad cell costs one row and a line, whatever the command."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly import load
from vae_anomaly_cli.sources import table_source

BAD_CELL, EMPTY = "'amount' holds 'oops', which is no number", "holds no value in any column of the model"


@pytest.fixture(scope="module")
def spoilt(later_orders, folder):
    """240 orders, two of which have a cell that is no number, and one nothing at all."""
    frame = later_orders.astype(object)
    frame.loc[[4, 100], "amount"] = "oops"
    frame.loc[30, ["amount", "items", "shop", "paid"]] = None
    path = folder / "spoilt.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def clean(run, later_csv, model):
    return run("score", later_csv, "-m", model, "--id", "order", "--label", "fraud", "-q").frame


OPTIONS = ("--id", "order", "--label", "fraud")


def test_bad_cells_and_empty_rows_cost_their_rows_and_a_line(run, spoilt, model, clean):
    outcome = run("score", spoilt, "-m", model, *OPTIONS)
    assert outcome.code == 0, outcome.err
    frame = outcome.frame
    problems = frame["problem"] != ""
    assert np.flatnonzero(problems).tolist() == [4, 30, 100]
    assert frame["problem"][problems].tolist() == [BAD_CELL, EMPTY, BAD_CELL]
    assert (frame.loc[problems, ["anomaly_score", "p_value", "is_anomaly"]] == "").all(axis=None)
    assert frame["anomaly_score"][~problems].tolist() == clean["anomaly_score"][~problems].tolist()
    (line,) = (line for line in outcome.err.splitlines() if "without a score" in line)
    assert line == f"warning: 3 of 240 rows without a score; the first is {spoilt}, line 6: {BAD_CELL}."
    assert f"scored {spoilt} with {model}: 240 rows read, 237 scored, 3 with a problem; " in outcome.err
    assert "3 of 240 rows" not in run("score", spoilt, "-m", model, *OPTIONS, "-q").err


def test_summary_counts_them(run, spoilt, model):
    summary = json.loads(run("score", spoilt, "-m", model, *OPTIONS, "--json", "--top", "240").text)
    assert (summary["rows"], summary["rows_scored"], summary["unusable"]) == (240, 237, 3)
    assert summary["problems"][0] == f"{spoilt}, line 6: {BAD_CELL}"
    assert len(summary["ranked"]) == 237
    assert summary["label"]["n_labelled"] == 237


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet"])
def test_every_format_has_them(run, spoilt, model, tmp_path, name):
    path = tmp_path / name
    assert run("score", spoilt, "-m", model, *OPTIONS, "-o", path).code == 0
    frame = {"csv": pd.read_csv, "jsonl": lambda file: pd.read_json(file, lines=True), "parquet": pd.read_parquet}[
        name.split(".")[1]
    ](path)
    assert frame["row"].tolist() == list(range(1, 241))
    assert np.flatnonzero(frame["anomaly_score"].isna()).tolist() == [4, 30, 100]
    assert np.flatnonzero(frame["problem"].notna()).tolist() == [4, 30, 100]


@pytest.mark.parametrize("options", [("--fdr", "0.3"), ("--alerts", "5"), ("--top", "9", "--only-top"), ("--explain",)])
def test_other_rows_are_judged_as_ever(run, spoilt, calibrated, later_orders, write, options):
    outcome = run("score", spoilt, "-m", calibrated, *OPTIONS, *options)
    assert outcome.code == 0, outcome.err
    rest = later_orders.drop(index=[4, 30, 100])
    alone = run("score", write("rest.csv", rest.to_csv(index=False)), "-m", calibrated, *OPTIONS, *options)
    scored = outcome.frame[outcome.frame["problem"] == ""].reset_index(drop=True)
    if "--alerts" not in options:
        assert scored.drop(columns="row").equals(alone.frame.drop(columns="row"))
    assert scored["anomaly_score"].tolist() == alone.frame["anomaly_score"].tolist()


def test_batches_make_no_difference(run, spoilt, model, monkeypatch):
    whole = run("score", spoilt, "-m", model, *OPTIONS)
    monkeypatch.setattr(table_source, "ROWS_PER_BATCH", 7)
    parts = run("score", spoilt, "-m", model, *OPTIONS)
    assert (parts.out, parts.err) == (whole.out, whole.err)


def test_file_of_which_nothing_can_be_scored_is_an_error(run, write, model):
    bad = write("bad.csv", "amount,items,shop,paid\n" + "x,1,north,true\n" * 3)
    line = run("score", bad, "-m", model).error(1)
    assert line == (
        f"error: none of 3 rows of {bad} could be scored; {bad}, line 2: 'amount' holds 'x', which is no number. "
        "Write the cells as in the training, or fit a model on such rows."
    )
    assert run("drift", bad, "-m", model).error(1) == line
    assert run("explain", bad, "-m", model).error(1) == line
    assert "warning" not in run("score", bad, "-m", model).err


def test_more_than_half_is_loud(run, write, model):
    rows = ["1.5,1,north,true"] * 4 + ["x,1,north,true"] * 6
    outcome = run("score", write("bad.csv", "amount,items,shop,paid\n" + "\n".join(rows) + "\n"), "-m", model)
    assert outcome.code == 0
    assert "6 of 10 rows without a score: MORE THAN HALF, is this what the model was fitted on?" in outcome.err


def test_infinite_numbers_cost_their_rows(run, orders, model, tmp_path):
    frame = orders.assign(paid=orders["paid"] == "true")
    frame.loc[2, "amount"] = np.inf
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "t.parquet")
    outcome = run("score", tmp_path / "t.parquet", "-m", model, "--id", "order")
    assert outcome.frame["problem"][2] == "'amount' holds 'inf', which is no number"
    assert (outcome.frame["problem"] != "").sum() == 1


def test_commands_on_the_model_leave_them_out(run, spoilt, model, calibrated, tmp_path):
    """What is calibrated, evaluated and tested for drift is the other 237 rows."""
    said = f"warning: 3 of 240 rows without a score; the first is {spoilt}, line 6: {BAD_CELL}."
    evaluated = run("evaluate", spoilt, "-m", calibrated, "--label", "fraud", "--json")
    assert said in evaluated.err.splitlines()
    assert json.loads(evaluated.text)["n_rows"] == 237
    labels = ("--labels", spoilt, "--label", "fraud")
    threshold = run("threshold", calibrated, *labels, "--cost", "1", "-o", tmp_path / "t.vae")
    assert threshold.code == 0, threshold.err
    assert said in threshold.err.splitlines()


def test_calibration_and_drift_leave_them_out(run, later_orders, model, calibrated, write, tmp_path):
    frame = later_orders[~later_orders["fraud"]].drop(columns="fraud").astype(object).reset_index(drop=True)
    frame.loc[[4, 100], "amount"] = "oops"
    path = write("normal.csv", frame.to_csv(index=False))
    outcome = run("calibrate", path, "-m", model, "-o", tmp_path / "c.vae", "--json")
    assert "2 of 228 rows without a score; the first is" in outcome.err
    summary = json.loads(outcome.text)
    assert (summary["n_calibration"], summary["unusable"]) == (226, 2)
    ids = load(tmp_path / "c.vae").calibration_.suspects.ids
    assert not set(ids.tolist()) & {4, 100}
    drifted = json.loads(run("drift", path, "-m", calibrated, "--json").text)
    assert (drifted["rows"], drifted["drifted"]) == (226, False)
    # The numbers of the review are those of the file.
    review = run("audit", tmp_path / "c.vae", path, "-n", "40").frame
    assert review["order"].tolist() == [frame["order"][int(row) - 1] for row in review["row"]]


def test_explain_leaves_them_out(run, spoilt, model):
    outcome = run("explain", spoilt, "-m", model, *OPTIONS, "--top", "240", "--json")
    summary = json.loads(outcome.text)
    assert len(summary["explained"]) == 237
    assert not {row["row"] for row in summary["explained"]} & {5, 31, 101}
    line = run("explain", spoilt, "-m", model, *OPTIONS, "--row", "31").error()
    assert line == f"error: --row 31: the row has no score, and nothing to explain; line 32: {EMPTY}."


def test_repair_keeps_their_cells(run, spoilt, model, tmp_path):
    path = tmp_path / "repaired.csv"
    assert run("explain", spoilt, "-m", model, *OPTIONS, "--top", "240", "--repair", path).code == 0
    repaired = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert repaired["amount"][[4, 100]].tolist() == ["oops"] * 2


def test_interrupted_run_goes_on_with_them(run, spoilt, model, tmp_path, monkeypatch):
    from vae_anomaly_cli.tally import Tally

    monkeypatch.setattr(table_source, "ROWS_PER_BATCH", 20)
    whole = run("score", spoilt, "-m", model, *OPTIONS)
    original, path = Tally.add, tmp_path / "o.csv"

    def stop_after_four(self, batch, judged, flags):
        if batch.first >= 80:
            raise KeyboardInterrupt
        original(self, batch, judged, flags)

    monkeypatch.setattr(Tally, "add", stop_after_four)
    assert run("score", spoilt, "-m", model, *OPTIONS, "-o", path).code == 130
    monkeypatch.setattr(Tally, "add", original)
    resumed = run("score", spoilt, "-m", model, *OPTIONS, "-o", path, "--resume")
    assert resumed.code == 0, resumed.err
    assert path.read_bytes() == whole.out
    assert "3 of 240 rows without a score; the first is" in resumed.err


def test_empty_rows_without_a_model_have_no_score_either(run, orders, write, fast):
    frame = orders.drop(columns="order").astype(object)
    frame.loc[12] = None
    outcome = run("score", write("t.csv", frame.to_csv(index=False)), *fast)
    assert outcome.code == 0, outcome.err
    assert outcome.frame["problem"][12] == EMPTY
    assert "60 rows read, 59 scored, 1 with a problem" in outcome.err


def test_row_numbers_stand_beside_a_column_of_that_name(run, orders, write, fast, tmp_path):
    own = orders.drop(columns="order").assign(row=np.arange(60) % 7 + 0.5, problem=np.where(orders.index % 2, "a", "b"))
    path, model = write("own.csv", own.to_csv(index=False)), tmp_path / "own.vae"
    assert run("fit", path, "-o", model, *fast).code == 0
    first = run("score", path, "-m", model)
    assert first.frame.columns[0] == "row_number"
    assert list(first.frame)[-4:] == ["anomaly_score", "p_value", "is_anomaly", "row_problem"]
    assert first.frame["row_number"].tolist() == [str(number) for number in range(1, 61)]
    assert first.frame["row"].astype(float).tolist() == own["row"].tolist()
    assert run("score", write("again.csv", first.out), "-m", model).out == first.out
    both = write("both.csv", own.assign(row_number=1).to_csv(index=False))
    line = run("score", both, "-m", model).error()
    assert f"{both} has columns 'row' and 'row_number', and the output needs one of these names" in line
    assert run("score", both, "-m", model, "--id", "shop").frame.columns[0] == "row"


def test_directory_of_results_has_the_rows_of_each_file(run, orders, model, tmp_path):
    for name, rows in (("a", orders[:10]), ("b", orders[10:25])):
        (tmp_path / "in").mkdir(exist_ok=True)
        rows.to_csv(tmp_path / "in" / f"{name}.csv", index=False)
    assert run("score", tmp_path / "in", "-m", model, "--id", "order", "-o", f"{tmp_path / 'out'}/").code == 0
    for name, n_rows in (("a", 10), ("b", 15)):
        written = pd.read_csv(tmp_path / "out" / f"{name}.csv")
        assert written["row"].tolist() == list(range(1, n_rows + 1))
        assert "file" not in written


def test_first_problem_is_that_of_the_first_row(run, write, model):
    # In a later column than that of the second.
    path = write("two.csv", "amount,items,shop,paid\n1.5,1,north,true\n2.5,odd,north,true\noops,1,north,true\n")
    for command in (["score"], ["drift"], ["explain", "--top", "1"]):
        assert f"; the first is {path}, line 3: 'items'" in run(*command, path, "-m", model).err


def test_infinite_number_beside_text_costs_its_row(run, write, model):
    path = write(
        "both.csv",
        "amount,items,shop,paid\n1.5,1,north,true\ninf,1,north,true\noops,1,north,true\n-1e400,1,north,true\n",
    )
    outcome = run("score", path, "-m", model)
    assert outcome.code == 0
    assert outcome.frame["problem"].tolist() == [
        "",
        "'amount' holds 'inf', which is no number",
        BAD_CELL,
        "'amount' holds '-1e400', which is no number",
    ]


def test_only_the_first_problems_are_looked_for_in_the_file(run, write, model, monkeypatch):
    asked = []
    locate = table_source.TableSource.locate
    monkeypatch.setattr(
        table_source.TableSource, "locate", lambda self, file, row: asked.append(row) or locate(self, file, row)
    )
    path = write("many.csv", "amount,items,shop,paid\n1.5,1,north,true\n" + "oops,1,north,true\n" * 300)
    assert "300 of 301 rows without a score" in run("score", path, "-m", model).err
    assert len(asked) <= 20


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("5 kg", "'amount' holds '5 kg', which is no plain number"),
        ("oops", BAD_CELL),
    ],
)
def test_problem_says_how_a_number_should_be_written(run, write, model, cell, problem):
    path = write("cell.csv", f"amount,items,shop,paid\n1.5,1,north,true\n{cell},1,north,true\n")
    assert run("score", path, "-m", model).frame["problem"].tolist() == ["", problem]


def test_problem_names_unit_and_form_of_the_training(run, write, tmp_path):
    rows = [f"{day % 28 + 1:02d}.{day % 12 + 1:02d}.2025;{day % 17 + 3} kg" for day in range(200)]
    path, saved = write("fit.csv", "\n".join(["day;load", *rows]) + "\n"), tmp_path / "m.vae"
    assert run("fit", path, "-o", saved, "--max-iter", "5", "--n-estimators", "1").code == 0
    new = write("new.csv", "day;load\n01.02.2025;5 kg\n2025-02-01;5 kg\n01.02.2025;5 lb\n")
    assert run("score", new, "-m", saved, "-o", tmp_path / "s.csv").code == 0
    text = (tmp_path / "s.csv").read_text()
    assert "'day' holds '2025-02-01', which is no date as %d.%m.%Y" in text
    assert "'load' holds '5 lb', which is no number in 'kg'" in text
