"""Commands with the address of a model in a store."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pandas as pd
import pytest

from vae_anomaly import load, save

ADDRESS = "memory://models/orders.vae"


@pytest.fixture
def stored(model: Path) -> Iterator[str]:
    """The model of orders in a store."""
    save(load(model), ADDRESS)
    yield ADDRESS
    fsspec.filesystem("memory").store.clear()


def test_scores_with_a_model_in_a_store_are_those_with_its_file(
    run, model: Path, orders_csv: Path, stored: str, tmp_path: Path
) -> None:
    assert run("score", orders_csv, "-m", stored).out == run("score", orders_csv, "-m", model).out
    (tmp_path / "a").mkdir()
    assert run("score", orders_csv, "-m", stored, "-o", tmp_path / "scores.csv").code == 0
    assert run("score", orders_csv, "-m", model, "-o", tmp_path / "others.csv").code == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "scores.csv"), pd.read_csv(tmp_path / "others.csv"))


def test_info_shows_a_model_in_a_store(run, stored: str) -> None:
    shown = run("info", stored)
    assert shown.code == 0
    assert "rows" in shown.text


def test_model_of_a_store_changes_into_a_file(run, orders_csv: Path, stored: str, tmp_path: Path) -> None:
    done = run("threshold", stored, "--score", "5", "-o", tmp_path / "new.vae")
    assert done.code == 0, done.err
    assert load(tmp_path / "new.vae").threshold_.score == 5


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://none.vae", "memory://none.vae: no such file. Give the address of a file written by save()."),
        ("nothing://m.vae", "nothing://m.vae: fsspec cannot open such an address (Protocol not known: nothing)."),
    ],
)
@pytest.mark.parametrize("command", ["score", "info"])
def test_model_that_is_in_no_store_is_one_line(run, command: str, address: str, message: str, orders_csv: Path) -> None:
    given = (orders_csv, "-m", address) if command == "score" else (address,)
    assert run(command, *given).error().startswith(f"error: {message}")


def test_model_file_with_a_colon_is_no_address(run, model: Path, orders_csv: Path, tmp_path: Path) -> None:
    shutil.copy(model, tmp_path / "a:b.vae")
    assert run("score", orders_csv, "-m", tmp_path / "a:b.vae").code == 0
