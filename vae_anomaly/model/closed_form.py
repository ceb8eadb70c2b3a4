"""A training step with its gradient written down: fully connected layers, and latents drawn against N(0, I).

Automatic differentiation starts more than twice as many operations, and allocates what it keeps anew in each step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vae_anomaly.columns import Batch
from vae_anomaly.likelihoods import Backward, StatesGradient
from vae_anomaly.model.backbones import MemberLinear, MLPBody
from vae_anomaly.model.column_groups import Group
from vae_anomaly.model.flat_weights import FlatWeights
from vae_anomaly.model.priors import FittedStandardNormal
from vae_anomaly.model.vae import MAX_LOG_VARIANCE, NOISE_GAIN, VAE


def has_closed_form(vae: VAE) -> bool:
    """Whether `ClosedForm` can differentiate a model; what it cannot is left to autograd.

    It is on the CPU, has fully connected layers with SiLU, any likelihoods, and N(0, I) for a prior.  CUDA repeats
    recorded steps, for which the number of operations counts less.
    """
    return (
        vae.raw_noise.device.type == "cpu"
        and type(vae.prior) is FittedStandardNormal
        and all(type(body) is MLPBody and _all_silu(body) for body in (vae.encoder, vae.decoder))
    )


def _all_silu(body: MLPBody) -> bool:
    return all(isinstance(layer.function, nn.SiLU) for layer in body.layers if not isinstance(layer, MemberLinear))


class ClosedForm:
    """Reconstruction and KL of mini-batches, and their gradient with regard to the weights.

    Parameters
    ----------
    vae : VAE
        For which `has_closed_form` is true.
    weights : FlatWeights
        Its weights, whose gradient `differentiate` fills.
    n_rows : int
        Of every mini-batch.
    """

    def __init__(self, vae: VAE, weights: FlatWeights, n_rows: int) -> None:
        assert isinstance(vae.encoder, MLPBody)
        assert isinstance(vae.decoder, MLPBody)
        self.vae = vae
        self.encoder = _Layers(vae.encoder, weights, n_rows, passes_on=False)
        self.decoder = _Layers(vae.decoder, weights, n_rows, passes_on=True)
        by_noise = torch.zeros(vae.n_members, 1, weights.width(vae.raw_noise), dtype=torch.float32)
        self.cells = _Cells(vae, self.decoder.outputs, by_noise[..., : vae.raw_noise.shape[1]])
        blocks: list[tuple[list[Tensor], Tensor]] = [([vae.raw_noise], by_noise)]
        for layers in (self.encoder, self.decoder):
            blocks += zip(layers.parameters, layers.by_matrices, strict=True)
        self.by_weights = weights.in_order(blocks)
        self.weights = weights
        n_latents = vae.latent_dim
        self.mean, self.unclamped = self.encoder.outputs.split(n_latents, -1)
        shape = (vae.n_members, n_rows, n_latents)
        self.log_variance, self.scale, self.variance, self.noise = (
            torch.empty(shape, dtype=torch.float32) for _ in range(4)
        )
        self.half = torch.tensor(0.5, dtype=torch.float32)

    def terms(self, rows: Batch, inputs: Tensor, noise: Tensor, *, complete: bool) -> tuple[Tensor, Tensor]:
        """Reconstruction and KL by row: (members, rows) each.

        Parameters
        ----------
        rows : Batch
            Of shape (members, rows, columns).
        inputs : Tensor of shape (members, rows, inputs)
            What the encoder reads.
        noise : Tensor of shape (members, 1, rows, latents)
            Standard normal noise.
        complete : bool
            Whether it is known that no cell is missing.
        """
        self.noise = noise.squeeze(1)
        self.encoder.inputs.copy_(inputs)
        self.encoder.run()
        log_variance = torch.clamp(self.unclamped, self.vae.min_log_variance, MAX_LOG_VARIANCE, out=self.log_variance)
        torch.exp(torch.mul(log_variance, self.half, out=self.scale), out=self.scale)
        torch.addcmul(self.mean, self.scale, self.noise, out=self.decoder.inputs)
        self.decoder.run()
        torch.mul(self.scale, self.scale, out=self.variance)
        kl = (self.variance - log_variance).addcmul_(self.mean, self.mean).sum(-1)
        return self.cells.log_likelihood(rows, complete=complete), kl.sub_(self.vae.latent_dim).mul_(self.half)

    def differentiate(self, by_reconstruction: Tensor, by_kl: Tensor) -> None:
        """Fill the gradient of what has these derivatives with regard to the terms, (members, rows) each."""
        self.cells.differentiate(by_reconstruction)
        by_latents = self.decoder.differentiate()
        assert by_latents is not None
        by_kl = by_kl.unsqueeze(-1)
        # The gradients take the place of the encoder's outputs.
        torch.addcmul(by_latents, self.mean, by_kl, out=self.mean)
        by_log_variance = by_latents.mul_(self.noise).mul_(self.scale).addcmul_(self.variance.sub_(1), by_kl)
        # Where it was clamped nothing depends on it.
        torch.mul(by_log_variance.mul_(self.half), self.unclamped == self.log_variance, out=self.unclamped)
        self.encoder.differentiate()
        torch.cat([block.flatten(1) for block in self.by_weights], 1, out=self.weights.gradient)


class _Layers:
    """The layers of a body, with room for what goes through them, forwards and backwards.

    A layer reads what the one before gives, with a 1 beside it, so that its bias is a row of its matrix; and the last
    one reads the inputs again, where there is a linear path around the others.

    Parameters
    ----------
    body : MLPBody
    weights : FlatWeights
    n_rows : int
    passes_on : bool
        Whether the inputs have a gradient.

    Attributes
    ----------
    inputs : Tensor of shape (members, rows, inputs)
        To be written before `run`.
    outputs : Tensor of shape (members, rows, outputs)
        To be read after `run`, and to be replaced by their gradient before `differentiate`.
    """

    def __init__(self, body: MLPBody, weights: FlatWeights, n_rows: int, *, passes_on: bool) -> None:
        linears = [layer for layer in body.layers if isinstance(layer, MemberLinear)]
        self.parameters: list[list[Tensor]] = []
        for linear in linears:
            assert linear.bias is not None
            around = [body.skip.weight] if body.skip is not None and linear is linears[-1] else []
            self.parameters.append([linear.weight, linear.bias, *around])
        self.matrices = [weights.block(own) for own in self.parameters]
        # Not where the optimiser reads them: a product of all members at once needs memory without gaps.
        self.by_matrices = [torch.empty(matrix.shape, dtype=torch.float32) for matrix in self.matrices]
        self.passes_on = passes_on
        members = len(linears[0].weight)
        sizes = [(linear.weight.shape[1], linear.weight.shape[2]) for linear in linears]
        self.read = [torch.ones(members, n_rows, matrix.shape[1], dtype=torch.float32) for matrix in self.matrices]
        self.hidden = [read[..., :n_in] for read, (n_in, _) in zip(self.read, sizes, strict=True)]
        # What a layer gives, and then its gradient in the same memory: less of it has to be fetched.
        self.given = [torch.empty(members, n_rows, matrix.shape[2], dtype=torch.float32) for matrix in self.matrices]
        self.before = [given[..., :n_out] for given, (_, n_out) in zip(self.given, sizes, strict=True)]
        scratch = torch.empty(members * n_rows * max(n_in for n_in, _ in sizes), dtype=torch.float32)
        self.by_hidden = [scratch[: hidden.numel()].view(hidden.shape) for hidden in self.hidden]
        self.inputs, self.outputs = self.hidden[0], self.before[-1]
        self.around = None if body.skip is None else sizes[-1][0] + 1

    def run(self) -> None:
        """From inputs to outputs."""
        if self.around is not None:
            self.read[-1][..., self.around :].copy_(self.inputs)
        for number, (read, matrix, given) in enumerate(zip(self.read, self.matrices, self.given, strict=True)):
            if number:
                torch.ops.aten.silu.out(self.before[number - 1], out=self.hidden[number])
            torch.bmm(read, matrix, out=given)

    def differentiate(self) -> Tensor | None:
        """From the gradient of the outputs to that of the weights, and of the inputs where it is passed on.

        Those of the inputs are the caller's until the next call.
        """
        for number in reversed(range(len(self.read))):
            torch.bmm(self.read[number].mT, self.given[number], out=self.by_matrices[number])
            if number:
                before = self.before[number - 1]
                torch.ops.aten.silu_backward.grad_input(self._by_hidden(number), before, grad_input=before)
        if not self.passes_on:
            return None
        by_inputs = self._by_hidden(0)
        if self.around is not None:
            by_inputs.baddbmm_(self.given[-1], self.matrices[-1][:, self.around :].mT)
        return by_inputs

    def _by_hidden(self, number: int) -> Tensor:
        n_hidden = self.hidden[number].shape[-1]
        return torch.bmm(self.given[number], self.matrices[number][:, :n_hidden].mT, out=self.by_hidden[number])


class _Cells:
    """log p(x | z) of rows, and its gradient: as the likelihood states it, or else by autograd.

    Parameters
    ----------
    vae : VAE
    outputs : Tensor of shape (members, rows, outputs)
        Of the decoder: read by `log_likelihood`, and replaced by their gradient by `differentiate`.
    by_noise : Tensor of shape (members, 1, noise parameters)
        For the gradient with regard to ``vae.raw_noise``.
    """

    def __init__(self, vae: VAE, outputs: Tensor, by_noise: Tensor) -> None:
        # With an axis for the one draw, as distributions have it everywhere.
        self.vae, self.outputs, self.by_noise = vae, outputs.unsqueeze(1), by_noise.unsqueeze(1)
        self.raw_noise = vae.raw_noise.detach()[:, None, None]
        self.stated: list[tuple[Group, Backward]] = []
        self.recorded: list[tuple[Group, Tensor]] = []
        self.sources: list[Tensor] = []
        self.observed: Tensor | None = None

    def log_likelihood(self, rows: Batch, *, complete: bool) -> Tensor:
        """Sums over the observed cells of each row, nats, in the units of the data: (members, rows).

        Parameters
        ----------
        rows : Batch
            Of shape (members, rows, columns); constant columns, which come last, may be left out.
        complete : bool
            Whether it is known that no cell is missing.
        """
        vae, values = self.vae, rows.values.unsqueeze(1)
        self.stated, self.recorded, self.sources = [], [], []
        parts = []
        for group in vae.groups:
            if group.columns.stop > rows.n_columns:
                continue
            cells, constants, likelihood = values[..., group.columns], vae.constants(group), group.likelihood
            if isinstance(likelihood, StatesGradient):
                log_noise = self.raw_noise[..., group.noise] * NOISE_GAIN
                log_prob, backward = likelihood.log_prob_with_gradient(
                    cells, group.arrange(self.outputs), log_noise, constants
                )
                self.stated.append((group, backward))
            else:
                self.sources = self.sources or [own.clone().requires_grad_() for own in (self.outputs, self.raw_noise)]
                with torch.enable_grad():
                    log_noise = self.sources[1][..., group.noise] * NOISE_GAIN
                    own = likelihood.distribution(group.arrange(self.sources[0]), log_noise, constants)
                    log_prob = own.log_prob(cells)
                if log_prob.requires_grad:
                    self.recorded.append((group, log_prob))
            parts.append(log_prob.detach())
        of_cells = vae.in_data_units(torch.cat(parts, -1) if len(parts) > 1 else parts[0], values)
        self.observed = None if complete else rows.observed.unsqueeze(1)
        return (of_cells if self.observed is None else of_cells.where(self.observed, 0.0)).sum(-1).squeeze(1)

    def differentiate(self, by_rows: Tensor) -> None:
        """Fill `by_noise`, and put the gradient with regard to the outputs in their place.

        Parameters
        ----------
        by_rows : Tensor of shape (members, rows)
            Derivatives with regard to the log-likelihoods.
        """
        by_cells = by_rows[:, None, :, None]
        if self.observed is not None:
            by_cells = by_cells * self.observed

        def of_group(group: Group) -> Tensor:
            return by_cells if self.observed is None else by_cells[..., group.columns]

        if self.recorded:
            by_outputs, by_noise = torch.autograd.grad(
                [log_prob for _, log_prob in self.recorded],
                self.sources,
                [of_group(group).expand_as(log_prob) for group, log_prob in self.recorded],
                materialize_grads=True,
            )
            self.outputs.copy_(by_outputs)
            self.by_noise.copy_(by_noise)
        elif len(self.stated) < len(self.vae.groups):
            # Outputs of constant columns have no part in it.
            self.outputs.zero_()
        for group, backward in self.stated:
            by_parameters, by_log_noise = backward(of_group(group))
            group.arrange(self.outputs).copy_(by_parameters)
            torch.mul(by_log_noise, NOISE_GAIN, out=self.by_noise[..., group.noise])
