"""Parts on the workers of a Ray cluster: one here that lasts as long as the command, or one that is there."""

import contextlib
import importlib.metadata
import logging
import os
import pickle
import socket
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.distributed.engine import Done, Work
from vae_anomaly_cli.distributed.parts import Part
from vae_anomaly_cli.errors import CommandError, InputError

# How often a part may end the worker that has it.
TRIES = 3
WAIT_SECONDS = 30.0
SHOWN_CHARACTERS = 300
CONNECT_SECONDS = 10.0
# A busy machine takes longer to begin a cluster than Ray waits.
STARTS = 2
Answer = tuple[Literal["done", "input", "failed"], Any]


def versions() -> dict[str, str]:
    """Return what has to be alike on a worker, for the same bits."""
    return {
        **{name: importlib.metadata.version(name).partition("+")[0] for name in ("vae-anomaly", "torch")},
        "Python": ".".join(map(str, sys.version_info[:2])),
    }


class Scorer:
    """A worker with the model in memory.

    Parameters
    ----------
    expected : dict of str to str
        Versions of the process that began the run.
    content : bytes
        The work, pickled.
    device : str
        Where the arithmetic runs.
    """

    def __init__(self, expected: dict[str, str], content: bytes, device: str) -> None:
        self.work: Work | None = None
        self.refusal = _differences(expected, versions())
        if not self.refusal:
            work: Work = pickle.loads(content)  # noqa: S301 - of the command that began the run
            self.work = work if device == "cpu" else work.on_device(device)

    def do(self, phase: str, part: Part) -> Answer:
        """Do the work on a part; what fails is said and not raised, so that no other names than ours come back."""
        if self.work is None:
            return "failed", self.refusal
        try:
            return "done", self.work.do(phase, part)
        except InputError as error:
            return "input", str(error)
        except CommandError as error:
            return "failed", str(error)


def _differences(expected: dict[str, str], found: dict[str, str]) -> str:
    differing = [
        f"{name} {found[name]}, and the command {version}"
        for name, version in expected.items()
        if found[name] != version
    ]
    if not differing:
        return ""
    return (
        f"a worker on {os.uname().nodename} has {', '.join(differing)}. Install the same versions on all nodes of the "
        "cluster."
    )


@contextlib.contextmanager
def ray_engine(address: str | None, device: str, messages: Messages) -> "Iterator[RayEngine]":
    """Have a cluster: that of this process, if it has one, or another one until the work is done.

    Parameters
    ----------
    address : str or None
        Of a cluster; "auto" is the one of this machine. None begins one here.
    device : str
        Where the arithmetic runs: "auto" takes the GPUs of the cluster, where it has some.
    messages : Messages
        Says what workers do.

    Raises
    ------
    InputError
        If Ray is not installed.
    CommandError
        If no cluster is there, or can be begun.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "--engine ray needs the package ray, which is not installed. Install it: pip install 'vae-anomaly[ray]'."
        ) from error
    if ray.is_initialized():
        yield RayEngine(ray, device, messages)
        return
    if address is not None:
        _check_reachable(address)
    _connect(ray, address)
    try:
        yield RayEngine(ray, device, messages)
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    """Connect to a cluster, or begin one."""
    for n_left in reversed(range(STARTS if address is None else 1)):
        try:
            ray.init(
                address="local" if address is None else address,
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        # Ray raises nothing more special where a cluster does not begin in time.
        except Exception as error:
            ray.shutdown()
            if n_left:
                continue
            said = " ".join(str(error).split())[:SHOWN_CHARACTERS] or type(error).__name__
            if address is None:
                raise CommandError(f"no Ray cluster could be begun here: {said}.") from error
            raise CommandError(_no_cluster(address, said)) from error
        return


def _check_reachable(address: str) -> None:
    """Refuse an address where nobody listens: Ray would end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        # A word, like auto.
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise CommandError(_no_cluster(address, str(error))) from error


def _no_cluster(address: str, said: str) -> str:
    return (
        f"--address {address}: no Ray cluster answers there ({said}). Check the address, or leave it out: a cluster of "
        "this machine alone is begun for the run."
    )


@dataclass(frozen=True)
class RayEngine:
    """Does the work on parts on Ray.

    Parameters
    ----------
    ray : module
        Connected to a cluster.
    device : str
        Where the arithmetic runs.
    messages : Messages
        Says what workers do.
    """

    ray: Any
    device: str
    messages: Messages

    def run(self, work: Work, phase: str, parts: Sequence[Part], done: Done) -> None:
        """Do the work on parts, and tell of each that is done."""
        if parts:
            _Run(self, work, phase, done).all(parts)

    def resources(self) -> tuple[int, float, str]:
        """Return how many workers there can be, the GPUs of each, and where it computes."""
        found = self.ray.cluster_resources()
        n_gpus = int(found.get("GPU", 0))
        if self.device == "cuda" and not n_gpus:
            raise InputError("--device cuda: the cluster has no GPU. Leave it out, or add one.")
        if n_gpus and self.device in ("auto", "cuda"):
            return n_gpus, 1.0, "cuda"
        if self.device not in ("auto", "cpu"):
            raise InputError(f"--device {self.device} is not there for workers of Ray; expected auto, cpu or cuda.")
        return max(1, int(found.get("CPU", 1))), 0.0, "cpu"


class _Run:
    """Parts that wait, workers that have one, and what becomes of both."""

    def __init__(self, engine: RayEngine, work: Work, phase: str, done: Done) -> None:
        self.ray, self.phase, self.done, self.messages = engine.ray, phase, done, engine.messages
        self.n_workers, n_gpus, self.device = engine.resources()
        self.content = self.ray.put(pickle.dumps(work))
        # Restarted by us, so that what became of a part is known.
        options = {"num_cpus": 1, "num_gpus": n_gpus, "max_restarts": 0, "max_task_retries": 0}
        self.worker = self.ray.remote(**options)(Scorer)
        self.tries: Counter[int] = Counter()
        self.busy: dict[Any, tuple[Any, Part]] = {}

    def all(self, parts: Sequence[Part]) -> None:
        """Do them all, in about their order."""
        waiting = deque(parts)
        for _ in range(min(self.n_workers, len(parts))):
            self._give(self._begin(), waiting.popleft())
        waited = False
        try:
            while self.busy:
                ready, _ = self.ray.wait(list(self.busy), num_returns=1, timeout=WAIT_SECONDS)
                if not ready and not waited and self.ray.available_resources().get("CPU", 0) == 0:
                    self.messages.note("waiting for the workers of the cluster ...")
                    waited = True
                for answer in ready:
                    self._take(answer, waiting)
        finally:
            for worker, _ in self.busy.values():
                self.ray.kill(worker)

    def _begin(self) -> Any:
        return self.worker.remote(versions(), self.content, self.device)

    def _give(self, worker: Any, part: Part) -> None:
        self.busy[worker.do.remote(self.phase, part)] = worker, part

    def _take(self, answer: Any, waiting: "deque[Part]") -> None:
        worker, part = self.busy.pop(answer)
        errors = self.ray.exceptions
        try:
            what, found = self.ray.get(answer)
        except errors.RayTaskError as error:
            raise CommandError(f"a worker failed at {part.relative}: {_last_line(error)}.") from error
        except _lost_workers(errors) as error:
            self._lost(part, error)
            self._give(self._begin(), part)
            return
        except errors.RayError as error:
            raise CommandError(f"the Ray cluster failed: {_last_line(error)}.") from error
        if what != "done":
            raise (InputError if what == "input" else CommandError)(found)
        self.done(part, found)
        if waiting:
            self._give(worker, waiting.popleft())
        else:
            self.ray.kill(worker)

    def _lost(self, part: Part, error: Exception) -> None:
        """Note that a worker was lost with a part; it is done again by another one."""
        said = _last_line(error)
        if "ModuleNotFoundError" in str(error):
            raise CommandError(
                f"a worker of the cluster lacks a package ({said}). Install vae-anomaly, in the version of this "
                "machine, on all nodes."
            ) from error
        self.tries[part.index] += 1
        if self.tries[part.index] >= TRIES:
            raise CommandError(
                f"{part.relative} ended {TRIES} workers, the last one so: {said}. They may lack memory: give smaller "
                "parts with --part-rows, or fewer CPUs to the cluster."
            ) from error
        self.messages.warning(f"a worker was lost at {part.relative}; its part is done again.")


def _lost_workers(errors: Any) -> tuple[type[Exception], ...]:
    return errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:SHOWN_CHARACTERS] if lines else type(error).__name__
