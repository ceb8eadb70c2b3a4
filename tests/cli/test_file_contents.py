"""What a model file contains of the data, as commands write it and `info` says it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import load
from vae_anomaly_cli.render.contents import DataContents

QUICK = ("--max-iter", "5", "--n-estimators", "1", "-q")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    path = tmp_path_factory.mktemp("people") / "people.csv"
    write_people(path, seed=0)
    return path


@pytest.fixture(scope="module")
def others(people):
    path = people.with_name("others.csv")
    write_people(path, seed=1)
    return path


def write_people(path, seed):
    rng = np.random.default_rng(seed)
    n_rows = 600
    frame = pd.DataFrame(
        {
            "order": [f"id{row}@example.com" for row in range(n_rows)],
            "person": [f"person{row % 150}@example.com" for row in range(n_rows)],
            "status": rng.choice(["open", "paid"], n_rows),
            "amount": rng.lognormal(3, 1, n_rows).round(2),
            "fraud": (np.arange(n_rows) % 50 == 0).astype(int),
        }
    )
    frame["amount"] = frame["amount"].astype(object)
    frame.loc[3, "amount"] = "odd@example.com"
    frame.to_csv(path, index=False)


@pytest.fixture(scope="module")
def model(people, run):
    path = people.with_name("people.vae")
    roles = ("--id", "order", "--label", "fraud", "--calibration-groups", "status")
    assert run("fit", people, "-o", path, *roles, *QUICK).code == 0
    return path


def test_fitted_model_holds_no_address(model):
    assert b"@example" not in model.read_bytes()


def test_info_says_what_of_the_data_is_in_the_file(model, run):
    shown = " ".join(run("info", model).text.split())
    assert "text in the file 2 levels of 1 column as they are" in shown
    assert "as keyed hashes (fewer than 10 rows, long, or pooled); 1 odd cell as keyed hashes" in shown
    assert "names of 2 groups, 0 hashed" in shown
    assert "numbers in the file scale and limits of 1 column; up to" in shown
    assert "64-bit fingerprints, which tell whether a row was in training" in shown
    contents = json.loads(run("info", model, "--json").text)["contents"]
    assert contents["levels"] == {"status": 2}
    # Some of the 150 have no training row.
    assert 140 < contents["hashed_levels"]["person"] <= 150
    assert contents["hashed_cells"] == {"amount": 1}
    assert contents["numbers"] == ["amount"]
    assert contents["min_level_count"] == 10


def test_threshold_and_calibrate_keep_the_hashes(model, others, run, tmp_path):
    other = tmp_path / "other.vae"
    assert run("calibrate", others, "-m", model, "-o", other, "-q").code == 0
    assert b"@example" not in other.read_bytes()
    assert load(other).columns_ == load(model).columns_


def test_no_raw_values_holds_for_commands_that_write_the_model_again(people, others, run, tmp_path):
    bare, again = tmp_path / "bare.vae", tmp_path / "again.vae"
    assert run("fit", people, "-o", bare, "--id", "order", "--no-raw-values", *QUICK).code == 0
    contents = json.loads(run("info", bare, "--json").text)["contents"]
    assert (contents["sampled_numbers"], contents["levels"].keys() & {"status", "person"}) == ({}, set())
    assert run("calibrate", others, "-m", bare, "-o", again, "-q").code == 0
    assert json.loads(run("info", again, "--json").text)["contents"] == contents
    assert b'"open"' not in again.read_bytes()


def test_kernels_are_rows_in_the_file_which_is_said_or_refused(people, run, tmp_path):
    whole, bare = tmp_path / "whole.vae", tmp_path / "bare.vae"
    assert run("fit", people, "-o", whole, "--id", "order", "--preset", "accurate", *QUICK).code == 0
    contents = json.loads(run("info", whole, "--json").text)["contents"]
    assert contents["kernels"] == load(whole).vae_.kernels.n_centres > 0
    shown = " ".join(run("info", whole).text.split())
    assert contents["exemplars"] == 0
    assert f"{contents['kernels']:,} with all their cells, as kernels; 64-bit fingerprints" in shown
    assert b"@example" not in whole.read_bytes()
    refused = run("fit", people, "-o", bare, "--id", "order", "--preset", "accurate", "--no-raw-values", *QUICK)
    assert "--no-raw-values writes none" in refused.error()
    assert not bare.exists()


def test_scores_of_the_command_are_those_of_the_loaded_model(model, people, run):
    frame = run("score", people, "-m", model, "-o", "-", "-q").frame
    rows = pd.read_csv(people, dtype={"amount": str}).drop(columns=["order", "fraud"])
    np.testing.assert_allclose(frame["anomaly_score"].astype(float), load(model).anomaly_score(rows), rtol=1e-12)


def test_reason_shows_the_cell_of_the_row(model, people, run):
    shown = run("explain", people, "-m", model, "--top", "3").text
    assert "@example.com" in shown


def test_cells_that_are_repaired_are_no_stand_ins(model, people, run):
    written = run("explain", people, "-m", model, "--repair", "-", "-q")
    assert b"hashed value" not in written.out


@pytest.mark.parametrize("version", range(1, 8))
def test_info_counts_what_files_of_earlier_versions_hold(version, run):
    for file in sorted((Path(__file__).parents[1] / "data" / f"version_{version}").glob("*.vae")):
        contents = json.loads(run("info", file, "--json").text)["contents"]
        assert contents["min_level_count"] is None
        assert not contents["hashed_levels"]
        assert run("info", file).code == 0


def test_facts_of_an_empty_file_say_none():
    empty = DataContents({}, {}, {}, 0, 0, [], {}, 0, 0, False, 10)
    assert set(empty.facts("row").values()) == {"none"}
