"""Files of detectors of groups: one file, whose models are read one by one, and nothing in it unchecked."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import GroupedDetector, ModelFileError, SpecificationError, VAEDetector, load, read_manifest, save
from vae_anomaly.store import read_groups

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.VAEAnomalyWarning")

RNG = np.random.default_rng(8)
FAST: dict[str, Any] = {"n_estimators": 2, "max_iter": 4, "hidden_layer_sizes": (4,), "early_stopping": False}
ROWS = pd.DataFrame(RNG.normal(size=(90, 2)), columns=["x", "y"]).assign(
    store=np.array(["north", "south", "a/b\nc"], dtype=object)[np.arange(90) % 3]
)
ROWS.loc[:3, "store"] = "secret"
KEY = b"0123456789abcdef"
FIXTURE = Path(__file__).parent / "data" / "groups_version_12"


@pytest.fixture(scope="module")
def grouped() -> GroupedDetector:
    return GroupedDetector(VAEDetector(**FAST), by="store", min_rows=20).fit(ROWS)


@pytest.fixture(scope="module")
def content(grouped: GroupedDetector) -> bytes:
    buffer = io.BytesIO()
    save(grouped, buffer, key=KEY)
    return buffer.getvalue()


@pytest.fixture
def path(content: bytes, tmp_path: Path) -> Path:
    file = tmp_path / "stores.vae"
    file.write_bytes(content)
    return file


def test_loaded_detector_gives_the_same_bits(grouped: GroupedDetector, content: bytes) -> None:
    loaded = load(content, key=KEY)
    assert isinstance(loaded, GroupedDetector)
    pd.testing.assert_frame_equal(loaded.decide(ROWS), grouped.decide(ROWS))
    assert loaded.get_params()["estimator__max_iter"] == 4
    assert (loaded.by, loaded.min_rows, loaded.n_features_in_) == ("store", 20, 3)
    assert loaded.groups_.loc["north"].tolist() == grouped.groups_.loc["north"].tolist()


def test_same_fit_gives_the_same_bytes(content: bytes) -> None:
    again, buffer = GroupedDetector(VAEDetector(**FAST), by="store", min_rows=20).fit(ROWS), io.BytesIO()
    save(again, buffer, key=KEY)
    assert buffer.getvalue() == content
    save(load(content), buffer := io.BytesIO(), key=KEY)
    assert load(buffer.getvalue()).n_groups_ == 3


def test_what_is_known_of_small_groups_is_saved_again(content: bytes) -> None:
    save(load(content), buffer := io.BytesIO())
    assert read_manifest(buffer.getvalue())["small"] == read_manifest(content)["small"] == {"n_groups": 1, "n_rows": 4}


def test_models_are_read_when_they_are_asked_for(path: Path) -> None:
    loaded = load(path)
    assert isinstance(loaded, GroupedDetector)
    loaded.score_samples(ROWS[ROWS["store"] == "north"])
    north = loaded.models_["north"]
    path.unlink()
    assert loaded.models_["north"] is north
    with pytest.raises(ModelFileError, match="the file is gone, and the model of group 'south'"):
        loaded.models_["south"]
    with pytest.raises(KeyError):
        loaded.models_["west"]


def test_pickle_of_a_loaded_detector_needs_no_file(path: Path, grouped: GroupedDetector) -> None:
    copied = pickle.dumps(load(path))
    path.unlink()
    np.testing.assert_array_equal(pickle.loads(copied).score_samples(ROWS), grouped.score_samples(ROWS))


def test_manifest_is_read_with_the_checksum_of_all(content: bytes) -> None:
    manifest = read_manifest(content, key=KEY)
    assert manifest["integrity"]["signature"] == "verified"
    assert (manifest["format_version"], manifest["kind"], manifest["by"]) == (12, "groups", "store")
    assert {entry["name"]: entry["n_rows"] for entry in manifest["groups"]} == {"north": 28, "south": 29, "a/b\nc": 29}
    assert manifest["small"] == {"n_groups": 1, "n_rows": 4}
    assert read_groups(content) == {name: value for name, value in manifest.items() if name != "integrity"}


def test_names_of_groups_with_few_rows_are_not_written(content: bytes) -> None:
    assert b"secret" not in content
    assert b"north" in content


def test_file_of_one_model_is_none_of_groups(grouped: GroupedDetector) -> None:
    save(grouped.pooled_, buffer := io.BytesIO())
    assert read_groups(buffer.getvalue()) is None
    assert read_manifest(buffer.getvalue())["format_version"] == 11


def test_changed_model_is_refused_when_it_is_read(content: bytes) -> None:
    start = 8 + int.from_bytes(content[:8], "little")
    slots = json.loads(content[8:start])
    begin, end = slots["group.000001"]["data_offsets"]
    changed = bytearray(content)
    changed[start + (begin + end) // 2] ^= 1
    loaded = load(bytes(changed), key=KEY)
    assert isinstance(loaded, GroupedDetector)
    changed_group = list(loaded.models_)[1]
    with pytest.raises(ModelFileError, match="has not the checksum"):
        loaded.score_samples(ROWS[ROWS["store"] == changed_group])
    with pytest.raises(ModelFileError, match="damaged"):
        read_manifest(bytes(changed))


@pytest.mark.parametrize(("before", "after"), [(b"south", b"SOUTH"), (b"28", b"82")])
def test_changed_index_is_refused(content: bytes, before: bytes, after: bytes) -> None:
    changed = content.replace(before, after)
    assert changed != content
    with pytest.raises(ModelFileError, match=r"index has not the checksum|damaged"):
        load(changed)


def test_signature_of_the_index_is_compared(grouped: GroupedDetector, content: bytes) -> None:
    with pytest.raises(ModelFileError, match="not signed with this key"):
        load(content, key=b"another key of 16")
    save(grouped, buffer := io.BytesIO())
    with pytest.raises(ModelFileError, match="not signed, and a key was given"):
        load(buffer.getvalue(), key=KEY)


@pytest.mark.parametrize("size", [0, 7, 100, 5000, -1])
def test_cut_file_is_refused(content: bytes, size: int) -> None:
    with pytest.raises(ModelFileError):
        load(content[:size])


def test_names_of_groups_are_raw_values(grouped: GroupedDetector) -> None:
    with pytest.raises(SpecificationError, match="names in 'store'"):
        save(grouped, io.BytesIO(), raw_values=False)


def test_saved_file_scores_as_the_code_that_wrote_it() -> None:
    recorded = json.loads((FIXTURE / "scores.json").read_text(encoding="utf-8"))
    rows = pd.read_csv(FIXTURE / "rows.csv")
    found = load(FIXTURE / "stores.vae").decide(rows)
    np.testing.assert_allclose(found["anomaly_score"], recorded["anomaly_score"], rtol=1e-5, atol=1e-6)
    assert found["judged_by"].tolist() == recorded["judged_by"]
