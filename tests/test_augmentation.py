"""Training images that are changed at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from vae_anomaly import PatchDetector, SpecificationError, VAEDetector, load, save
from vae_anomaly.columns import learn_channels
from vae_anomaly.columns.augmentation import augmented
from vae_anomaly.data.images import Images, read_arrays

pytestmark = pytest.mark.filterwarnings(r"ignore:\d+ rows are too few to set any aside:vae_anomaly.FitWarning")

FAST: dict[str, Any] = {"max_iter": 10, "hidden_layer_sizes": (32,), "latent_dim": 4}
BOTH = pytest.mark.parametrize("kind", [VAEDetector, PatchDetector])


def small(kind: type[Any], **others: Any) -> Any:
    windows = {"n_windows": 256, "window": 4} if kind is PatchDetector else {}
    return kind(**FAST | {"max_iter": 5} | windows | others)


def left_sided(n: int = 24, side: int = 12) -> npt.NDArray[np.uint8]:
    """Dark images with a bright stripe on the left, a little different each."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (n, side, side)).astype(np.uint8)
    images[:, :, 2:4] += 180
    return images


def mirrored_at_random(image: Tensor) -> Tensor:
    return image.flip(-1) if torch.rand(()) < 0.5 else image


def test_mirrored_images_are_normal_to_a_model_that_was_shown_some() -> None:
    images = left_sided(60)
    shown, plain = (
        VAEDetector(augment=augment, row_score="elbo", **FAST | {"max_iter": 200}).fit(images)
        for augment in (mirrored_at_random, None)
    )
    turned = images[:, :, ::-1]
    gaps = [float(np.mean(one.anomaly_score(turned) - one.anomaly_score(images))) for one in (shown, plain)]
    assert gaps[0] < 0.25 * gaps[1]


@pytest.mark.parametrize(
    ("images", "dtype"),
    [
        (left_sided(), torch.uint8),
        (left_sided().astype(np.uint16) * 200, torch.int32),
        (left_sided() / 255, torch.float64),
        (np.where(left_sided() > 50, np.nan, left_sided()), torch.float64),
        (left_sided() > 50, torch.uint8),
    ],
    ids=["bytes", "sixteen bits", "floats", "missing values", "two-valued"],
)
def test_the_function_sees_images_in_the_units_of_the_data(images: npt.NDArray[Any], dtype: torch.dtype) -> None:
    seen = []

    def record(some: Tensor) -> Tensor:
        seen.append(some.clone())
        return some

    few = FAST | {"max_iter": 4, "batch_size": 12}
    VAEDetector(augment=record, early_stopping=False, calibration=None, **few).fit(images)
    assert len(seen) >= 40
    assert {one.dtype for one in seen} == {dtype}
    assert {tuple(one.shape) for one in seen} == {(1, 12, 12)}
    given = {np.nan_to_num(one, nan=-1).tobytes() for one in np.asarray(images, dtype=np.float32)}
    found = {np.nan_to_num(one[0].float().numpy(), nan=-1).tobytes() for one in seen}
    if np.asarray(images).dtype == np.float64 and not np.isnan(images).any():
        assert len(found) == len(given)
    else:
        assert found <= given


@BOTH
@pytest.mark.parametrize(
    "images",
    [
        left_sided().astype(np.int16) - 150,
        np.concatenate([left_sided().astype(np.uint16) * 257, left_sided(8).astype(np.uint16) % 50]),
        np.concatenate([left_sided().astype(np.int32) * 4, np.zeros((8, 12, 12), dtype=np.int32)]),
    ],
    ids=["below 0", "sixteen bits with dark ones", "ten bits with black ones"],
)
def test_integers_stay_what_they_are(kind: type[Any], images: npt.NDArray[Any]) -> None:
    dtypes = set()

    def record(one: Tensor) -> Tensor:
        dtypes.add(one.dtype)
        return one

    detector = small(kind, augment=record).fit(images)
    assert dtypes == {torch.int32}
    if kind is VAEDetector:
        plain = small(kind).fit(images).score_samples(images)
        np.testing.assert_array_equal(detector.score_samples(images), plain)


def test_an_image_with_missing_pixels_is_given_as_floats_and_the_others_are_not() -> None:
    images = left_sided().astype(np.float32)
    images[3, 0, 0] = np.nan
    dtypes = set()

    def record(one: Tensor) -> Tensor:
        dtypes.add((one.dtype, bool(one.isnan().any()) if one.dtype.is_floating_point else False))
        return one

    small(PatchDetector, augment=record).fit(images)
    assert dtypes <= {(torch.uint8, False), (torch.float64, True)}


@BOTH
def test_black_images_may_become_dark_ones(kind: type[Any]) -> None:
    images = left_sided()
    images[::3] = 0
    detector = small(kind, augment=lambda one: one.float() + 0.3 * torch.rand(one.shape)).fit(images)
    assert np.isfinite(detector.score_samples(images)).all()


@BOTH
def test_each_image_is_changed_by_itself_and_anew(kind: type[Any]) -> None:
    calls = []

    def count(one: Tensor) -> Tensor:
        calls.append(float(torch.rand(())))
        return one

    small(kind, augment=count, batch_size=8, max_iter=10).fit(left_sided())
    assert len(calls) >= 80
    assert len(set(calls)) > 0.99 * len(calls)


def test_a_function_that_changes_nothing_changes_no_score() -> None:
    images = left_sided()
    scores = [VAEDetector(augment=one, **FAST).fit(images).score_samples(images) for one in (None, lambda x: x)]
    np.testing.assert_array_equal(scores[1], scores[0])


@pytest.mark.parametrize("kind", [VAEDetector, PatchDetector])
def test_two_fits_agree_and_the_random_numbers_of_others_stay(kind: Any) -> None:
    few = FAST | {"max_iter": 3, "augment": lambda some: some + torch.randn(some.shape)}
    few |= {"n_windows": 256, "window": 4} if kind is PatchDetector else {}
    images = left_sided(12) / 255
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = kind(**few).fit(images).score_samples(images)
    np.testing.assert_array_equal(torch.rand(3), expected)
    np.testing.assert_array_equal(kind(**few).fit(images).score_samples(images), first)
    other = kind(**few | {"augment": None}).fit(images).score_samples(images)
    assert not np.array_equal(other, first)


def test_windows_of_changed_images_are_learned() -> None:
    images = left_sided(12)
    few = {"n_windows": 1024, "max_iter": 100, "window": 8, "hidden_layer_sizes": (64,), "position": "ignore"}
    turned = np.swapaxes(images, 1, 2)
    gaps = []
    for augment in (lambda some: some.mT, None):
        detector = PatchDetector(augment=augment, **few).fit(images)
        gaps.append(float(np.mean(detector.anomaly_score(turned) - detector.anomaly_score(images))))
    assert gaps[0] < 0 < gaps[1]


def test_a_batch_of_rows_goes_on_with_changed_images() -> None:
    images = left_sided()
    detector = VAEDetector(augment=mirrored_at_random, **FAST).partial_fit(images[:20]).partial_fit(images[20:])
    assert np.isfinite(detector.score_samples(images)).all()


def test_short_floats_are_taken() -> None:
    small(VAEDetector, augment=lambda one: one.bfloat16()).fit(left_sided() / 255)


def test_missing_pixels_move_with_the_image() -> None:
    pixels = np.arange(8.0).reshape(2, 1, 2, 2)
    pixels[0, 0, 0, 0] = np.nan
    images = Images(pixels)
    encoder = learn_channels(images, None)
    batch = encoder.augmented(encoder.encode(images), lambda some: some.flip(-1), 0)
    assert batch.observed[0].tolist() == [True, False, True, True]
    assert encoder.decode(batch.values.numpy())[0, 0, 0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        (
            lambda some: some[:, 1:],
            r"augment made a tensor of shape \(1, 11, 12\).*expected a tensor of the same shape",
        ),
        (lambda some: some.numpy(), "augment made ndarray"),
        (lambda _: None, "augment made NoneType"),
        (
            lambda some: some / 255,
            "augment left no pixel above 1",
        ),
    ],
    ids=["another size", "array", "nothing", "other units"],
)
def test_what_is_no_image_is_refused(augment: Any, said: str) -> None:
    with pytest.raises(SpecificationError, match=said):
        VAEDetector(augment=augment, **FAST).fit(left_sided())


def test_tables_are_not_augmented() -> None:
    with pytest.raises(SpecificationError, match="augment changes images"):
        VAEDetector(augment=lambda some: some, **FAST).fit(np.random.default_rng(0).normal(size=(50, 3)))


@pytest.mark.parametrize("kind", [VAEDetector, PatchDetector])
def test_a_model_file_does_without_the_function(kind: Any, tmp_path: Any) -> None:
    few = FAST | ({"n_windows": 256, "window": 4} if kind is PatchDetector else {})
    images = left_sided()
    detector = kind(augment=lambda some: some.flip(-1), **few).fit(images)
    save(detector, tmp_path / "model.vae")
    loaded = load(tmp_path / "model.vae")
    assert loaded.augment is None
    np.testing.assert_array_equal(loaded.score_samples(images), detector.score_samples(images))


def test_what_is_given_stays_as_it_is() -> None:
    images = read_arrays(left_sided(), None)
    before = images.pixels.copy()
    augmented(images, lambda some: some.zero_(), 0)
    np.testing.assert_array_equal(images.pixels, before)
