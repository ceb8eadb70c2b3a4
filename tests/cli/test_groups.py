"""`fit --by` and scores by the model of each row's group."""

import csv
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow.csv import write_csv

from vae_anomaly import GroupedDetector, VAEDetector, load, save
from vae_anomaly.arrow_rows import as_series
from vae_anomaly.detectors import KnownGroups, group_names
from vae_anomaly_cli.cell_reader import TextCells, TypedCells
from vae_anomaly_cli.group_sample import GroupSample

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.VAEAnomalyWarning")

BY = ("--by", "store", "--min-rows", "20", "--n-jobs", "1")


@pytest.fixture(scope="module")
def sales():
    rng = np.random.default_rng(2)
    n = 100
    frame = pd.DataFrame(rng.normal(size=(n, 2)).round(3), columns=["x", "y"])
    frame["store"] = np.array(["7", "a/b\nc", "north"], dtype=object)[np.arange(n) % 3]
    frame.insert(0, "id", np.arange(n))
    frame.loc[:4, "store"] = "tiny"
    frame.loc[5:6, "store"] = None
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("groups")


@pytest.fixture(scope="module")
def sales_csv(sales, folder):
    path = folder / "sales.csv"
    sales.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fitted(run, fast, sales_csv, folder):
    path = folder / "stores.vae"
    return path, run("fit", sales_csv, "-o", path, "--id", "id", *BY, *fast, "--json")


def test_fit_says_which_groups_have_a_model(fitted):
    path, outcome = fitted
    assert outcome.code == 0, outcome.err
    said = json.loads(outcome.text)
    assert (said["by"], said["groups"], said["fitted"], said["rows_without_group"]) == ("store", 4, 3, 2)
    assert said["too_small"] == [{"group": "tiny", "rows": 5}]
    assert said["failed"] == []
    assert "3 of 4 groups of 'store' (1 too small, 0 failed: judged by the pooled model), 100 rows" in outcome.err
    assert "1 with fewer than 20 rows ('tiny')" in outcome.err
    assert set(load(path).models_) == {"7", "a/b\nc", "north"}


def test_command_does_what_the_library_does(fitted, sales, fast):
    detector = VAEDetector(max_iter=int(fast[1]), n_estimators=int(fast[3]))
    expected = GroupedDetector(detector, by="store", min_rows=20).fit(sales.drop(columns="id"))
    np.testing.assert_array_equal(load(fitted[0]).score_samples(sales), expected.score_samples(sales))


def test_score_leads_rows_to_the_model_of_their_group(run, fitted, sales, folder):
    new = sales.head(12).assign(
        store=["7", "7.0", "north", "north ", "NORTH", "new", None, "a/b\nc", "", "7", "7", "7"]
    )
    new.to_csv(folder / "new.csv", index=False)
    outcome = run("score", folder / "new.csv", "-m", fitted[0])
    assert outcome.code == 0, outcome.err
    assert list(outcome.frame) == ["row", "id", "anomaly_score", "p_value", "is_anomaly", "judged_by", "problem"]
    judged = outcome.frame["judged_by"].tolist()
    assert judged == ["group"] * 4 + ["pooled"] * 3 + ["group", "pooled"] + ["group"] * 3
    expected = load(fitted[0]).decide(new)
    np.testing.assert_array_equal(outcome.frame["anomaly_score"].astype(float), expected["anomaly_score"])
    np.testing.assert_array_equal(outcome.frame["p_value"].astype(float), expected["p_value"])
    assert (outcome.frame["is_anomaly"] == "true").tolist() == expected["is_anomaly"].tolist()
    assert "4 of 12 rows judged by the pooled model" in outcome.err
    assert "('NORTH', 'new'), 2 without a value in 'store'" in outcome.err


def test_ranking_is_by_how_far_rows_are_above_the_threshold_of_their_model(run, fitted, sales, sales_csv):
    outcome = run("score", sales_csv, "-m", fitted[0], "--json", "--top", "5")
    assert outcome.code == 0, outcome.err
    said = json.loads(outcome.text)
    margins = -load(fitted[0]).decision_function(sales)
    assert [row["row"] - 1 for row in said["ranked"]] == np.argsort(-margins, kind="stable")[:5].tolist()
    assert (said["groups"], said["groups_used"], said["rows_pooled"]) == (3, 3, 7)


def test_false_alarm_rate_holds_for_each_model(run, fitted, sales_csv):
    outcome = run("score", sales_csv, "-m", fitted[0], "--false-alarm-rate", "0.2")
    assert outcome.code == 0, outcome.err
    assert (
        "needs at least 999 calibration rows, and 4 of 4 models have fewer"
        in run("score", sales_csv, "-m", fitted[0], "--false-alarm-rate", "0.001").error()
    )


@pytest.mark.parametrize(
    "option", ["--explain", "--patterns", "--resume", "--fail-on-drift", "--fdr=0.1", "--alerts=3"]
)
def test_what_takes_one_model_is_refused(run, fitted, sales_csv, folder, option):
    outcome = run("score", sales_csv, "-m", fitted[0], "-o", folder / "scored.csv", option)
    assert f"{option.partition('=')[0]} is for one model" in outcome.error()


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "DATA", "-m", "MODEL"),
        ("drift", "DATA", "-m", "MODEL"),
        ("calibrate", "DATA", "-m", "MODEL", "-o", "MODEL"),
        ("threshold", "MODEL"),
        ("sample", "MODEL"),
        ("audit", "MODEL"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_other_commands_say_that_they_take_one_model(run, fitted, sales_csv, arguments):
    given = [{"DATA": sales_csv, "MODEL": fitted[0]}.get(argument, argument) for argument in arguments]
    assert "holds a model for each group of 'store', and this command takes one model" in run(*given).error()


def test_info_shows_the_groups(run, fitted):
    outcome = run("info", fitted[0])
    assert outcome.code == 0, outcome.err
    assert "3 with a model of their own" in outcome.text
    assert "1 group below 20 rows, 5 in all" in outcome.text
    assert json.loads(run("info", fitted[0], "--json").text)["small"] == {"n_groups": 1, "n_rows": 5}


def test_model_of_a_group_can_be_taken_out(run, fitted, sales_csv, folder):
    save(load(fitted[0]).models_["north"], folder / "north.vae")
    assert run("score", sales_csv, "-m", folder / "north.vae").code == 0


def test_failed_group_costs_only_its_own_model(run, fast, sales, folder):
    sales.assign(x=sales["x"].where(sales["store"] != "7"), y=sales["y"].where(sales["store"] != "7")).to_parquet(
        folder / "failing.parquet"
    )
    outcome = run("fit", folder / "failing.parquet", "-o", folder / "some.vae", *BY, *fast, "--drop", "id", "--json")
    assert outcome.code == 0, outcome.err
    (failed,) = json.loads(outcome.text)["failed"]
    assert failed["group"] == "7"
    assert failed["reason"]
    assert "1 whose fit failed ('7'; the first: " in outcome.err


def test_no_model_of_any_group_is_a_failure(run, fast, sales_csv, folder):
    outcome = run("fit", sales_csv, "-o", folder / "none.vae", "--by", "id", *fast)
    assert "none of 100 groups of 'id' has 100 rows" in outcome.error(1)
    assert not (folder / "none.vae").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--by", "shop"), "has no such column"),
        (("--by", "store", "--label", "store"), "--label says"),
        (("--min-rows", "5"), "--min-rows belongs to --by"),
        (("--by", "store", "--n-jobs", "0"), "--n-jobs 0"),
        (("--by", "store", "--no-raw-values"), "--no-raw-values writes none"),
        (("--by", "store", "--passes", "2"), "go together"),
        (("--by", "store", "--baseline-by", "store"), "no column of the models"),
    ],
)
def test_misuse_of_groups_is_refused(run, sales_csv, folder, options, words):
    assert words in run("fit", sales_csv, "-o", folder / "no.vae", *options).error()


def test_column_of_the_groups_is_needed(run, fitted, sales, folder):
    sales.drop(columns="store").to_csv(folder / "without.csv", index=False)
    assert "lacks column 'store'" in run("score", folder / "without.csv", "-m", fitted[0]).error()


@pytest.mark.parametrize(
    "type_",
    [
        pa.bool_(),
        pa.float32(),
        pa.float64(),
        pa.timestamp("us"),
        pa.timestamp("ns", "Europe/Berlin"),
        pa.date32(),
        pa.uint64(),
        pa.string(),
        pa.dictionary(pa.int32(), pa.int64()),
    ],
    ids=str,
)
def test_names_of_groups_are_those_of_python_in_parquet_and_lead_to_the_same_in_csv(type_):
    if pa.types.is_dictionary(type_):
        cells = pa.array([3, 4, None]).dictionary_encode()
    elif pa.types.is_floating(type_):
        cells = pa.array([0.1, 1e16, None, 7.0, 1e-5], type_)
    elif type_ == pa.uint64():
        cells = pa.array([2**63 + 5, 3, None], type_)
    else:
        cells = pa.array([True, False, None] if type_ == pa.bool_() else [0, 86_400, None]).cast(pa.int32())
        cells = (
            cells.cast(type_) if type_ in (pa.bool_(), pa.date32(), pa.string()) else cells.cast(pa.int64()).cast(type_)
        )
    expected = group_names(pd.Series(cells.to_pandas(types_mapper=pd.ArrowDtype)))
    assert group_names(as_series(TypedCells().cells_of_groups(cells))).tolist() == expected.tolist()
    text = io.BytesIO()
    write_csv(pa.table({"group": cells}), text)
    lines = csv.reader(io.StringIO(text.getvalue().decode()))
    written = pa.array([line[0] if line else "" for line in lines][1:], pa.string())
    read = group_names(as_series(TextCells().cells_of_groups(written)))
    assert KnownGroups([name for name in expected if name]).judging(read).tolist() == expected.tolist()


def test_a_group_of_true_is_judged_by_its_model_whatever_the_file(run, fast, folder):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"open": [True, False] * 120, "x": rng.normal(size=240), "y": rng.normal(size=240)})
    rows.to_parquet(folder / "open.parquet")
    rows.to_csv(folder / "open.csv", index=False)
    assert run("fit", folder / "open.parquet", "-o", folder / "open.vae", "--by", "open", *fast).code == 0
    for name in ("open.parquet", "open.csv"):
        outcome = run("score", folder / name, "-m", folder / "open.vae", "-o", folder / "scored.csv")
        assert outcome.code == 0, outcome.err
        assert set(pd.read_csv(folder / "scored.csv")["judged_by"]) == {"group"}


def drawn(cuts, max_rows, n_rows=1000):
    rng = np.random.default_rng(0)
    names = np.array(["a", "b", "c", None], dtype=object)[rng.integers(0, 4, n_rows)]
    sample = GroupSample(max_rows, (3,), 1)
    cells = pa.record_batch({"n": np.arange(n_rows)})
    for start, end in zip([0, *cuts], [*cuts, n_rows], strict=True):
        sample.append(cells.slice(start, end - start), names[start:end], 0, start)
    return names, sample


def test_sample_of_each_group_does_not_depend_on_batches(monkeypatch):
    monkeypatch.setattr("vae_anomaly_cli.group_sample.ROWS_BETWEEN_DROPS", 64)
    names, whole = drawn([], 20)
    _, cut = drawn([1, 17, 300, 301, 800], 20)
    tables = {name: (rows.tolist(), cells["n"].to_pylist()) for name, rows, cells in whole.tables(1)}
    assert tables == {name: (rows.tolist(), cells["n"].to_pylist()) for name, rows, cells in cut.tables(1)}
    for name, (rows, numbers) in tables.items():
        assert rows == numbers == sorted(rows)
        assert len(rows) == 20
        assert set(names[rows]) == {name}
    assert whole.n_rows == {name: int((names == name).sum()) for name in "abc"}
    assert whole.n_unnamed == int(pd.isna(names).sum())


def test_groups_have_fewer_rows_each_where_all_together_are_too_many(monkeypatch):
    monkeypatch.setattr("vae_anomaly_cli.group_sample.MAX_CELLS", 100)
    _, whole = drawn([], 128)
    _, cut = drawn([10, 500], 128)
    sizes = [len(rows) for _, rows, _ in whole.tables(1)]
    assert sizes == [32, 32, 32]
    assert [rows.tolist() for _, rows, _ in whole.tables(1)] == [rows.tolist() for _, rows, _ in cut.tables(1)]
