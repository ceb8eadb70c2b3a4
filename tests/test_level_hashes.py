"""What of the training data stands in a model file, and what is known there by keyed hashes alone."""

import base64
import hmac
import json
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly import HashedLevelWarning, ModelFileError, SpecificationError, VAEDetector, load, read_manifest, save
from vae_anomaly.columns import Column, LevelRule, with_hashed_levels
from vae_anomaly.data import HashedTexts, Table, TextFormat, is_hashed, with_hashed
from vae_anomaly.decisions import Calibration, ColumnSample, columns_moved
from vae_anomaly.likelihoods import Categorical

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.DataWarning", "ignore::vae_anomaly.FitWarning")

KEY = bytes(range(32))
N_ROWS = 7_500
PEOPLE = [f"jürgen.{number:04d}@example.com" for number in range(3_000)]
ODD = [f"odd{number}@example.com" for number in range(20)]
QUICK = {"max_iter": 5, "n_estimators": 1, "random_state": 0, "early_stopping": False}


def people_table() -> pd.DataFrame:
    """Rows with addresses as levels, groups, identifiers, categories and odd cells."""
    rng = np.random.default_rng(0)
    amount = rng.normal(size=N_ROWS).round(4).astype(str).astype(object)
    amount[:20] = ODD
    when = pd.date_range("2024-01-01", periods=N_ROWS, freq="h").strftime("%d.%m.%Y").to_numpy(dtype=object)
    when[20:40] = ODD
    frame = pd.DataFrame(
        {
            "person": [PEOPLE[row % 3_000] for row in range(N_ROWS)],
            "category": pd.Categorical([PEOPLE[(7 * row) % 3_000] for row in range(N_ROWS)]),
            "group": [PEOPLE[(11 * row) % 3_000] for row in range(N_ROWS)],
            "key": [f"{row}:{PEOPLE[row % 3_000]}" for row in range(N_ROWS)],
            "amount": amount,
            "when": when,
            "balance": rng.lognormal(5, 1, N_ROWS),
            "status": rng.choice(["open", "paid"], N_ROWS),
            "case": np.repeat(["Odd1@example.com", "odd1@example.com", "none"], [5, 4, N_ROWS - 9]),
            "mark": np.where(np.arange(N_ROWS) < 9, ODD[0], None),
            "long": np.where(np.arange(N_ROWS) % 2, "a note of odd length @example.com" * 3, "short"),
        }
    )
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return people_table()


@pytest.fixture(scope="module")
def fitted(people: pd.DataFrame) -> Iterator[VAEDetector]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield VAEDetector(calibration_groups="group", **QUICK).fit(people)


@pytest.fixture(scope="module")
def file(fitted: VAEDetector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hashed") / "people.vae"
    save(fitted, path)
    return path


@pytest.fixture(scope="module")
def loaded(file: Path) -> VAEDetector:
    detector = load(file)
    assert isinstance(detector, VAEDetector)
    return detector


def written_forms(text: str) -> set[bytes]:
    """A text as bytes, in JSON, in JSON within JSON, and as hexadecimal and base64 digits."""
    once = json.dumps(text)[1:-1]
    return {
        *(text.encode(coding) for coding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "utf-32-le")),
        once.encode(),
        json.dumps(once)[1:-1].encode(),
        text.casefold().encode(),
        text.encode().hex().encode(),
        *(base64.b64encode(bytes(shift) + text.encode())[4:-4] for shift in range(3)),
    }


def test_no_address_of_three_thousand_is_in_the_file(file: Path) -> None:
    data = file.read_bytes()
    assert b"@example" not in data
    assert "@example".encode("utf-16-le") not in data
    for person in PEOPLE[::100] + ODD:
        assert not any(form in data for form in written_forms(person))


def test_common_levels_are_in_the_file(loaded: VAEDetector) -> None:
    columns = {column.name: column for column in loaded.columns_}
    assert set(columns["status"].levels) == {"open", "paid"}
    assert columns["status"].hashed is None


def test_reasons_of_columns_name_no_cells(file: Path) -> None:
    reasons = {column["name"]: column["reason"] for column in read_manifest(file)["columns"]}
    assert reasons["case"].endswith("; levels in upper or lower case")
    assert reasons["mark"].endswith("; one text or empty, which is a level of its own")


def test_scores_and_p_values_are_those_of_the_detector_in_memory(
    people: pd.DataFrame, fitted: VAEDetector, loaded: VAEDetector
) -> None:
    rows = pd.concat([people.iloc[:300], people.iloc[:3].assign(person="nobody@example.com")])
    np.testing.assert_array_equal(loaded.score_samples(rows), fitted.score_samples(rows))
    np.testing.assert_array_equal(loaded.p_values(rows), fitted.p_values(rows))


def test_level_is_known_in_any_case_and_an_unseen_one_is_none(fitted: VAEDetector, loaded: VAEDetector) -> None:
    shouted = pd.DataFrame({"person": [PEOPLE[0].upper(), f" {PEOPLE[0]} ", "nobody@example.com", None]})
    codes = []
    for detector in (fitted, loaded):
        (position,) = [index for index, column in enumerate(detector.columns_) if column.name == "person"]
        column = detector.columns_[position]
        table = Table(("person",), shouted)
        from vae_anomaly.columns import read_text

        codes.append(column.encode(read_text(table, [column]), 0))
    np.testing.assert_array_equal(codes[0], codes[1])
    assert codes[1][0] == codes[1][1] < 64
    assert codes[1][2] == 64
    assert np.isnan(codes[1][3])


def test_odd_cells_of_training_are_missing_without_a_warning(
    people: pd.DataFrame, fitted: VAEDetector, loaded: VAEDetector
) -> None:
    row = people[people["amount"].isin(ODD)].iloc[:1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(loaded.score_samples(row), fitted.score_samples(row))
    with pytest.raises(ValueError, match="holds 'other@example"):
        loaded.score_samples(row.assign(amount="other@example.com"))


def test_drift_is_that_of_the_detector_in_memory(
    people: pd.DataFrame, fitted: VAEDetector, loaded: VAEDetector
) -> None:
    moved = people.iloc[:400].assign(person=PEOPLE[7], category=pd.Categorical([PEOPLE[8]] * 400))
    before, now = (
        pickle.loads(pickle.dumps(fitted)).check_drift(moved),
        pickle.loads(pickle.dumps(loaded)).check_drift(moved),
    )
    assert [shift.p_value for shift in now.columns] == [shift.p_value for shift in before.columns]
    assert [shift.level for shift in now.columns] == [shift.level for shift in before.columns]
    assert PEOPLE[7] in {shift.level for shift in now.columns}


def test_a_second_round_trip_keeps_hashes_and_scores(
    people: pd.DataFrame, fitted: VAEDetector, loaded: VAEDetector, file: Path, tmp_path: Path
) -> None:
    save(loaded, tmp_path / "again.vae")
    again = load(tmp_path / "again.vae")
    assert [column.hashed for column in again.columns_] == [column.hashed for column in loaded.columns_]
    assert again.columns_ == loaded.columns_
    np.testing.assert_array_equal(again.score_samples(people[:200]), fitted.score_samples(people[:200]))
    assert b"@example" not in (tmp_path / "again.vae").read_bytes()


def test_recalibrated_model_of_a_file_hashes_what_is_new(
    people: pd.DataFrame, loaded: VAEDetector, tmp_path: Path
) -> None:
    again: VAEDetector = pickle.loads(pickle.dumps(loaded))
    again.calibrate(people.iloc[:500].assign(status="fresh@example.com", group="new@example.com"))
    save(again, tmp_path / "calibrated.vae")
    data = (tmp_path / "calibrated.vae").read_bytes()
    assert b"fresh@example" not in data
    # All 500 calibration rows have the group.
    assert b"new@example" in data
    rows = people.iloc[:50].assign(group="new@example.com")
    np.testing.assert_array_equal(load(tmp_path / "calibrated.vae").p_values(rows), again.p_values(rows))


def test_detector_that_was_saved_is_as_it_was(fitted: VAEDetector) -> None:
    assert not any(column.hashed for column in fitted.columns_)
    assert PEOPLE[0] in {level for column in fitted.columns_ for level in (*column.levels, *column.rare)}


def test_reasons_name_the_cell_of_the_row_and_a_stand_in_for_what_is_expected(
    people: pd.DataFrame, loaded: VAEDetector
) -> None:
    explanation = loaded.explain(people.iloc[:3])
    assert list(explanation.observed["person"]) == list(people["person"][:3])
    assert all(str(text).startswith("(hashed value ") for text in explanation.expected["person"])


def test_same_fit_gives_the_same_hashes_and_another_fit_another_key(people: pd.DataFrame, tmp_path: Path) -> None:
    some = people[["person", "status"]].iloc[:1000]
    files = []
    keys, digests = [], []
    for rows, seed in ((some, 0), (some, 0), (some.iloc[::-1], 0)):
        detector = VAEDetector(**(QUICK | {"random_state": seed}), columns={"person": "categorical"}).fit(rows)
        save(detector, tmp_path / "model.vae")
        files.append((tmp_path / "model.vae").read_bytes())
        hashed = load(tmp_path / "model.vae").columns_[0].hashed
        assert hashed is not None
        keys.append(hashed.key)
        digests.append(hashed.digests)
    assert keys[0] == keys[1] != keys[2]
    assert digests[0] == digests[1]
    assert files[0] == files[1] != files[2]


def test_cells_that_nobody_can_use_are_not_in_the_reason(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.linspace(0, 1, 50) ** 2, "l": [[row, "ann@example.com"] for row in range(50)]})
    save(VAEDetector(**QUICK, calibration=None).fit(frame), tmp_path / "model.vae")
    assert b"@example" not in (tmp_path / "model.vae").read_bytes()


def two_levels(count: int) -> VAEDetector:
    """A detector with a level of so many training rows."""
    texts = np.where(np.arange(200) < count, "rare", "common")
    frame = pd.DataFrame({"text": texts, "number": np.linspace(0, 1, 200) ** 2})
    return VAEDetector(**QUICK, calibration=None).fit(frame)


@pytest.mark.parametrize(("count", "kept"), [(9, False), (10, True)])
def test_level_of_ten_training_rows_stays_and_one_of_nine_is_hashed(count: int, kept: bool, tmp_path: Path) -> None:
    save(two_levels(count), tmp_path / "model.vae")
    assert ("rare" in load(tmp_path / "model.vae").columns_[0].levels) == kept


def test_what_save_is_told_holds_for_later_saves_of_the_loaded_model(tmp_path: Path) -> None:
    detector, path = two_levels(60), tmp_path / "model.vae"
    save(detector, path, min_level_count=61)
    assert [is_hashed(level) for level in load(path).columns_[0].levels] == [False, True]
    save(load(path), path)
    assert load(path).level_rule_ == LevelRule(61)
    save(detector, path, raw_values=False)
    assert all(map(is_hashed, load(path).columns_[0].levels))
    save(load(path), path)
    assert load(path).level_rule_ == LevelRule(10, raw_values=False)


@pytest.mark.parametrize("count", [0, 2.5, True, "10"])
def test_number_of_rows_that_is_none_is_refused(count: Any, tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="min_level_count is a positive number"):
        save(two_levels(60), tmp_path / "model.vae", min_level_count=count)


def test_without_raw_values_no_text_and_no_sample_of_numbers_is_in_the_file(
    people: pd.DataFrame, fitted: VAEDetector, tmp_path: Path
) -> None:
    path = tmp_path / "model.vae"
    save(fitted, path, raw_values=False)
    data = path.read_bytes()
    assert b'"open"' not in data
    assert not any(balance.tobytes() in data for balance in people["balance"].to_numpy()[:100])
    bare = load(path)
    np.testing.assert_array_equal(bare.score_samples(people[:200]), fitted.score_samples(people[:200]))
    assert {shift.what for shift in bare.check_drift(people[:300]).columns} == {"levels", "missing"}


def test_imputed_and_repaired_cells_are_never_stand_ins(
    people: pd.DataFrame, fitted: VAEDetector, tmp_path: Path
) -> None:
    save(fitted, tmp_path / "model.vae", raw_values=False)
    bare = load(tmp_path / "model.vae")
    rows = people.iloc[:5].copy()
    rows["status"] = pd.Series([None] * 5, dtype=object)
    with pytest.warns(HashedLevelWarning, match="'status': in 5 cells the"):
        filled = bare.impute(rows)
    assert filled["status"].isna().all()
    wrong = people.iloc[:5].assign(status="never seen")
    with pytest.warns(HashedLevelWarning, match="'status'") as caught:
        repaired = bare.repair(wrong, 0.9)
    (warning,) = [each.message for each in caught if getattr(each.message, "column", "") == "status"]
    assert isinstance(warning, HashedLevelWarning)
    assert repaired["status"].isna().sum() == warning.count > 0
    assert not repaired.map(is_hashed).to_numpy().any()


def test_levels_that_were_numbers_are_imputed_as_missing(tmp_path: Path) -> None:
    X = np.column_stack([np.repeat([7.0, 4012888888881881.0], [195, 5]), np.linspace(0, 1, 200) ** 2])
    save(
        VAEDetector(**QUICK, columns={"x0": "categorical"}, calibration=None).fit(X),
        tmp_path / "model.vae",
        raw_values=False,
    )
    assert b"4012888888881881" not in (tmp_path / "model.vae").read_bytes()
    loaded = load(tmp_path / "model.vae")
    with pytest.warns(HashedLevelWarning):
        filled = loaded.impute([[np.nan, 0.5]])
    assert np.isnan(filled[0, 0])
    assert loaded.sample(3).dtype == np.float64
    assert str(loaded.explain([[7.0, 0.5]]).expected.iloc[0, 0]).startswith("(hashed value ")


def test_pickled_detector_has_its_levels_once(fitted: VAEDetector, people: pd.DataFrame) -> None:
    fresh: VAEDetector = pickle.loads(pickle.dumps(fitted))
    before = len(pickle.dumps(fresh))
    fresh.score_samples(people[:2])
    assert len(pickle.dumps(fresh)) < 1.01 * before


def test_hashes_are_hmacs_of_sixteen_bytes() -> None:
    (digest,) = HashedTexts.of(["Straße"], KEY)
    assert digest == hmac.digest(KEY, "Straße".encode(), "sha256")[:16]
    (folded,) = HashedTexts.of(["Straße"], KEY, folded=True)
    assert folded == hmac.digest(KEY, b"strasse", "sha256")[:16]


@given(st.lists(st.text(), unique=True, min_size=1), st.lists(st.text()))
def test_texts_are_found_where_they_are(texts: list[str], others: list[str]) -> None:
    known = HashedTexts.of(texts, KEY)
    expected = [texts.index(text) if text in texts else -1 for text in [*others, *texts]]
    assert known.positions([*others, *texts]).tolist() == expected


@given(st.lists(st.tuples(st.text(), st.booleans()), unique_by=lambda pair: pair[0]), st.lists(st.booleans()))
def test_texts_that_are_hashed_in_two_turns_are_hashed_as_in_one(
    texts: list[tuple[str, bool]], later: list[bool]
) -> None:
    names = [text for text, _ in texts]
    first = [stays for _, stays in texts]
    both = [stays and not (place < len(later) and later[place]) for place, stays in enumerate(first)]
    shown, hashed = with_hashed(names, first, None, KEY)
    shown, hashed = with_hashed(shown, both, hashed, KEY)
    assert (shown, hashed) == with_hashed(names, both, None, KEY)


def test_pool_keeps_its_code_and_its_most_frequent_level_a_place() -> None:
    levels = tuple(f"level {number}" for number in range(63))
    column = Column(
        *("c", "categorical", Categorical(), "so"),
        levels=(*levels, "(rare)"),
        rare=("common", "rare one", "rare two"),
        unseen=1e-3,
        frequencies=(1 / 64,) * 64,
        text_format=TextFormat("level", fold=True),
        counts=(*range(72, 9, -1), 10),
    )
    for min_count, first in ((10, "common"), (11, None)):
        hashed = with_hashed_levels(column, KEY, LevelRule(min_count))
        cells = pd.DataFrame({"c": ["level 62", "(rare)", "common", "RARE ONE", "rare two", "(hashed value 0)", "new"]})
        np.testing.assert_array_equal(hashed.encode(Table(("c",), cells), 0), [62, 63, 63, 63, 63, 64, 64])
        assert len(hashed.rare) == 1
        (pooled,) = hashed.decode(np.array([63.0]))
        assert pooled == first or (first is None and is_hashed(pooled))
        assert with_hashed_levels(hashed, KEY, LevelRule(min_count)) == hashed


def test_counts_of_files_that_have_none_follow_from_frequencies() -> None:
    counts = np.array([90, 10, 9])
    column = Column(
        *("c", "categorical", Categorical(), "so"),
        levels=("a", "b", "c"),
        unseen=1 / 110,
        frequencies=tuple((counts + 1) / (counts.sum() + 3)),
    )
    assert [is_hashed(level) for level in with_hashed_levels(column, KEY, LevelRule()).levels] == [False, False, True]


def test_column_sample_compares_hashed_levels_as_others() -> None:
    levels = {"a": 500, "b": 280, "odd": 220}
    old = ColumnSample("c", "levels", 1000, 0, levels=levels)
    shown, hashed = with_hashed(list(levels), [True, True, False], None, KEY, folded=True)
    private = ColumnSample("c", "levels", 1000, 0, levels=dict(zip(shown, levels.values(), strict=True)), hashed=hashed)
    new = ColumnSample("c", "levels", 100, 0, levels={"a": 40, "b": 20, "ODD": 70, "new": 10})
    folded = ColumnSample("c", "levels", 100, 0, levels={"a": 40, "b": 20, "odd": 70, "new": 10})
    (shift,), (expected,) = columns_moved([private], [new]), columns_moved([old], [folded])
    assert (shift.p_value, shift.n_unseen, shift.level) == (expected.p_value, 10, "ODD")


def test_groups_that_are_hashed_have_the_same_p_values() -> None:
    calibration = Calibration.of(
        "split", [[1.0, 2.0, 3.0, 4.0]], group_column="g", groups=[["ann", "ann", "bob", "bob"]]
    )
    shown, hashed = with_hashed(list(calibration.groups), [False, True], None, KEY)
    import dataclasses

    groups = dict(zip(shown, calibration.groups.values(), strict=True))
    private = dataclasses.replace(calibration, groups=groups, hashed_groups=hashed)
    compared, rows = np.array([[1.5], [1.5], [9.0]]), ["ann", "bob", "carl"]
    assert private.p_values(compared, rows).tolist() == calibration.p_values(compared, rows).tolist() == [2 / 3, 1, 1]


def test_file_whose_hashes_do_not_fit_is_refused(file: Path, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(file, "pt") as opened:
        metadata, tensors = opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    (name, *_) = sorted(name for name in tensors if name.startswith("levels."))
    for changed in (tensors[name][:-1], tensors[name].float(), None):
        content = {key: tensor for key, tensor in tensors.items() if key != name}
        save_file(content if changed is None else content | {name: changed.clone()}, tmp_path / "bad.vae", metadata)
        with pytest.raises(ModelFileError):
            load(tmp_path / "bad.vae")
