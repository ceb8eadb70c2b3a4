"""Fully connected layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from vae_anomaly.model.backbones.base import Activation, Backbone, Body, MemberLinear
from vae_anomaly.model.matmul import LANES, batch_invariant_matmul


@dataclass(frozen=True)
class _Arranged:
    """Weights of a body that is not trained any more, filled up with zeros to multiples of `LANES` outputs.

    Parameters
    ----------
    version : tuple of (int, int)
        Of the parameters that they were made of.
    layers : tuple of (Tensor, Tensor)
        Weight and bias of each map, the head last.
    skip : Tensor, optional
        Of the linear path around the layers.
    """

    version: tuple[tuple[int, int], ...]
    layers: tuple[tuple[Tensor, Tensor], ...]
    skip: Tensor | None

    def followed_by_ones(self, n_inputs: int) -> _Arranged:
        """Weights of the first inputs alone, where all others are 1: what these add is part of the biases."""
        (weight, bias), *others = self.layers
        first = weight[:, :n_inputs].contiguous(), bias + weight[:, n_inputs:].sum(1, keepdim=True)
        if self.skip is None:
            return _Arranged(self.version, (first, *others), None)
        head, offset = others[-1]
        last = head, offset + self.skip[:, n_inputs:].sum(1, keepdim=True)
        return _Arranged(self.version, (first, *others[:-1], last), self.skip[:, :n_inputs].contiguous())


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
        self.n_outputs = n_outputs
        self._arranged: _Arranged | None = None
        self._before_ones: _Arranged | None = None
        self._watched: tuple[nn.Parameter, ...] | None = None

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
        if not self.training and not torch.is_grad_enabled():
            return self._scored(inputs, self._present())
        outputs: Tensor = self.layers(inputs)
        return outputs if self.skip is None else batch_invariant_matmul(inputs, self.skip.weight, outputs)

    def followed_by_ones(self, inputs: Tensor, n_ones: int) -> Tensor:
        if self.training or torch.is_grad_enabled():
            return super().followed_by_ones(inputs, n_ones)
        present, known = self._present(), self._before_ones
        if known is None or known.version != present.version:
            known = self._before_ones = present.followed_by_ones(inputs.shape[-1])
        return self._scored(inputs, known)

    def _scored(self, inputs: Tensor, arranged: _Arranged) -> Tensor:
        """Outputs by weights that are not trained any more."""
        *hidden, (head, offset) = arranged.layers
        activation = self.layers[1] if hidden else None
        numbers = inputs
        for weight, bias in hidden:
            numbers = torch.baddbmm(bias, numbers, weight)
            assert activation is not None
            numbers = activation(numbers)
        outputs = torch.baddbmm(offset, numbers, head)
        if arranged.skip is not None:
            outputs.baddbmm_(inputs, arranged.skip)
        return outputs[..., : self.n_outputs]

    def _present(self) -> _Arranged:
        """The weights, arranged when they are first used and whenever they have changed."""
        if self._watched is None:
            self._watched = tuple(self.parameters())
        version = tuple((part.data_ptr(), _version(part)) for part in self._watched)
        arranged = self._arranged
        if arranged is None or arranged.version != version:
            arranged = self._arranged = self._arrange(version)
        return arranged

    def _arrange(self, version: tuple[tuple[int, int], ...]) -> _Arranged:
        layers, n_filled = [], 0
        for layer in self.layers:
            if isinstance(layer, MemberLinear):
                assert layer.bias is not None
                layers.append((_filled(layer.weight, n_filled), _filled(layer.bias)))
                n_filled = layers[-1][0].shape[-1] - layer.weight.shape[-1]
        return _Arranged(version, tuple(layers), None if self.skip is None else _filled(self.skip.weight))

    def train(self, mode: bool = True) -> MLPBody:
        # Training changes weights through views of one buffer, which do not count it.
        self._arranged = self._before_ones = None
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MLPBody:
        # Another device may have weights of other values where those of this one were.
        self._arranged = self._before_ones = None
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_arranged": None, "_before_ones": None, "_watched": None}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MLPBody:
        self._arranged = self._before_ones = self._watched = None
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]


def _filled(weights: Tensor, n_inputs: int = 0) -> Tensor:
    """With zeros for `n_inputs` further inputs, and for outputs up to a multiple of `LANES`."""
    return pad(weights.detach(), (0, -weights.shape[-1] % LANES, 0, n_inputs)).contiguous()


def _version(parameter: Tensor) -> int:
    """How often a tensor was changed in place; those of PyTorch's inference mode do not count it."""
    return 0 if parameter.is_inference() else parameter._version


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
