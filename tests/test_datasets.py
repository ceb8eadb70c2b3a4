import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import vae_anomaly_datasets
from vae_anomaly_datasets import DatasetError, ankle_boots_folder, describe, list_datasets, path_of
from vae_anomaly_datasets.loading import _load
from vae_anomaly_datasets.registry import FOLDER, read_registry

LOADERS = {name: getattr(vae_anomaly_datasets, f"load_{name}") for name in list_datasets()}


@pytest.mark.parametrize("name", LOADERS)
def test_counts_agree_with_the_registry(name):
    X, y = LOADERS[name]()
    entry = describe(name)
    assert X.shape == (entry.rows, entry.columns)
    assert y.shape == (entry.rows,)
    assert int(y.sum()) == entry.anomalies
    assert int(X.isna().sum().sum()) == entry.missing_cells


def test_images_of_ankle_boots_are_those_that_are_described():
    folder = ankle_boots_folder()
    counts = {path.relative_to(folder).as_posix(): len(list(path.glob("*.png"))) for path in folder.rglob("*")}
    assert {name: count for name, count in counts.items() if count} == {
        "good": 400,
        "new/boot": 60,
        **dict.fromkeys(("new/bag", "new/dress", "new/sandal", "new/sneaker"), 6),
    }
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((28, 28), "L")
    assert "Zalando" in (folder / "LICENSE").read_text()


def test_missing_images_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("vae_anomaly_datasets.images.FOLDER", tmp_path)
    with pytest.raises(DatasetError, match="holds 0 images of 484"):
        ankle_boots_folder()


@pytest.mark.parametrize("name", LOADERS)
def test_file_has_the_registered_checksum(name):
    describe(name).verify(path_of(name).read_bytes())


@pytest.mark.parametrize("name", LOADERS)
def test_file_can_be_written_again_byte_for_byte(name):
    """The gzip header carries neither a file name nor a time."""
    header = path_of(name).read_bytes()[:8]
    assert header == b"\x1f\x8b\x08\x00" + bytes(4)


@pytest.mark.parametrize("name", LOADERS)
def test_labels_are_zero_and_one_and_leave_the_features(name):
    X, y = LOADERS[name]()
    assert y.name == "label"
    assert y.dtype == np.int64
    assert set(y.unique()) == {0, 1}
    assert "label" not in X.columns
    assert X.index.equals(y.index)


@pytest.mark.parametrize("name", LOADERS)
def test_source_citation_and_licence_are_named(name):
    entry = describe(name)
    assert entry.licence.spdx == "CC-BY-4.0"
    assert entry.licence.url.startswith("https://creativecommons.org/")
    assert entry.source.startswith("https://archive.ics.uci.edu/")
    assert "https://doi.org/10.24432/" in entry.citation
    assert entry.label.startswith("1: ")
    assert entry.preparation


@pytest.mark.parametrize("name", LOADERS)
def test_readme_cites_each_source(name):
    readme = FOLDER.parent / "README.md"
    entry = describe(name)
    assert f"`{name}`" in readme.read_text(encoding="utf-8")
    assert entry.citation.rpartition(" ")[2] in readme.read_text(encoding="utf-8")


def test_thyroid_holds_mixed_types_with_missing_cells_as_nan():
    X, _ = LOADERS["thyroid_sick"]()
    numeric = X.select_dtypes("number").columns
    assert list(numeric) == ["age", "TSH", "T3", "TT4", "T4U", "FTI", "TBG"]
    text = X.drop(columns=numeric)
    assert all(pd.api.types.is_string_dtype(dtype) for dtype in text.dtypes)
    assert X["TBG"].isna().all()
    assert X["sex"].isna().sum() == 150
    assert not text.isin(["?", ""]).any().any()


@pytest.mark.parametrize("name", ["cardiotocography", "wine"])
def test_numeric_tables_hold_only_finite_numbers(name):
    X, _ = LOADERS[name]()
    assert np.isfinite(X.to_numpy(dtype=np.float64)).all()


def test_every_shipped_file_is_registered():
    registered = {entry.file for entry in read_registry().values()}
    assert {path.name for path in FOLDER.glob("*.csv.gz")} == registered


def test_shipped_files_stay_under_a_megabyte():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.csv.gz")) < 1_000_000


def test_file_read_from_its_path_equals_the_loaded_table():
    X, y = LOADERS["wine"]()
    pd.testing.assert_frame_equal(pd.read_csv(path_of("wine")), X.assign(label=y))


def test_damaged_file_is_refused_by_name(tmp_path):
    damaged = tmp_path / "wine.csv.gz"
    shutil.copyfile(path_of("wine"), damaged)
    content = bytearray(damaged.read_bytes())
    content[100] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(DatasetError, match=r"wine\.csv\.gz is damaged: its SHA-256 is .* Install vae-anomaly again"):
        _load("wine", tmp_path)


def test_absent_file_is_refused_by_path(tmp_path):
    with pytest.raises(DatasetError, match=r"wine\.csv\.gz is missing"):
        _load("wine", tmp_path)


def test_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(DatasetError, match=r"named 'vine'.*: cardiotocography, thyroid_sick, wine"):
        path_of("vine")


def test_every_registered_table_has_an_exported_loader():
    assert all(f"load_{name}" in vae_anomaly_datasets.__all__ for name in list_datasets())


def test_registry_is_sorted_readable_json():
    text = (FOLDER / "registry.json").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def test_loading_needs_no_torch():
    program = "import sys, vae_anomaly_datasets as d; d.load_wine(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
