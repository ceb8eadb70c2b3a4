"""Images and detectors of them where something is missing, odd or in other units than before."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from vae_anomaly import (
    DataError,
    DataWarning,
    FeatureMapDetector,
    FitWarning,
    ImageFeatures,
    PatchDetector,
    SpecificationError,
    VAEDetector,
    load,
    save,
)
from vae_anomaly.data.image_files import write_png
from vae_anomaly.decisions import Calibration, RobustFence
from vae_anomaly.detectors.patch.maps import PositionLevels
from vae_anomaly.model.steps import Stepper

pytestmark = pytest.mark.filterwarnings(r"ignore:\d+ rows are too few to set any aside:vae_anomaly.FitWarning")

Grey = npt.NDArray[np.uint8]
WHOLE: dict[str, Any] = {"max_iter": 10, "hidden_layer_sizes": (16,), "latent_dim": 2}
PATCHES: dict[str, Any] = {"max_iter": 10, "hidden_layer_sizes": (16,), "n_windows": 256, "window": 4, "latent_dim": 4}


def waves(n: int = 30, height: int = 16, width: int = 16) -> Grey:
    rng = np.random.default_rng(0)
    lines, columns = np.mgrid[:height, :width]
    phases = rng.random((n, 1, 1))
    smooth = 0.5 + 0.4 * np.sin(2 * np.pi * (columns / width + lines / height + phases))
    return (255 * (smooth + 0.03 * rng.normal(size=smooth.shape)).clip(0, 1)).astype(np.uint8)


def small(kind: type[Any], **others: Any) -> Any:
    return kind(**(WHOLE if kind is VAEDetector else PATCHES) | others)


@functools.cache
def fitted(kind: type[Any]) -> Any:
    """A detector of the waves that tests share, and only read."""
    return small(kind).fit(waves())


BOTH = pytest.mark.parametrize("kind", [VAEDetector, PatchDetector])


@BOTH
@pytest.mark.parametrize("images", [waves(), waves() / 255], ids=["bytes", "floats"])
def test_a_fitted_detector_can_be_listed_and_displayed(kind: type[Any], images: npt.NDArray[Any]) -> None:
    detector = small(kind).fit(images)
    assert "score_samples" in dir(detector)
    assert kind.__name__ in detector._repr_html_()
    assert not hasattr(detector, "_tables")
    assert hasattr(detector, "image_format_") == (images.dtype == np.uint8)


def test_the_robust_offset_of_patches_is_in_nats_of_all_of_their_largest_pixels() -> None:
    images = np.full((30, 16, 16), 100, dtype=np.uint8)
    detector = small(PatchDetector, position="ignore").fit(images)
    above = -detector.offset_ - np.median(detector.anomaly_score(images))
    assert above == pytest.approx(3 * 0.5 / detector.reduction_.top_pixels, rel=0.1)


def test_the_smallest_deviation_is_in_the_unit_of_the_scores() -> None:
    alike = Calibration.of("training", [np.full(4, 1.0)])
    assert RobustFence().find(alike).score == pytest.approx(1 + 1.5)
    assert RobustFence(0.01).find(alike).score == pytest.approx(1 + 0.03)


@pytest.mark.parametrize("seed", range(3))
def test_training_images_without_pixels_are_left_out(seed: int) -> None:
    images = waves().astype(float)
    images[::3] = np.nan
    with pytest.warns(DataWarning, match="10 training images without any .* are left out, image 0"):
        detector = small(PatchDetector, random_state=seed).fit(images)
    assert detector.n_images_ == 20
    assert np.isfinite([detector.offset_, *detector.map_scale_]).all()
    images[1:] = np.nan
    with pytest.raises(DataError, match="0 images have observed pixels"):
        small(PatchDetector).fit(images)


def test_what_has_no_score_is_not_normal(tmp_path: Path) -> None:
    images = waves()
    detector = fitted(PatchDetector)
    write_png(images[0], tmp_path / "good.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.warns(DataWarning, match="broken"):
        found = detector.predict([tmp_path / "good.png", tmp_path / "broken.png"])
    assert found[1] == -1
    nothing = np.full((1, 16, 16), np.nan)
    assert detector.predict(nothing).tolist() == [-1]


@BOTH
def test_masks_of_flattened_images_count(kind: type[Any]) -> None:
    images = waves()
    hidden = np.zeros(images.shape, dtype=bool)
    hidden[:, 4:8, 4:8] = True
    missing = np.where(hidden, np.nan, images)
    masked = np.ma.MaskedArray(np.where(hidden, 200, images), hidden).reshape(30, -1)
    detector = small(kind, image_shape=(16, 16)).fit(masked)
    np.testing.assert_array_equal(detector.score_samples(masked), detector.score_samples(missing.reshape(30, -1)))


def test_masks_of_tables_count() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 3))
    detector = VAEDetector(n_estimators=1, calibration=None, **WHOLE).fit(rows)
    masked = np.ma.MaskedArray([[1e6, 0.0, 0.0]], [[True, False, False]])
    assert detector.score_samples(masked)[0] == detector.score_samples([[np.nan, 0.0, 0.0]])[0]
    names = np.ma.MaskedArray(np.array([["a", "b"], ["b", "a"]] * 20, dtype=object), np.eye(40, 2, dtype=bool))
    missing = np.where(names.mask, None, names.data)
    scores = [VAEDetector(n_estimators=1, **WHOLE).fit(some).score_samples(some) for some in (names, missing)]
    np.testing.assert_array_equal(*scores)


@BOTH
def test_a_dark_image_is_scored_whatever_stands_beside_it(kind: type[Any]) -> None:
    detector = fitted(kind)
    dark = np.zeros((2, 16, 16))
    dark[0, 3, 3], dark[1] = 1, waves()[0]
    np.testing.assert_array_equal(detector.score_samples(dark)[:1], detector.score_samples(dark[:1]))


@BOTH
def test_images_in_other_units_are_refused_whatever_stands_beside_them(kind: type[Any]) -> None:
    detector = fitted(kind)
    mixed = np.stack([waves()[0].astype(float), waves()[1] / 255])
    with pytest.raises(DataError, match="no pixel of an image is above 1"):
        detector.score_samples(mixed)
    with pytest.raises(DataError, match=r"go up to 6\d{4} \(image \d+\); training had none above 255"):
        detector.score_samples(waves().astype(np.uint16) * 257)
    brighter = waves().astype(np.uint16)
    brighter[0, :4] = 400
    assert np.isfinite(detector.score_samples(brighter)).all()
    deep = small(kind).fit(waves().astype(np.uint16) * 257)
    with pytest.raises(DataError, match="have 8 bits, and training had more"):
        deep.score_samples(waves())


def test_windows_that_do_not_fit_are_left_out_unless_asked_for() -> None:
    thin = waves(20, 12, 40)
    few = PATCHES | {"window": None, "max_iter": 5}
    assert [model.windows.target for model in PatchDetector(**few).fit(thin).models_] == [8]
    with pytest.raises(DataError, match="windows have 16x16"):
        PatchDetector(**few | {"window": 16}).fit(thin)
    with pytest.raises(DataError, match="windows have 8x8"):
        PatchDetector(**few).fit(thin[:, :6])


def test_windows_leave_no_pixel_out() -> None:
    with pytest.raises(SpecificationError, match=r"stride=5 leaves pixels between windows of 4x4.*at most 4"):
        small(PatchDetector, window=(8, 4), stride=5).fit(waves())


def test_an_interrupted_fit_says_so_and_keeps_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    step = Stepper.step

    def interrupted(*arguments: Any) -> None:
        taken.append(1)
        if len(taken) == 15:
            raise KeyboardInterrupt
        step(*arguments)

    monkeypatch.setattr(Stepper, "step", interrupted)
    with pytest.warns(FitWarning, match=r"windows of 4x4 pixels: .*interrupted"):
        detector = small(PatchDetector, window=(4, 6), max_iter=30).fit(waves(8))
    assert len(detector.models_) == 1
    assert np.isfinite(detector.score_samples(waves())).all()


@BOTH
def test_flattened_images_need_their_shape(kind: type[Any]) -> None:
    flat = waves().reshape(30, -1)
    detector = fitted(kind)
    for call in (detector.score_samples, detector.explain, *([small(kind).fit] if kind is PatchDetector else [])):
        with pytest.raises(DataError, match=r"For flattened images give image_shape=\(height, width\)"):
            call(flat)


def test_lists_of_images_and_of_names_are_images(tmp_path: Path) -> None:
    images = waves()
    detector = fitted(VAEDetector)
    expected = detector.score_samples(images)
    names = [str(tmp_path / f"{index:02}.png") for index in range(len(images))]
    for name, one in zip(names, images, strict=True):
        write_png(one, Path(name))
    given: list[Any] = [
        list(images),
        [torch.from_numpy(one) for one in images],
        [Image.fromarray(one) for one in images],
        names,
        np.array(names),
        np.array(names, dtype=object),
    ]
    for some in given:
        np.testing.assert_array_equal(detector.score_samples(some), expected)
    assert len(small(VAEDetector).fit(names).score_samples(names[:3])) == 3
    with pytest.raises(DataError, match=r"different shapes, \(15, 16\) and \(16, 16\) among them"):
        detector.score_samples([images[0], images[1][1:]])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I;16B"])
def test_images_of_pillow_are_what_their_files_are(mode: str, tmp_path: Path) -> None:
    if mode.startswith("I"):
        order = ">u2" if mode == "I;16B" else "<u2"
        images = [Image.fromarray((one.astype(np.uint16) * 257).astype(order)) for one in waves()]
    else:
        images = [Image.fromarray(one).convert(mode) for one in waves()]
    assert images[0].mode == mode
    suffix = "tif" if mode in ("CMYK", "I;16B") else "png"
    names = [tmp_path / f"{index:02}.{suffix}" for index in range(len(images))]
    for image, name in zip(images, names, strict=True):
        image.save(name)
    scores = [small(VAEDetector).fit(some).score_samples(some) for some in (images, names)]
    np.testing.assert_array_equal(*scores)


def test_images_of_pillow_are_brought_to_the_model(tmp_path: Path) -> None:
    detector = fitted(VAEDetector)
    grey = Image.fromarray(waves()[0])
    expected = detector.score_samples(waves()[:1])[0]
    np.testing.assert_array_equal(detector.score_samples([grey, grey.convert("LA"), grey]), expected)
    with pytest.raises(DataError, match=r"cannot be used \(image 1\); colour image where the model takes grey ones"):
        detector.score_samples([grey, Image.merge("RGB", (grey, grey.rotate(90), grey))])
    sizes = [grey, grey.resize((8, 8))]
    assert np.isfinite(small(VAEDetector, image_shape=(16, 16)).fit([grey] * 20).score_samples(sizes)).all()
    with pytest.raises(DataError, match="have 2 sizes"):
        small(VAEDetector).fit([*[grey] * 20, sizes[1]])


def test_lists_are_of_one_type() -> None:
    with pytest.raises(DataError, match="different types, bool and uint8 among them"):
        small(VAEDetector).fit([waves()[0], waves()[0] > 100])


@BOTH
def test_infinite_pixels_are_named_as_such(kind: type[Any]) -> None:
    images = waves().astype(float)
    images[3, 2, 2] = np.inf
    detector = fitted(kind)
    with pytest.raises(DataError, match="holds infinite pixels"):
        detector.score_samples(images)


def test_short_floats_are_floats() -> None:
    images = torch.from_numpy(waves()) / 255
    detector = small(VAEDetector).fit(images)
    short = images.bfloat16()
    np.testing.assert_array_equal(detector.score_samples(short), detector.score_samples(short.float()))


@pytest.mark.parametrize("given", [waves(), "folder/", [Path("one.png")], ["one.png"]], ids=str)
def test_a_model_of_tables_takes_no_images(given: Any) -> None:
    detector = VAEDetector(n_estimators=1, **WHOLE).fit(np.random.default_rng(0).normal(size=(50, 3)))
    with pytest.raises(DataError, match="takes rows of a table, and images or files are given"):
        detector.score_samples(given)


def failing(one: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("no such image")


@pytest.mark.parametrize(
    ("changed", "given"),
    [({"window": 33}, waves(10, 20, 20)), ({"augment": failing}, waves() / 255), ({}, waves().reshape(30, -1))],
    ids=["too large a window", "failing function", "table"],
)
def test_a_failed_fit_leaves_the_fitted_detector_as_it_was(
    changed: dict[str, Any], given: npt.NDArray[Any], tmp_path: Path
) -> None:
    detector = copy.deepcopy(fitted(PatchDetector))
    before = detector.score_samples(waves())
    with pytest.raises((DataError, RuntimeError)):
        detector.set_params(**changed).fit(given)
    np.testing.assert_array_equal(detector.score_samples(waves()), before)
    assert detector.n_features_in_ == 256
    save(detector, tmp_path / "model.vae")
    np.testing.assert_array_equal(load(tmp_path / "model.vae").score_samples(waves()), before)


@BOTH
def test_more_latents_than_the_noise_has_dimensions_are_refused(kind: type[Any]) -> None:
    with pytest.raises(ValueError, match="latent_dim"):
        small(kind, latent_dim=21_202).fit(waves())


def test_a_search_needs_no_labels() -> None:
    search = GridSearchCV(small(PatchDetector), {"smoothing": [1.0, 2.0]}, cv=2).fit(waves(12))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("smoothing", [0.0, 4.0])
def test_parameters_that_change_after_the_fit_change_no_score(smoothing: float, tmp_path: Path) -> None:
    detector = copy.deepcopy(fitted(PatchDetector))
    before = detector.score_samples(waves())
    detector.set_params(smoothing=smoothing, top_pixels=3)
    np.testing.assert_array_equal(detector.score_samples(waves()), before)
    save(detector, tmp_path / "model.vae")
    np.testing.assert_array_equal(load(tmp_path / "model.vae").score_samples(waves()), before)


def test_networks_of_the_user_are_in_no_model_file(tmp_path: Path) -> None:
    network = torch.nn.Conv2d(1, 2, 3)
    torch.nn.init.constant_(network.bias, 0.123456)
    save(FeatureMapDetector(network).fit(waves()), tmp_path / "model.vae")
    assert np.float32(0.123456).tobytes() not in (tmp_path / "model.vae").read_bytes()
    with pytest.raises(SpecificationError, match=r"not ImageFeatures.*joblib"):
        save(ImageFeatures(network), tmp_path / "other.vae")  # type: ignore[arg-type]


def test_a_pixel_that_is_always_missing_has_no_weight_of_its_own(recwarn: pytest.WarningsRecorder) -> None:
    maps = np.random.default_rng(0).gamma(2, 1, (6, 20, 20))
    maps[:, :5, :5] = np.nan
    factor = PositionLevels.of(maps).factor
    assert np.isfinite(factor).all()
    assert not recwarn.list


@BOTH
def test_copies_agree(kind: type[Any]) -> None:
    detector = fitted(kind)
    np.testing.assert_array_equal(clone(detector).fit(waves()).score_samples(waves()), detector.score_samples(waves()))
