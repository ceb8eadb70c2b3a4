"""Matrix products: the plain ones, whatever the position of a row and the number of columns."""

import numpy as np
import pytest
import torch

from vae_anomaly import TrainingPlan, VAEDetector
from vae_anomaly.model.matmul import PRECISIONS, UNCHANGED, batch_invariant_matmul, matmul_precision_of

OUTPUTS = pytest.mark.parametrize("n_outputs", range(1, 34))
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
OFFSET = pytest.mark.parametrize("with_offset", [False, True])


def factors(n_outputs, dtype, *, n_rows=256, n_inputs=21, with_offset=True):
    generator = torch.Generator().manual_seed(n_outputs)
    rows = torch.randn(3, n_rows, n_inputs, generator=generator, dtype=dtype)
    matrix = torch.randn(3, n_inputs, n_outputs, generator=generator, dtype=dtype)
    offset = torch.randn(3, 1, n_outputs, generator=generator, dtype=dtype) if with_offset else None
    return rows, matrix, offset


def test_product_by_hand():
    rows, matrix = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[10.0], [1.0]]])
    with torch.inference_mode():
        assert batch_invariant_matmul(rows, matrix).tolist() == [[[12.0], [34.0]]]
        assert batch_invariant_matmul(rows, matrix, torch.tensor([[[0.5]]])).tolist() == [[[12.5], [34.5]]]


@OUTPUTS
@DTYPES
@OFFSET
def test_product_equals_the_plain_one(n_outputs, dtype, with_offset):
    rows, matrix, offset = factors(n_outputs, dtype, with_offset=with_offset)
    expected = rows @ matrix if offset is None else rows @ matrix + offset
    with torch.inference_mode():
        found = batch_invariant_matmul(rows, matrix, offset)
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected)


@OUTPUTS
@DTYPES
@OFFSET
def test_row_has_the_same_product_at_every_position(n_outputs, dtype, with_offset):
    order = torch.randperm(128, generator=torch.Generator().manual_seed(0))
    for n_inputs in (1, 5, 21, 64):
        rows, matrix, offset = factors(n_outputs, dtype, n_inputs=n_inputs, with_offset=with_offset)
        with torch.inference_mode():
            moved = batch_invariant_matmul(rows[:, order], matrix, offset)
            assert torch.equal(moved, batch_invariant_matmul(rows, matrix, offset)[:, order])


@OUTPUTS
@OFFSET
def test_training_multiplies_as_torch_does(n_outputs, with_offset):
    given = factors(n_outputs, torch.float32, with_offset=with_offset)
    results = []
    for multiply in (
        batch_invariant_matmul,
        lambda r, m, o=None: torch.bmm(r, m) if o is None else torch.baddbmm(o, r, m),
    ):
        leaves = [None if tensor is None else tensor.clone().requires_grad_() for tensor in given]
        product = multiply(*leaves)
        product.square().sum().backward()
        results.append([product.detach(), *(leaf.grad for leaf in leaves if leaf is not None)])
    assert all(torch.equal(found, expected) for found, expected in zip(*results, strict=True))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precision_holds_inside_and_is_given_back_after_an_error(precision):
    before = torch.get_float32_matmul_precision()
    with matmul_precision_of(precision):
        assert torch.get_float32_matmul_precision() == precision
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(ZeroDivisionError), matmul_precision_of(precision):
        1 // 0  # noqa: B018
    assert torch.get_float32_matmul_precision() == before


def test_no_precision_leaves_the_setting_of_the_process():
    torch.set_float32_matmul_precision("high")
    try:
        with matmul_precision_of(UNCHANGED):
            assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")
def test_detector_fits_at_a_lower_precision_and_says_which_there_are():
    X = np.random.default_rng(0).normal(size=(100, 3))
    detector = VAEDetector(n_estimators=1, max_iter=5, training=TrainingPlan(matmul_precision="medium")).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()
    assert torch.get_float32_matmul_precision() == "highest"
    with pytest.raises(ValueError, match="'matmul_precision' parameter of TrainingPlan"):
        VAEDetector(training=TrainingPlan(matmul_precision="low")).fit(X)
