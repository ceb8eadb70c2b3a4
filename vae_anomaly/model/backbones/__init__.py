"""Bodies of encoder and decoder: modules whose every weight has the member axis in front."""

from __future__ import annotations

from vae_anomaly.model.backbones.base import ACTIVATIONS, Backbone, MemberLinear
from vae_anomaly.model.backbones.convolutional import Convolutional
from vae_anomaly.model.backbones.mlp import MLP, MLPBody
from vae_anomaly.registry import resolve

BACKBONES: dict[str, type[Backbone]] = {"mlp": MLP, "convolutional": Convolutional}


def resolve_backbone(backbone: str | Backbone) -> Backbone:
    """A backbone by its name in `BACKBONES`, or the instance itself.

    Raises
    ------
    SpecificationError
        If it is neither.

    Examples
    --------
    >>> resolve_backbone("mlp")
    MLP(skip_connection=True)
    """
    return resolve(backbone, Backbone, BACKBONES, "backbone")


__all__ = [
    "ACTIVATIONS",
    "BACKBONES",
    "MLP",
    "Backbone",
    "Convolutional",
    "MLPBody",
    "MemberLinear",
    "resolve_backbone",
]
