"""What a step of the training and a chunk of the scoring do: operations, bytes, and the matrix products themselves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from benchmarks.speed.work import table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from vae_anomaly import VAEDetector
from vae_anomaly.columns import Batch
from vae_anomaly.detectors import fit_config, read_table
from vae_anomaly.fitting import chunk_rows, score_rows
from vae_anomaly.model import LANES, FlatWeights, MemberLinear, MiniBatch, MiniBatches, MLPBody, Stepper

PRODUCTS = (torch.ops.aten.bmm.default, torch.ops.aten.baddbmm.default)
N_CHUNKS = 8
COPIED_BYTES = 1 << 28
STEP_RATE = 1e-3

# The operation and, for each of its operands, shape and strides.
Product = tuple[Any, tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]]


class Watch(TorchDispatchMode):
    """Every operation: bytes of the tensors that it reads and writes, and which products there are."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_operations, self.n_bytes = 0, 0
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.is_view:
            return result
        self.n_operations += 1
        self.n_bytes += sum(map(_n_bytes, tensors((args, kwargs, result))))
        if func in PRODUCTS:
            self.products[func, tuple((tuple(part.shape), part.stride()) for part in tensors(args))] += 1
        return result


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _n_bytes(tensor: Tensor) -> int:
    """Of the memory behind it, which for an expanded tensor is less than its shape says."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


@dataclass(frozen=True)
class Count:
    """Of one piece of work."""

    n_flops: int
    n_operations: int
    n_bytes: int
    products: Mapping[Product, int]


def counted(work: Callable[[], object]) -> Count:
    with FlopCounterMode(display=False) as flops:
        work()
    with Watch() as watch:
        work()
    return Count(flops.get_total_flops(), watch.n_operations, watch.n_bytes, watch.products)


# The default detector


class Subject:
    """The default detector on the table of the page, taken apart."""

    def __init__(self, n_rows: int, n_columns: int) -> None:
        self.rows, _ = table(n_rows, n_columns, 0)
        self.detector = VAEDetector().fit(self.rows)
        self.batch = self.encoded(self.rows)
        self.plan = fit_config(self.detector, self.detector.encoder_, "none", n_rows).training

    def encoded(self, rows: Any) -> Batch:
        batch: Batch = self.detector.encoder_.encode(read_table(self.detector, rows, fitting=False))
        return batch

    def minibatches(self, size: int | None = None) -> tuple[MiniBatches, Stepper]:
        """Ready to train, with other weights than the detector's own."""
        vae = self.detector.vae_.untrained_copy()
        plan = self.plan if size is None else replace(self.plan, batch_size=size)
        n_own = min(4096, len(self.batch))
        rng = np.random.default_rng(0)
        own = np.stack([rng.choice(len(self.batch), n_own, replace=False) for _ in range(vae.n_members)])
        generator = torch.Generator().manual_seed(0)
        made = MiniBatches(vae, self.batch, torch.from_numpy(own), None, plan, generator)
        return made, Stepper(vae, FlatWeights(vae), plan)

    def steps(self, size: int | None = None) -> Iterator[Callable[[], None]]:
        """Steps on mini-batches that are ready."""
        made, stepper = self.minibatches(size)
        prepared = made.prepare(made.n_prepared)
        while True:
            for index in range(made.n_prepared):
                yield lambda index=index: stepper.step(prepared.step(index), STEP_RATE, 1.0)  # type: ignore[misc]

    def minibatch(self) -> MiniBatch:
        return self.minibatches()[0].prepare(1).step(0)

    @property
    def chunk(self) -> int:
        return chunk_rows(self.detector.vae_, self.detector.noise_.shape[1])

    def score(self, n_chunks: int = N_CHUNKS) -> Tensor:
        part = self.batch.take(slice(0, n_chunks * self.chunk))
        return score_rows(self.detector.vae_, part, self.detector.row_score_, self.detector.noise_)


def step_flops(subject: Subject) -> int:
    """By the sizes of the layers: a product forward and two backward, but none for the gradient of the inputs."""
    vae, size = subject.detector.vae_, subject.plan.batch_size
    entries = [vae.encoder.layers[0].weight, *([vae.encoder.skip.weight] if vae.encoder.skip else [])]
    first = sum(weight[0].numel() for weight in entries)
    every = weights_of(vae.encoder) + weights_of(vae.decoder)
    return int(2 * vae.n_members * size * (3 * every - first))


def row_flops(subject: Subject) -> int:
    """Of scoring a row: the encoder once, the decoder for every draw, the exemplars; no filling up counted."""
    vae, n_draws = subject.detector.vae_, subject.detector.noise_.shape[1]
    exemplars = 2 * vae.latent_dim * vae.prior.n_components
    return int(2 * vae.n_members * (weights_of(vae.encoder) + n_draws * weights_of(vae.decoder) + exemplars))


def filled_row_flops(subject: Subject) -> int:
    """The same with outputs filled up to whole vector registers, as scoring does."""
    vae, n_draws = subject.detector.vae_, subject.detector.noise_.shape[1]
    exemplars = 2 * vae.latent_dim * filled(vae.prior.n_components)
    once, again = weights_of(vae.encoder, filled), weights_of(vae.decoder, filled)
    return int(2 * vae.n_members * (once + n_draws * again + exemplars))


def filled(width: int) -> int:
    return -(-width // LANES) * LANES


def weights_of(body: Any, width: Callable[[int], int] = int) -> int:
    """Factors of the matrix products of one member and row."""
    assert isinstance(body, MLPBody)
    weights = [layer.weight for layer in body.layers if isinstance(layer, MemberLinear)]
    if body.skip is not None:
        weights.append(body.skip.weight)
    return sum(weight.shape[1] * width(weight.shape[2]) for weight in weights)


def step_bytes(subject: Subject) -> int:
    """That a step cannot do without: its mini-batch, and weights, gradient and both moments there and back."""
    flat = FlatWeights(subject.detector.vae_.untrained_copy()).flat
    return sum(map(_n_bytes, subject.minibatch().tensors)) + 8 * _n_bytes(flat)


def chunk_bytes(subject: Subject) -> int:
    """That a chunk cannot do without: its rows, the weights, the exemplars, and a score a row."""
    vae = subject.detector.vae_
    rows = subject.batch.take(slice(0, subject.chunk))
    kernels = vae.prior.kernels
    held = [*vae.parameters(), kernels.matrix, kernels.offset, kernels.sorted_fingerprints]
    return sum(map(_n_bytes, [rows.values, rows.observed, *held])) + 8 * subject.chunk


# What the machine can do


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds(work: Callable[[], object], at_least: float = 0.2) -> float:
    """Of one call, the median over as many as fill the time."""
    work()
    taken: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < at_least or len(taken) < 5:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def product_seconds(products: Mapping[Product, int], n_loops: int = 20) -> float:
    """The products of one piece of work alone, one after the other, on operands of the same shapes and strides."""
    prepared = [
        (operation, [_like(*operand) for operand in operands], count)
        for (operation, operands), count in products.items()
    ]

    def work() -> None:
        for operation, operands, count in prepared:
            for _ in range(count * n_loops):
                operation(*operands)

    with torch.inference_mode():
        return seconds(work) / n_loops


def at_once(work: Callable[[], float], n_threads: int) -> float:
    """The mean of what several Python threads return that work side by side."""
    with ThreadPoolExecutor(n_threads) as pool:
        return float(np.mean([future.result() for future in [pool.submit(work) for _ in range(n_threads)]]))


def _like(shape: Iterable[int], stride: Iterable[int]) -> Tensor:
    shape, stride = list(shape), list(stride)
    extent = 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    return torch.randn(extent, dtype=torch.float32).as_strided(shape, stride)


def copy_rate() -> float:
    """Bytes a second that are read and written, out of the caches."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8)
    target = torch.zeros_like(source)
    return 2 * COPIED_BYTES / seconds(lambda: target.copy_(source))
