"""Large ensembles in blocks of members, which train by themselves: one after the other or in several processes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from joblib import delayed, effective_n_jobs
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model.backbones import BACKBONES
from vae_anomaly.model.matmul import UNCHANGED, matmul_precision_of, present_precision
from vae_anomaly.model.ranks import in_one_process, present_ranks
from vae_anomaly.model.steps import Redraw, TrainingConfig
from vae_anomaly.model.threads import one_thread
from vae_anomaly.model.torch_settings import own_settings
from vae_anomaly.model.training import (
    History,
    OnCheck,
    PausedTraining,
    Progress,
    check_of,
    joined,
    paused_training,
    train,
)
from vae_anomaly.model.training_state import TrainingStates
from vae_anomaly.model.vae import VAE
from vae_anomaly.workers import computed

BLOCK_MEMBERS = 8
SEED_OF_BLOCKS = 22


@dataclass(frozen=True)
class TrainingTask:
    """What a training begins with.

    Parameters
    ----------
    vae : VAE
        With initial weights; changed in place.
    batch : Batch
        Training rows on the model's device, (rows, columns).
    subsamples : int64 Tensor of shape (members, rows per member)
        Rows that each member trains on.
    weights : Tensor of shape (rows,) or None
        Weights of the training rows, with mean 1.
    validation : Batch or None
        Held-out rows for early stopping.
    validation_noise : Tensor of shape (members, draws, 1, latents)
        Noise for the held-out rows, the same at each check.
    config : TrainingConfig
        How to train.
    seed : int
        Of everything random.
    augment : callable or None
        From rows and a seed to other rows of the same shape, which take their place in mini-batches.
    continued : bool
        Whether the weights are those of an earlier training.
    matmul_precision : str
        In `PRECISIONS`, or `UNCHANGED`.
    """

    vae: VAE
    batch: Batch
    subsamples: Tensor
    weights: Tensor | None
    validation: Batch | None
    validation_noise: Tensor
    config: TrainingConfig
    seed: int
    augment: Callable[[Batch, int], Batch] | None
    continued: bool
    matmul_precision: str

    @property
    def rows_per_step(self) -> int:
        """Rows of a mini-batch, of all members together."""
        n_members, n_rows = self.subsamples.shape
        return n_members * min(self.config.batch_size, n_rows)

    def blocks(self) -> list[TrainingTask]:
        """Only the task itself where it has few members; else blocks of like sizes, each with a seed of its own.

        A GPU is quickest with all members at once, and a backbone of the user's may know how many there are.
        """
        n_members = self.vae.n_members
        on_cpu = self.batch.values.device.type == "cpu"
        if n_members <= BLOCK_MEMBERS or not on_cpu or type(self.vae.backbone) not in BACKBONES.values():
            return [self]
        n_blocks = -(-n_members // BLOCK_MEMBERS)
        cuts = [n_members * number // n_blocks for number in range(n_blocks + 1)]
        return [self._of_members(slice(*ends), number) for number, ends in enumerate(pairwise(cuts))]

    def _of_members(self, members: slice, number: int) -> TrainingTask:
        used, positions = self.subsamples[members].unique(return_inverse=True)
        return dataclasses.replace(
            self,
            vae=self.vae.of_members(members),
            batch=self.batch.take(used),
            subsamples=positions,
            weights=None if self.weights is None else self.weights[used],
            validation_noise=self.validation_noise[members],
            seed=int(np.random.default_rng([self.seed, SEED_OF_BLOCKS, number]).integers(1 << 62)),
        )

    def begun(self, states: TrainingStates | None = None) -> PausedTraining:
        """The training, to be made step by step."""
        return paused_training(
            self.vae,
            self.batch,
            self.subsamples,
            self.weights,
            self.validation,
            self.validation_noise,
            self.config,
            torch.Generator(self.batch.values.device).manual_seed(self.seed + 1),
            continued=self.continued,
            redraw=None if self.augment is None else Redraw(self.augment, self.seed),
            ranks=present_ranks(),
            states=states,
        )


def train_members(
    task: TrainingTask, on_check: OnCheck | None, states: TrainingStates | None, n_jobs: int | None
) -> History:
    """Train all members and leave the best weights of each in the task's model.

    Up to `BLOCK_MEMBERS` members train together: they share random numbers and stop together.  More of them train in
    blocks, each with random numbers and an end of its own, so that where a block is trained changes no bit of it.

    Parameters
    ----------
    task : TrainingTask
    on_check : callable or None
        Called at each check, see `train`; where blocks train in several processes, once at the end.
    states : TrainingStates or None
        See `paused_training`; for one process.
    n_jobs : int or None
        How many blocks train at once, as joblib takes it.

    Returns
    -------
    History

    Raises
    ------
    SpecificationError, TrainingDiverged
        See `paused_training`.
    """
    blocks = task.blocks()
    max_iter = task.config.max_iter
    if len(blocks) == 1:
        return train([task.begun(states)], max_iter, on_check)
    if effective_n_jobs(n_jobs) == 1 or states is not None or present_ranks() is not None:
        with one_thread():
            history = train([block.begun(states) for block in blocks], max_iter, on_check)
        trained = [[weights.detach() for weights in block.vae.parameters()] for block in blocks]
    else:
        precision = present_precision() if task.matmul_precision == UNCHANGED else task.matmul_precision
        sent = (delayed(_trained)(dataclasses.replace(block, matmul_precision=precision)) for block in blocks)
        with computed(sent, n_jobs) as found:
            done = list(found)
        trained = [[torch.from_numpy(weights) for weights in block] for block, _ in done]
        last = [progress for _, progress in done]
        history = joined(last)
        if on_check is not None:
            on_check(check_of(last, history, max_iter))
    with torch.no_grad():
        for number, weights in enumerate(task.vae.parameters()):
            weights.copy_(torch.cat([block[number] for block in trained]))
    return history


@own_settings()
def _trained(task: TrainingTask) -> tuple[list[npt.NDArray[np.float32]], Progress]:
    """Train a block in a process or a thread of its own: its weights, and how it went."""
    start = time.perf_counter()
    with in_one_process(), matmul_precision_of(task.matmul_precision):
        history = train([task.begun()], task.config.max_iter)
    weights = [weights.detach().numpy() for weights in task.vae.parameters()]
    return weights, Progress(history, task.rows_per_step, time.perf_counter() - start)
