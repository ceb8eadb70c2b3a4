"""What a backbone must offer, and the affine map that all of them end in."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_anomaly.model.matmul import batch_invariant_matmul, is_batch_invariant

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}

UNROLLED = 32


def starting_weights(shape: Sequence[int], n_inputs: int, generator: torch.Generator) -> nn.Parameter:
    """Weights that are uniform within 1 / sqrt(inputs)."""
    drawn = torch.rand(*shape, generator=generator, dtype=torch.float32)
    return nn.Parameter((2 * drawn - 1) / math.sqrt(max(n_inputs, 1)))


class Activation(nn.Module):
    """An activation that, outside of training, has the same result for a number at every position.

    PyTorch computes the last numbers of a tensor, those behind the last full pair of vector registers, with other
    instructions, whose results can differ in the last bit (seen for SiLU and softplus).  With empty numbers up to a
    multiple of 32 there are none.

    Parameters
    ----------
    name : str
        In `ACTIVATIONS`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = ACTIVATIONS[name]()

    def forward(self, numbers: Tensor) -> Tensor:
        """A tensor of the same shape."""
        n_numbers = numbers.numel()
        missing = -n_numbers % UNROLLED
        if missing == 0 or not is_batch_invariant():
            activated: Tensor = self.function(numbers)
            return activated
        padded: Tensor = self.function(nn.functional.pad(numbers.flatten(), (0, missing)))
        return padded[:n_numbers].view(numbers.shape)


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
        self.weight = starting_weights((n_members, n_inputs, n_outputs), n_inputs, generator)
        self.bias = starting_weights((n_members, 1, n_outputs), n_inputs, generator) if bias else None

    def forward(self, inputs: Tensor) -> Tensor:
        """(members, rows, inputs) -> (members, rows, outputs)."""
        return batch_invariant_matmul(inputs, self.weight, self.bias)


class Body(nn.Module, abc.ABC):
    """A module from (members, rows, inputs) to (members, rows, outputs)."""

    @property
    @abc.abstractmethod
    def offset(self) -> nn.Parameter:
        """What is added to the outputs last, (members, 1, outputs): where they begin."""

    def followed_by_ones(self, inputs: Tensor, n_ones: int) -> Tensor:
        """Its outputs where `n_ones` further inputs are 1, as they are for rows without missing values."""
        ones = inputs.new_ones(1, 1, 1).expand(*inputs.shape[:-1], n_ones)
        outputs: Tensor = self(torch.cat([inputs, ones], -1))
        return outputs


class Backbone(abc.ABC):
    """A frozen description of encoder and decoder bodies.

    Rows of images come as channel after channel, each line by line; ``grid`` is then the height and width, and
    None for tables.
    """

    @abc.abstractmethod
    def layer_sizes(self, grid: tuple[int, int] | None) -> tuple[int, ...]:
        """The ``hidden_layer_sizes`` where none are given."""

    @abc.abstractmethod
    def n_weights(
        self,
        n_inputs: int,
        latent_dim: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int],
        grid: tuple[int, int] | None = None,
    ) -> int:
        """Weights and biases of a member, encoder and decoder together, without making them.

        Parameters
        ----------
        n_inputs : int
            Of the encoder.
        latent_dim : int
        n_outputs : int
            Of the decoder.
        hidden_layer_sizes : sequence of int
        grid : (int, int), optional
        """

    @abc.abstractmethod
    def n_activations(
        self, n_inputs: int, n_outputs: int, hidden_layer_sizes: Sequence[int], grid: tuple[int, int] | None = None
    ) -> int:
        """Numbers per row, draw and member of the largest layer, inputs and outputs included."""

    @abc.abstractmethod
    def encoder(
        self,
        n_members: int,
        n_inputs: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        generator: torch.Generator,
        grid: tuple[int, int] | None = None,
    ) -> Body:
        """From what is seen of a row to the posterior's numbers."""

    @abc.abstractmethod
    def decoder(
        self,
        n_members: int,
        n_inputs: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        generator: torch.Generator,
        grid: tuple[int, int] | None = None,
    ) -> Body:
        """From latents to the likelihood's parameters; ``hidden_layer_sizes`` are those of the encoder."""
