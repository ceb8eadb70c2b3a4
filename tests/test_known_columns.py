"""Rows by name: extra, reordered and renamed columns, and containers of rows other than DataFrames."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from vae_anomaly import (
    ColumnRoles,
    DataError,
    ExtraColumnsWarning,
    MatchedColumnsWarning,
    VAEDetector,
    load,
    save,
)
from vae_anomaly.detectors import containers

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.ColumnSetAsideWarning")
FAST = {"max_iter": 8, "n_estimators": 2}
DECLARED = {"key": "identifier"}


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 120
    return pd.DataFrame(
        {
            "age": rng.normal(40, 9, n),
            "income": rng.normal(3, 1, n),
            "city": rng.choice(["Rome", "Oslo"], n),
            "key": np.arange(n),
        },
        index=[f"p{number}" for number in range(n)],
    )


@pytest.fixture(scope="module")
def detector(people) -> VAEDetector:
    return VAEDetector(columns=DECLARED, **FAST).fit(people)


@pytest.fixture(scope="module")
def scores(detector, people):
    return detector.score_samples(people)


@pytest.fixture
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("no_warning")
def test_order_does_not_count_and_columns_that_were_set_aside_need_not_be_there(detector, people, scores):
    assert (detector.score_samples(people[["city", "key", "income", "age"]]) == scores).all()
    assert (detector.score_samples(people[["income", "age", "city"]]) == scores).all()


def test_extra_columns_are_ignored_with_one_warning(detector, people, scores):
    more = people.assign(label=1, note="x")
    with pytest.warns(ExtraColumnsWarning, match="does not know columns 'label', 'note': ignored") as caught:
        assert (detector.score_samples(more) == scores).all()
    assert len(caught) == 1
    assert caught[0].message.columns == ("label", "note")


@pytest.mark.parametrize("call", ["decide", "explain", "check_drift", "impute", "reconstruct", "repair"])
def test_each_method_warns_once_of_extra_columns(detector, people, call):
    before = detector.decisions_
    with pytest.warns(ExtraColumnsWarning) as caught:
        getattr(detector, call)(people.assign(note="x"))
    detector.decisions_ = before
    assert [type(one.message) for one in caught] == [ExtraColumnsWarning]


@pytest.mark.filterwarnings("error::vae_anomaly.ExtraColumnsWarning")
@pytest.mark.filterwarnings("ignore::vae_anomaly.MatchedColumnsWarning")
def test_columns_that_were_no_features_are_no_news(people, scores, tmp_path):
    kept = VAEDetector(columns=DECLARED, **FAST).fit(people)
    kept.column_roles_ = ColumnRoles(label="fraud")
    save(kept, tmp_path / "m.vae")
    assert (load(tmp_path / "m.vae").score_samples(people.assign(Fraud=0)) == scores).all()
    assert kept.fit(people).column_roles_ == ColumnRoles()


def test_names_that_differ_in_case_and_blanks_match_with_one_warning(detector, people, scores):
    renamed = people.rename(columns={"age": "\ufeff Age", "income": "INCOME "})
    with pytest.warns(MatchedColumnsWarning) as caught:
        assert (detector.score_samples(renamed) == scores).all()
    assert len(caught) == 1
    assert caught[0].message.names == ("age", "income")
    assert str(caught[0].message) == "columns '\\ufeff Age', 'INCOME ' taken for columns 'age', 'income' of the model."


def test_a_missing_column_is_named_with_a_close_one(detector, people):
    with pytest.raises(DataError, match=r"lack column 'age' of the 3 columns .*; did you mean 'aeg'\?") as caught:
        detector.score_samples(people.rename(columns={"age": "aeg"}))
    assert caught.value.column == "age"
    with pytest.raises(DataError, match="lack column 'age' of the 3"):
        detector.score_samples(people.rename(columns={"age": "AGE"}).assign(Age=1.0))


def test_strict_columns_are_scikit_learns(people):
    strict = VAEDetector(strict_columns=True, **FAST).fit(people)
    with pytest.raises(ValueError, match="must be in the same order"):
        strict.score_samples(people[["income", "age", "city", "key"]])
    with pytest.raises(ValueError, match="Feature names unseen at fit time"):
        strict.score_samples(people.assign(note="x"))


def test_arrays_go_by_their_order_and_number():
    X = np.random.default_rng(0).normal(size=(60, 3))
    detector = VAEDetector(**FAST).fit(X)
    with pytest.raises(ValueError, match="X has 2 features, but VAEDetector is expecting 3"):
        detector.score_samples(X[:, :2])
    frame = pd.DataFrame(X)
    by_number = VAEDetector(**FAST).fit(frame)
    assert (by_number.score_samples(frame[[2, 0, 1]]) == by_number.score_samples(frame)).all()
    assert (detector.score_samples(frame) == by_number.score_samples(frame)).all()


def test_impute_and_repair_leave_other_columns_and_their_order(detector, people):
    holed = people[["city", "income", "age"]].assign(note="x")
    holed.iloc[3, 2] = np.nan
    with pytest.warns(ExtraColumnsWarning):
        filled = detector.impute(holed)
    assert list(filled) == list(holed)
    assert filled.index.equals(people.index)
    changed = (filled != holed).to_numpy()
    assert changed.sum() == 1
    assert changed[3, 2]
    with pytest.warns(ExtraColumnsWarning):
        expected = detector.reconstruct(holed)
    assert list(expected) == list(people)
    assert filled.iloc[3, 2] == pytest.approx(detector.impute(holed[["age", "income", "city"]])["age"].iloc[3])


def test_frames_keep_the_index(detector, people):
    index = people.index
    assert detector.decide(people).index.equals(index)
    explanation = detector.explain(people[:5])
    for part in (explanation.contributions, explanation.kl, explanation.score, explanation.expected):
        assert part.index.equals(index[:5])
    assert detector.impute(people).index.equals(index)
    assert detector.repair(people).index.equals(index)
    assert detector.reconstruct(people).index.equals(index)
    audited = detector.audit(4, people)
    assert (people.index.get_indexer(audited.index) == audited["id"]).all()


def test_rows_by_name(detector, people, scores):
    row = people.iloc[7]
    rows = people.to_dict("records")
    assert detector.score_samples(row) == scores[[7]]
    assert detector.score_samples(dict(row)) == scores[[7]]
    assert detector.score_samples({"city": row["city"], "income": row["income"], "age": row["age"]}) == scores[[7]]
    assert (detector.score_samples(rows) == scores).all()
    assert (detector.score_samples([people.iloc[2], people.iloc[5]]) == scores[[2, 5]]).all()
    assert (detector.score_samples({name: people[name].tolist() for name in people}) == scores).all()
    assert (detector.score_samples(people.to_records(index=False)) == scores).all()
    assert (detector.score_samples(pl.from_pandas(people)[:, ::-1]) == scores).all()
    assert detector.decide(row).index.tolist() == ["p7"]
    assert detector.explain(row).score.index.tolist() == ["p7"]
    assert detector.explain(rows[:2]).score.index.tolist() == [0, 1]


def test_cells_that_a_dict_lacks_are_missing(detector, people):
    rows = [{"age": 30.0, "income": 2.0, "city": "Rome"}, {"age": 30.0, "income": 2.0}]
    with_hole = people[:2].drop(columns="key").assign(age=30.0, income=2.0, city=["Rome", None])
    assert (detector.score_samples(rows) == detector.score_samples(with_hole)).all()
    with pytest.raises(DataError, match="lack column 'city'"):
        detector.score_samples(rows[1])


def test_dict_of_columns_of_different_lengths_is_refused(detector):
    with pytest.raises(DataError, match="column 'age' of the dict has 1 cells, and 'income' has 2"):
        detector.score_samples({"age": [1.0], "income": [1.0, 2.0], "city": ["Rome", "Oslo"]})


def test_list_of_dicts_can_be_fitted(people, scores):
    records = people.to_dict("records")
    assert (VAEDetector(columns=DECLARED, **FAST).fit(records).score_samples(records) == scores).all()


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix])
def test_sparse_matrices_are_the_dense_ones(container):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4)) * (rng.random((80, 4)) < 0.4)
    dense = VAEDetector(**FAST).fit(X)
    detector = VAEDetector(**FAST).fit(container(X))
    assert (detector.score_samples(container(X)) == dense.score_samples(X)).all()
    frame = pd.DataFrame.sparse.from_spmatrix(sparse.csc_matrix(X), columns=list("abcd"))
    of_frame = VAEDetector(**FAST).fit(frame)
    assert (of_frame.score_samples(frame) == dense.score_samples(X)).all()
    mixed = frame.assign(d=frame["d"].sparse.to_dense())
    assert (of_frame.score_samples(mixed) == dense.score_samples(X)).all()


def test_sparse_rows_too_large_are_refused_with_their_size(monkeypatch):
    with pytest.raises(DataError, match=r"of shape \(1000000, 10000\) take 74.5 GiB .* at most 2 GiB"):
        VAEDetector().fit(sparse.csr_matrix((1_000_000, 10_000)))
    monkeypatch.setattr(containers, "MAX_DENSE_BYTES", 800)
    containers.as_rows(sparse.csr_matrix((10, 10)))
    with pytest.raises(DataError, match="expected at most"):
        containers.as_rows(sparse.csr_matrix((101, 1)))


def test_column_transformer_with_its_defaults_goes_before(people):
    encode = ColumnTransformer([("city", OneHotEncoder(), ["city"]), ("numbers", StandardScaler(), ["age"])])
    encode.sparse_threshold = 1.0
    pipeline = make_pipeline(encode, VAEDetector(**FAST)).fit(people)
    assert sparse.issparse(pipeline[0].transform(people))
    assert np.isfinite(pipeline.score_samples(people)).all()


@pytest.mark.parametrize("strict_columns", [False, True])
def test_pipelines_and_set_output_keep_names_and_index(people, strict_columns):
    detector = VAEDetector(strict_columns=strict_columns, **FAST)
    numbers = people[["age", "income"]]
    pipeline = make_pipeline(StandardScaler(), detector).set_output(transform="pandas").fit(numbers)
    latents = pipeline.transform(numbers)
    assert latents.index.equals(people.index)
    assert list(pipeline[-1].feature_names_in_) == ["age", "income"]
    assert clone(detector).get_params()["strict_columns"] is strict_columns


def test_partial_fit_takes_further_batches_by_name(people, scores):
    detector = VAEDetector(columns=DECLARED, **FAST).partial_fit(people)
    again = VAEDetector(columns=DECLARED, **FAST).partial_fit(people)
    more = people.assign(age=people["age"] + 1)
    detector.partial_fit(more)
    again.partial_fit(more[["key", "city", "income", "age"]])
    assert (detector.score_samples(people) == again.score_samples(people)).all()


def test_errors_call_rows_as_the_index_does(detector, people):
    wrong = people.assign(age=np.where(np.arange(len(people)) == 7, np.inf, 1.0))
    with pytest.raises(DataError, match=r"column 'age' holds inf \(index 'p7'\)") as caught:
        detector.score_samples(wrong)
    assert (caught.value.row, caught.value.label) == (7, "p7")
    with pytest.raises(DataError, match=r"\(index 'p7'\)"):
        VAEDetector(columns=DECLARED, **FAST).fit(wrong)
    numbered = wrong[["age", "income"]].set_axis(np.arange(len(people)) * 10)
    with pytest.raises(DataError, match=r"\(index 70\)"):
        VAEDetector(**FAST).fit(numbered)
    with pytest.raises(DataError, match=r"\(index 7\)"):
        VAEDetector(**FAST).fit(numbered.to_numpy())
    with pytest.raises(DataError, match=r"\(index 'p7'\)"):
        detector.score_samples(people.iloc[7].replace(people.iloc[7]["age"], np.inf))
