"""The loop, readable top to bottom."""

from __future__ import annotations

import math
import time
from bisect import bisect
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

import pandas as pd
import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.display import Shown, counted
from vae_anomaly.errors import TrainingDiverged
from vae_anomaly.model.closed_form import has_closed_form
from vae_anomaly.model.elbo import elbo_terms
from vae_anomaly.model.flat_weights import FlatWeights
from vae_anomaly.model.matmul import LANES
from vae_anomaly.model.ranks import Ranks
from vae_anomaly.model.steps import MiniBatches, Redraw, Stepper, TrainingConfig
from vae_anomaly.model.training_state import (
    TrainingState,
    TrainingStates,
    digests_of,
    name_of_training,
    unpacked_state,
)
from vae_anomaly.model.vae import VAE

N_CHECKS = 20
PROBE_ROWS = 64
WARMUP_STEPS = 50
ROLLBACK_FACTOR = 0.1


@dataclass(repr=False)
class History(Shown):
    """What happened, one entry per check; nats per row, means over members, without the terms of constant columns.

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
    stopped_early, interrupted, rolled_back : bool
        Whether held-out rows, a person or a loss that was not finite intervened.
    stopped_by : str
        Why a callback stopped the training; empty if none did.
    """

    iteration: list[int] = field(default_factory=list)
    elbo: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    validation_elbo: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    stopped_early: bool = False
    interrupted: bool = False
    rolled_back: bool = False
    stopped_by: str = ""

    def _summary(self) -> str:
        if not self.iteration:
            return "no checks"
        held_out = f", held-out {self.validation_elbo[-1]:,.2f}" if self.validation_elbo else ""
        ended = {"stopped early": self.stopped_early, "interrupted": self.interrupted, "rolled back": self.rolled_back}
        how = "".join(f", {word}" for word, is_so in ended.items() if is_so)
        how += f", stopped by {self.stopped_by}" if self.stopped_by else ""
        elbo = f"ELBO {self.elbo[-1]:,.2f} nats{held_out}, KL {self.kl[-1]:,.2f}"
        return f"{counted(len(self.iteration), 'check')}, {counted(self.iteration[-1], 'iteration')}, {elbo}{how}"

    def _table(self) -> pd.DataFrame:
        lines = {"iteration": self.iteration, "ELBO": self.elbo, "held-out ELBO": self.validation_elbo, "KL": self.kl}
        return pd.DataFrame({name: values for name, values in lines.items() if values}).iloc[::-1]


@dataclass(frozen=True)
class TrainingCheck:
    """What is known of a training at one of its checks; nats per row, means over members.

    Parameters
    ----------
    history : History
        All checks so far; the training goes on writing to it.
    iteration, max_iter : int
        Optimisation steps made, and those of a full training.
    elbo, kl : float
        On the training mini-batches since the check before.
    validation_elbo : float or None
        On the held-out rows; None if there are none.
    learning_rate : float
        Of the last step.
    seconds : float
        Since the training began.
    rows_per_second : float
        Rows of mini-batches, of all members together.
    training, n_trainings : int
        Which training of the fit it is, from 0, and how many there are: more than one where there are several models.
    """

    history: History
    iteration: int
    max_iter: int
    elbo: float
    kl: float
    validation_elbo: float | None
    learning_rate: float
    seconds: float
    rows_per_second: float
    training: int = 0
    n_trainings: int = 1

    @classmethod
    def last(cls, history: History, max_iter: int, rows_per_step: int, seconds: float) -> TrainingCheck:
        """The last check of a history."""
        n_steps = history.iteration[-1]
        return cls(
            history=history,
            iteration=n_steps,
            max_iter=max_iter,
            elbo=history.elbo[-1],
            kl=history.kl[-1],
            validation_elbo=history.validation_elbo[-1] if history.validation_elbo else None,
            learning_rate=history.learning_rate[-1],
            seconds=seconds,
            rows_per_second=n_steps * rows_per_step / max(seconds, 1e-9),
        )

    @property
    def seconds_left(self) -> float:
        """Of a full training, at the pace so far."""
        return self.seconds * (self.max_iter - self.iteration) / self.iteration


class StopTraining(Exception):
    """Ends a training at a check, which keeps the best weights so far.

    Parameters
    ----------
    reason : str
        Why, for `History.stopped_by`.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason or "a callback"


OnCheck: TypeAlias = Callable[[TrainingCheck], None]


# At each check it gives where it is, and takes why it shall stop: no reason, no stop.
PausedTraining: TypeAlias = Generator["Progress", str, History]


@dataclass(frozen=True)
class Progress:
    """Where a training is at one of its checks.

    Parameters
    ----------
    history : History
        All checks so far; the training goes on writing to it.
    rows_per_step : int
        Rows of a mini-batch, of all its members together.
    seconds : float
        Since the training began.
    """

    history: History
    rows_per_step: int
    seconds: float


def train(trainings: Sequence[PausedTraining], max_iter: int, on_check: OnCheck | None = None) -> History:
    """Make all steps of trainings that know nothing of one another, from check to check side by side.

    Parameters
    ----------
    trainings : sequence of generator
        Of `paused_training`, with the same checks.
    max_iter : int
        Steps of each.
    on_check : callable, optional
        Called at each check, with all of them together; `StopTraining` ends them, any other exception is passed on.

    Returns
    -------
    History
        Of all together, see `joined`.

    Raises
    ------
    SpecificationError, TrainingDiverged
        See `paused_training`.
    """
    running = dict(enumerate(trainings))
    found: dict[int, Progress] = {}
    whole, n_told = History(), 0
    reason: str | None = None

    def interrupt(numbers: Iterable[int]) -> None:
        for number in tuple(numbers):
            with suppress(StopIteration):
                running[number].throw(KeyboardInterrupt())
            del running[number]

    while running:
        for number, training in tuple(running.items()):
            if number not in running:
                continue
            try:
                found[number] = next(training) if reason is None else training.send(reason)
            except StopIteration:
                del running[number]
                continue
            if found[number].history.interrupted:
                interrupt(running.keys() - {number})
        every = [found[number] for number in sorted(found)]
        whole.__dict__.update(joined(every).__dict__)
        reason = ""
        if len(whole.iteration) > n_told and on_check is not None:
            n_told = len(whole.iteration)
            try:
                on_check(check_of(every, whole, max_iter))
            except StopTraining as stop:
                reason = stop.reason
            except KeyboardInterrupt:
                interrupt(running)
    whole.__dict__.update(joined([found[number] for number in sorted(found)]).__dict__)
    return whole


def check_of(trainings: Sequence[Progress], whole: History, max_iter: int) -> TrainingCheck:
    """The last check of trainings that run side by side, with their history as a whole."""
    rows_per_step = sum(one.rows_per_step for one in trainings)
    return TrainingCheck.last(whole, max_iter, rows_per_step, max(one.seconds for one in trainings))


def joined(trainings: Sequence[Progress]) -> History:
    """One history of trainings that ran side by side, their members weighed alike.

    A training that ended before others counts with its last check at those of the others.
    """
    if len(trainings) == 1:
        return trainings[0].history
    histories = [one.history for one in trainings]
    whole = History(
        stopped_early=all(history.stopped_early for history in histories),
        interrupted=any(history.interrupted for history in histories),
        rolled_back=any(history.rolled_back for history in histories),
        stopped_by=next((history.stopped_by for history in histories if history.stopped_by), ""),
    )
    for iteration in sorted({iteration for history in histories for iteration in history.iteration}):
        places = [bisect(history.iteration, iteration) - 1 for history in histories]
        known = [(one, place) for one, place in zip(trainings, places, strict=True) if place >= 0]
        sizes = [one.rows_per_step for one, _ in known]
        whole.iteration.append(iteration)
        for name in ("elbo", "kl", "validation_elbo", "learning_rate"):
            found = [getattr(one.history, name)[place : place + 1] for one, place in known]
            if all(found):
                mean = math.fsum(size * number for size, (number,) in zip(sizes, found, strict=True)) / sum(sizes)
                getattr(whole, name).append(mean)
    return whole


def paused_training(
    vae: VAE,
    batch: Batch,
    subsamples: Tensor,
    weights: Tensor | None,
    validation: Batch | None,
    validation_noise: Tensor,
    config: TrainingConfig,
    generator: torch.Generator,
    *,
    continued: bool = False,
    redraw: Redraw | None = None,
    ranks: Ranks | None = None,
    states: TrainingStates | None = None,
) -> PausedTraining:
    """Fit the weights of all members at once and leave the best of each in `vae`, with a pause at each check.

    Parameters
    ----------
    vae : VAE
        With initial weights; changed in place.
    batch : Batch
        Training rows on the model's device, (rows, columns).
    subsamples : int64 Tensor of shape (members, rows per member)
        Rows that each member trains on.
    weights : Tensor of shape (rows,), optional
        Weights of the training rows, with mean 1.
    validation : Batch, optional
        Held-out rows for early stopping; a member's best weights are those with its best ELBO here.
    validation_noise : Tensor of shape (members, draws, 1, latents)
        Noise for the held-out rows, the same at each check.
    config : TrainingConfig
        How to train.
    generator : torch.Generator
        Local source of everything random, on the model's device.
    continued : bool
        Whether the weights are those of an earlier training: they are then among those that the best are chosen from.
    redraw : Redraw, optional
        Replaces the rows of a mini-batch by others; held-out rows stay as they are.
    ranks : Ranks, optional
        The processes that share every mini-batch.
    states : TrainingStates, optional
        Keeps the state of the training at its checks, and gives that of the same training if it was begun before.

    Yields
    ------
    Progress

    Returns
    -------
    History

    Raises
    ------
    SpecificationError
        If processes that share the training were given different ones, or are more than rows of a mini-batch.
    TrainingDiverged
        If the loss is not finite for the second time, after a rollback with a tenth of the step.
    """
    history = History()
    flat = FlatWeights(vae, LANES if has_closed_form(vae) else 1)
    best = _BestWeights(flat)
    digests: dict[str, bytes] = {}
    if ranks is not None or states is not None:
        n_processes = 1 if ranks is None else ranks.size
        digests = digests_of(vae, batch, subsamples, weights, validation, config, generator, redraw, n_processes)
    size, share = min(config.batch_size, subsamples.shape[1]), None
    if ranks is not None:
        ranks.check_alike(digests, flat.flat.device)
        share = ranks.share(size)
    stepper = Stepper(vae, flat, config, share=share)
    prepared = MiniBatches(vae, batch, subsamples, weights, config, generator, redraw, share)
    minibatches = iter(prepared)
    interval = -(-config.max_iter // N_CHECKS)
    warmup = max(1.0, config.kl_warmup * config.max_iter)
    probe = batch.take(slice(0, PROBE_ROWS)) if validation is None else validation
    factor, n_steps, checked, kl_weight, rate = 1.0, 0, 0, 0.0, 0.0
    rows_per_step, start = len(subsamples) * size, time.perf_counter()
    if continued and validation is not None:
        best.record(_held_out_elbo(vae, validation, validation_noise, config))

    def check() -> bool:
        """Record the present weights, or go back to the last finite ones and return False."""
        assert stepper.sums is not None
        means = stepper.sums.mean((1, 2)) if ranks is None else ranks.add_up(stepper.sums.sum((1, 2))) / rows_per_step
        reconstruction, kl = (means / (n_steps - checked)).tolist()
        stepper.sums.zero_()
        if ranks is not None:
            # Gradients are alike, but another processor may make another bit of them.
            for tensor in (flat.flat.detach(), *stepper.moments):
                ranks.of_first(tensor)
        bound = _held_out_elbo(vae, probe, validation_noise, config)
        if ranks is not None:
            ranks.of_first(bound)
        if not (math.isfinite(reconstruction - kl) and bool(bound.isfinite().all())):
            if history.rolled_back or (not history.iteration and n_steps >= config.max_iter):
                last = -history.elbo[-1] if history.elbo else math.nan
                steps_per_epoch = max(1, subsamples.shape[1] // config.batch_size)
                raise TrainingDiverged(n_steps, (n_steps - 1) // steps_per_epoch + 1, last)
            history.rolled_back = True
            flat.restore(best.last)
            return False
        history.iteration.append(n_steps)
        history.elbo.append(reconstruction - kl)
        history.kl.append(kl)
        history.learning_rate.append(rate)
        if validation is not None:
            history.validation_elbo.append(float(bound.mean()))
        # While the KL is warming up the members are not yet trained on the bound that they are compared by.
        best.record(bound if validation is not None and kl_weight == config.kl_weight else None)
        return True

    def progress() -> Progress:
        return Progress(history, rows_per_step, time.perf_counter() - start)

    def is_stopped(reason: str) -> bool:
        """Whether the training shall end, for a reason that was found here or in another process."""
        history.stopped_by = reason
        if ranks is not None and ranks.any(bool(history.stopped_by), flat.flat.device):
            history.stopped_by = history.stopped_by or "a callback in another process"
        return bool(history.stopped_by)

    def is_over(reason: str) -> bool:
        """Whether the training shall end at the check that was made last."""
        if is_stopped(reason):
            return True
        history.stopped_early = config.early_stopping and best.n_stale >= config.n_iter_no_change
        return history.stopped_early

    def state() -> TrainingState:
        """All that the steps to come depend on."""
        moments = stepper.moments
        seconds = time.perf_counter() - start
        of_best = best.kept, best.best, best.n_stale
        present = flat.flat.detach(), moments[0], moments[1], stepper.n_taken
        return TrainingState(n_steps, factor, seconds, asdict(history), prepared.position, *present, *of_best)

    known = None
    if states is not None or ranks is not None:
        known = _known_state(states, digests, ranks, flat.flat.device)
    is_done = False
    if known is not None:
        n_steps = checked = known.n_steps
        factor, start = known.factor, start - known.seconds
        history = History(**known.history)
        flat.restore(known.weights)
        stepper.moments[0].copy_(known.first_moment)
        stepper.moments[1].copy_(known.second_moment)
        stepper.n_taken.copy_(known.n_taken)
        best.restore(known.kept, known.best, known.n_stale)
        prepared.go_to(known.position)
        is_done = is_over((yield progress()))

    try:
        while n_steps < config.max_iter and not is_done:
            rate = factor * config.learning_rate_init * _schedule(n_steps, config.max_iter)
            kl_weight = config.kl_weight * min(1.0, (n_steps + 1) / warmup)
            stepper.step(next(minibatches), rate, kl_weight)
            n_steps += 1
            if n_steps % interval and n_steps < config.max_iter:
                continue
            is_finite = check()
            checked = n_steps
            if not is_finite:
                stepper = Stepper(vae, flat, config, share=share)
                factor = ROLLBACK_FACTOR
                continue
            if states is not None and (ranks is None or ranks.rank == 0):
                states.write(name_of_training(digests), state)
            is_done = is_over((yield progress()))
    except KeyboardInterrupt:
        # Processes that share a training are interrupted at different steps.
        if n_steps == 0 or ranks is not None or (n_steps == checked and not history.iteration):
            raise
        history.interrupted = True
        if n_steps > checked and check():
            is_stopped((yield progress()))
    flat.restore(best.kept)
    flat.release()
    return history


def _known_state(
    states: TrainingStates | None, digests: Mapping[str, bytes], ranks: Ranks | None, device: torch.device
) -> TrainingState | None:
    """The state in which the same training was left: in all processes that which the first reads."""
    name, where, content = name_of_training(digests), "rank 0", None
    if states is not None and (ranks is None or ranks.rank == 0):
        where, content = states.where(name), states.read(name)
    if ranks is not None:
        content = ranks.bytes_of_first(content, device)
    return None if content is None else unpacked_state(content, where)


def _schedule(step: int, n_steps: int) -> float:
    """Linear warm-up, then half a cosine down to 0."""
    warmup = min(WARMUP_STEPS, max(1, n_steps // 10))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, n_steps - warmup)))


@torch.no_grad()
def _held_out_elbo(vae: VAE, rows: Batch, noise: Tensor, config: TrainingConfig) -> Tensor:
    """Mean bound of each member on some rows, weighed and trimmed as in training."""
    terms = elbo_terms(vae, rows, noise)
    elbo = terms.reconstruction - config.kl_weight * terms.kl
    n_kept = elbo.shape[1] - int(config.trim_fraction * elbo.shape[1])
    return elbo.topk(n_kept, dim=1, sorted=False).values.mean(1)


class _BestWeights:
    """Each member's best weights so far, and the last ones that were finite."""

    def __init__(self, weights: FlatWeights) -> None:
        self.weights = weights
        self.best: Tensor | None = None
        self.kept = weights.flat.detach().clone()
        self.last = self.kept
        self.n_stale = 0

    def restore(self, kept: Tensor, best: Tensor | None, n_stale: int) -> None:
        """What was known at a check whose weights are those of the model now."""
        device = self.weights.flat.device
        self.last = self.weights.flat.detach().clone()
        self.kept, self.n_stale = kept.to(device), n_stale
        self.best = None if best is None else best.to(device)

    def record(self, bound: Tensor | None) -> None:
        self.last = self.weights.flat.detach().clone()
        if bound is None:
            self.kept = self.last
            return
        better = bound > self.best if self.best is not None else torch.ones_like(bound, dtype=torch.bool)
        self.n_stale = 0 if bool(better.any()) else self.n_stale + 1
        self.best = bound if self.best is None else torch.maximum(bound, self.best)
        self.kept = torch.where(better.unsqueeze(1), self.last, self.kept)
