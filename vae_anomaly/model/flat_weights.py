"""All weights of a model in one tensor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_anomaly.model.vae import VAE


class FlatWeights:
    """All weights of a model in one tensor, of which its parameters become views.

    Parameters
    ----------
    vae : VAE
        With weights whose first axis are the members.
    lanes : int, default=1
        Rows of every weight are filled up with zeros to a multiple of so many numbers.

    Attributes
    ----------
    flat : Parameter of shape (members, weights per member)
        What the optimiser changes; its gradient is allocated once.
    """

    def __init__(self, vae: VAE, lanes: int = 1) -> None:
        self.parameters = list(vae.parameters())
        self.lanes = lanes
        self.flat = nn.Parameter(torch.cat([self._filled_up(weights.detach()) for weights in self.parameters], 1))
        self.gradient = torch.zeros_like(self.flat)
        self.flat.grad = self.gradient
        ends = itertools.accumulate(self._size(weights) for weights in self.parameters)
        self.begins = [0, *ends]
        for number, weights in enumerate(self.parameters):
            begin, end = self.begins[number : number + 2]
            filled_up = self.flat.detach()[:, begin:end].view(*weights.shape[:-1], self.width(weights))
            weights.data = filled_up[..., : weights.shape[-1]]

    def block(self, parameters: Sequence[Tensor]) -> Tensor:
        """Parameters that follow one another as one matrix: (members, their inputs, width)."""
        first, width = self._number(parameters[0]), self.width(parameters[0])
        assert [self._number(own) for own in parameters] == list(range(first, first + len(parameters)))
        assert all(self.width(own) == width for own in parameters)
        within = slice(self.begins[first], self.begins[first + len(parameters)])
        n_inputs = sum(math.prod(own.shape[1:-1]) for own in parameters)
        return self.flat.detach()[:, within].view(len(self.flat), n_inputs, width)

    def in_order(self, blocks: Sequence[tuple[Sequence[Tensor], Tensor]]) -> list[Tensor]:
        """Numbers for all parameters, given with those that they are for, one after the other as in `flat`."""
        ordered = sorted(blocks, key=lambda block: self._number(block[0][0]))
        assert [self._number(own) for known, _ in ordered for own in known] == list(range(len(self.parameters)))
        return [numbers for _, numbers in ordered]

    def differentiate(self, loss: Tensor) -> None:
        """Fill the gradient."""
        gradients = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
        # Where a parameter has no part in the loss, torch 2.6 gives a gradient that asks for one itself.
        with torch.no_grad():
            torch.cat([self._filled_up(part) for part in gradients], 1, out=self.gradient)

    def clip(self, max_grad_norm: float) -> None:
        """Scale each member's gradient to a norm of at most `max_grad_norm`, so that one's outlier slows no other."""
        norms = torch.linalg.vector_norm(self.gradient, dim=1, keepdim=True)
        self.gradient.mul_((max_grad_norm / norms.clamp(min=1e-12)).clamp(max=1.0))

    @torch.no_grad()
    def restore(self, flat: Tensor) -> None:
        """Take the weights from a copy of `flat`."""
        self.flat.copy_(flat)

    def release(self) -> None:
        """Give every parameter its own memory back."""
        for weights in self.parameters:
            weights.data = weights.data.clone(memory_format=torch.contiguous_format)

    def width(self, weights: Tensor) -> int:
        """Of a row of a parameter, filled up."""
        n_numbers = weights.shape[-1]
        return n_numbers + -n_numbers % self.lanes

    def _number(self, weights: Tensor) -> int:
        return next(number for number, known in enumerate(self.parameters) if known is weights)

    def _size(self, weights: Tensor) -> int:
        return math.prod(weights.shape[1:-1]) * self.width(weights)

    def _filled_up(self, weights: Tensor) -> Tensor:
        missing = self.width(weights) - weights.shape[-1]
        return (nn.functional.pad(weights, (0, missing)) if missing else weights).flatten(1)
