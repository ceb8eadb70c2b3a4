"""Model files of every format version load, and score as the code did that wrote them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import ModelFileError, load, read_manifest, save
from vae_anomaly.store import FORMAT_VERSION

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.DataWarning")

DATA = Path(__file__).parent / "data"
# version_N has NAME.vae, its rows NAME.csv or NAME.npz, and in scores.json what the code that wrote it said of them.
FOLDERS = {int(folder.name.removeprefix("version_")): folder for folder in sorted(DATA.glob("version_*"))}
RECORDED: dict[tuple[int, str], dict[str, Any]] = {
    (version, name): entry
    for version, folder in FOLDERS.items()
    for name, entry in json.loads((folder / "scores.json").read_text(encoding="utf-8")).items()
}
EVERY = pytest.mark.parametrize(
    ("version", "name"), [pytest.param(*key, id=f"version_{key[0]}-{key[1]}") for key in RECORDED]
)


def rows_of(version: int, name: str) -> Any:
    """The rows that a fixture scores: an array, or a DataFrame with its dtypes."""
    entry = RECORDED[version, name]
    file = FOLDERS[version] / entry["input"]
    if file.suffix == ".npz":
        return np.load(file)["X"]
    cells = pd.read_csv(io.StringIO(file.read_text(encoding="utf-8")), dtype=str, keep_default_na=False)
    return pd.DataFrame({column: typed(cells[column], dtype) for column, dtype in entry["dtypes"].items()})


def typed(cells: "pd.Series[Any]", dtype: Any) -> Any:
    """Text to cells; an empty one is missing."""
    given: list[Any] = [None if cell == "" else cell for cell in cells]
    if isinstance(dtype, list):
        return pd.Series(pd.Categorical(given, categories=dtype, ordered=True))
    if dtype == "object":
        return pd.Series(given, dtype=object)
    if dtype in ("bool", "boolean"):
        return pd.Series([None if cell is None else cell == "True" for cell in given], dtype=dtype)
    if dtype.startswith("datetime64"):
        zone = dtype.partition(", ")[2].rstrip("]")
        moments = pd.Series(pd.to_datetime(given, utc=bool(zone)))
        return (moments.dt.tz_convert(zone) if zone else moments).astype(dtype)
    if dtype in ("float64", "int64"):
        return pd.Series([np.nan if cell is None else float(cell) for cell in given]).astype(dtype)
    return pd.Series([pd.NA if cell is None else float(cell) for cell in given], dtype=dtype)


def test_every_format_version_has_a_fixture() -> None:
    lacking = [f"tests/data/version_{version}" for version in range(1, FORMAT_VERSION + 1) if version not in FOLDERS]
    assert not lacking, f"write model files of these versions with the code that writes them: {lacking}"


def test_every_fixture_is_recorded() -> None:
    held = {(version, file.stem) for version, folder in FOLDERS.items() for file in folder.glob("*.vae")}
    assert held == set(RECORDED)


@EVERY
def test_saved_model_scores_and_explains_as_it_did(version: int, name: str) -> None:
    file, entry, rows = FOLDERS[version] / f"{name}.vae", RECORDED[version, name], rows_of(version, name)
    assert read_manifest(file)["format_version"] == version
    loaded = load(file)
    assert loaded.offset_ == entry["offset"]
    # Other processors round differently; where the fixture was written, the scores of version 4 are equal to the bit.
    np.testing.assert_allclose(loaded.anomaly_score(rows), entry["anomaly_score"], rtol=1e-5, atol=1e-6)
    if "likelihood_score" in entry:
        np.testing.assert_allclose(loaded.likelihood_score(rows), entry["likelihood_score"], rtol=1e-5, atol=1e-6)
    if "p_value" in entry:
        # A score that rounds differently may pass one calibration score.
        one_rank = 1 / (entry["n_calibration"] + 1)
        np.testing.assert_allclose(loaded.p_values(rows), entry["p_value"], rtol=0, atol=1.001 * one_rank)
        assert loaded.calibration_.n_rows == entry["n_calibration"]
    if "explain" in entry:
        explanation = loaded.explain(rows)
        for field, recorded in entry["explain"].items():
            found = explanation.top_pixels() if field == "top_pixels" else getattr(explanation, field)
            expected = np.array(recorded, dtype=float)
            np.testing.assert_allclose(np.asarray(found, dtype=float)[: len(expected)], expected, rtol=1e-4, atol=2e-3)


@EVERY
def test_model_of_an_earlier_format_is_saved_in_the_present_one(version: int, name: str, tmp_path: Path) -> None:
    loaded, rows = load(FOLDERS[version] / f"{name}.vae"), rows_of(version, name)
    save(loaded, tmp_path / "again.vae")
    assert read_manifest(tmp_path / "again.vae")["format_version"] == FORMAT_VERSION
    np.testing.assert_array_equal(load(tmp_path / "again.vae").anomaly_score(rows), loaded.anomaly_score(rows))


def test_model_of_the_first_format_says_that_it_cannot_explain() -> None:
    with pytest.raises(ModelFileError, match="earlier version, which kept nothing to compare cells with"):
        load(FOLDERS[1] / "table.vae").explain(rows_of(1, "table"))
