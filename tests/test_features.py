"""Networks of the user's: vectors for a pipeline."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from torch import nn

from vae_anomaly import DataError, ImageFeatures, SpecificationError, VAEDetector

FAST = VAEDetector(max_iter=80, n_estimators=1, early_stopping=False)


def images(n=40, seed=0, channels=()):
    rng = np.random.default_rng(seed)
    return rng.integers(90, 160, (n, 16, 24, *channels)).astype(np.uint8)


class Seen(nn.Module):
    """Keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, tensors):
        self.given.append((tensors.clone(), self.training))
        return tensors.mean((2, 3))


def test_network_sees_channels_first_between_0_and_1_in_batches():
    network = Seen()
    vectors = ImageFeatures(network, batch_size=16).transform(images(channels=(3,)))
    assert vectors.shape == (40, 3)
    assert [len(tensors) for tensors, _ in network.given] == [16, 16, 8]
    tensors, _ = network.given[0]
    assert tensors.shape[1:] == (3, 16, 24)
    assert tensors.dtype == torch.float32
    np.testing.assert_allclose(tensors[0].numpy(), images(channels=(3,))[0].transpose(2, 0, 1) / 255, rtol=1e-6)


def test_network_is_evaluated_and_left_as_it_was():
    network = Seen().train()
    ImageFeatures(network).transform(images(3))
    assert not network.given[0][1]
    assert network.training
    assert all(not tensors.requires_grad for tensors, _ in network.given)


def test_images_are_normalised_resized_and_repeated_as_asked():
    network = Seen()
    features = ImageFeatures(network, image_shape=(8, 8), channels=3, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))
    features.transform(np.full((2, 16, 24), 51, dtype=np.uint8))
    tensors, _ = network.given[0]
    assert tensors.shape == (2, 3, 8, 8)
    torch.testing.assert_close(
        tensors[0, :, 3, 3], torch.tensor([(0.2 - 0.5) / 0.1, (0.2 - 0.4) / 0.2, (0.2 - 0.3) / 0.3])
    )


def test_files_floats_and_16_bits_reach_the_network_alike(tmp_path):
    given = images(5)
    for number, image in enumerate(given):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    features = ImageFeatures(lambda tensors: tensors.flatten(1))
    expected = features.transform(given)
    np.testing.assert_array_equal(features.transform(tmp_path), expected)
    np.testing.assert_allclose(features.transform(given / 255), expected, rtol=1e-6)
    np.testing.assert_allclose(features.transform(given.astype(np.uint16) * 257), expected, rtol=1e-6)
    np.testing.assert_array_equal(features.transform(torch.from_numpy(given)), expected)


def test_vectors_of_a_network_make_a_pipeline_with_the_detector():
    def halves(tensors):
        return tensors.unflatten(3, (2, 12)).mean((1, 2, 4))

    pipeline = make_pipeline(ImageFeatures(halves), FAST)
    odd = images(5, seed=9)
    odd[:, :, :12] = 250
    scores = clone(pipeline).fit(images()).score_samples(np.concatenate([images(20, seed=2), odd]))
    assert scores[20:].max() < scores[:20].min()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda tensors: tensors, "expected vectors"),
        (lambda tensors: tensors.mean((1, 2, 3)), "a tensor of shape"),
        (lambda tensors: tensors[:1].flatten(1), "a tensor of shape"),
        (lambda tensors: tensors.flatten(1) * torch.nan, "not finite"),
        (lambda _: [], "gives nothing"),
    ],
)
def test_outputs_that_are_no_vectors_are_refused(network, message):
    with pytest.raises(DataError, match=message):
        ImageFeatures(network).transform(images(3))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"image_shape": (8,)}, "image_shape"),
        ({"image_shape": (0, 8)}, "image_shape"),
        ({"mean": (0.1, 0.2)}, "mean has 2"),
    ],
)
def test_normalisation_that_does_not_fit_is_refused(parameters, message):
    with pytest.raises(SpecificationError, match=message):
        ImageFeatures(lambda tensors: tensors.flatten(1), **parameters).transform(images(3))


def test_broken_file_is_named(tmp_path):
    (tmp_path / "1.png").write_bytes(b"nothing")
    Image.fromarray(images(1)[0]).save(tmp_path / "0.png")
    with pytest.raises(DataError, match=r"1\.png: no image by its first bytes"):
        ImageFeatures(lambda tensors: tensors.flatten(1)).transform(tmp_path)
