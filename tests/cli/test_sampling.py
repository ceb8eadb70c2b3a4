"""Fits on more rows than fit: one pass, a uniform sample, and further passes."""

import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import VAEDetector, read_manifest
from vae_anomaly_cli.sources import open_table
from vae_anomaly_cli.tables import sample_table


@pytest.fixture
def numbers(write):
    """A thousand rows that know their number."""
    return open_table([str(write("t.csv", "n\n" + "".join(f"{i}\n" for i in range(1000))))], None, None, pytest.fail)


def drawn(table, n_rows, seed=(0,)):
    return [int(cell) for cell in sample_table(table, ["n"], n_rows, seed).cells["n"].to_pylist()]


def test_sample_is_without_replacement_and_in_the_order_of_the_file(numbers):
    rows = drawn(numbers, 100)
    assert len(rows) == 100
    assert rows == sorted(set(rows))


@pytest.mark.parametrize("size", [1, 13, 100, 1000])
def test_sample_does_not_depend_on_batches(numbers, monkeypatch, size):
    at_once = drawn(numbers, 100)
    monkeypatch.setattr("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", size)
    monkeypatch.setattr("vae_anomaly_cli.sources.delimited.BLOCK_BYTES", 64)
    assert drawn(numbers, 100) == at_once


def test_seed_chooses_the_sample(numbers):
    assert drawn(numbers, 100, (1,)) == drawn(numbers, 100, (1,))
    assert drawn(numbers, 100, (1,)) != drawn(numbers, 100, (2,))
    assert drawn(numbers, 100, (1, 0)) != drawn(numbers, 100, (1, 1))


def test_every_row_is_drawn_equally_often(numbers):
    counts = np.zeros(1000)
    for seed in range(400):
        counts[drawn(numbers, 100, (seed,))] += 1
    # Binomial(400, 0.1) has mean 40 and standard deviation 6.
    assert abs(counts[:500].mean() - 40) < 1
    assert counts.min() > 10
    assert counts.max() < 75
    assert 5 < counts.std() < 7


def test_few_rows_are_used_whole(numbers):
    table = sample_table(numbers, ["n"], 1000)
    assert table.drawn is None
    assert drawn(numbers, 1000) == list(range(1000))


def test_wide_rows_make_the_sample_smaller(numbers, monkeypatch):
    # A number of up to three digits, and where it begins.
    monkeypatch.setattr("vae_anomaly_cli.tables.SAMPLED_BYTES", 60 * 7)
    assert 60 <= len(drawn(numbers, 1000)) <= 65


@pytest.mark.parametrize("size", [3, 40, 1000])
def test_rows_that_grow_wide_later_make_the_sample_smaller_whatever_the_batches(write, monkeypatch, size):
    rows = "".join(f"{i},{'x' * (0 if i < 500 else 1000)}\n" for i in range(1000))
    table = open_table([str(write("t.csv", "n,text\n" + rows))], None, None, pytest.fail)
    monkeypatch.setattr("vae_anomaly_cli.tables.SAMPLED_BYTES", 50_000)
    at_once = sample_table(table, ["n", "text"], 900).cells
    assert at_once.num_rows > 60
    assert 40_000 < sum(len(cell) + 4 for name in at_once.column_names for cell in at_once[name].to_pylist()) <= 50_000
    monkeypatch.setattr("vae_anomaly_cli.sources.table_source.ROWS_PER_BATCH", size)
    assert sample_table(table, ["n", "text"], 900).cells.equals(at_once)


def test_fit_says_that_it_saw_a_sample(run, orders_csv, tmp_path, fast):
    path = tmp_path / "m.vae"
    outcome = run("fit", orders_csv, "-o", path, "--id", "order", "--sample-rows", "40", "--json", *fast)
    assert outcome.code == 0, outcome.err
    assert f"fitted on {orders_csv}: a sample of 40 of 60 rows, 4 columns" in outcome.err
    summary = json.loads(outcome.text)
    assert (summary["rows"], summary["fitted_rows"]) == (60, 40)
    assert read_manifest(path)["n_training_rows"] == 40


def test_score_without_a_model_scores_all_rows_after_fitting_on_a_sample(run, orders_csv, fast):
    outcome = run("score", orders_csv, "--id", "order", "--sample-rows", "40", *fast)
    assert len(outcome.frame) == 60
    assert "a sample of 40 of 60 rows" in outcome.err
    whole = run("score", orders_csv, "--id", "order", *fast)
    assert whole.out == run("score", orders_csv, "--id", "order", "--sample-rows", "60", *fast).out
    assert whole.out != outcome.out


def test_bad_cell_of_a_sample_is_found_by_its_line(run, write, fast):
    path = write("t.csv", "a,b\n" + "1.5,2\n" * 30 + "inf,3\n" * 60)
    outcome = run("score", path, "--sample-rows", "30", *fast)
    assert outcome.code == 2
    line = int(outcome.err.split("(line ")[1].split(")")[0])
    assert 32 <= line <= 91


def test_bad_cell_is_found_behind_a_file_without_rows(run, write, fast):
    files = [write("0.csv", "a,b\n"), write("1.csv", "a,b\n" + "1.5,2\n" * 5 + "inf,3\n"), write("2.csv", "a,b\n7,8\n")]
    outcome = run("score", *files, *fast)
    assert outcome.code == 2
    assert f"{files[1]}: column 'a' holds inf (line 7)" in outcome.err


def test_sample_goes_with_fits_only(run, orders_csv, model):
    outcome = run("score", orders_csv, "-m", model, "--sample-rows", "40")
    assert outcome.code == 2
    assert "--sample-rows cannot go with --model" in outcome.err


def test_each_further_pass_continues_on_another_sample(run, orders_csv, tmp_path, fast, monkeypatch):
    seen = []

    partial_fit = VAEDetector.partial_fit

    def watched(self, frame):
        seen.append(frame)
        return partial_fit(self, frame)

    monkeypatch.setattr(VAEDetector, "partial_fit", watched)
    options = ("--id", "order", "--passes", "3", "--sample-rows", "30", *fast)
    outcome = run("fit", orders_csv, "-o", tmp_path / "m.vae", *options)
    assert outcome.code == 0, outcome.err
    assert ", in 3 passes; threshold" in outcome.err
    assert [frame.shape for frame in seen] == [(30, 4)] * 3
    assert not seen[0].equals(seen[1])
    assert not seen[1].equals(seen[2])


def test_later_passes_take_columns_for_what_the_first_one_did(run, write, tmp_path, fast, monkeypatch):
    rows = "".join(f"{i / 7:.3f},{'B7'[i % 2]}\n" for i in range(400))
    seen = []
    partial_fit = VAEDetector.partial_fit
    monkeypatch.setattr(VAEDetector, "partial_fit", lambda self, frame: seen.append(frame) or partial_fit(self, frame))
    run("fit", write("t.csv", "x,code\n" + rows), "-o", tmp_path / "m.vae", "--passes", "2", *fast)
    assert isinstance(seen[1]["code"].dtype, pd.CategoricalDtype)
