"""Chunks of rows of few shapes, through which every result for rows goes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from vae_anomaly.columns import Batch
from vae_anomaly.model import VAE, exact_products, one_thread, parallel_map, repeatable_convolutions

# On an H100 four times as many cells make scoring a tenth to a third faster, without the reading, which takes longer;
# they take three times the memory, and twice the time for a single row.
CHUNK_CELLS, CHUNK_CELLS_ON_CUDA = 1 << 22, 1 << 26
# Of rows that alone have more numbers than that, one at a time.
MAX_CELLS_OF_ROWS = 1 << 24
# Of double precision, for a row and a centre.
NUMBERS_OF_KERNELS = 4
MIN_CHUNK_ROWS, MAX_CHUNK_ROWS, MAX_CHUNK_ROWS_ON_CUDA = 4, 256, 1 << 16
# Of scores, whose many small operations cost less in larger chunks; and of few rows, in smaller ones.  PyTorch computes
# 32 numbers at a time, and those that are left at the end of a tensor with other instructions, whose last bit differs
# so seldom that trying out would miss it: no size may leave any.
MAX_SCORED_ROWS, SMALL_CHUNKS = 1024, (32, 64, 256)

ChunkFunction = Callable[..., tuple[Tensor, ...]]


def chunk_rows(vae: VAE, n_draws: int, *, scored: bool = False) -> int:
    """Rows of a chunk: a power of two that keeps its largest tensor in proportion to the device."""
    on_cuda = vae.raw_noise.device.type == "cuda"
    max_cells, max_rows = (CHUNK_CELLS_ON_CUDA, MAX_CHUNK_ROWS_ON_CUDA) if on_cuda else (CHUNK_CELLS, MAX_CHUNK_ROWS)
    if scored and not on_cuda:
        max_rows = max(max_rows, MAX_SCORED_ROWS)
    cells = vae.n_members * n_draws * max(vae.n_parameters, vae.n_columns, vae.latent_dim, vae.prior.n_components, 64)
    if vae.kernels is not None:
        cells = max(cells, NUMBERS_OF_KERNELS * vae.kernels.n_centres)
    n_rows = 1 << int(math.log2(max(max_cells // cells, 1)))
    return min(max(n_rows, MIN_CHUNK_ROWS if cells <= MAX_CELLS_OF_ROWS else 1), max_rows)


def map_chunks(
    function: ChunkFunction, vae: VAE, noise: Tensor, batch: Batch, *others: Batch, scores: bool = False
) -> tuple[Tensor, ...]:
    """What a function computes of rows, in chunks of few sizes.

    The result for a row does not depend on the other rows, their number and order, the batch that it came in, the
    number of threads, or joblib's backend, down to the last bit.  Four things make this so: every chunk is filled up
    to one of few sizes, and equal shapes mean equal kernels and so equal arithmetic for a row; a second size is taken
    only where it was seen to give the same bits; products and activations outside of training give a row
    the same bits wherever it stands (see `vae_anomaly.model.batch_invariant_matmul`); and each chunk is computed whole
    by one thread.

    Parameters
    ----------
    function : callable
        ``function(vae, noise, part, *other_parts)`` returns tensors whose first axis is rows.  Something that can be
        pickled, such as a `functools.partial` of a function of a module, because joblib may hand it to a process.
    vae : VAE
    noise : Tensor of shape (members, draws, 1, latents)
        The stored noise; it sets the size of chunks, and the device.
    batch : Batch
        Rows of shape (rows, columns).
    *others : Batch
        Further numbers of the same rows.
    scores : bool, default=False
        Whether the function is called for many rows and for few again and again, so that larger chunks pay, and trying
        out whether smaller ones give the same bits; what a partial function is given can be hashed then.

    Returns
    -------
    tuple of Tensor, float64, on the CPU
        What the function returned, for all rows in order.
    """
    largest = chunk_rows(vae, noise.shape[1], scored=scores)
    batch, others = batch.without_units(), tuple(other.without_units() for other in others)
    parts, order = _by_completeness(batch, others)
    on_cpu = noise.device.type == "cpu"
    with exact_products(), repeatable_convolutions(noise.device, exact=True):
        known = [*_same_bits(function, vae, noise, largest), largest] if scores else [largest]
        items = itertools.chain.from_iterable(
            zip(*(_chunks(rows, _sizes(len(part[0]), known), noise.device) for rows in part), strict=True)
            for part in parts
        )
        computed = parallel_map(partial(_compute_chunk, function, vae, noise), items, on_cpu=on_cpu)
    results = tuple(torch.cat(found) for found in zip(*computed, strict=True))
    return results if order is None else tuple(result[order] for result in results)


def _by_completeness(batch: Batch, others: tuple[Batch, ...]) -> tuple[list[tuple[Batch, ...]], Tensor | None]:
    """Rows without missing values and all others apart, and where each row has come to; None where all stay in place.

    Both are computed differently, so neither may share a chunk with the other.
    """
    whole = batch.observed.all(-1)
    n_whole = int(whole.sum())
    if n_whole in (0, len(batch)):
        return [(replace(batch, is_complete=n_whole > 0), *others)], None
    chosen = whole.nonzero().squeeze(1), (~whole).nonzero().squeeze(1)
    parts = [
        (replace(batch.take(rows), is_complete=rows is chosen[0]), *(o.take(rows) for o in others)) for rows in chosen
    ]
    return parts, torch.cat(chosen).argsort().cpu()


def _sizes(n_rows: int, known: list[int]) -> list[int]:
    """Sizes of the chunks of so many rows, at least one: large ones, then small ones for the rest.

    Examples
    --------
    >>> [_sizes(n_rows, [32, 64, 1024]) for n_rows in (0, 1, 70, 1500, 1600)]
    [[32], [32], [64, 32], [1024, 64, 64, 64, 64, 64, 64, 64, 32], [1024, 1024]]
    """
    sizes, rest = [known[-1]] * (n_rows // known[-1]), n_rows % known[-1]
    while rest > 0 or not sizes:
        fitting = next(place for place, size in enumerate(known) if size >= rest)
        # Half empty chunks cost more than those that are full and one for what is left.
        fitting -= bool(fitting and 2 * rest < known[fitting])
        sizes.append(known[fitting])
        rest -= known[fitting]
    return sizes


def _chunks(batch: Batch, sizes: list[int], device: torch.device) -> Iterator[tuple[Batch, int]]:
    """Batches of exactly these sizes, and how many rows of each are real."""
    begin = 0
    for size in sizes:
        part = batch.take(slice(begin, begin + size))
        yield part.padded(size).to(device), len(part)
        begin += size


def _same_bits(function: ChunkFunction, vae: VAE, noise: Tensor, largest: int) -> list[int]:
    """Smaller sizes of chunks that were seen to give rows the same bits as the largest, on this machine."""
    smaller = [size for size in SMALL_CHUNKS if size < largest]
    if noise.device.type != "cpu" or vae.grid is not None or not smaller:
        return []
    key = (getattr(function, "func", function), *getattr(function, "args", ()), noise.shape[1], largest)
    try:
        is_known = key in vae.same_bits
    except TypeError:
        # A score of the user's that cannot be hashed has large chunks alone.
        return []
    if not is_known:
        generator = torch.Generator().manual_seed(0)
        values = torch.randn(largest, vae.n_columns, generator=generator, dtype=torch.float32)
        codes = torch.rand(largest, vae.n_columns, generator=generator, dtype=torch.float32) * vae.n_levels
        rows = Batch(torch.where(vae.n_levels > 0, codes.floor(), values), torch.ones_like(values, dtype=torch.bool))
        batches = [replace(rows, is_complete=True), Batch(rows.values, values < 1)]
        with one_thread():
            expected = [_bits(function, vae, noise, batch) for batch in batches]
            vae.same_bits[key] = [
                size
                for size in smaller
                if all(
                    torch.equal(_bits(function, vae, noise, batch.take(slice(0, size))), bits[:size])
                    for batch, bits in zip(batches, expected, strict=True)
                )
            ]
    return vae.same_bits[key]


def _bits(function: ChunkFunction, vae: VAE, noise: Tensor, batch: Batch) -> Tensor:
    """What a function gives for each row, as integers: (rows, numbers)."""
    found = _compute_chunk(function, vae, noise, ((batch, len(batch)),))
    return torch.cat([part.flatten(1) if part.dim() > 1 else part.unsqueeze(1) for part in found], 1).view(torch.int64)


def _compute_chunk(
    function: ChunkFunction, vae: VAE, noise: Tensor, chunk: tuple[tuple[Batch, int], ...]
) -> tuple[Tensor, ...]:
    n_real = chunk[0][1]
    with torch.inference_mode():
        results = function(vae, noise, *(part for part, _ in chunk))
        return tuple(result[:n_real].cpu().double() for result in results)
