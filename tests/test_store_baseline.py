"""What numbers are compared with, in a model file: the same bits back, no text, and nothing that does not agree."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vae_anomaly import ModelFileError, SpecificationError, VAEDetector, load, read_manifest, save
from vae_anomaly.store.container import packed, unpacked

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

QUICK = {"n_estimators": 2, "max_iter": 3}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    customers = np.array([f"customer-{number}" for number in range(25)], dtype=object)
    rows = pd.DataFrame({"region": np.arange(600) % 5, "customer": customers[np.arange(600) % 25]})
    sizes = rng.lognormal(3, 1, 25)
    return rows.assign(
        amount=sizes[np.arange(600) % 25] * rng.lognormal(0, 0.2, 600),
        day=pd.date_range("2024-01-01", periods=600),
    )


@pytest.fixture(scope="module")
def detector(frame: pd.DataFrame) -> VAEDetector:
    columns = {"customer": "identifier"}
    return VAEDetector(baseline_by=["region", "customer"], baseline_time="day", columns=columns, **QUICK).fit(frame)


@pytest.fixture
def file(detector: VAEDetector, tmp_path: Path) -> Path:
    save(detector, tmp_path / "model.vae")
    return tmp_path / "model.vae"


def test_loaded_detector_has_the_same_bits(file, detector, frame, tmp_path):
    loaded = load(file)
    np.testing.assert_array_equal(loaded.score_samples(frame), detector.score_samples(frame))
    pd.testing.assert_frame_equal(loaded.reconstruct(frame), detector.reconstruct(frame))
    assert loaded.explain(frame[:3]).top() == detector.explain(frame[:3]).top()
    assert loaded.baseline_columns_ == ("region", "customer", "day")
    save(loaded, tmp_path / "again.vae")
    assert (tmp_path / "again.vae").read_bytes() == file.read_bytes()


def test_units_of_the_group_are_kept(frame, tmp_path):
    fitted = VAEDetector(baseline_by="region", baseline_units="group", **QUICK).fit(frame)
    save(fitted, tmp_path / "model.vae")
    np.testing.assert_array_equal(load(tmp_path / "model.vae").score_samples(frame), fitted.score_samples(frame))


def test_file_holds_no_text_of_the_keys(file):
    assert b"customer-" not in file.read_bytes()


def test_manifest_says_what_is_compared(file):
    baseline = read_manifest(file)["baseline"]
    assert baseline["keys"] == [0, 1]
    assert baseline["n_groups"] == [5, 25]
    assert [column["position"] for column in baseline["columns"]] == [2]
    assert baseline["time"] == 3


def test_file_of_a_detector_without_says_nothing_of_it(frame, tmp_path):
    save(VAEDetector(**QUICK).fit(frame), tmp_path / "model.vae")
    manifest = read_manifest(tmp_path / "model.vae")
    assert "baseline" not in manifest
    assert not [name for name in manifest["parameters"] if name.startswith("baseline")]
    assert load(tmp_path / "model.vae").baseline_columns_ == ()


def test_file_without_raw_values_is_refused(detector, tmp_path):
    with pytest.raises(SpecificationError, match="raw_values=False cannot be"):
        save(detector, tmp_path / "model.vae", raw_values=False)


def _change(name: str, *path: object, to: object):
    def change(manifest, _tensors):
        place = manifest[name]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def _tensor(name: str, change):
    def changed(_manifest, tensors):
        tensors[f"baseline.{name}"] = change(tensors[f"baseline.{name}"].clone())

    return changed


def _without(name: str):
    return lambda _manifest, tensors: tensors.pop(f"baseline.{name}")


DAMAGE = {
    "no entry": lambda manifest, _: manifest.pop("baseline"),
    "parameters without": _change("parameters", "baseline_by", to=None),
    "other keys": _change("parameters", "baseline_by", to=["customer", "region"]),
    "key beyond": _change("baseline", "keys", to=[0, 99]),
    "key twice": _change("baseline", "keys", to=[0, 0]),
    "negative key": _change("baseline", "keys", 0, to=-1),
    "fewer groups": _change("baseline", "n_groups", to=[5, 24]),
    "many groups": _change("baseline", "n_groups", to=[5, 1 << 60]),
    "levels without keys": _change("baseline", "n_groups", to=[5]),
    "column is a key": _change("baseline", "columns", 0, "position", to=0),
    "column of dates": _change("baseline", "columns", 0, "position", to=3),
    "column beyond": _change("baseline", "columns", 0, "position", to=4),
    "no column": _change("baseline", "columns", to=[]),
    "negative scale": _change("baseline", "columns", 0, "asinh_scale", to=-1.0),
    "unknown field": _change("baseline", "columns", 0, "run", to="this"),
    "ends crossed": lambda manifest, _: manifest["baseline"]["columns"][0].update(low=2.0, high=1.0),
    "no seasons": _change("baseline", "seasons", to=None),
    "seasons backwards": _change("baseline", "seasons", "first_day", to=1e9),
    "unknown season": _change("baseline", "seasons", "used", to=["tide"]),
    "other seasons": _change("baseline", "seasons", "used", to=["hour"]),
    "scale 0": _tensor("1.scales", lambda scales: scales.mul_(0)),
    "infinite location": _tensor("1.locations", lambda locations: locations.fill_(torch.inf)),
    "other dtype": _tensor("locations", lambda locations: locations.float()),
    "other shape": _tensor("0.scales", lambda scales: scales[:, :0]),
    "order of hashes": _tensor("1.digests", lambda digests: digests.flip(0).contiguous()),
    "hashes as numbers": _tensor("0.digests", lambda digests: digests.double()),
    "effects": _tensor("effects", lambda effects: effects[:, :-1].contiguous()),
    "no scales": _without("scales"),
    "no hashes": _without("1.digests"),
    "no slopes": _without("slopes"),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE.keys())
def test_file_that_does_not_agree_with_itself_is_refused(file, change):
    content = unpacked(file, tensors=True)
    manifest = json.loads(content.manifest)
    change(manifest, content.tensors)
    file.write_bytes(packed(json.dumps(manifest), content.tensors))
    with pytest.raises(ModelFileError, match=r"inconsistent"):
        load(file)
