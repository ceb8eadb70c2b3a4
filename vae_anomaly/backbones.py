"""Bodies of encoder and decoder: modules whose every weight has the member axis in front."""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae_anomaly.lookup import resolve
from vae_anomaly.products import steady_product

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}


class MemberLinear(nn.Module):
    """One affine map for each member, as a single batched matrix product.

    Parameters
    ----------
    n_members, n_inputs, n_outputs : int
        Sizes of the weight (members, inputs, outputs) and of the bias (members, 1, outputs).
    generator : torch.Generator
        Source of the initial weights, uniform within 1 / sqrt(inputs).
    bias : bool, default=True
        Whether there is a bias.
    """

    def __init__(
        self, n_members: int, n_inputs: int, n_outputs: int, generator: torch.Generator, bias: bool = True
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(max(n_inputs, 1))
        weight = torch.rand(n_members, n_inputs, n_outputs, generator=generator, dtype=torch.float32)
        self.weight = nn.Parameter((2 * weight - 1) * bound)
        self.bias: nn.Parameter | None = None
        if bias:
            offset = torch.rand(n_members, 1, n_outputs, generator=generator, dtype=torch.float32)
            self.bias = nn.Parameter((2 * offset - 1) * bound)

    def forward(self, inputs: Tensor) -> Tensor:
        """(members, rows, inputs) -> (members, rows, outputs)."""
        return steady_product(inputs, self.weight, self.bias)


class MLPBody(nn.Module):
    """Hidden layers, a linear head, and optionally a linear path around them."""

    def __init__(
        self,
        n_members: int,
        n_inputs: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        skip_connection: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        sizes = [n_inputs, *hidden_layer_sizes]
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [MemberLinear(n_members, n_in, n_out, generator), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers, MemberLinear(n_members, sizes[-1], n_outputs, generator))
        self.skip: MemberLinear | None = None
        if skip_connection and hidden_layer_sizes:
            self.skip = MemberLinear(n_members, n_inputs, n_outputs, generator, bias=False)

    @property
    def head(self) -> MemberLinear:
        """The last affine map, whose bias is where outputs start."""
        head = self.layers[-1]
        assert isinstance(head, MemberLinear)
        return head

    def forward(self, inputs: Tensor) -> Tensor:
        """(members, rows, inputs) -> (members, rows, outputs)."""
        outputs: Tensor = self.layers(inputs)
        return outputs if self.skip is None else steady_product(inputs, self.skip.weight, outputs)


class Backbone(abc.ABC):
    """A frozen description of encoder and decoder bodies."""

    @abc.abstractmethod
    def body(
        self,
        n_members: int,
        n_inputs: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        generator: torch.Generator,
    ) -> MLPBody:
        """A module from (members, rows, inputs) to (members, rows, outputs)."""


@dataclass(frozen=True)
class MLP(Backbone):
    """Fully connected layers.

    Parameters
    ----------
    skip_connection : bool, default=True
        Adds a linear map from the inputs to the outputs, so that what is linear need not be learned by the
        hidden layers.  Without hidden layers the body is that linear map alone.
    """

    skip_connection: bool = True

    def body(
        self,
        n_members: int,
        n_inputs: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        generator: torch.Generator,
    ) -> MLPBody:
        return MLPBody(n_members, n_inputs, n_outputs, hidden_layer_sizes, activation, self.skip_connection, generator)


BACKBONES: dict[str, type[Backbone]] = {"mlp": MLP}


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
