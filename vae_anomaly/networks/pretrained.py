"""What a pretrained network says of itself, and its weights read from a file without running it."""

from __future__ import annotations

import abc
import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from vae_anomaly.errors import ModelFileError


@dataclass(frozen=True)
class Weights:
    """Where weights come from, as a model file records it.

    Parameters
    ----------
    network : str
        Name of the network.
    source : str
        The package, or the address, that has them.
    license : str
        Under which they may be used, as SPDX names it.
    sha256 : str
        Of their file, in hexadecimal digits.
    """

    network: str
    source: str
    license: str
    sha256: str


@dataclass(frozen=True)
class Group:
    """Maps that are modelled together, at the size of the smallest of them.

    Parameters
    ----------
    maps : tuple of int
        Their numbers among the maps of the network, from 0.
    scores, locates : bool
        Whether they say how anomalous an image is, and where.  Coarse maps see far around a position and say little of
        where; fine ones have many positions, of which in every image some are odd.
    """

    maps: tuple[int, ...]
    scores: bool = True
    locates: bool = True


class PretrainedNetwork(nn.Module, abc.ABC):
    """A network with weights of others, from images to maps.

    A network of your own with these attributes is taken like one that has a name here: it knows how pixels are
    normalised, and model files record its weights.

    Attributes
    ----------
    weights : Weights
        Where its weights come from.
    mean, std : float
        Taken off pixels in [0, 1], and divided by.
    min_side : int
        Pixels that a side of an image has at least, so that each map has two positions in a line.
    groups : tuple of Group
        Which of its maps are modelled together.
    """

    weights: ClassVar[Weights]
    mean: ClassVar[float]
    std: ClassVar[float]
    min_side: ClassVar[int]
    groups: ClassVar[tuple[Group, ...]]

    @abc.abstractmethod
    def forward(self, images: Tensor) -> Sequence[Tensor]:
        """Maps of images.

        Parameters
        ----------
        images : Tensor of shape (n, 3, height, width)
            Normalised.

        Returns
        -------
        sequence of Tensor of shape (n, features, height, width)
        """


def read_weights(path: Path, weights: Weights) -> dict[str, Tensor]:
    """The tensors of a file of weights, which can run nothing, after its checksum.

    Parameters
    ----------
    path : Path
        A file of ``torch.save``.
    weights : Weights
        With the checksum that the file has to have.

    Raises
    ------
    ModelFileError
        If there is no such file, it has another checksum, or it holds more than tensors.
    """
    remedy = f"Install {weights.source} again."
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise ModelFileError(f"{path}: the weights of {weights.network} cannot be read ({reason}). {remedy}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != weights.sha256:
        raise ModelFileError(
            f"{path}: these are not the weights of {weights.network}: their checksum is {found[:12]}..., expected "
            f"{weights.sha256[:12]}... {remedy}"
        )
    try:
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelFileError(f"{path}: the weights of {weights.network} hold more than tensors. {remedy}") from error
    return tensors
