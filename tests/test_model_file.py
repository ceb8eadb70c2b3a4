"""What a model file may do to whoever reads it: nothing but be refused, or score as it says."""

import contextlib
import dataclasses
import hashlib
import hmac
import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from vae_anomaly import (
    ELBO,
    LikelihoodRegret,
    ModelFileError,
    NonFiniteScoreError,
    Ordinal,
    PatchDetector,
    SpecificationError,
    VAEDetector,
    load,
    read_manifest,
    save,
)
from vae_anomaly.columns import Column
from vae_anomaly.detectors.patch.windows import MAX_IMAGE_VALUES, Windows, check_image_size
from vae_anomaly.errors import DataError
from vae_anomaly.model import BACKBONES, VAE
from vae_anomaly.store.container import packed, strict_json, unpacked
from vae_anomaly.store.sizes import check_columns, check_windows

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory there is")
DATA = Path(__file__).parent / "data" / "version_7"
KEY, OTHER_KEY = b"k" * 16, b"k" * 15 + b"l"
# Of a process that reads what a small file says; PyTorch alone takes about half of it.
MAX_PEAK_MIB = 600


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for name in ("mixed", "grey", "patches"):
        save(load(DATA / f"{name}.vae"), folder / f"{name}.vae")
    return {name: folder / f"{name}.vae" for name in ("mixed", "grey", "patches")}


@pytest.fixture
def copied(files: dict[str, Path], tmp_path: Path) -> Path:
    return Path((tmp_path / "model.vae").write_bytes(files["grey"].read_bytes()) and tmp_path / "model.vae")


def images() -> Any:
    return np.load(DATA / "grey.npz")["X"][:3]


def changed(file: Path, change: Any, key: bytes | None = None) -> Path:
    """Another file with a checksum that holds."""
    content = unpacked(file, tensors=True)
    manifest = json.loads(content.manifest)
    change(manifest, content.tensors)
    other = file.with_name("changed.vae")
    other.write_bytes(packed(json.dumps(manifest), content.tensors, key))
    return other


def header_of(content: bytes) -> dict[str, Any]:
    return dict(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]))


def with_header(content: bytes, header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + content[8 + int.from_bytes(content[:8], "little") :]


# The checksum.


def test_checksum_is_the_sha_256_of_manifest_and_tensors_by_hand() -> None:
    content = packed('{"a":1}', {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor([7])})
    expected = hashlib.sha256((7).to_bytes(8, "little") + b'{"a":1}')
    for name, described, numbers in ((b"a", b"I64[1]", np.array([7])), (b"b", b"F32[1, 2]", np.float32([1, 2]))):
        for field in (name, described):
            expected.update(len(field).to_bytes(8, "little") + field)
        expected.update(numbers.tobytes())
    assert header_of(content)["__metadata__"] == {"sha256": expected.hexdigest(), "vae_anomaly": '{"a":1}'}


def test_file_is_one_that_safetensors_reads(files: dict[str, Path]) -> None:
    own = unpacked(files["mixed"], tensors=True)
    with safe_open(files["mixed"], framework="pt") as theirs:
        assert set(theirs.keys()) == set(own.tensors)
        assert theirs.metadata()["vae_anomaly"] == own.manifest
        for name, tensor in own.tensors.items():
            assert torch.equal(theirs.get_tensor(name).nan_to_num(), tensor.nan_to_num())


@pytest.mark.parametrize("name", ["mixed", "grey", "patches"])
def test_every_flipped_bit_is_found(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    content, draw = files[name].read_bytes(), random.Random(name)
    n_header = 8 + int.from_bytes(content[:8], "little")
    places = [draw.randrange(n_header) for _ in range(120)] + [draw.randrange(len(content)) for _ in range(120)]
    for place in [*range(24), *range(n_header - 12, n_header), *places]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << draw.randrange(8)
        (tmp_path / "x.vae").write_bytes(flipped)
        with pytest.raises(ModelFileError) as caught:
            read_manifest(tmp_path / "x.vae")
        assert "\n" not in str(caught.value)


def test_flipped_bit_of_a_weight_is_told_with_what_to_do(copied: Path) -> None:
    content = bytearray(copied.read_bytes())
    content[-40] ^= 1
    copied.write_bytes(content)
    for read in (load, read_manifest):
        with pytest.raises(ModelFileError, match=r"model.vae: the file is damaged.*SHA-256.*Copy it again"):
            read(copied)


def test_manifest_says_whether_the_checksum_holds(files: dict[str, Path]) -> None:
    said = header_of(files["grey"].read_bytes())["__metadata__"]["sha256"]
    assert read_manifest(files["grey"])["integrity"] == {"sha256": said, "signature": "none"}
    assert read_manifest(DATA / "grey.vae")["integrity"] == {"sha256": None, "signature": "none"}


def test_file_of_this_version_without_checksum_is_refused(copied: Path) -> None:
    header = header_of(copied.read_bytes())
    del header["__metadata__"]["sha256"]
    copied.write_bytes(with_header(copied.read_bytes(), json.dumps(header).encode()))
    with pytest.raises(ModelFileError, match="no checksum, and every file of format version 11 has one"):
        load(copied)


def test_checksum_holds_for_the_version_too(copied: Path) -> None:
    header = header_of(copied.read_bytes())
    metadata = header["__metadata__"]
    metadata["vae_anomaly"] = metadata["vae_anomaly"].replace('"format_version":11', '"format_version":9')
    copied.write_bytes(with_header(copied.read_bytes(), json.dumps(header).encode()))
    with pytest.raises(ModelFileError, match="the file is damaged"):
        load(copied)


# Finite numbers.


@pytest.mark.parametrize("name", ["mixed", "grey"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_in_every_tensor(name: str, bad: float, files: dict[str, Path]) -> None:
    content = unpacked(files[name], tensors=True)
    let_through = []
    for tensor_name, tensor in content.tensors.items():
        if not tensor.is_floating_point():
            continue
        numbers = tensor.clone()
        numbers.view(-1)[0] = bad
        other = files[name].with_name("one.vae")
        other.write_bytes(packed(content.manifest, content.tensors | {tensor_name: numbers}))
        try:
            load(other)
        except ModelFileError:
            continue
        let_through.append(tensor_name)
    # Missing cells of reference rows are NaN, and calibration scores of earlier versions may be infinite.
    allowed = ("reference.given_others", "reference.alone") if np.isnan(bad) else ("calibration.",)
    assert [tensor_name for tensor_name in let_through if not tensor_name.startswith(allowed)] == []


def test_file_of_an_earlier_version_has_to_be_finite_too(tmp_path: Path) -> None:
    content = bytearray((DATA / "grey.vae").read_bytes())
    slot = header_of(bytes(content))["vae.encoder.layers.0.weight"]
    begin = 8 + int.from_bytes(content[:8], "little") + slot["data_offsets"][0]
    content[begin : begin + 4] = np.float32(np.nan).tobytes()
    (tmp_path / "old.vae").write_bytes(content)
    assert read_manifest(tmp_path / "old.vae")["format_version"] == 7
    with pytest.raises(ModelFileError, match=r"vae.encoder.layers.0.weight holds numbers that are not finite"):
        load(tmp_path / "old.vae")


def test_score_that_is_not_finite_stops_the_run(files: dict[str, Path]) -> None:
    # Finite, and beyond single precision once it is squared.
    loaded = load(changed(files["grey"], lambda _, tensors: tensors["vae.decoder.layers.0.weight"].fill_(1e38)))
    for method in (loaded.score_samples, loaded.predict, loaded.anomaly_score, loaded.decide, loaded.explain):
        with pytest.raises(NonFiniteScoreError, match=r"[23] of 3 rows have a score .* index 0"):
            method(images())


def test_image_whose_score_is_not_finite_is_named(files: dict[str, Path]) -> None:
    detector = load(changed(files["patches"], lambda _, tensors: tensors["0.vae.decoder.layers.0.weight"].fill_(1e38)))
    with pytest.raises(NonFiniteScoreError, match=r"1 of 2 images has a score .* image 0\), although their pixels"):
        detector.score_samples(np.load(DATA / "patches.npz")["X"][:2])


# Sizes.

LARGE_IMAGE = (
    "m['images'].update(height=30_000, width=30_000); m.update(n_features=9 * 10**8); "
    "m['columns'][0].update(n_cells=9 * 10**8)"
)
# Of a small file, and what is changed in its manifest.
HOSTILE = {
    "10 GB of weights": ("grey", "m.update(hidden_layer_sizes=[16_000_000])"),
    "wide decoder": ("mixed", "m.update(hidden_layer_sizes=[1, 10_000_000, 1])"),
    "skip weights": ("grey", "m.update(latent_dim=20_000)"),
    "members": ("grey", "m.update(n_members=60_000)"),
    "exemplars": ("mixed", "m.update(n_components=10**9)"),
    "draws": ("grey", "m['score']['fields'].update(n_draws=10**9)"),
    "near": ("patches", "m['windows'][0].update(near=14_000, far=14_000)"),
    "far": ("patches", "m['windows'][0].update(far=10**6)"),
    "far of large cells": ("patches", "m['windows'][0].update(far=60_000, cell=250)"),
    "images of patches": ("patches", LARGE_IMAGE),
    "images": ("grey", LARGE_IMAGE),
    "steps": (
        "grey",
        "m['score'].update(name='likelihood_regret', fields={'n_draws': 2, 'n_steps': 10**9, 'learning_rate': 0.1})",
    ),
    "smoothing": ("patches", "m['map_reduction'].update(smoothing=1e9)"),
    "folds": ("mixed", "m['decisions']['calibration'].update(n_folds=10**9)"),
    "fingerprints": ("mixed", "m['decisions'].update(n_trained=10**9)"),
    "huge integer": ("mixed", "m.update(n_features=10**400)"),
    "components": (
        "grey",
        "m['columns'][0]['likelihood'].update(name='discretized_logistic', fields={'n_components': 10**9})",
    ),
}
READ_HOSTILE = """
import json, re, resource, sys
from pathlib import Path
from vae_anomaly import ModelFileError, load
from vae_anomaly.store.container import packed, unpacked
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
for name, (file, change) in json.loads(sys.argv[1]).items():
    content = unpacked(Path(file), tensors=True)
    m = json.loads(content.manifest)
    exec(change)
    path = Path(sys.argv[2])
    path.write_bytes(packed(json.dumps(m), content.tensors))
    try:
        load(path)
    except ModelFileError as error:
        assert "MemoryError" not in str(error) and "allocate" not in str(error), error
    else:
        print(name)
# Not ru_maxrss, which begins with what the process had that started this one.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Two GiB more than the process has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (2 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@LINUX
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("name", HOSTILE)
def test_size_that_is_not_in_the_file_is_refused_and_not_tried(
    name: str, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("a network was made")

    monkeypatch.setattr(VAE, "__init__", refuse)
    of, change = HOSTILE[name]
    content = unpacked(files[of], tensors=True)
    manifest = json.loads(content.manifest)
    exec(change, {"m": manifest})
    (tmp_path / "x.vae").write_bytes(packed(json.dumps(manifest), content.tensors))
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "x.vae")
    assert "alloc" not in str(caught.value)


@pytest.mark.parametrize(
    "change", ["del m['decisions']['columns'][1]['name']", "m['decisions']['calibration'].update(groups=7)"]
)
def test_what_info_shows_of_decisions_is_checked_before(change: str, files: dict[str, Path], tmp_path: Path) -> None:
    content = unpacked(files["mixed"], tensors=True)
    manifest = json.loads(content.manifest)
    exec(change, {"m": manifest})
    (tmp_path / "x.vae").write_bytes(packed(json.dumps(manifest), content.tensors))
    for read in (load, read_manifest):
        with pytest.raises(ModelFileError, match=r"decisions\.(columns\[1\] has no 'name'|calibration\.groups is 7)"):
            read(tmp_path / "x.vae")


@LINUX
@pytest.mark.slow
def test_small_file_whose_manifest_leads_to_much_memory_is_refused_before_it_is_taken(
    files: dict[str, Path], tmp_path: Path
) -> None:
    hostile = {name: (str(files[of]), change) for name, (of, change) in HOSTILE.items()}
    command = [sys.executable, "-c", READ_HOSTILE, json.dumps(hostile), str(tmp_path / "x.vae")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    *loaded, peak = done.stdout.split("\n")[:-1]
    assert loaded == []
    assert int(peak) < MAX_PEAK_MIB


def test_levels_of_each_of_many_pixels_are_refused() -> None:
    # A million cells, and 64 levels for each: the file holds the cells once.
    column = Column("grey", "pixel", Ordinal(), "", levels=("x",) * 64, n_cells=10**6)
    tensors = {"vae.floor": torch.zeros(10**6), "vae.start": torch.zeros(10**6)}
    with pytest.raises(ValueError, match="leads to 65,000,000 facts of cells, and the file holds 2,000,000 numbers"):
        check_columns([column], tensors)
    check_columns([dataclasses.replace(column, levels=("x",) * 16)], tensors)


def test_margins_out_of_proportion_to_the_images_are_refused() -> None:
    windows = Windows(5, 5, 60_000, 250)
    columns = [Column(name, "pixel", None, "", n_cells=n) for name, n in (("grey", 25), ("around", windows.n_given))]
    with pytest.raises(ValueError, match="margins of 29,998 pixels, and images 24 x 24"):
        check_windows(windows, 2, columns, (1, 24, 24))
    modest = Windows(5, 21, 64, 4)
    columns[1] = dataclasses.replace(columns[1], n_cells=modest.n_given)
    check_windows(modest, 2, columns, (1, 24, 24))


def test_steps_times_weights_are_bounded(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(40, 3))
    fast = {"max_iter": 1, "hidden_layer_sizes": (300, 300), "n_estimators": 1}
    save(VAEDetector(**fast, row_score=LikelihoodRegret(2, n_steps=2)).fit(X), tmp_path / "m.vae")

    def much(manifest: Any, tensors: Any) -> None:
        manifest["score"]["fields"].update(n_steps=10_000, n_draws=4000)
        tensors["noise"] = torch.zeros(1, 4000, 1, manifest["latent_dim"])

    with pytest.raises(ModelFileError, match=r"scoring a row takes [\d,]+ products"):
        load(changed(tmp_path / "m.vae", much))


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("sizes", [(), (7,), (7, 5), (3, 4, 6, 2)])
@pytest.mark.parametrize("grid", [(1, 1), (9, 7), (16, 3)])
def test_weights_are_counted_without_making_them(name: str, sizes: tuple[int, ...], grid: tuple[int, int]) -> None:
    backbone, generator = BACKBONES[name](), torch.Generator()
    n_pixels = grid[0] * grid[1]
    encoder = backbone.encoder(1, 2 * n_pixels, 10, sizes, "tanh", generator, grid)
    decoder = backbone.decoder(1, 5, 3 * n_pixels, sizes, "tanh", generator, grid)
    made = sum(weights.numel() for body in (encoder, decoder) for weights in body.parameters())
    assert backbone.n_weights(2 * n_pixels, 5, 3 * n_pixels, sizes, grid) == made


@given(st.integers(1, 12), st.integers(0, 20), st.integers(0, 40), st.integers(1, 50))
def test_given_numbers_of_windows_are_counted_without_making_them(target: int, ring: int, wide: int, cell: int) -> None:
    windows = Windows(target, target + ring, target + ring + wide, cell)
    assert windows.n_given == len(windows.ring) + len(windows.cells)


def test_images_that_no_file_may_hold_are_refused_at_the_fit() -> None:
    check_image_size((1, 10_000, 10_000))
    with pytest.raises(DataError, match="expected at most 100,000,000 numbers"):
        check_image_size((1, 10_000, MAX_IMAGE_VALUES // 10_000 + 1))


def test_steps_that_no_file_may_ask_for_are_refused_at_the_fit() -> None:
    with pytest.raises(ValueError, match="from 1 to 10,000, not 1000000000"):
        LikelihoodRegret(n_steps=10**9)


# The header and the manifest as text.


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"__metadata__":{},"__metadata__":{}}',
        b'{"__metadata__":{"vae_anomaly":1}}',
        b'{"__metadata__":[]}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}}',
        b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[1%s],"data_offsets":[0,8]}}' % (b"0" * 400),
        b'{"a":{"dtype":"F32","shape":[1%s],"data_offsets":[0,8]}}' % (b"0" * 5000),
        b'{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,NaN]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[1e999,8]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
        b'{"a":{"dtype":"F32","shape":[0,%d],"data_offsets":[0,0]}}' % 2**60,
        b"\xff\xfe",
    ],
)
def test_header_that_is_none_is_refused(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.vae").write_bytes(len(header).to_bytes(8, "little") + header + bytes(12))
    with pytest.raises(ModelFileError, match="not a model file, or damaged"):
        read_manifest(tmp_path / "x.vae")


@pytest.mark.parametrize("length", [0, 7, 2**31, 2**63, 2**64 - 1])
def test_length_of_a_header_is_not_believed(length: int, tmp_path: Path) -> None:
    (tmp_path / "x.vae").write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelFileError, match="not a model file, or damaged"):
        load(tmp_path / "x.vae")


@pytest.mark.parametrize("text", ['{"a":1,"a":1}', "[NaN]", "[Infinity]", "[1e999]", "[" * 65 + "]" * 65, "1" * 5000])
def test_json_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"twice|no number|too large|too deep|digits"):
        strict_json(text)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.sampled_from([0, 1, -1, 10**6, 10**9, 10**400, 1e308, -1e308, 1e-320, "1", "", "rows", "\ud800"])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def places_of(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for name, item in named for place in [(*at, name), *places_of(item, (*at, name))]]


@pytest.mark.parametrize("name", ["mixed", "grey", "patches"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_changed_manifest_with_a_checksum_that_holds_scores_or_is_refused(
    name: str, files: dict[str, Path], data: st.DataObject
) -> None:
    content = unpacked(files[name], tensors=True)
    manifest = json.loads(content.manifest)
    place = data.draw(st.sampled_from(places_of(manifest)))
    holder = manifest
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = data.draw(ANYTHING)
    other = files[name].with_name("any.vae")
    other.write_bytes(packed(json.dumps(manifest), content.tensors))
    try:
        detector = load(other)
    except (ModelFileError, SpecificationError):
        return
    if isinstance(detector, PatchDetector) or detector.model_.takes_images:
        rows = np.load(DATA / ("grey.npz" if isinstance(detector, VAEDetector) else "patches.npz"))["X"][:1]
        with contextlib.suppress(NonFiniteScoreError, DataError):
            assert np.isfinite(detector.score_samples(rows)).all()
    save(detector, other)
    load(other)


# The same bytes.

FIT_TWICE = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd
from vae_anomaly import PatchDetector, VAEDetector, save
rng = np.random.default_rng(0)
frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.choice(["x", "y", "z"], 60), "c": rng.integers(0, 5, 60)})
frame.loc[::9, "a"] = np.nan
columns = {"c": "count", "a": "continuous"}
save(VAEDetector(max_iter=5, columns=columns, calibration_groups="b").fit(frame), sys.argv[1] + "/rows.vae")
fast = {"n_windows": 256, "max_iter": 3, "hidden_layer_sizes": (8,)}
save(PatchDetector(**fast).fit(rng.normal(size=(12, 24, 24))), sys.argv[1] + "/patches.vae")
"""


@pytest.mark.slow
def test_two_fits_in_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    found = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", FIT_TWICE, str(folder)], check=True, timeout=120, env=environment)
        found.append([(folder / name).read_bytes() for name in ("rows.vae", "patches.vae")])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["mixed", "grey", "patches"])
def test_loaded_model_is_saved_with_the_same_bytes(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    save(load(files[name]), tmp_path / "again.vae")
    assert (tmp_path / "again.vae").read_bytes() == files[name].read_bytes()


def test_two_fits_write_the_same_bytes(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    for name in ("a.vae", "b.vae"):
        save(VAEDetector(max_iter=3, hidden_layer_sizes=(4,)).fit(X), tmp_path / name)
    assert (tmp_path / "a.vae").read_bytes() == (tmp_path / "b.vae").read_bytes()
    assert "created" not in read_manifest(tmp_path / "a.vae")


# Signatures.


def test_signature_is_the_hmac_of_what_the_checksum_of_an_unsigned_file_covers() -> None:
    tensors = {"a": torch.tensor([7])}
    unsigned = header_of(packed("{}", tensors))["__metadata__"]["sha256"]
    metadata = header_of(packed("{}", tensors, KEY))["__metadata__"]
    assert metadata["signature"] == hmac.new(KEY, bytes.fromhex(unsigned), "sha256").hexdigest()
    assert metadata["sha256"] != unsigned


def test_signed_file_loads_with_its_key_and_without_one(copied: Path) -> None:
    detector = load(copied)
    save(detector, copied, key=KEY)
    expected = detector.score_samples(images())
    for key in (KEY, None):
        np.testing.assert_array_equal(load(copied, key=key).score_samples(images()), expected)
    assert read_manifest(copied, key=KEY)["integrity"]["signature"] == "verified"
    assert read_manifest(copied)["integrity"]["signature"] == "not verified"


def test_file_without_the_signature_of_the_key_is_refused(copied: Path) -> None:
    for read in (load, read_manifest):
        with pytest.raises(ModelFileError, match="not signed, and a key was given"):
            read(copied, key=KEY)
    save(load(copied), copied, key=OTHER_KEY)
    for read in (load, read_manifest):
        with pytest.raises(ModelFileError, match="not signed with this key, or was changed since"):
            read(copied, key=KEY)


def test_change_with_a_new_checksum_is_found_by_the_key_alone(copied: Path) -> None:
    save(load(copied), copied, key=KEY)
    for forged in (None, OTHER_KEY):
        other = changed(copied, lambda manifest, _: manifest.update(offset=0.0), forged)
        load(other)
        with pytest.raises(ModelFileError, match="signed"):
            load(other, key=KEY)


def test_file_of_an_earlier_version_is_not_signed() -> None:
    with pytest.raises(ModelFileError, match="not signed, and a key was given"):
        load(DATA / "grey.vae", key=KEY)


@pytest.mark.parametrize(
    ("key", "message"), [(b"", "0 bytes"), (b"k" * 15, "15 bytes.*at least 16"), ("k" * 32, "of type str")]
)
def test_key_that_is_none_is_refused(key: Any, message: str, copied: Path) -> None:
    before = copied.read_bytes()
    for use in (lambda: load(copied, key=key), lambda: save(load(copied), copied, key=key)):
        with pytest.raises(SpecificationError, match=message):
            use()
    assert copied.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_fifo_is_refused_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ModelFileError, match="not a file but a device or pipe"):
        load(tmp_path / "fifo")


def test_row_of_a_fit_whose_score_is_not_finite_is_numbered_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    reduce = ELBO.reduce
    X = np.random.default_rng(0).normal(size=(60, 3))
    X[::3, 0] += 10

    def broken(self: ELBO, terms: Any, vae: Any, batch: Any) -> torch.Tensor:
        return reduce(self, terms, vae, batch).where(batch.values[:, 0] < 5, torch.nan)

    monkeypatch.setattr(ELBO, "reduce", broken)
    with pytest.raises(NonFiniteScoreError) as caught:
        VAEDetector(max_iter=2, row_score=ELBO(2), calibration="split", likelihood="unit_gaussian").fit(X)
    assert caught.value.row % 3 == 0
    assert 1 <= caught.value.n_affected < caught.value.n_rows < 60


# What drift, thresholds and text of a forged file lead to.


def test_counts_of_calibration_rows_are_bounded(files: dict[str, Path]) -> None:
    def change(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        name = next(name for name in tensors if name.startswith("calibration.") and name.endswith(".counts"))
        tensors[name][-1] = 2**62

    with pytest.raises(ModelFileError, match=r"scores of 4\.61e\+18 rows; expected at most 268,435,456"):
        load(changed(files["mixed"], change))


@pytest.mark.parametrize("field", ["n_rows", "n_missing"])
def test_column_sample_has_no_more_cells_than_rows(field: str, files: dict[str, Path]) -> None:
    def change(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        manifest["decisions"]["columns"][0][field] = {"n_rows": 2, "n_missing": 10**6}[field]

    with pytest.raises(ModelFileError, match=r"cells in .* rows"):
        load(changed(files["mixed"], change))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clock", [1, 2]),
        ("missing", 10**6),
        ("kind", "x"),
        ("unit", None),
        ("fold", 1),
        ("hashed_missing", 3),
        ("y", 1),
    ],
)
def test_fields_of_a_text_format_have_their_types(field: str, value: Any, files: dict[str, Path]) -> None:
    def change(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        column = next(column for column in manifest["columns"] if column.get("text_format"))
        column["text_format"]["fields"][field] = value

    with pytest.raises(ModelFileError, match="text_format"):
        read_manifest(changed(files["mixed"], change))
