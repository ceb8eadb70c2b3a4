"""The loop, readable top to bottom."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vae_anomaly.batch import Batch
from vae_anomaly.elbo import elbo_terms
from vae_anomaly.errors import TrainingDiverged
from vae_anomaly.vae import VAE

N_CHECKS = 20
PROBE_ROWS = 64
WARMUP_STEPS = 50
CLEAR_VIEW_SHARE = 0.65
ROLLBACK_FACTOR = 0.1


@dataclass(frozen=True)
class Plan:
    """How to train; every field is a parameter of the estimator, with the same name and meaning."""

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


@dataclass
class History:
    """What happened, one entry a check; nats per row, means over members, without the terms of constant columns.

    Parameters
    ----------
    iteration : list of int
        Optimisation steps made.
    elbo : list of float
        On the training mini-batches since the last check, with the encoder's view partly hidden.
    kl : list of float
        On the same mini-batches.
    validation_elbo : list of float
        On the held-out rows; empty if there are none.
    learning_rate : list of float
        At the check.
    """

    iteration: list[int] = field(default_factory=list)
    elbo: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    validation_elbo: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    stopped_early: bool = False
    interrupted: bool = False
    rolled_back: bool = False


def train(
    vae: VAE,
    batch: Batch,
    subsamples: Tensor,
    weights: Tensor | None,
    validation: Batch | None,
    validation_noise: Tensor,
    plan: Plan,
    generator: torch.Generator,
    on_check: Callable[[History], None] | None = None,
) -> History:
    """Fit the weights of all members at once and leave the best of each in `vae`.

    Parameters
    ----------
    vae : VAE
        With initial weights; changed in place.
    batch : Batch
        Training rows on the model's device, (rows, columns).
    subsamples : int64 Tensor of shape (members, rows a member)
        Rows that each member trains on.
    weights : Tensor of shape (rows,), optional
        Weights of the training rows, with mean 1.
    validation : Batch, optional
        Held-out rows for early stopping; a member's best weights are those with its best ELBO here.
    validation_noise : Tensor of shape (members, draws, 1, latents)
        Noise for the held-out rows, the same at each check.
    plan : Plan
        How to train.
    generator : torch.Generator
        Local source of everything random, on the model's device.
    on_check : callable, optional
        Called with the history after each check.

    Returns
    -------
    History

    Raises
    ------
    TrainingDiverged
        If the loss is not finite for the second time, after a rollback with a tenth of the step.
    """
    history = History()
    keeper = _Keeper(vae)
    features = vae.features(batch)
    optimizer = _optimizer(vae, plan)
    stream = _minibatches(subsamples, plan.batch_size, generator)
    interval = -(-plan.max_iter // N_CHECKS)
    warmup = max(1.0, plan.kl_warmup * plan.max_iter)
    probe = batch.take(slice(0, PROBE_ROWS)) if validation is None else validation
    sums = torch.zeros(2, device=subsamples.device, dtype=torch.float32)
    factor, step, checked, kl_weight, rate = 1.0, 0, 0, 0.0, 0.0

    def check() -> bool:
        """Record the present weights, or go back to the last finite ones and return False."""
        elbo, kl = (sums / (step - checked)).tolist()
        sums.zero_()
        bound = _held_out_elbo(vae, probe, validation_noise, plan.trim_fraction)
        if not (math.isfinite(elbo) and bool(bound.isfinite().all())):
            if history.rolled_back or (not history.iteration and step >= plan.max_iter):
                last = -history.elbo[-1] if history.elbo else math.nan
                steps_an_epoch = max(1, subsamples.shape[1] // plan.batch_size)
                raise TrainingDiverged(step, (step - 1) // steps_an_epoch + 1, last)
            history.rolled_back = True
            keeper.restore_last()
            return False
        history.iteration.append(step)
        history.elbo.append(elbo)
        history.kl.append(kl)
        history.learning_rate.append(rate)
        if validation is not None:
            history.validation_elbo.append(float(bound.mean()))
        # While the KL is warming up the members are not yet trained on the bound that they are compared by.
        keeper.record(bound if validation is not None and kl_weight == 1 else None)
        if on_check is not None:
            on_check(history)
        return True

    try:
        while step < plan.max_iter:
            rate = factor * plan.learning_rate_init * _schedule(step, plan.max_iter)
            for parameters in optimizer.param_groups:
                parameters["lr"] = rate
            kl_weight = min(1.0, (step + 1) / warmup)
            rows = next(stream)
            sums += _step(vae, optimizer, batch, features, weights, rows, kl_weight, plan, generator)
            step += 1
            if step % interval and step < plan.max_iter:
                continue
            if not check():
                optimizer = _optimizer(vae, plan)
                factor = ROLLBACK_FACTOR
            checked = step
            if plan.early_stopping and keeper.n_stale >= plan.n_iter_no_change:
                history.stopped_early = True
                break
    except KeyboardInterrupt:
        if step == 0 or (step == checked and not history.iteration):
            raise
        history.interrupted = True
        if step > checked:
            check()
    keeper.restore_best()
    return history


def _step(
    vae: VAE,
    optimizer: torch.optim.Optimizer,
    data: Batch,
    features: Tensor,
    weights: Tensor | None,
    rows: Tensor,
    kl_weight: float,
    plan: Plan,
    generator: torch.Generator,
) -> Tensor:
    """One step of all members; returns their mean ELBO and KL, (2,)."""
    members, n_rows = rows.shape
    shape = (members, 1, n_rows, vae.latent_dim)
    noise = torch.randn(shape, generator=generator, device=rows.device, dtype=features.dtype)
    batch = data.take(rows)
    visible = _visible(batch, plan.hidden_fraction, generator) if plan.hidden_fraction > 0 else None
    terms = elbo_terms(vae, batch, noise, visible, features[rows])
    reconstruction, kl = terms.reconstruction, terms.kl
    losses = kl_weight * kl - reconstruction
    importance = torch.ones_like(losses) if weights is None else weights[rows]
    n_trimmed = int(plan.trim_fraction * n_rows)
    if n_trimmed:
        worst = losses.detach().topk(n_trimmed, dim=1, sorted=False).indices
        importance = importance.scatter(1, worst, 0.0)
    # Divided by the number of columns so that the clipping threshold means the same for narrow and wide tables.
    loss = (losses * importance).sum(1) / importance.sum(1).clamp(min=1e-12) / batch.n_columns
    optimizer.zero_grad(set_to_none=True)
    loss.sum().backward()
    _clip(vae, plan.max_grad_norm)
    optimizer.step()
    return torch.stack([(reconstruction - kl).detach().mean(), kl.detach().mean()])


def _visible(batch: Batch, hidden_fraction: float, generator: torch.Generator) -> Tensor:
    """Hide each cell of a row from the encoder with a probability of the row's own, between 0 and `hidden_fraction`."""
    members, n_rows, n_columns = batch.values.shape
    device = batch.values.device
    rates = torch.rand(members, n_rows, 1, generator=generator, device=device, dtype=torch.float32) * hidden_fraction
    clear = torch.rand(members, n_rows, 1, generator=generator, device=device, dtype=torch.float32) < CLEAR_VIEW_SHARE
    cells = torch.rand(members, n_rows, n_columns, generator=generator, device=device, dtype=torch.float32)
    return cells >= rates.masked_fill(clear, 0.0)


def _clip(vae: VAE, max_grad_norm: float) -> None:
    """Scale each member's gradient to at most `max_grad_norm`, so that one member's outlier slows no other."""
    gradients = [parameter.grad for parameter in vae.parameters() if parameter.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
    factor = (max_grad_norm / torch.linalg.vector_norm(norms, dim=0).clamp(min=1e-12)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))


def _optimizer(vae: VAE, plan: Plan) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        vae.parameters(),
        lr=plan.learning_rate_init,
        betas=(0.9, 0.99),
        weight_decay=plan.weight_decay,
        fused=vae.raw_noise.device.type in ("cpu", "cuda"),
    )


def _schedule(step: int, n_steps: int) -> float:
    """Linear warm-up, then half a cosine down to 0."""
    warmup = min(WARMUP_STEPS, max(1, n_steps // 10))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, n_steps - warmup)))


def _minibatches(subsamples: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless mini-batches (members, batch size); every pass visits a member's rows in a new order."""
    members, n_rows = subsamples.shape
    size = min(batch_size, n_rows)
    while True:
        order = torch.rand(members, n_rows, generator=generator, device=subsamples.device, dtype=torch.float32).argsort(
            1
        )
        shuffled = subsamples.gather(1, order)
        for begin in range(0, n_rows - size + 1, size):
            yield shuffled[:, begin : begin + size]


@torch.no_grad()
def _held_out_elbo(vae: VAE, rows: Batch, noise: Tensor, trim_fraction: float) -> Tensor:
    """Mean ELBO of each member on some rows, the worst `trim_fraction` of them left out as in training."""
    elbo = elbo_terms(vae, rows, noise).elbo
    n_kept = elbo.shape[1] - int(trim_fraction * elbo.shape[1])
    return elbo.topk(n_kept, dim=1, sorted=False).values.mean(1)


class _Keeper:
    """Each member's best weights so far, and the last ones that were finite."""

    def __init__(self, vae: VAE) -> None:
        self.vae = vae
        self.best: Tensor | None = None
        self.kept = copy.deepcopy(vae.state_dict())
        self.last = self.kept
        self.n_stale = 0

    @torch.no_grad()
    def record(self, bound: Tensor | None) -> None:
        state = {name: tensor.clone() for name, tensor in self.vae.state_dict().items()}
        self.last = state
        if bound is None:
            self.kept = state
            return
        better = bound > self.best if self.best is not None else torch.ones_like(bound, dtype=torch.bool)
        self.n_stale = 0 if bool(better.any()) else self.n_stale + 1
        self.best = bound if self.best is None else torch.maximum(bound, self.best)
        weights = dict(self.vae.named_parameters())
        self.kept = {
            name: torch.where(better.view(-1, *[1] * (tensor.dim() - 1)), tensor, self.kept[name])
            if name in weights
            else tensor
            for name, tensor in state.items()
        }

    def restore_last(self) -> None:
        self.vae.load_state_dict(self.last)

    def restore_best(self) -> None:
        self.vae.load_state_dict(self.kept)
