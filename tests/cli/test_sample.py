"""`vae-anomaly sample`: new rows with the names and the types of the training."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from vae_anomaly import VAEDetector, load, save


def test_rows_have_the_columns_and_types_of_the_training(run, model, tmp_path):
    outcome = run("sample", model, "-n", "50", "-o", tmp_path / "new.parquet")
    assert outcome.code == 0, outcome.err
    table = pq.read_table(tmp_path / "new.parquet")
    assert table.num_rows == 50
    assert {field.name: str(field.type) for field in table.schema} == {
        "amount": "double",
        "items": "int64",
        "shop": "string",
        "paid": "bool",
    }
    assert {*table["shop"].to_pylist()} <= {"north", "south"}
    assert outcome.err.splitlines()[-1].startswith(f"drew 50 rows of 4 columns from {model}; written to ")


def test_rows_go_to_standard_output_as_csv(run, model):
    outcome = run("sample", model)
    assert list(outcome.frame) == ["amount", "items", "shop", "paid"]
    assert len(outcome.frame) == 10
    assert outcome.frame["amount"].str.fullmatch(r"-?\d+(\.\d\d?)?").all()


def test_seed_decides_and_the_library_draws_the_same(run, model):
    first, again, other = (run("sample", model, "-n", "20", "--random-state", seed).out for seed in ("1", "1", "2"))
    assert first == again != other
    drawn = load(model).sample(20, random_state=1)
    frame = pd.read_csv(io.BytesIO(first))
    np.testing.assert_allclose(frame["amount"], drawn["amount"], atol=0.006)
    assert frame["shop"].tolist() == drawn["shop"].tolist()


def test_columns_without_values_are_left_out_and_said(run, orders_csv, fast, tmp_path):
    path = tmp_path / "ids.vae"
    assert run("fit", orders_csv, "-o", path, "--column", "order=identifier", *fast).code == 0
    outcome = run("sample", path, "--json")
    summary = json.loads(outcome.text)
    assert list(summary["left_out"]) == ["order"]
    assert summary["left_out"]["order"].startswith("set aside: ")
    assert "order" not in summary["columns"]
    assert len(summary["rows"]) == 10
    assert "warning: 1 column left out, of which the model has no values: order (set aside" in outcome.err


def test_sample_can_be_scored_by_its_model(run, model, tmp_path):
    assert run("sample", model, "-n", "30", "-o", tmp_path / "new.csv").code == 0
    assert len(run("score", tmp_path / "new.csv", "-m", model).frame) == 30


def test_model_of_an_array_names_its_columns(run, tmp_path):
    path = tmp_path / "array.vae"
    rows = np.random.default_rng(0).normal(size=(60, 2))
    save(VAEDetector(max_iter=5, n_estimators=2).fit(rows), path)
    assert list(run("sample", path).frame) == ["x0", "x1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.vae",), "none.vae does not exist"),
        (("MODEL", "-n", "0"), "'--rows'"),
        (("MODEL", "-n", "99999999999"), "'--rows'"),
        (("MODEL", "-o", "new.xls"), "ends in .csv"),
        (("MODEL", "-o", "MODEL"), "is also MODEL"),
        (("MODEL", "--json", "-o", "-"), "both write to standard output"),
    ],
)
def test_misuse_is_refused(run, model, arguments, message):
    given = [model if argument == "MODEL" else argument for argument in arguments]
    assert message in run("sample", *given).error()


def test_models_of_images_are_refused(run, image_model):
    assert "is a model of images, and sample draws rows of tables" in run("sample", image_model).error()
