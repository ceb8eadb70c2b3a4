"""What a training needs to go on in another process as if nothing had happened: as bytes that no code runs to read."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from safetensors.torch import load, save
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.errors import ModelFileError
from vae_anomaly.model.ranks import DIGEST_BYTES
from vae_anomaly.model.steps import Position, Redraw, TrainingConfig
from vae_anomaly.model.vae import VAE
from vae_anomaly.version import __version__

FORMAT, VERSION = "vae_anomaly.training_state", 1


@dataclass(frozen=True)
class TrainingState:
    """A training at one of its checks.

    Parameters
    ----------
    n_steps : int
        Optimisation steps made.
    factor : float
        Of the learning rate.
    seconds : float
        Since the training began, in all processes together.
    history : dict
        Fields of the `History`.
    position : Position
        Where it is in its mini-batches.
    weights, first_moment, second_moment : Tensor of shape (members, weights per member)
        Those of the optimiser.
    n_taken : Tensor
        Steps since the moments were 0.
    kept : Tensor of shape (members, weights per member)
        Each member's best weights.
    best : Tensor of shape (members,), optional
        Its bound on held-out rows.
    n_stale : int
        Checks since a member improved.
    """

    n_steps: int
    factor: float
    seconds: float
    history: dict[str, Any]
    position: Position
    weights: Tensor
    first_moment: Tensor
    second_moment: Tensor
    n_taken: Tensor
    kept: Tensor
    best: Tensor | None
    n_stale: int


class TrainingStates(Protocol):
    """Keeps the states of trainings, by the names of these."""

    def read(self, name: str) -> bytes | None:
        """The state of a training that was kept last; None where there is none."""

    def where(self, name: str) -> str:
        """The place of what `read` gives, for messages."""

    def write(self, name: str, state: Callable[[], TrainingState]) -> None:
        """Keep the state of a training, in the place of the one before."""


def digests_of(
    vae: VAE,
    batch: Batch,
    subsamples: Tensor,
    weights: Tensor | None,
    validation: Batch | None,
    config: TrainingConfig,
    generator: torch.Generator,
    redraw: Redraw | None,
    n_processes: int,
) -> dict[str, bytes]:
    """Digests of what a training begins with, by what they are of; parameters as in `train`."""
    of_code = (__version__, torch.__version__, n_processes, None if redraw is None else code_of(redraw.change))
    columns = [(repr(group.likelihood), group.n_columns) for group in vae.groups]
    device = batch.values.device.type
    held_out = () if validation is None else (validation.values, validation.observed)
    return {
        "parameters or random_state": _digest(repr((config, columns, device, of_code)), generator.get_state()),
        "training rows": _digest("", batch.values, batch.observed, subsamples, *held_out, weights),
        "columns or initial weights": _digest("", *vae.state_dict().values()),
    }


def code_of(function: Callable[..., object]) -> str:
    """What tells one function from another, as far as that can be told: its name, and what it does."""
    inner = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inner.func
    parts = [getattr(inner, "__module__", ""), getattr(inner, "__qualname__", type(inner).__qualname__)]
    for cell in (inner, *(cell.cell_contents for cell in getattr(inner, "__closure__", None) or ())):
        code = getattr(getattr(cell, "__func__", cell), "__code__", None)
        parts.append("" if code is None else code.co_code.hex() + repr(code.co_names))
        parts.append(getattr(cell, "__qualname__", ""))
    return repr(parts)


def name_of_training(digests: Mapping[str, bytes]) -> str:
    """A name for a training, the same where it is begun anew and no other's."""
    return _digest(repr(sorted(digests.items()))).hex()


def packed_state(state: TrainingState) -> bytes:
    """The bytes of a state: safetensors, with JSON in its header."""
    position = state.position
    tensors = {
        "weights": state.weights,
        "first_moment": state.first_moment,
        "second_moment": state.second_moment,
        "n_taken": state.n_taken,
        "kept": state.kept,
        "best": state.best,
        "generator": position.generator,
        "shuffled": position.shuffled,
    }
    present = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items() if tensor is not None}
    numbers = {
        "version": VERSION,
        "n_steps": state.n_steps,
        "factor": state.factor,
        "seconds": state.seconds,
        "history": state.history,
        "n_stale": state.n_stale,
        "position": [position.n_visited, position.n_blocks, position.n_prepared, position.n_steps],
    }
    text = json.dumps(numbers)
    return save(present, {FORMAT: text, "digest": _digest(text, *present.values()).hex()})


def unpacked_state(content: bytes, where: str) -> TrainingState:
    """A state from its bytes.

    Parameters
    ----------
    content : bytes
        As `packed_state` made them.
    where : str
        They were read, for the message.

    Raises
    ------
    ModelFileError
        If they are damaged, or of another version.
    """
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        found, text = load(content), header[FORMAT]
        numbers = json.loads(text)
        is_whole = _digest(text, *(found.get(name) for name in _ORDER)).hex() == header["digest"]
        state = TrainingState(
            n_steps=numbers["n_steps"],
            factor=numbers["factor"],
            seconds=numbers["seconds"],
            history=numbers["history"],
            position=Position(found["generator"], found.get("shuffled"), *numbers["position"]),
            weights=found["weights"],
            first_moment=found["first_moment"],
            second_moment=found["second_moment"],
            n_taken=found["n_taken"],
            kept=found["kept"],
            best=found.get("best"),
            n_stale=numbers["n_stale"],
        )
    except Exception as error:
        raise ModelFileError(f"{where}: {_DAMAGED}") from error
    if not is_whole or numbers["version"] != VERSION:
        raise ModelFileError(f"{where}: {_DAMAGED}")
    return state


_DAMAGED = (
    "the checkpoint of the training is damaged, or of another version of this library. Remove it to begin the training "
    "anew."
)
_ORDER = ("weights", "first_moment", "second_moment", "n_taken", "kept", "best", "generator", "shuffled")


def _digest(text: str, *tensors: Tensor | None) -> bytes:
    digest = hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES)
    for tensor in tensors:
        if tensor is not None:
            numbers = tensor.detach().cpu().contiguous().numpy()
            digest.update(repr(numbers.shape).encode())
            digest.update(numbers.data)
    return digest.digest()
