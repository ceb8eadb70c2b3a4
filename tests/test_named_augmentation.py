"""Changes of training images that go by a name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vae_anomaly import PatchDetector, SpecificationError, VAEDetector, load, read_manifest, save
from vae_anomaly.callbacks import shown_parameters
from vae_anomaly.columns import learn_channels, resolve_augment
from vae_anomaly.columns.augmentation import augmented
from vae_anomaly.columns.named_augmentation import AUGMENTATIONS, Brightness, Levels, Shifts
from vae_anomaly.data.images import Images

pytestmark = pytest.mark.filterwarnings(r"ignore:\d+ rows are too few to set any aside:vae_anomaly.FitWarning")

BOTH = pytest.mark.parametrize("kind", [VAEDetector, PatchDetector])
RAMP = list(range(16))

# By name, an image of one channel, and all that may become of it.
BY_HAND: dict[str, tuple[Any, list[Any]]] = {
    "flips": (
        [[1, 2, 3], [4, 5, 6]],
        [
            [[1, 2, 3], [4, 5, 6]],
            [[3, 2, 1], [6, 5, 4]],
            [[4, 5, 6], [1, 2, 3]],
            [[6, 5, 4], [3, 2, 1]],
        ],
    ),
    "rotations": (
        [[1, 2], [3, 4]],
        [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]],
    ),
    "shifts": (
        [RAMP],
        [[RAMP], [[0, *RAMP[:-1]]], [[*RAMP[1:], 15]]],
    ),
    "brightness": (
        [[0, 20]],
        [[[0, 18]], [[0, 19]], [[0, 20]], [[0, 21]], [[0, 22]]],
    ),
}


def images_of(*images: Any, dtype: Any = np.uint8) -> Images:
    return Images(np.array(images, dtype=dtype)[:, None])


def small(kind: type[Any], **others: Any) -> Any:
    windows = {"n_windows": 256, "window": 4} if kind is PatchDetector else {}
    return kind(**{"max_iter": 5, "hidden_layer_sizes": (32,), "latent_dim": 4} | windows | others)


def striped(n: int = 24, height: int = 16, width: int = 16) -> npt.NDArray[np.uint8]:
    images = np.random.default_rng(0).integers(0, 60, (n, height, width)).astype(np.uint8)
    images[:, :, 2:4] += 180
    return images


@pytest.mark.parametrize("name", BY_HAND)
def test_an_image_becomes_one_of_those_that_it_may_become_and_each_of_them_at_times(name: str) -> None:
    given, expected = BY_HAND[name]
    n = 100 * len(expected)
    changed = augmented(images_of(*[given] * n), (AUGMENTATIONS[name](),), 0).pixels
    assert changed.dtype == np.uint8
    found, counts = np.unique(changed[:, 0], axis=0, return_counts=True)
    assert sorted(found.tolist()) == sorted(expected)
    assert counts.min() > (30 if name == "brightness" else 60)


def test_shifts_go_both_ways_at_once_and_repeat_the_edge() -> None:
    changed = augmented(images_of(*[[[1, 2], [3, 4]]] * 300), (Shifts(n_per_side=2),), 0).pixels[:, 0]
    rows = {(1, 2, 3, 4), (1, 2, 1, 2), (3, 4, 3, 4)}
    both = {(a, b, c, d) for a, b, c, d in rows} | {(a, a, c, c) for a, b, c, d in rows}
    both |= {(b, b, d, d) for a, b, c, d in rows}
    assert {tuple(one.ravel().tolist()) for one in changed} == both


@pytest.mark.parametrize(
    ("given", "dtype", "levels", "expected"),
    [
        ([0, 101, 250], np.uint8, (None, None), [0, 111, 255]),
        ([0, 101, 250], np.uint8, (0, 255), [0, 111, 255]),
        ([-10, 100, 65_000], np.int32, (None, None), [-11, 110, 71_500]),
        ([0, 100, 65_000], np.int32, (0, 65_535), [0, 110, 65_535]),
        ([0.5, 0.95, np.nan], np.float64, (0, 1), [0.55, 1.0, np.nan]),
        ([-2.0, 0.5, 40.0], np.float32, (None, None), [-2.2, 0.55, 44.0]),
    ],
)
def test_brightness_stays_within_the_levels(given: Any, dtype: Any, levels: Any, expected: Any) -> None:
    brighter = (Brightness(1.1, 1.1),)
    changed = augmented(images_of([given], dtype=dtype), brighter, 0, levels=Levels.of([levels])).pixels
    assert changed.dtype == dtype
    np.testing.assert_allclose(changed[0, 0, 0], expected, rtol=1e-6)


def test_levels_are_those_of_each_channel() -> None:
    pixels = np.full((1, 2, 1, 1), 250, dtype=np.int32)
    changed = augmented(Images(pixels), (Brightness(1.1, 1.1),), 0, levels=Levels.of([(0, 255), (0, None)]))
    assert changed.pixels.ravel().tolist() == [255, 275]


def test_all_channels_are_changed_alike() -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (50, 1, 32, 32)).astype(np.uint8)
    every = tuple(kind() for kind in AUGMENTATIONS.values())
    changed = augmented(Images(np.concatenate([pixels] * 3, axis=1)), every, 0).pixels
    assert (changed == changed[:, :1]).all()


def test_bright_images_may_end_below_one_where_they_had_more() -> None:
    images = Images(np.linspace(0, 1.05, 8).reshape(2, 1, 2, 2))
    encoder = learn_channels(images, None)
    batch = encoder.augmented(encoder.encode(images), (Brightness(0.9, 0.9),), 0)
    np.testing.assert_allclose(encoder.decode(batch.values.numpy()).ravel(), 0.9 * images.pixels.ravel(), atol=1e-6)


def test_names_are_applied_in_their_order_and_once() -> None:
    assert [type(one) for one in resolve_augment(["shifts", "flips", "shifts"])] == [  # type: ignore[union-attr]
        AUGMENTATIONS["shifts"],
        AUGMENTATIONS["flips"],
    ]
    assert resolve_augment("flips") == (AUGMENTATIONS["flips"](),)
    assert resolve_augment(()) is resolve_augment(None) is None


@BOTH
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_fits_with_names_agree_and_leave_the_random_numbers_of_others(kind: type[Any], name: str) -> None:
    images = striped()
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the global one
    first = small(kind, augment=[name]).fit(images).score_samples(images)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    torch.manual_seed(6)
    np.testing.assert_array_equal(small(kind, augment=(name,)).fit(images).score_samples(images), first)
    assert not np.array_equal(small(kind).fit(images).score_samples(images), first)


@BOTH
@pytest.mark.parametrize(
    ("augment", "said"),
    [
        (["flips", "rotate"], "augment has 'rotate'; expected names out of flips, rotations, shifts, brightness"),
        ("mirror", "augment has 'mirror'"),
        ([["flips"]], r"augment has \['flips'\]"),
        ([3], "augment has 3"),
        (["flips", "rotations"], r"'rotations', which are for square images, and these have 16x12 pixels"),
    ],
)
def test_what_is_no_name_or_does_not_suit_the_images_is_refused(kind: type[Any], augment: Any, said: str) -> None:
    with pytest.raises(SpecificationError, match=said):
        small(kind, augment=augment).fit(striped(width=12))


def test_names_are_refused_for_tables() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(SpecificationError, match="augment changes images, and the rows are of a table"):
        small(VAEDetector, augment=["flips"]).fit(rows)
    assert small(VAEDetector, augment=()).fit(rows).n_features_in_ == 3


@BOTH
def test_a_model_file_keeps_names(kind: type[Any], tmp_path: Any) -> None:
    images = striped()
    detector = small(kind, augment=["flips", "shifts"]).fit(images)
    save(detector, tmp_path / "model.vae")
    assert read_manifest(tmp_path / "model.vae")["parameters"]["augment"] == ["flips", "shifts"]
    loaded = load(tmp_path / "model.vae")
    assert loaded.augment == ("flips", "shifts")
    scores = detector.score_samples(images)
    np.testing.assert_array_equal(loaded.score_samples(images), scores)
    np.testing.assert_array_equal(loaded.fit(images).score_samples(images), scores)


def test_records_of_fits_show_names_and_no_functions() -> None:
    assert shown_parameters(VAEDetector(augment=["flips"]))["augment"] == ["flips"]
    assert "augment" not in shown_parameters(VAEDetector(augment=torch.neg))
