"""One optimisation step of all members: its mini-batch, its gradient and where the weights are stored."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.optim.adamw import adamw

from vae_anomaly.columns import MAX_SEEDS, Batch, taken
from vae_anomaly.forks import ForkSafeLock
from vae_anomaly.model.closed_form import ClosedForm, has_closed_form
from vae_anomaly.model.elbo import elbo_terms
from vae_anomaly.model.flat_weights import FlatWeights
from vae_anomaly.model.ranks import Share
from vae_anomaly.model.vae import VAE

FULL_VIEW_SHARE = 0.65
PREPARED_CELLS = 1 << 20
BYTE_LEVELS = 256
EAGER_STEPS = 3
BETAS, EPSILON = (0.9, 0.99), 1e-8


class Redraw:
    """Replaces the rows of mini-batches by others, at random.

    Parameters
    ----------
    change : callable
        From rows and a seed to other rows of the same shape.
    seed : int
        Of the seeds.
    """

    def __init__(self, change: Callable[[Batch, int], Batch], seed: int) -> None:
        self.change = change
        self.rng = np.random.default_rng(seed)

    def __call__(self, rows: Batch) -> Batch:
        """Other rows in place of these."""
        return self.change(rows, self._seed())

    def skip(self, n_calls: int) -> None:
        """Go on as after so many calls."""
        for _ in range(n_calls):
            self._seed()

    def _seed(self) -> int:
        return int(self.rng.integers(MAX_SEEDS))


@dataclass(frozen=True)
class TrainingConfig:
    """How to train: the parameters of `VAEDetector` and `TrainingPlan` with these names, and one more.

    Parameters
    ----------
    max_iter : int
        Optimisation steps.
    batch_size : int
        Rows of a mini-batch, for each member.
    learning_rate_init : float
        Largest step of AdamW.
    weight_decay : float
        Of AdamW.
    kl_warmup : float
        Share of the steps over which the weight of the KL rises to its full value.
    hidden_fraction : float
        Largest probability with which cells of a row are hidden from the encoder; 0 hides none.
    trim_fraction : float
        Share of each mini-batch, the rows with the largest loss, that is left out of the gradient.
    max_grad_norm : float
        Largest norm of a member's gradient.
    early_stopping : bool
        Whether to stop when no member improves on held-out rows.
    n_iter_no_change : int
        Checks without improvement before stopping.
    kl_weight : float
        Weight of the KL in the loss after its warm-up: 0 where latents carry what is given, and cost nothing.
    """

    max_iter: int
    batch_size: int
    learning_rate_init: float
    weight_decay: float
    kl_warmup: float
    hidden_fraction: float
    trim_fraction: float
    max_grad_norm: float
    early_stopping: bool
    n_iter_no_change: int
    kl_weight: float


@dataclass(frozen=True)
class MiniBatch:
    """The input of a step of all members.

    Parameters
    ----------
    rows : Batch
        Of shape (members, rows, columns).
    inputs : Tensor of shape (members, rows, inputs)
        What the encoder reads, with some cells hidden.
    noise : Tensor of shape (members, 1, rows, latents)
        Standard normal noise.
    importance : Tensor of shape (members, rows), optional
        Weights of the rows; of all rows of the mini-batch where this process has a share of them.
    complete : bool
        Whether it is known that no cell is missing.
    """

    rows: Batch
    inputs: Tensor
    noise: Tensor
    importance: Tensor | None
    complete: bool

    def step(self, index: int) -> MiniBatch:
        """One of several mini-batches that were prepared at once, with the steps in front."""
        importance = None if self.importance is None else self.importance[index]
        return MiniBatch(
            Batch(self.rows.values[index], self.rows.observed[index]),
            self.inputs[index],
            self.noise[index],
            importance,
            self.complete,
        )

    @property
    def tensors(self) -> list[Tensor]:
        """All of its tensors."""
        tensors = [self.rows.values, self.rows.observed, self.inputs, self.noise]
        return tensors if self.importance is None else [*tensors, self.importance]

    def copy(self) -> MiniBatch:
        """The same in memory of its own."""
        importance = None if self.importance is None else self.importance.clone()
        rows = Batch(self.rows.values.clone(), self.rows.observed.clone())
        return MiniBatch(rows, self.inputs.clone(), self.noise.clone(), importance, self.complete)

    def fill(self, other: MiniBatch) -> None:
        """Take the numbers of another one of the same shape."""
        for own, new in zip(self.tensors, other.tensors, strict=True):
            own.copy_(new)


@dataclass(frozen=True)
class Position:
    """Where in its endless mini-batches a training is: at a step of those that were prepared at once.

    Parameters
    ----------
    generator : uint8 Tensor
        State of the source of everything random, before they were prepared.
    shuffled : int64 Tensor of shape (members, rows per member), optional
        The order of the present pass then; None before the first.
    n_visited : int
        Rows per member that this pass had visited then.
    n_blocks : int
        How often mini-batches had been prepared then.
    n_prepared : int
        Mini-batches that are prepared at once.
    n_steps : int
        How many of these have been made.
    """

    generator: Tensor
    shuffled: Tensor | None
    n_visited: int
    n_blocks: int
    n_prepared: int
    n_steps: int


class MiniBatches:
    """Endless mini-batches of every member's own rows, several prepared at once.

    Parameters
    ----------
    vae : VAE
        Who is trained.
    data : Batch
        Training rows, (rows, columns).
    subsamples : int64 Tensor of shape (members, rows per member)
        Rows that each member trains on; every pass visits them in a new order.
    weights : Tensor of shape (rows,), optional
        Weights of the training rows.
    config : TrainingConfig
        How to train.
    generator : torch.Generator
        Source of everything random, on the model's device.
    redraw : Redraw, optional
        Replaces the rows of a mini-batch by others.
    share : Share, optional
        The rows of a mini-batch that this process computes; everything random is drawn for all of them.
    """

    def __init__(
        self,
        vae: VAE,
        data: Batch,
        subsamples: Tensor,
        weights: Tensor | None,
        config: TrainingConfig,
        generator: torch.Generator,
        redraw: Redraw | None = None,
        share: Share | None = None,
    ) -> None:
        self.vae, self.data, self.weights, self.redraw, self.share = vae, data, weights, redraw, share
        self.hidden_fraction, self.generator = config.hidden_fraction, generator
        self.features = vae.features(data)
        # As they are where no number is extreme: these need not be gathered twice.
        self.reads_values = torch.equal(self.features, data.values)
        self.complete = redraw is None and bool(data.observed.all())
        self.size = min(config.batch_size, subsamples.shape[1])
        self.subsamples = subsamples
        self.shuffled: Tensor | None = None
        self.n_visited = self.n_blocks = self.n_made = 0
        self.orders = self._orders()
        cells = len(subsamples) * self.size * (2 * self.features.shape[-1] + data.n_columns + vae.latent_dim)
        self.n_prepared = max(1, PREPARED_CELLS // cells)
        self.block = self._next_block()

    def __iter__(self) -> Iterator[MiniBatch]:
        while True:
            begin, self.n_made = self.n_made, 0
            self.block = self._next_block()
            prepared = self.prepare(self.n_prepared)
            self.n_blocks += 1
            for index in range(begin, self.n_prepared):
                self.n_made = index + 1
                yield prepared.step(index)
            self.n_made = 0

    @property
    def position(self) -> Position:
        """Where it is, to go on from there another time."""
        return replace(self.block, n_steps=self.n_made)

    def go_to(self, position: Position) -> None:
        """Go on at a position of the same mini-batches, instead of the beginning."""
        self.generator.set_state(position.generator)
        self.shuffled = None if position.shuffled is None else position.shuffled.to(self.subsamples.device)
        self.n_visited, self.n_blocks, self.n_prepared = position.n_visited, position.n_blocks, position.n_prepared
        self.n_made = position.n_steps
        if self.redraw is not None:
            self.redraw.skip(position.n_blocks)

    def _next_block(self) -> Position:
        state = self.generator.get_state()
        return Position(state, self.shuffled, self.n_visited, self.n_blocks, self.n_prepared, 0)

    def prepare(self, n_steps: int) -> MiniBatch:
        """Mini-batches of the next `n_steps` steps, which are the first axis of every tensor."""
        rows = torch.stack([next(self.orders) for _ in range(n_steps)])
        own = rows if self.share is None else rows[..., self.share.own]
        if self.redraw is None:
            batch = self._taken(own)
            features = batch.values if self.reads_values else taken(self.features, own)
        else:
            # One change for all rows of the mini-batch, whoever computes them.
            batch, features = self.redraw(self._taken(rows)), None
            batch = batch if self.share is None else batch.at(self.share.own)
        noise = torch.randn(
            (*rows.shape[:2], 1, rows.shape[2], self.vae.latent_dim),
            generator=self.generator,
            device=rows.device,
            dtype=torch.float32,
        )
        visible = self._visible((*rows.shape, batch.n_columns)) if self.hidden_fraction > 0 else None
        if self.share is not None:
            noise = noise[..., self.share.own, :]
            visible = None if visible is None else visible[..., self.share.own, :]
        inputs = self.vae.inputs(batch, visible, features)
        importance = None if self.weights is None else self.weights[rows]
        return MiniBatch(batch, inputs, noise, importance, self.complete)

    def _taken(self, rows: Tensor) -> Batch:
        if not self.complete:
            return self.data.take(rows)
        values = taken(self.data.values, rows)
        return Batch(values, self.data.observed[:1, :1].expand(values.shape))

    def _orders(self) -> Iterator[Tensor]:
        """Rows of one step after the other: (members, batch size)."""
        shape, device = self.subsamples.shape, self.subsamples.device
        while True:
            if self.shuffled is None or self.n_visited + self.size > shape[1]:
                keys = torch.rand(shape, generator=self.generator, device=device, dtype=torch.float32)
                self.shuffled, self.n_visited = self.subsamples.gather(1, keys.argsort(1)), 0
            begin, self.n_visited = self.n_visited, self.n_visited + self.size
            yield self.shuffled[:, begin : self.n_visited]

    def _visible(self, shape: tuple[int, ...]) -> Tensor:
        """Hide each cell of a row with a probability of the row's own, between 0 and `hidden_fraction`.

        Compared by the byte, eight of which come from one random number.
        """
        *of_rows, n_columns = shape
        n_cells, device = math.prod(shape), self.subsamples.device
        shares = torch.rand(2, *of_rows, 1, generator=self.generator, device=device, dtype=torch.float32)
        rates = torch.where(shares[1] < FULL_VIEW_SHARE, 0.0, shares[0] * self.hidden_fraction)
        numbers = torch.empty(-(-n_cells // 8), dtype=torch.int64, device=device)
        numbers.random_(-(2**63), None, generator=self.generator)
        cells = numbers.view(torch.uint8)[:n_cells].view(*of_rows, n_columns)
        return cells >= (rates * BYTE_LEVELS).to(torch.uint8)


def by_autograd(
    vae: VAE,
    weights: FlatWeights,
    minibatch: MiniBatch,
    kl_weight: float | Tensor,
    config: TrainingConfig,
    share: Share | None = None,
) -> tuple[Tensor, Tensor]:
    """Fill the gradient; returns the terms of the ELBO, reconstruction and KL by row: (members, rows) each."""
    terms = elbo_terms(vae, minibatch.rows, minibatch.noise, minibatch.inputs)
    reconstruction, kl = terms.reconstruction, terms.kl
    losses = kl_weight * kl - reconstruction
    counts = _counts(losses.detach(), minibatch.importance, config.trim_fraction, share)
    weights.differentiate((losses * counts).sum() / minibatch.rows.n_columns)
    return reconstruction.detach(), kl.detach()


def in_closed_form(
    closed: ClosedForm,
    minibatch: MiniBatch,
    kl_weight: float | Tensor,
    config: TrainingConfig,
    share: Share | None = None,
) -> tuple[Tensor, Tensor]:
    """The same as `by_autograd`."""
    reconstruction, kl = closed.terms(minibatch.rows, minibatch.inputs, minibatch.noise, complete=minibatch.complete)
    losses = kl_weight * kl - reconstruction
    by_losses = _counts(losses, minibatch.importance, config.trim_fraction, share) / minibatch.rows.n_columns
    closed.differentiate(-by_losses, kl_weight * by_losses)
    return reconstruction, kl


def _counts(losses: Tensor, importance: Tensor | None, trim_fraction: float, share: Share | None = None) -> Tensor:
    """How much each row counts in the loss of its member: (members, rows), with a sum of 1 over rows.

    The loss is further divided by the number of columns, so that the clipping threshold means the same for narrow and
    wide tables.  Where this process has a share of the rows, all rows of the mini-batch count together.
    """
    if share is not None:
        # Which rows are trimmed depends on the losses of all.
        of_all = share.whole(losses) if trim_fraction else losses.new_zeros(len(losses), share.n_rows)
        return _counts(of_all, importance, trim_fraction)[:, share.own]
    n_trimmed = int(trim_fraction * losses.shape[1])
    if importance is None and not n_trimmed:
        return torch.full_like(losses, 1 / losses.shape[1])
    kept = torch.ones_like(losses) if importance is None else importance
    if n_trimmed:
        kept = kept.scatter(1, losses.topk(n_trimmed, dim=1, sorted=False).indices, 0.0)
    return kept / kept.sum(1, keepdim=True).clamp(min=1e-12)


_RECORDING = ForkSafeLock()


class CudaGraph:
    """Work on tensors that keep their memory, recorded once and replayed without the host."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream()
        # Threads record one after the other, and go on with all else while one of them records.
        try:
            with _RECORDING, torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                work()
        except BaseException:
            # After a recording that failed PyTorch stays on its stream, and the global generator, which nothing here
            # draws from, refuses to draw ("Offset increment outside graph capture").
            torch.cuda.set_stream(stream)
            generator = torch.cuda.default_generators[torch.cuda.current_device()]
            generator.graphsafe_set_state(generator.clone_state())
            raise

    def __call__(self) -> None:
        """Do the work again."""
        self.graph.replay()


class Stepper:
    """Takes the steps of all members: eagerly, or as replays of one recorded step where a device can record.

    Parameters
    ----------
    vae : VAE
        Who is trained.
    weights : FlatWeights
        Its weights.
    config : TrainingConfig
        How to train.
    record : callable, optional
        Turns work on tensors that keep their memory into something that repeats it; by default `CudaGraph` on CUDA.
    share : Share, optional
        The rows of a mini-batch that this process computes; gradients are added up over all processes, and every step
        is eager.

    Attributes
    ----------
    sums : Tensor of shape (2, members, rows)
        Reconstruction and KL, added up over the steps since it was last set to 0.
    """

    def __init__(
        self,
        vae: VAE,
        weights: FlatWeights,
        config: TrainingConfig,
        record: Callable[[Callable[[], None]], Callable[[], None]] | None = None,
        share: Share | None = None,
    ) -> None:
        self.vae, self.weights, self.config, self.share = vae, weights, config, share
        device = weights.flat.device
        self.on_cuda = device.type == "cuda"
        self.record = CudaGraph if record is None and share is None and self.on_cuda else record
        self.moments = torch.zeros_like(weights.flat), torch.zeros_like(weights.flat)
        # What a recorded step reads has to be on the device.
        self.n_taken, self.rate, self.kl_weight = (
            torch.full((), start, device=device, dtype=torch.float32) for start in (0.0, config.learning_rate_init, 1.0)
        )
        self.has_closed_form = has_closed_form(vae)
        self.closed: ClosedForm | None = None
        self.sums: Tensor | None = None
        self.n_eager = 0
        self.replay: Callable[[], None] | None = None
        self.buffers: MiniBatch | None = None

    def step(self, minibatch: MiniBatch, rate: float, kl_weight: float) -> None:
        """Change the weights once.

        Parameters
        ----------
        minibatch : MiniBatch
            Rows of every member, of the same shape in each step.
        rate : float
            Length of the step.
        kl_weight : float
            Weight of the KL in the loss.
        """
        if self.record is None:
            self._change(minibatch, rate, kl_weight)
            return
        self.rate.fill_(rate)
        self.kl_weight.fill_(kl_weight)
        if self.buffers is None:
            self.buffers = minibatch.copy()
        else:
            self.buffers.fill(minibatch)
        if self.replay is None and self.n_eager == EAGER_STEPS:
            buffers = self.buffers
            # A likelihood or backbone of the user's may do what no device can record: then every step is eager.
            with contextlib.suppress(RuntimeError):
                self.replay = self.record(lambda: self._change(buffers, self.rate, self.kl_weight))
        if self.replay is None:
            self.n_eager += 1
            self._change(self.buffers, self.rate, self.kl_weight)
        else:
            self.replay()

    @torch.no_grad()
    def _change(self, minibatch: MiniBatch, rate: float | Tensor, kl_weight: float | Tensor) -> None:
        if self.has_closed_form:
            self.closed = self.closed or ClosedForm(self.vae, self.weights, len(minibatch.rows))
            terms = in_closed_form(self.closed, minibatch, kl_weight, self.config, self.share)
        else:
            with torch.enable_grad():
                terms = by_autograd(self.vae, self.weights, minibatch, kl_weight, self.config, self.share)
        if self.share is not None:
            self.share.ranks.add_up(self.weights.gradient)
        self.weights.clip(self.config.max_grad_norm)
        weight_decay = self.config.weight_decay
        if self.on_cuda and weight_decay:
            # A level that a column has not got has an offset of -inf, and the fused step on CUDA, which subtracts the
            # decay instead of multiplying, would make NaN of it.
            self.weights.flat.mul_(1 - weight_decay * rate)
            weight_decay = 0.0
        # The function and not the class, whose first use loads the compiler: more than a second for every process.
        adamw(
            [self.weights.flat],
            [self.weights.gradient],
            [self.moments[0]],
            [self.moments[1]],
            [],
            [self.n_taken],
            fused=self.weights.flat.device.type in ("cpu", "cuda"),
            capturable=self.on_cuda,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=weight_decay,
            eps=EPSILON,
            maximize=False,
        )
        if self.sums is None:
            self.sums = torch.zeros(2, *terms[0].shape, dtype=torch.float32, device=terms[0].device)
        for added_up, term in zip(self.sums, terms, strict=True):
            added_up += term
