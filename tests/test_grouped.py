"""A model for each group of rows: the bits of single fits, and rows led to the right one."""

import warnings
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from vae_anomaly import (
    DataError,
    GroupedDetector,
    GroupsLeftOutWarning,
    SimilarGroupsWarning,
    SpecificationError,
    UnknownGroupsWarning,
    VAEDetector,
)
from vae_anomaly.detectors import KnownGroups, group_names, rows_by_group

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.VAEAnomalyWarning")

RNG = np.random.default_rng(7)
FAST: dict[str, Any] = {"n_estimators": 2, "max_iter": 4, "hidden_layer_sizes": (4,), "early_stopping": False}


def rows(n: int = 120) -> pd.DataFrame:
    frame = pd.DataFrame(RNG.normal(size=(n, 2)), columns=["x", "y"])
    frame["store"] = np.array(["north", "south", "a/b\nc"], dtype=object)[np.arange(n) % 3]
    return frame


ROWS = rows()


@pytest.fixture(scope="module")
def grouped() -> GroupedDetector:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GroupedDetector(VAEDetector(**FAST), by="store", min_rows=20).fit(ROWS)


def test_each_model_is_that_of_a_fit_to_the_rows_of_its_group(grouped: GroupedDetector) -> None:
    for name, part in ROWS.groupby("store"):
        features = part.drop(columns="store")
        alone = VAEDetector(**FAST).fit(features)
        np.testing.assert_array_equal(grouped.score_samples(part), alone.score_samples(features))
        np.testing.assert_array_equal(grouped.p_values(part), alone.p_values(features))
        np.testing.assert_array_equal(grouped.predict(part), alone.predict(features))
        assert grouped.models_[str(name)].threshold_.score == alone.threshold_.score


def test_pooled_model_is_that_of_a_fit_to_all_rows(grouped: GroupedDetector) -> None:
    alone = VAEDetector(**FAST).fit(ROWS.drop(columns="store"))
    new = ROWS.head(5).assign(store="new")
    np.testing.assert_array_equal(grouped.anomaly_score(new), alone.anomaly_score(new.drop(columns="store")))


def test_models_do_not_depend_on_n_jobs_or_other_groups(grouped: GroupedDetector) -> None:
    some = ROWS[ROWS["store"] != "north"]
    with joblib.parallel_config(backend="threading", n_jobs=2):
        other = GroupedDetector(VAEDetector(**FAST), by="store", min_rows=20).fit(some)
    np.testing.assert_array_equal(other.score_samples(some), grouped.score_samples(some))


def test_decisions_say_which_model_judged_the_row(grouped: GroupedDetector) -> None:
    new = ROWS.head(4).set_axis([7, 5, 3, 1]).assign(store=["north", "new", None, " south "])
    found = grouped.decide(new)
    assert found["judged_by"].tolist() == ["group", "pooled", "pooled", "group"]
    assert grouped.judging_groups(new).tolist() == ["north", None, None, "south"]
    assert found.index.tolist() == [7, 5, 3, 1]
    np.testing.assert_array_equal(found["anomaly_score"], grouped.anomaly_score(new))
    np.testing.assert_array_equal(found["is_anomaly"], grouped.decision_function(new) < 0)


def test_rows_are_judged_one_by_one(grouped: GroupedDetector) -> None:
    shuffled = ROWS.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(grouped.score_samples(shuffled), grouped.score_samples(ROWS)[shuffled.index])
    np.testing.assert_array_equal(grouped.score_samples(ROWS[5:6]), grouped.score_samples(ROWS)[5:6])


def test_unknown_groups_are_warned_of(grouped: GroupedDetector) -> None:
    with pytest.warns(UnknownGroupsWarning, match=r"2 of 3 rows .* of 1 group .* \('North'\), 1 without") as caught:
        grouped.score_samples(ROWS.head(3).assign(store=["North", "north", None]))
    (warning,) = [one.message for one in caught if isinstance(one.message, UnknownGroupsWarning)]
    assert (warning.unknown, warning.n_missing, warning.n_pooled) == (("North",), 1, 2)


def test_small_groups_and_failed_ones_are_judged_by_the_pooled_model() -> None:
    frame = rows(90)
    frame.loc[:4, "store"] = "tiny"
    # All its cells are missing, of which no model can be made.
    frame.loc[frame["store"] == "south", ["x", "y"]] = np.nan
    with pytest.warns(GroupsLeftOutWarning, match=r"2 of 4 groups .* 1 with fewer than 10 rows \('tiny'\)") as caught:
        found = GroupedDetector(VAEDetector(**FAST), by="store", min_rows=10).fit(frame)
    assert set(found.models_) == {"north", "a/b\nc"}
    assert list(found.failures_) == ["south"]
    assert found.groups_.loc["tiny"].tolist() == [5, "pooled", "too few rows"]
    assert found.groups_.loc["north"].tolist() == [28, "group", ""]
    (warning,) = [one.message for one in caught if isinstance(one.message, GroupsLeftOutWarning)]
    assert (warning.small, warning.failed) == (("tiny",), ("south",))
    assert found.decide(frame.head(5))["judged_by"].eq("pooled").all()


def test_group_whose_column_is_missing_at_score_time_is_scored(grouped: GroupedDetector) -> None:
    scores = grouped.score_samples(ROWS.assign(x=ROWS["x"].where(ROWS["store"] != "north")))
    assert np.isfinite(scores).all()


def test_all_rows_in_one_group_and_each_row_in_its_own() -> None:
    one = GroupedDetector(VAEDetector(**FAST), by="store").fit(ROWS.assign(store="all"))
    np.testing.assert_array_equal(one.models_["all"].threshold_.score, one.pooled_.threshold_.score)
    many = GroupedDetector(VAEDetector(**FAST), by="store").fit(ROWS.assign(store=np.arange(len(ROWS))))
    assert not many.models_
    assert many.decide(ROWS.assign(store=0))["judged_by"].eq("pooled").all()


def test_names_alike_are_groups_of_their_own_and_warned_of() -> None:
    frame = ROWS.assign(store=np.where(np.arange(len(ROWS)) % 2, "Bonn", "bonn"))
    with pytest.warns(SimilarGroupsWarning, match="'bonn' and 'Bonn' are groups of their own"):
        found = GroupedDetector(VAEDetector(**FAST), by="store", min_rows=20).fit(frame)
    assert set(found.models_) == {"bonn", "Bonn"}


def test_numbers_and_texts_of_them_are_one_group() -> None:
    cells = pd.Series([1, 1.0, "1", " 1 ", "01", True, np.nan, pd.NA, None, "  "], dtype=object)
    assert group_names(cells[:5]).tolist() == ["1", "1", "1", "1", "01"]
    assert group_names(cells[6:]).tolist() == [None, None, None, None]
    assert group_names(pd.Series([2.0, np.nan, 3.5])).tolist() == ["2", None, "3.5"]
    assert group_names(pd.Series([2, None], dtype="Int64")).tolist() == ["2", None]
    assert group_names(pd.Series(["b", None], dtype="category")).tolist() == ["b", None]


def test_text_of_a_whole_number_is_the_group_of_that_number_where_no_other_is_meant() -> None:
    names = np.array(["1.0", "1", "2", "2.0", "3.5", None], dtype=object)
    assert KnownGroups(["1", "2.0"]).judging(names).tolist() == ["1", "1", "2.0", "2.0", None, None]
    assert KnownGroups(["2", "2.0"]).judging(names[2:4]).tolist() == ["2", "2.0"]
    assert KnownGroups(["2", "2.0"]).judging(np.array(["2.00"], dtype=object)).tolist() == [None]


@pytest.mark.parametrize("order", [1, -1])
def test_true_is_not_the_number_one_whichever_comes_first(order: int) -> None:
    cells = pd.Series([True, 1, 1.0, "1", False, 0, np.bool_(True), "x"][::order], dtype=object)
    assert group_names(cells).tolist() == ["True", "1", "1", "1", "False", "0", "True", "x"][::order]


def test_names_do_not_depend_on_the_type_that_holds_the_value() -> None:
    for dtype in (np.float32, np.float64, "Float32", "float32[pyarrow]"):
        cells = pd.Series([0.1, 1e16, 2.0], dtype=dtype)
        assert group_names(cells).tolist() == ["0.1", "10000000000000000", "2"]
        assert group_names(cells.astype("category")).tolist() == ["0.1", "10000000000000000", "2"]
    assert group_names(pd.Series([np.float32(0.1), np.float64(0.1), 0.1], dtype=object)).tolist() == ["0.1"] * 3
    moments = pd.Series(pd.to_datetime(["2026-01-31 08:00:00"]))
    for unit in ("s", "ms", "us", "ns"):
        assert group_names(moments.astype(f"datetime64[{unit}]")).tolist() == ["2026-01-31 08:00:00"]


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ("10000000000000000", "1e+16"),
        ("1e-05", "0.00001"),
        (str(int(1e300)), "1e+300"),
        ("True", "true"),
        ("False", "FALSE"),
        ("2026-01-31 00:00:00", "2026-01-31"),
        ("2026-01-31 08:00:00", "2026-01-31T08:00:00.000000"),
        ("2026-01-31 08:00:00+01:00", "2026-01-31 08:00:00.000+0100"),
    ],
)
def test_text_that_another_program_writes_for_a_value_is_its_group(known: str, text: str) -> None:
    assert KnownGroups([known]).judging(np.array([text], dtype=object)).tolist() == [known]
    assert KnownGroups([text]).judging(np.array([known], dtype=object)).tolist() == [text]
    assert KnownGroups([known, text]).judging(np.array([text, known], dtype=object)).tolist() == [text, known]


@pytest.mark.parametrize(("known", "text"), [("1.1", "1.10"), ("1", "01"), ("Bonn", "bonn"), ("1", "True"), ("x", "-")])
def test_text_that_may_mean_another_group_is_judged_by_the_pooled_model(known: str, text: str) -> None:
    assert KnownGroups([known]).judging(np.array([text], dtype=object)).tolist() == [None]


def test_rows_of_groups_are_in_their_order() -> None:
    found = rows_by_group(np.array(["b", "a", None, "b"], dtype=object))
    assert {name: places.tolist() for name, places in found.items()} == {"b": [0, 3], "a": [1], None: [2]}


def test_threshold_of_each_model_follows_from_its_own_calibration(grouped: GroupedDetector) -> None:
    moved = GroupedDetector(VAEDetector(**FAST), by="store", min_rows=20).fit(ROWS)
    moved.set_threshold(contamination=0.1)
    for name in ("north", "south"):
        alone = VAEDetector(**FAST).fit(ROWS[ROWS["store"] == name].drop(columns="store"))
        assert moved.models_[name].offset_ == alone.set_threshold(contamination=0.1).offset_
    before = grouped.models_["north"].offset_
    with pytest.raises(SpecificationError, match="4 of 4 models have fewer"):
        grouped.set_threshold(false_alarm_rate=0.001)
    assert grouped.models_["north"].offset_ == before


def test_calibration_is_that_of_the_rows_of_each_group() -> None:
    found = GroupedDetector(VAEDetector(**FAST), by="store", min_rows=20).fit(ROWS)
    south = found.models_["south"]
    new = rows(60)
    new = new[new["store"] == "north"]
    found.calibrate(new)
    assert found.models_["north"].calibration_.n_rows == 20
    assert found.models_["south"] is south


def test_explanations_come_by_model_with_the_index_of_the_rows(grouped: GroupedDetector) -> None:
    found = grouped.explain(ROWS.iloc[[4, 3, 7]])
    assert {name: one.score.index.tolist() for name, one in found.items()} == {"south": [4, 7], "north": [3]}
    np.testing.assert_allclose(found["north"].score, grouped.anomaly_score(ROWS.iloc[[3]]), rtol=1e-5)


def test_errors_name_the_row_of_the_table(grouped: GroupedDetector) -> None:
    bad = ROWS.head(6).astype({"x": object})
    bad.loc[4, "x"] = "much"
    with pytest.raises(DataError) as caught:
        grouped.score_samples(bad)
    assert (caught.value.row, caught.value.column) == (4, "x")


def test_arrays_have_numbered_columns() -> None:
    cells = np.column_stack([np.arange(80) % 2, RNG.normal(size=(80, 2))])
    found = GroupedDetector(VAEDetector(**FAST), by="x0", min_rows=20).fit(cells)
    assert set(found.models_) == {"0", "1"}
    np.testing.assert_array_equal(
        found.score_samples(cells[:2]), found.score_samples(pd.DataFrame(cells[:2], columns=["x0", "x1", "x2"]))
    )


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"by": "shop"}, "there is none"),
        ({"by": 3}, "is the name of a column"),
        ({"min_rows": 1}, "at least 2"),
        ({"estimator": "vae"}, "is a VAEDetector, not str"),
        ({"estimator": VAEDetector(verbose=True)}, "each group has its own"),
        ({"estimator": VAEDetector(baseline_by="store")}, "no column of the models"),
        ({"estimator": VAEDetector(columns={"store": "categorical"})}, "no column of the models"),
    ],
)
def test_misuse_is_refused(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        GroupedDetector(**({"estimator": VAEDetector(**FAST), "by": "store"} | parameters)).fit(ROWS)


def test_missing_column_of_groups_is_refused(grouped: GroupedDetector) -> None:
    with pytest.raises(DataError, match="'store', which says which group a row is in, is missing"):
        grouped.score_samples(ROWS.drop(columns="store"))
    with pytest.raises(DataError, match="lists, dicts"):
        grouped.score_samples(ROWS.head(1).assign(store=[[1]]))


def test_rows_drawn_before_give_the_models_of_these_rows(grouped: GroupedDetector) -> None:
    features = ROWS.drop(columns="store")
    parts = [("north", features[ROWS["store"] == "north"]), ("south", ValueError("no two rows"))]
    found = GroupedDetector(VAEDetector(**FAST), by="store", min_rows=20).fit_sampled(
        features, parts, {"north": 40, "south": 40, "tiny": 3}
    )
    north = ROWS[ROWS["store"] == "north"]
    np.testing.assert_array_equal(found.score_samples(north), grouped.score_samples(north))
    assert found.failures_ == {"south": "no two rows"}
    assert found.groups_.loc["tiny", "why"] == "too few rows"


def test_seed_of_a_generator_is_drawn_once() -> None:
    def fitted(seed: Any) -> GroupedDetector:
        return GroupedDetector(VAEDetector(**FAST, random_state=seed), by="store", min_rows=20).fit(ROWS)

    drawn = int(np.random.default_rng(3).integers(2**31))
    np.testing.assert_array_equal(
        fitted(np.random.default_rng(3)).score_samples(ROWS), fitted(drawn).score_samples(ROWS)
    )
