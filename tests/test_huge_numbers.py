"""Numbers near the end of double precision: used where they stand alone, else refused with their place."""

import warnings

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import VAEDetector
from vae_anomaly.columns import TableEncoder, infer_columns, learn_channels
from vae_anomaly.columns.scales import largest_number
from vae_anomaly.data.images import Images
from vae_anomaly.data.table import Table
from vae_anomaly.errors import DataError, TrainingDiverged

RNG = np.random.default_rng(3)
USUAL = RNG.normal(size=60)


def table_of(cells):
    return Table(("x",), np.asarray(cells, dtype=np.float64)[:, None])


@pytest.fixture(autouse=True)
def no_warning_of_numpy():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.mark.parametrize("value", [1e300, -1e300, 1e308, -1.79e308, 5e-324, 1e-310])
def test_one_extreme_cell_teaches_nothing_and_is_encoded(value):
    cells = USUAL.copy()
    cells[7] = value
    columns = infer_columns(table_of(cells))
    assert 0.5 < columns[0].scale < 3
    values = TableEncoder(columns).encode(table_of(cells)).values[:, 0]
    assert values.isfinite().all()
    assert abs(float(values[7])) == 1e6 or abs(value) < 1


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (1e308 * np.linspace(-0.5, 0.9, 60), 59),
        (np.where(np.arange(60) % 2 == 1, 1e308, USUAL), 1),
        ([1.0, 1e308, 2.5], 1),
    ],
    ids=["spread", "every other", "three rows"],
)
def test_column_of_numbers_beyond_1e300_is_refused_with_its_place(cells, row):
    with pytest.raises(DataError, match=r"column 'x' holds [\d.e+]+.*up to 1e\+300. Rescale the column") as caught:
        infer_columns(table_of(cells))
    assert (caught.value.column, caught.value.row) == ("x", row)


def test_refusal_names_the_row_of_a_frame_at_the_detector():
    frame = pd.DataFrame({"a": USUAL, "b": 1e308 * np.linspace(-0.5, 0.9, 60)}, index=np.arange(60) + 100)
    with pytest.raises(DataError, match=r"column 'b' holds 9e\+307 \(index 159\)"):
        VAEDetector(max_iter=1).fit(frame)


def test_largest_number_counts_only_among_others_like_it():
    assert largest_number(USUAL) is None
    assert largest_number(np.r_[USUAL, 1e308]) is None
    assert largest_number(np.array([1e300, -1e300])) is None
    assert largest_number(np.array([1.0, -1e301])) == -1e301
    assert largest_number(np.array([])) is None


def test_column_of_one_huge_number_is_constant():
    assert infer_columns(Table(("x", "y"), np.c_[np.full(60, 1e308), USUAL]))[0].kind == "constant"


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_number_that_was_too_large_for_its_type_is_infinite(dtype):
    with np.errstate(over="ignore"):
        cells = np.c_[USUAL, USUAL].astype(dtype)
        cells[3, 1] = np.float64(1e39).astype(dtype)
    with pytest.raises(DataError, match=r"column 'x1' holds inf \(index 3\)"):
        VAEDetector(max_iter=1).fit(cells)


def test_images_with_pixels_beyond_1e30_are_refused_in_training():
    pixels = RNG.random((5, 1, 3, 3))
    pixels[2, 0, 1, 1] = 1e308
    with pytest.raises(DataError, match=r"an image holds 1e\+308 in channel 'grey' \(image 2\).*Rescale the images"):
        learn_channels(Images(pixels), None)


def test_diverged_training_names_no_loss_where_none_was_finite():
    assert "; no loss was finite. Look at" in str(TrainingDiverged(2, 2, float("nan"), "x"))
    assert "; the last finite loss was 3.5 nats per row. Lower" in str(TrainingDiverged(2, 2, 3.5))
