"""One training shared by several processes, each with a part of every mini-batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from vae_anomaly.errors import SpecificationError, WorkerError

DIGEST_BYTES = 16
# Its connections close with the last reference to it, which those who wait at the other ends notice.
CLOSABLE = "gloo"


class Ranks:
    """The processes of a training, of which this is one.

    Parameters
    ----------
    group : ProcessGroup, optional
        Of ``torch.distributed``; where it is None all processes, with the backend "gloo" by connections of their own.
    timeout : timedelta, optional
        How long processes wait for one another on these.

    Raises
    ------
    SpecificationError
        If there is a timeout, and the connections are those of the group.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, timeout: timedelta | None = None) -> None:
        # A group of some of the processes cannot be made twice with one store.
        self._is_own = group is None and dist.get_backend() == CLOSABLE
        if timeout is not None and not self._is_own:
            raise SpecificationError(
                f"timeout is for all processes with the backend {CLOSABLE!r}; others have that of init_process_group "
                "or new_group. Give it there."
            )
        self.group = dist.new_group(timeout=timeout, backend=CLOSABLE) if self._is_own else group

    def leave(self) -> None:
        """Close connections of its own: a process that waits for this one fails."""
        group, self.group = self.group, None
        if self._is_own and dist.is_initialized():
            dist.destroy_process_group(group)

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return dist.get_rank(self.group)

    @property
    def size(self) -> int:
        """How many there are."""
        return dist.get_world_size(self.group)

    def add_up(self, numbers: Tensor) -> Tensor:
        """The sum over all processes, the same bits in each, in the place of what each has."""
        with _moved(numbers):
            dist.all_reduce(numbers, group=self.group)
        return numbers

    def of_first(self, numbers: Tensor) -> Tensor:
        """What the first process has, in the place of what each has."""
        first = 0 if self.group is None else dist.get_global_rank(self.group, 0)
        with _moved(numbers):
            dist.broadcast(numbers, first, group=self.group)
        return numbers

    def any(self, answer: bool, device: torch.device) -> bool:
        """Whether it is so in any process."""
        return bool(self.add_up(torch.tensor([float(answer)], device=device, dtype=torch.float32)) > 0)

    def bytes_of_first(self, content: bytes | None, device: torch.device) -> bytes | None:
        """What the first process has read, for all; None where it has nothing."""
        size = self.of_first(torch.tensor([-1 if content is None else len(content)], device=device))
        if int(size) < 0:
            return None
        if self.rank == 0 and content is not None:
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(device)
        else:
            sent = torch.empty(int(size), dtype=torch.uint8, device=device)
        return bytes(self.of_first(sent).cpu().numpy())

    def check_alike(self, digests: Mapping[str, bytes], device: torch.device) -> None:
        """Refuse a training of which processes were given different parts.

        Parameters
        ----------
        digests : dict of str to bytes
            By what they are of, `DIGEST_BYTES` each.
        device : torch.device
            On which the processes exchange them.

        Raises
        ------
        SpecificationError
            In all processes, if one has something else than the first.
        """
        own = torch.frombuffer(bytearray(b"".join(digests.values())), dtype=torch.uint8).to(device)
        every = torch.zeros(self.size, len(own), dtype=torch.int32, device=device)
        every[self.rank] = own
        self.add_up(every)
        differs = (every != every[0]).view(self.size, len(digests), DIGEST_BYTES).any(-1)
        for number, name in enumerate(digests):
            ranks = differs[:, number].nonzero().flatten().tolist()
            if ranks:
                raise SpecificationError(
                    f"{name} of rank {ranks[0]} differ from those of rank 0. In a data-parallel fit every process is "
                    "given the same rows, parameters and random_state, which is an integer."
                )

    def share(self, n_rows: int) -> Share:
        """The rows of a mini-batch that this process computes.

        Raises
        ------
        SpecificationError
            If there are more processes than rows.
        """
        if n_rows < self.size:
            raise SpecificationError(
                f"a mini-batch has {n_rows} rows, for {self.size} processes to share. Start fewer, or set batch_size "
                "higher."
            )
        begin, end = (n_rows * number // self.size for number in (self.rank, self.rank + 1))
        return Share(self, n_rows, slice(begin, end))


@dataclass(frozen=True)
class Share:
    """The rows of a mini-batch that a process computes.

    Parameters
    ----------
    ranks : Ranks
        All processes.
    n_rows : int
        Of the mini-batch, per member.
    own : slice
        Those of this process.
    """

    ranks: Ranks
    n_rows: int
    own: slice

    def whole(self, own: Tensor) -> Tensor:
        """Numbers of all rows, where each process has those of its own: (members, rows)."""
        every = own.new_zeros(len(own), self.n_rows)
        every[:, self.own] = own
        return self.ranks.add_up(every)


_PRESENT: ContextVar[Ranks | None] = ContextVar("ranks", default=None)


@contextmanager
def data_parallel(group: dist.ProcessGroup | None = None, *, timeout: timedelta | None = None) -> Iterator[None]:
    """Fits inside are shared by the processes of a group, and every process has the whole detector in the end.

    Each process computes a part of every mini-batch, and gradients are added up.  All are given the same rows,
    parameters and integer `random_state`, and call the same fits in the same order.  The detectors of all processes
    have the same weights, bit for bit, and the scores of a fit in one process up to rounding; how far is on the page
    about training on clusters.  What is random is drawn for whole mini-batches in each process, `augment` included.

    It counts for the present thread.  Fits outside are those of one process, whatever groups there are.

    Where the fit of one process fails, the others wait for it.  With "gloo" and all processes they fail with a
    `WorkerError` as soon as its error has left the ``with`` block or it has ended: do not catch errors inside.  With
    "nccl", or a group that is given, they fail when it has ended and ``torchrun`` or Ray Train ends them too, or after
    the timeout of the group.

    Parameters
    ----------
    group : ProcessGroup, optional
        Of ``torch.distributed``, initialized before, as by ``torchrun`` and ``init_process_group`` or by Ray Train; by
        default that of all processes.  With the backend "gloo" models train on CPUs, with "nccl" on GPUs: set the
        device of each process by ``torch.cuda.set_device`` before.
    timeout : timedelta, optional
        How long they wait for one that neither answers nor ends, where no group is given and the backend is "gloo"; by
        default as PyTorch has it, half an hour.

    Raises
    ------
    SpecificationError
        If no process group is initialized, this process is not in it, or its timeout has to be set elsewhere.  Fits
        inside raise it where processes were given different rows or parameters, or are more than rows of a mini-batch.
    WorkerError
        By fits inside, where another process failed, ended or does not answer.

    Examples
    --------
    Started by ``torchrun --standalone --nproc_per_node 2 train.py``, with in ``train.py``::

        torch.distributed.init_process_group("gloo")
        with data_parallel():
            detector = VAEDetector().fit(images)
        if torch.distributed.get_rank() == 0:
            save(detector, "images.vae")
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise SpecificationError(
            "data_parallel() needs a process group, and none is initialized here. Start the processes with torchrun or "
            "Ray Train, and call torch.distributed.init_process_group('gloo'), or 'nccl' on GPUs."
        )
    if dist.get_rank(group) < 0:
        raise SpecificationError("this process is not in the given group. Call data_parallel in those that are.")
    ranks = Ranks(group, timeout)
    token = _PRESENT.set(ranks)
    try:
        yield
    finally:
        _PRESENT.reset(token)
        ranks.leave()


@contextmanager
def in_one_process() -> Iterator[None]:
    """Fits inside are not shared, whatever is outside."""
    token = _PRESENT.set(None)
    try:
        yield
    finally:
        _PRESENT.reset(token)


def present_ranks() -> Ranks | None:
    """The processes that share fits of this thread; None outside of `data_parallel`."""
    return _PRESENT.get()


@contextmanager
def _moved(numbers: Tensor) -> Iterator[None]:
    """Say what to do where the backend cannot move tensors of this device, or another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if "No backend type associated" in str(error):
            raise SpecificationError(
                f"the model trains on device {numbers.device.type!r}, and the process group moves no tensors of it. "
                "Initialize it with 'gloo' for CPUs or 'nccl' for GPUs, or set the detector's device."
            ) from error
        if isinstance(error, dist.DistError) or CLOSABLE in str(error):
            raise WorkerError(
                "that shares this fit failed, ended or does not answer",
                "Its own message says why. Call the same fit again in all processes: with Checkpoint it goes on where "
                "it was.",
            ) from error
        raise
