"""Rows that went through single precision are the rows that they were: fingerprints, leave-one-out, calibration."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from vae_anomaly import VAEDetector, load, save
from vae_anomaly.columns import TableEncoder, infer_columns, learn_channels
from vae_anomaly.columns.batch import Batch
from vae_anomaly.columns.scales import single_tells_apart
from vae_anomaly.data.images import Images
from vae_anomaly.data.table import Table
from vae_anomaly.errors import DataError

RNG = np.random.default_rng(11)
ROWS = RNG.normal(size=(200, 4)) * [1, 1e-3, 1e6, 3] + [0, 0.2, -4e6, 100]


def in_single(cells):
    return cells.astype(np.float32).astype(np.float64)


def table_of(cells):
    return Table(tuple(f"x{index}" for index in range(cells.shape[1])), cells)


def encoder_of(cells):
    return TableEncoder(infer_columns(table_of(cells)))


@pytest.fixture(scope="module")
def detector():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return VAEDetector(max_iter=15, contamination=0.05, random_state=0).fit(ROWS)


def test_matrix_and_its_copy_in_single_precision_have_equal_fingerprints():
    encoder = encoder_of(ROWS)
    one, copy = encoder.encode(table_of(ROWS)), encoder.encode(table_of(in_single(ROWS)))
    assert not torch.equal(one.values, copy.values)
    assert torch.equal(one.fingerprints(), copy.fingerprints())


def test_frame_of_any_columns_and_its_copy_have_equal_fingerprints():
    frame = pd.DataFrame(ROWS, columns=list("abcd")).assign(
        skewed=np.exp(RNG.normal(size=200) * 6),
        level=["u", "v"] * 100,
        missing=np.where(RNG.random(200) < 0.3, np.nan, 1),
    )
    encoder = TableEncoder(infer_columns(Table(tuple(frame), frame)))
    assert encoder.columns[4].asinh_scale
    copy = frame.astype(dict.fromkeys(("a", "b", "c", "d", "skewed", "missing"), np.float32))
    one, other = (encoder.encode(Table(tuple(each), each)) for each in (frame, copy))
    assert torch.equal(one.fingerprints(), other.fingerprints())


def test_cells_that_single_precision_holds_have_the_fingerprints_of_their_values():
    cells = in_single(ROWS)
    batch = encoder_of(cells).encode(table_of(cells))
    assert torch.equal(batch.fingerprints(), Batch(batch.values, batch.observed).fingerprints())


def test_row_has_one_fingerprint_alone_among_others_padded_and_taken():
    encoder = encoder_of(ROWS)
    every = encoder.encode(table_of(ROWS)).fingerprints()
    alone = encoder.encode(table_of(ROWS[7:8]))
    assert alone.fingerprints().tolist() == [every[7]]
    assert alone.padded(4).fingerprints()[0] == every[7]
    taken = encoder.encode(table_of(ROWS)).take(torch.tensor([[3, 7], [7, 9]]))
    assert taken.fingerprints().tolist() == [[every[3], every[7]], [every[7], every[9]]]
    assert taken.at(slice(1, 2)).fingerprints().tolist() == [[every[7]], [every[9]]]
    assert taken.of_members(torch.tensor([1])).fingerprints().tolist() == [[every[7], every[9]]]
    assert alone.followed_by(alone).fingerprints().tolist() == [every[7], every[7]]


def test_rows_that_differ_in_more_than_single_precision_have_other_fingerprints():
    encoder = encoder_of(ROWS)
    moved = ROWS.copy()
    moved[:, 1] *= 1 + 2e-7
    one, other = (encoder.encode(table_of(cells)).fingerprints() for cells in (ROWS, moved))
    assert (one != other).all()
    assert len(torch.unique(one)) == len(ROWS)


@pytest.mark.parametrize(
    ("location", "scale", "asinh_scale", "tells"),
    [
        (0.0, 1.0, 0.0, True),
        (1024.0, 1.0, 0.0, True),
        (1025.0, 1.0, 0.0, False),
        (0.0, 1e-31, 0.0, False),
        (0.0, 1e31, 0.0, False),
        (1e9, 1.0, 2.0, True),
        (0.0, 1.0, 1e31, False),
    ],
)
def test_single_precision_counts_where_it_tells_cells_apart(location, scale, asinh_scale, tells):
    assert single_tells_apart(location, scale, asinh_scale) is tells


def test_moments_that_single_precision_merges_stay_apart():
    seconds = 1.7e9 + np.cumsum(RNG.random((100, 1)) + 0.5, axis=0)
    encoder = TableEncoder(infer_columns(table_of(seconds), declared={"x0": "continuous"}))
    assert len(torch.unique(encoder.encode(table_of(seconds)).fingerprints())) == 100


def test_columns_of_earlier_files_compare_in_model_units():
    encoder = encoder_of(ROWS)
    before = TableEncoder(tuple(dataclasses.replace(column, copies_in_single=False) for column in encoder.columns))
    batch = before.encode(table_of(ROWS))
    assert batch.known_fingerprints is None
    assert (batch.fingerprints() != before.encode(table_of(in_single(ROWS))).fingerprints()).all()


def test_images_and_their_copies_in_single_precision_have_equal_fingerprints():
    pixels = RNG.random((20, 1, 4, 4))
    encoder = learn_channels(Images(pixels), None)
    one, other = (encoder.encode(Images(each)) for each in (pixels, pixels.astype(np.float32)))
    assert not torch.equal(one.values, other.values)
    assert torch.equal(one.fingerprints(), other.fingerprints())


def test_copies_of_training_rows_are_left_out_as_the_rows_themselves(detector):
    scores, of_copies = detector.score_samples(ROWS), detector.score_samples(in_single(ROWS))
    np.testing.assert_allclose(of_copies, scores, atol=1e-3)
    assert (detector.predict(in_single(ROWS)) == detector.predict(ROWS)).all()


def test_loaded_model_leaves_copies_out_as_well(detector, tmp_path):
    save(detector, tmp_path / "m.vae")
    again = load(tmp_path / "m.vae")
    assert np.array_equal(again.score_samples(in_single(ROWS)), detector.score_samples(in_single(ROWS)))


def test_copies_of_training_rows_cannot_calibrate(detector):
    with pytest.raises(DataError, match="were trained on"):
        detector.calibrate(in_single(ROWS))
