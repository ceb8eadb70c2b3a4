"""Matrix products whose rows do not depend on their position in the batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from vae_anomaly.model.shared_setting import SharedSetting

LANES = 16
UNCHANGED = "unchanged"
PRECISIONS = ("highest", "high", "medium")


def _precision() -> str | None:
    """How exact products are; None where the user gave devices settings of their own."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _set_precision(precision: str | None) -> None:
    if precision is not None:
        torch.set_float32_matmul_precision(precision)


def _most_exact(wanted: list[str | None]) -> str:
    return min((one for one in wanted if one is not None), key=PRECISIONS.index)


_PRECISION: SharedSetting[str | None] = SharedSetting(_precision, _set_precision, _most_exact)


def matmul_precision_of(precision: str) -> AbstractContextManager[None]:
    """Products of single-precision matrices inside are as exact as asked for.

    Parameters
    ----------
    precision : {"unchanged", "highest", "high", "medium"}
        As in ``torch.set_float32_matmul_precision``: a setting of the process, given back afterwards; while several
        threads ask for different ones, all have the most exact.  "unchanged" leaves PyTorch as it is set.
    """
    return nullcontext() if precision == UNCHANGED else _PRECISION.hold(precision)


def present_precision() -> str:
    """The precision of products as PyTorch is set now, for `matmul_precision_of` in another process."""
    return _precision() or UNCHANGED


def exact_products() -> AbstractContextManager[None]:
    """Single-precision products of matrices inside are exact to single precision: what rows are scored with.

    Where the user gave devices settings of their own, in the place of ``torch.set_float32_matmul_precision``, these
    stay.
    """
    return nullcontext() if _precision() is None else _PRECISION.hold("highest")


_SCORING = threading.local()


@contextmanager
def batch_invariant_gradients() -> Iterator[None]:
    """Gradients with regard to latents, inside, have the same bits for a row at every position; in this thread."""
    before = getattr(_SCORING, "invariant", False)
    _SCORING.invariant = True
    try:
        yield
    finally:
        _SCORING.invariant = before


def is_batch_invariant() -> bool:
    """Whether results may not depend on the position of a row: always but in training, where that would cost time."""
    return not torch.is_grad_enabled() or getattr(_SCORING, "invariant", False)


class _BatchInvariantMatmul(torch.autograd.Function):
    """A product whose gradient with regard to the rows is batch-invariant, too."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: Tensor, offset: Tensor | None) -> Tensor:
        ctx.save_for_backward(matrix)
        ctx.shape = None if offset is None else offset.shape
        return batch_invariant_matmul(rows, matrix, offset)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (matrix,) = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        by_offset = None if ctx.shape is None else gradient.sum_to_size(ctx.shape)
        return batch_invariant_matmul(gradient, matrix.mT.contiguous()), None, by_offset


def batch_invariant_matmul(rows: Tensor, matrix: Tensor, offset: Tensor | None = None) -> Tensor:
    """``rows @ matrix + offset`` for each member; outside of training, a row has the same result at every position.

    Products with few or an odd number of columns are handed to kernels that add up a row's terms in an order that
    depends on the position of the row in the block (seen with MKL on AVX-512, for 5 to 7 and 9 to 11 columns in single
    precision and most odd numbers in double precision).  With empty columns up to a multiple of 16 they are not.

    Parameters
    ----------
    rows : Tensor of shape (members, rows, inputs)
    matrix : Tensor of shape (members, inputs, outputs)
    offset : Tensor of shape (members, 1 or rows, outputs), optional

    Returns
    -------
    Tensor of shape (members, rows, outputs)
    """
    if torch.is_grad_enabled() and is_batch_invariant():
        product: Tensor = _BatchInvariantMatmul.apply(rows, matrix, offset)  # type: ignore[no-untyped-call]
        return product
    n_outputs = matrix.shape[-1]
    missing = -n_outputs % LANES
    padded = missing > 0 and not torch.is_grad_enabled()
    if padded:
        matrix = torch.nn.functional.pad(matrix, (0, missing))
        offset = None if offset is None else torch.nn.functional.pad(offset, (0, missing))
    product = torch.bmm(rows, matrix) if offset is None else torch.baddbmm(offset, rows, matrix)
    return product[..., :n_outputs].contiguous() if padded else product
