"""Time grows with the number of columns, and not with its square: counted in calls of functions, which do not waver."""

import itertools
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import VAEDetector, load, save
from vae_anomaly.columns import Column, TableEncoder
from vae_anomaly.columns.inference import check_declarations
from vae_anomaly.columns.missing_codes import check_named_columns
from vae_anomaly.data.table import Table
from vae_anomaly.explain import conditionals
from vae_anomaly.likelihoods import StudentT

SIZES = (20, 40, 80)


class Name(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    n_compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Name.n_compared += 1
        return str.__eq__(self, other)


def calls_of(function):
    count = 0

    def called(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def wide_frame(n_columns):
    rng = np.random.default_rng(0)
    numbers = {f"c{index}": rng.normal(size=24) for index in range(n_columns)}
    text = {f"c{index}": rng.choice(["a", "b", "c"], 24) for index in range(0, n_columns, 4)}
    priced = {f"c{index}": [f"{number:.2f}" for number in rng.normal(size=24)] for index in range(1, n_columns, 4)}
    return pd.DataFrame(numbers | text | priced)


def fitted(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return VAEDetector(max_iter=1, n_estimators=1, random_state=0).fit(rows)


@pytest.fixture(scope="module")
def detectors():
    return {size: fitted(wide_frame(size)) for size in SIZES}


def assert_linear(calls):
    """Twice as many columns more are at most a quarter more than twice as many calls more."""
    first, second, third = calls
    assert third - second <= 1.25 * 2 * (second - first)


def test_calls_of_a_fit_grow_with_the_columns(detectors):
    assert_linear([calls_of(lambda size=size: fitted(wide_frame(size))) for size in SIZES])


@pytest.mark.parametrize(
    "use",
    [
        lambda detector, frame: detector.score_samples(frame),
        lambda detector, frame: detector.score_samples(frame.iloc[:, ::-1]),
        lambda detector, frame: detector.impute(frame),
        lambda detector, _: detector.sample(3),
    ],
    ids=["score", "score reordered", "impute", "sample"],
)
def test_calls_of_a_use_grow_with_the_columns(detectors, use):
    for size, detector in detectors.items():
        use(detector, wide_frame(size))
    frames = {size: wide_frame(size) for size in SIZES}
    assert_linear([calls_of(lambda size=size: use(detectors[size], frames[size])) for size in SIZES])


def test_calls_of_saving_and_loading_grow_with_the_columns(detectors, tmp_path):
    save(detectors[40], tmp_path / "first.vae")
    load(tmp_path / "first.vae")

    def both(size):
        save(detectors[size], tmp_path / f"{size}.vae")
        load(tmp_path / f"{size}.vae")

    assert_linear([calls_of(lambda size=size: both(size)) for size in SIZES])


def test_names_are_looked_up_without_a_search():
    names = tuple(Name(f"c{index}") for index in range(400))
    asked = {Name(f"c{index}"): "continuous" for index in range(400)}
    Name.n_compared = 0
    check_declarations(asked, names)
    check_named_columns(dict.fromkeys(asked, -1), names)
    assert Name.n_compared <= 4 * len(names)


def test_columns_own_their_parts_without_a_search():
    part = Column("x missing", "missing", StudentT(), "so")
    columns = (
        Column("a", "continuous", StudentT(), "so", parts=(part,)),
        Column("b", "identifier", None, "so"),
        Column("c", "continuous", StudentT(), "so"),
    )
    encoder = TableEncoder(columns)
    assert [encoder.model_indices_of(position) for position in range(3)] == [(0, 1), (), (2,)]


def test_first_cell_that_is_there_ends_the_search_for_one():
    table = Table(("a", "b", "c"), pd.DataFrame({"a": [None, 1.0], "b": [None, None], "c": [1, 2]}))
    assert [table.is_empty(position) for position in range(3)] == [False, True, False]


@pytest.mark.parametrize(("n_columns", "n_passes"), [(512, 512), (513, 512), (2000, 512)])
def test_columns_beyond_512_are_hidden_with_others_far_from_them(n_columns, n_passes):
    class Network:
        n_varying = n_columns

    passes = conditionals._passes(Network, [(index,) for index in range(n_columns)])
    assert len(passes) == n_passes
    assert sorted(index for indices in passes for index in indices) == list(range(n_columns))
    assert all(later - earlier == 512 for indices in passes for earlier, later in itertools.pairwise(indices))
