"""Pretrained networks by name, whose weights come from the package registry and not from here."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from vae_anomaly.errors import SpecificationError
from vae_anomaly.networks.efficientnet_lite import EfficientNetLite0
from vae_anomaly.networks.pretrained import Group, PretrainedNetwork, Weights, read_weights

NETWORKS: dict[str, Callable[[], PretrainedNetwork]] = {"efficientnet-lite0": EfficientNetLite0}

__all__ = ["NETWORKS", "Group", "PretrainedNetwork", "Weights", "named_network", "read_weights"]


@cache
def named_network(name: str) -> PretrainedNetwork:
    """The network of a name, in evaluation mode; one for a process.

    Parameters
    ----------
    name : str
        One of `NETWORKS`.

    Raises
    ------
    SpecificationError
        If no network has the name.
    NotInstalled
        If the extra with its weights is not installed.
    ModelFileError
        If the weights are not those that the name stands for.
    """
    if name not in NETWORKS:
        raise SpecificationError(
            f"network={name!r} is not known; expected one of {sorted(NETWORKS)}, or a callable from images to maps."
        )
    return NETWORKS[name]()
