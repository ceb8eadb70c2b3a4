"""The recipes of docs/guide/engines.md, taken from the page: each has the bits of the command line."""

import importlib
import re
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vae_anomaly import FitWarning, VAEDetector, save
from vae_anomaly_cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "engines.md"
if not PAGE.exists():
    pytest.skip("the documentation is no part of a source distribution", allow_module_level=True)

RECIPE = re.compile(r"<!-- not run: recipe (\w+), [^>]*-->\n```python\n(.*?)```", re.DOTALL)
RECIPES = dict(RECIPE.findall(PAGE.read_text(encoding="utf-8")))
STARTED_BY = {"ray": "ray_cluster", "spark": "spark_session"}
N_FILES, N_ROWS, MAX_LINES = 3, 400, 15


def orders(n_rows: int, seed: int) -> pa.Table:
    """Mixed columns with missing cells, and cells that cannot be read."""
    rng = np.random.default_rng(seed)
    amounts = rng.normal(50, 5, n_rows).round(2)
    prices = [None if row % 31 == 0 else "?!" if row % 97 == 5 else f"{price:.2f}" for row, price in enumerate(amounts)]
    return pa.table(
        {
            "id": pa.array(np.arange(n_rows) + seed * n_rows),
            "amount": pa.array(amounts, mask=rng.random(n_rows) < 0.05),
            "price": pa.array(prices, pa.string()),
            "items": pa.array(rng.integers(1, 9, n_rows), pa.int64(), mask=rng.random(n_rows) < 0.05),
            "shop": pa.array(rng.choice(["north", "south", "west"], n_rows)),
            "paid": pa.array(rng.random(n_rows) < 0.5),
            "when": pa.array(np.datetime64("2026-01-01", "us") + rng.integers(0, 10**7, n_rows).astype("m8[s]")),
        }
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, files of orders, and what the command line makes of them."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "orders").mkdir()
    for number in range(N_FILES):
        pq.write_table(orders(N_ROWS, number), folder / "orders" / f"{number}.parquet")
    rows = orders(N_ROWS, N_FILES)
    rows = rows.set_column(2, "price", rows["amount"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        save(VAEDetector(n_estimators=2, max_iter=60, random_state=0).fit(rows.drop(["id"])), folder / "model.vae")
    given = [str(folder / "orders" / "*.parquet"), "-m", str(folder / "model.vae"), "--id", "id"]
    assert main(["score", *given, "-o", f"{folder / 'by_command'}/"]) == 0
    return folder


def scores_in(path: Path) -> pa.Table:
    """What was written, by id."""
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    names = ["id", "anomaly_score", "p_value", "is_anomaly", "problem"]
    tables = [pq.read_table(file, partitioning=None).select(names) for file in files]
    types = [pa.int64(), pa.float64(), pa.float64(), pa.bool_(), pa.string()]
    whole = pa.concat_tables(tables).cast(pa.schema(list(zip(names, types, strict=True))))
    return whole.sort_by("id").combine_chunks()


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_has_the_bits_of_the_command_line(name, folder, request, monkeypatch):
    if name in STARTED_BY:
        request.getfixturevalue(STARTED_BY[name])
    else:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(folder)
    # Engines that were started elsewhere look for files there.
    code = re.sub(r"""(["'])(orders/|scored_)""", rf"\1{folder}/\2", RECIPES[name])
    exec(compile(code, str(PAGE), "exec"), {"__name__": "recipe"})
    (written,) = folder.glob(f"scored_{name}*")
    expected = scores_in(folder / "by_command")
    assert expected["problem"].null_count < len(expected) == N_FILES * N_ROWS
    assert scores_in(written).equals(expected)


def test_recipes_are_short():
    assert {name: lines_of(code) for name, code in RECIPES.items() if lines_of(code) > MAX_LINES} == {}


def lines_of(code: str) -> int:
    return sum(bool(line.strip()) for line in code.splitlines())
