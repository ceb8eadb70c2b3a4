"""Fully connected layers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae_anomaly.model.backbones.base import Activation, Backbone, Body, MemberLinear
from vae_anomaly.model.matmul import batch_invariant_matmul


class MLPBody(Body):
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
            layers += [MemberLinear(n_members, n_in, n_out, generator), Activation(activation)]
        self.layers = nn.Sequential(*layers, MemberLinear(n_members, sizes[-1], n_outputs, generator))
        self.skip: MemberLinear | None = None
        if skip_connection and hidden_layer_sizes:
            self.skip = MemberLinear(n_members, n_inputs, n_outputs, generator, bias=False)

    @property
    def head(self) -> MemberLinear:
        """The last affine map."""
        head = self.layers[-1]
        assert isinstance(head, MemberLinear)
        return head

    @property
    def offset(self) -> nn.Parameter:
        bias = self.head.bias
        assert bias is not None
        return bias

    def forward(self, inputs: Tensor) -> Tensor:
        """(members, rows, inputs) -> (members, rows, outputs)."""
        outputs: Tensor = self.layers(inputs)
        return outputs if self.skip is None else batch_invariant_matmul(inputs, self.skip.weight, outputs)


@dataclass(frozen=True)
class MLP(Backbone):
    """Fully connected layers; the pixels of images are columns like any other.

    Parameters
    ----------
    skip_connection : bool, default=True
        Adds a linear map from the inputs to the outputs, so that what is linear need not be learned by the
        hidden layers.  Without hidden layers the body is that linear map alone.
    """

    skip_connection: bool = True

    def layer_sizes(self, grid: tuple[int, int] | None) -> tuple[int, ...]:
        return (64, 64) if grid is None else (256, 256)

    def n_weights(
        self,
        n_inputs: int,
        latent_dim: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int],
        grid: tuple[int, int] | None = None,
    ) -> int:
        ends = (n_inputs, 2 * latent_dim), (latent_dim, n_outputs)
        sizes = list(hidden_layer_sizes)
        layers = [[first, *order, last] for (first, last), order in zip(ends, (sizes, sizes[::-1]), strict=True)]
        weights = sum((n_in + 1) * n_out for body in layers for n_in, n_out in itertools.pairwise(body))
        skipped = sum(first * last for first, last in ends) if self.skip_connection and sizes else 0
        return weights + skipped

    def n_activations(
        self, n_inputs: int, n_outputs: int, hidden_layer_sizes: Sequence[int], grid: tuple[int, int] | None = None
    ) -> int:
        return max(n_inputs, n_outputs, *hidden_layer_sizes)

    def encoder(
        self,
        n_members: int,
        n_inputs: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        generator: torch.Generator,
        grid: tuple[int, int] | None = None,
    ) -> MLPBody:
        return MLPBody(n_members, n_inputs, n_outputs, hidden_layer_sizes, activation, self.skip_connection, generator)

    def decoder(
        self,
        n_members: int,
        n_inputs: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        generator: torch.Generator,
        grid: tuple[int, int] | None = None,
    ) -> MLPBody:
        return self.encoder(n_members, n_inputs, n_outputs, hidden_layer_sizes[::-1], activation, generator)
