"""Cells with p-values, proposals at a false-discovery rate, and the changes that make rows normal."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from vae_anomaly import DataWarning, SpecificationError, VAEDetector, load, save
from vae_anomaly.detectors import read_table
from vae_anomaly.errors import NotAvailable
from vae_anomaly.explain import Change, PathToNormal, cells_needed, wrong_cells
from vae_anomaly.explain.conditionals import tail_probability
from vae_anomaly.explain.evidence import evidence_of, settled_scores
from vae_anomaly.explain.reference import judges
from vae_anomaly.store.models import _check_cells


def rows_of(seed, n):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)
    frame = pd.DataFrame({name: common + 0.3 * rng.normal(size=n) for name in ("a", "b", "c", "d")})
    return frame.assign(
        amount=np.rint(np.exp(3 + common + 0.3 * rng.normal(size=n))),
        side=np.where(common + 0.3 * rng.normal(size=n) > 0, "left", "right"),
        unit="kg",
    )


@pytest.fixture(scope="module")
def fitted():
    return VAEDetector(n_estimators=2, max_iter=150, early_stopping=False).fit(rows_of(0, 600))


@pytest.fixture(scope="module")
def with_errors():
    dirty = rows_of(1, 200)
    for place in range(12):
        dirty.loc[place, "abcd"[place % 4]] += 40.0
    dirty.loc[5, "amount"] = 50_000.0
    dirty.loc[20, "b"] = np.nan
    return dirty


def read(detector, frame):
    return detector.encoder_.encode(read_table(detector, frame, fitting=False))


def test_cells_of_a_fold_are_judged_by_the_member_that_has_not_seen_it(fitted):
    model = fitted._with_reference(cells=True)
    assert len(model.reference.cells) == 2
    for number, judge in enumerate(judges(model, 2)):
        assert judge.vae.n_members == 1
        assert torch.equal(judge.vae.raw_noise[0], model.vae.raw_noise[number])
        assert torch.equal(judge.noise[0], model.noise[number])
    assert judges(model, 1) == [model]


def test_p_values_count_calibration_cells_that_are_as_anomalous(fitted, with_errors):
    model = fitted._with_reference(cells=True)
    batch = read(fitted, with_errors)
    first = evidence_of(model, batch)
    at_least, n = np.zeros(first.alone.shape), 0
    varying = [position for position, column in enumerate(fitted.columns_) if column.name != "unit"]
    for judge, known in zip(judges(model, 2), model.reference.cells.numpy(), strict=True):
        scores = settled_scores(judge, batch, first)
        cells = known[:, varying].ravel()
        at_least += (cells[:, None, None] >= scores - 1e-5 * (1 + np.abs(scores))).sum(0)
        n += len(cells)
    found = fitted.cell_p_values(with_errors)
    expected = np.where(with_errors.isna(), np.nan, (1 + at_least) / (1 + n))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert list(found.columns) == list(with_errors.columns)
    assert np.isnan(found.loc[20, "b"])


def test_by_column_a_cell_is_compared_with_its_column_alone(fitted, with_errors):
    n = fitted.model_.reference.cells.shape[0] * fitted.model_.reference.cells.shape[1]
    found = fitted.cell_p_values(with_errors, by_column=True)
    assert np.nanmin(found) == pytest.approx(1 / (n + 1))
    assert fitted.cell_p_values(with_errors).min().min() < 1 / (n + 1)


def test_p_values_of_unseen_rows_are_about_uniform(fitted):
    found = fitted.cell_p_values(rows_of(2, 600)).drop(columns="unit").to_numpy()
    for level in (0.02, 0.05, 0.1, 0.3):
        assert (found <= level).mean() < 1.35 * level
    assert (found <= 0.1).mean() > 0.06


def test_p_values_do_not_depend_on_other_rows(fitted, with_errors):
    pd.testing.assert_frame_equal(fitted.cell_p_values(with_errors.iloc[3:9]), fitted.cell_p_values(with_errors)[3:9])


def test_own_cells_do_not_count_in_their_reference():
    known = torch.tensor([[-9.0], [-3.0], [-2.0], [-1.0], [0.0], [1.0], [2.0], [3.0]])
    for place in range(len(known)):
        rest = torch.cat([known[:place], known[place + 1 :]])
        own = tail_probability(known[[place]], known, [True], known[[place]])
        torch.testing.assert_close(own, tail_probability(known[[place]], rest, [True]), check_dtype=False)
    strange = torch.full((1, 1), torch.nan)
    torch.testing.assert_close(
        tail_probability(known[[0]], known, [True], strange), tail_probability(known[[0]], known, [True])
    )


def test_chosen_cells_are_those_of_benjamini_and_hochberg(fitted):
    names = [column.name for column in fitted.columns_]
    p_values = np.full((2, len(names)), 0.9)
    p_values[0, :3] = 0.001, 0.006, 0.03
    p_values[1, 0] = np.nan
    # 13 cells: the second is below 2 x 0.05 / 13 = 0.0077, the third not below 3 x 0.05 / 13 = 0.0115.
    chosen = wrong_cells(fitted.model_, p_values, 0.05)
    assert np.argwhere(chosen).tolist() == [[0, 0], [0, 1]]
    n_known = 2 * fitted.model_.reference.cells.shape[1] * 6
    assert cells_needed(fitted.model_, p_values, 0.05) == int(np.ceil(13 / (0.05 * (n_known + 1))))


def test_proposals_are_planted_errors_with_the_nats_that_they_save(fitted, with_errors):
    found = fitted.proposals(with_errors, fdr=0.1)
    assert list(found) == ["row", "column", "observed", "proposed", "p_value", "nats"]
    planted = {(place, "abcd"[place % 4]) for place in range(12)} | {(5, "amount")}
    pairs = set(zip(found["row"], found["column"], strict=True))
    assert len(pairs & planted) >= 10
    assert len(pairs - planted) <= 3
    assert found["p_value"].is_monotonic_increasing
    line = found.iloc[0]
    changed = with_errors.copy()
    changed.loc[line["row"], line["column"]] = line["proposed"]
    rows = [line["row"]]
    saved = fitted.anomaly_score(with_errors.loc[rows]) - fitted.anomaly_score(changed.loc[rows])
    assert saved[0] == pytest.approx(line["nats"], rel=1e-9)


def test_repair_changes_the_proposed_cells_alone(fitted, with_errors):
    found = fitted.proposals(with_errors, fdr=0.2)
    repaired = fitted.repair(with_errors, fdr=0.2)
    changed = (repaired != with_errors) & with_errors.notna()
    assert {(row, column) for column in changed for row in np.flatnonzero(changed[column])} == set(
        zip(found["row"], found["column"], strict=True)
    )
    for line in found.itertuples():
        assert repaired.loc[line.row, line.column] == line.proposed


def test_repair_without_a_rate_is_what_it_was(fitted, with_errors):
    pd.testing.assert_frame_equal(fitted.repair(with_errors), fitted.repair(with_errors, 1e-3))


def test_no_proposal_is_told_where_it_takes_many_cells(fitted):
    clean = rows_of(3, 50)
    few = fitted._with_reference(cells=True)
    cells = few.reference.cells[:, -4:]
    twin = VAEDetector(n_estimators=2)
    twin.__dict__ = fitted.__dict__ | {
        "model_": dataclasses.replace(few, reference=dataclasses.replace(few.reference, cells=cells))
    }
    with pytest.warns(DataWarning, match=r"takes \d+ that are more anomalous than every calibration cell"):
        assert twin.proposals(clean, fdr=0.05).empty


@pytest.mark.parametrize("fdr", [0, 1, -0.1, 2, True, "0.1"])
def test_rates_are_between_0_and_1(fitted, with_errors, fdr):
    with pytest.raises(SpecificationError, match="fdr is between 0 and 1, not"):
        fitted.repair(with_errors, fdr=fdr)
    with pytest.raises(SpecificationError, match="fdr is between 0 and 1, not"):
        fitted.proposals(with_errors, fdr=fdr)


def test_one_of_both_says_what_looks_wrong(fitted, with_errors):
    with pytest.raises(SpecificationError, match=r"max_tail_probability=0\.01 and fdr=0\.1 both say"):
        fitted.repair(with_errors, 0.01, fdr=0.1)


def test_without_calibration_cells_there_are_no_p_values(with_errors):
    detector = VAEDetector(n_estimators=1, max_iter=5, early_stopping=False, calibration=None).fit(rows_of(0, 100))
    with pytest.raises(NotAvailable, match="no calibration cells"):
        detector.cell_p_values(with_errors)
    assert detector.repair(with_errors).shape == with_errors.shape
    with pytest.raises(NotFittedError):
        VAEDetector().proposals(with_errors)


def test_calibration_that_is_set_aside_has_one_fold():
    parameters = {"n_estimators": 2, "max_samples": 60, "max_iter": 60, "early_stopping": False}
    detector = VAEDetector(calibration="split", **parameters).fit(rows_of(0, 600))
    assert detector._with_reference(cells=True).reference.cells.shape == (1, 120, 7)
    found = detector.cell_p_values(rows_of(2, 300)).drop(columns="unit").to_numpy()
    assert (found <= 0.1).mean() < 0.15


def test_model_files_keep_the_calibration_cells(fitted, with_errors, tmp_path):
    save(fitted, tmp_path / "m.vae")
    loaded = load(tmp_path / "m.vae")
    pd.testing.assert_frame_equal(loaded.cell_p_values(with_errors), fitted.cell_p_values(with_errors))
    model = fitted._with_reference(cells=True)
    twin = VAEDetector(n_estimators=2)
    without = dataclasses.replace(
        model, reference=dataclasses.replace(model.reference, cells=None), calibrating_rows=None
    )
    twin.__dict__ = fitted.__dict__ | {"model_": without}
    save(twin, tmp_path / "earlier.vae")
    earlier = load(tmp_path / "earlier.vae")
    pd.testing.assert_frame_equal(earlier.repair(with_errors), fitted.repair(with_errors))
    with pytest.raises(NotAvailable, match=r"saved by an earlier version\. Fit it again"):
        earlier.proposals(with_errors)


@pytest.mark.parametrize(
    "cells",
    [
        torch.zeros(2, 5, 7, dtype=torch.float64),
        torch.zeros(5, 7),
        torch.zeros(3, 5, 7),
        torch.zeros(2, 5, 6),
        torch.zeros(2, 0, 7),
        torch.full((2, 5, 7), torch.inf),
        torch.arange(5.0, 0.0, -1.0)[None, :, None].expand(2, 5, 7),
        torch.tensor([torch.nan, 1.0])[None, :, None].expand(2, 2, 7),
    ],
)
def test_calibration_cells_of_a_file_are_checked(cells):
    with pytest.raises(ValueError, match="the reference for cells"):
        _check_cells(cells, 2, 7)


def test_images_have_neither_p_values_nor_paths():
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    detector = VAEDetector(max_iter=2, early_stopping=False).fit(images)
    for call in (detector.cell_p_values, detector.proposals, detector.path_to_normal):
        with pytest.raises(NotAvailable, match="takes images"):
            call(images)


def applied(rows, path):
    changed = rows.copy()
    for line in path.frame().itertuples():
        changed.loc[rows.index[line.row], line.column] = line.proposed
    return changed


def test_nats_of_a_path_are_differences_of_anomaly_scores(fitted, with_errors):
    rows = with_errors.iloc[:30]
    path = fitted.path_to_normal(rows)
    assert len(path) == 30
    np.testing.assert_array_equal(path.score, fitted.anomaly_score(rows))
    np.testing.assert_array_equal(path.score_after, fitted.anomaly_score(applied(rows, path)))
    saved = path.frame().groupby("row")["nats_saved"].sum().reindex(range(30), fill_value=0.0)
    np.testing.assert_allclose(path.score.to_numpy() - saved, path.score_after, rtol=1e-9)
    assert (path.is_normal.to_numpy() == (fitted.predict(applied(rows, path)) == 1)).all()
    assert path.is_normal.iloc[:12].sum() >= 11
    first = path.frame().query("step == 1 and row < 12").set_index("row")["column"]
    assert sum(column == "abcd"[row % 4] for row, column in first.items()) >= 10


def test_normal_rows_need_nothing(fitted, with_errors):
    normal = with_errors[fitted.predict(with_errors) == 1].iloc[:5]
    path = fitted.path_to_normal(normal)
    assert path.changes == ((),) * 5
    assert path.frame().empty
    assert path.is_normal.all()
    assert all(sentence.startswith("nothing to change: ") for sentence in path.sentences())


def test_fixed_cells_never_change(fitted, with_errors):
    path = fitted.path_to_normal(with_errors.iloc[:12], fixed=["a", "b"])
    assert not path.frame()["column"].isin(["a", "b", "unit"]).any()
    assert not path.is_normal.iloc[0]
    nothing = fitted.path_to_normal(with_errors.iloc[:1], fixed=list(with_errors))
    assert nothing.changes == ((),)
    assert "no change of a cell that may change lowers the score" in nothing.sentences()[0]


def test_costs_change_the_order(fitted, with_errors):
    row = with_errors.iloc[[5]].assign(b=40.0)
    first, second = (change.column for change in fitted.path_to_normal(row).changes[0][:2])
    assert first == fitted.path_to_normal(row, costs={second: 1.0}).changes[0][0].column
    assert fitted.path_to_normal(row, costs={first: 1e9}).changes[0][0].column != first


def test_a_path_ends_after_its_changes(fitted, with_errors):
    row = with_errors.iloc[[0]].assign(b=-40.0, c=60.0)
    path = fitted.path_to_normal(row, max_changes=1)
    assert len(path.changes[0]) == 1
    assert "still above the threshold" in path.sentences()[0]


def test_rows_of_a_path_come_in_any_container(fitted, with_errors):
    X = with_errors[list("abcd")].to_numpy()
    detector = VAEDetector(n_estimators=2, max_iter=60, early_stopping=False).fit(
        rows_of(0, 300)[list("abcd")].to_numpy()
    )
    as_array = detector.path_to_normal(X[:6]).frame()
    as_lists = detector.path_to_normal(X[:6].tolist()).frame()
    pd.testing.assert_frame_equal(as_array, as_lists)
    assert set(as_array["column"]) <= {"x0", "x1", "x2", "x3"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"fixed": ["age"]},
            "fixed names 'age', which is no column of the model. It has a, b, c, d, amount, side",
        ),
        ({"fixed": "age"}, "fixed names 'age'"),
        ({"costs": {"age": 1}}, "costs names 'age'"),
        ({"costs": {"a": -1}}, r"costs\['a'\] is -1; expected a number above 0"),
        ({"costs": {"a": 0}}, "expected a number above 0"),
        ({"costs": {"a": "much"}}, "expected a number above 0"),
        ({"costs": {"a": float("nan")}}, "expected a number above 0"),
        ({"max_changes": 0}, "max_changes is a whole number above 0, not 0"),
        ({"max_changes": 1.5}, "max_changes is a whole number above 0, not 1.5"),
    ],
)
def test_bad_constraints_are_named(fitted, with_errors, parameters, message):
    with pytest.raises(SpecificationError, match=message):
        fitted.path_to_normal(with_errors, **parameters)


def test_sentences_say_from_what_to_what():
    changes = (
        Change("amount", 900.0, 20.0, 41.25, 18.3, False),
        Change("country", "X", "Y", 6.0, 12.3, True),
    )
    path = PathToNormal(pd.Series([59.55]), 15.0, (changes,))
    assert path.sentences()[0] == (
        "change amount from 900 to about 20 (-41.2 nats), then country from 'X' to 'Y' (-6.0 nats): 12.30 nats, below "
        "the threshold of 15.00"
    )
    assert path.frame()["step"].tolist() == [1, 2]


def test_dates_and_text_are_proposed_as_the_table_has_them():
    rng = np.random.default_rng(0)
    common = rng.normal(size=300)
    frame = pd.DataFrame(
        {
            "size": 20 + 3 * common + 0.3 * rng.normal(size=300),
            "price": [f"{value:.2f}" for value in 50 + 5 * common + 0.5 * rng.normal(size=300)],
            "when": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(np.rint((common + 0.1 * rng.normal(size=300)) * 60), "D"),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = VAEDetector(
            n_estimators=2, max_iter=150, early_stopping=False, columns={"when": "datetime+trend"}
        ).fit(frame)
        row = frame.iloc[[3]].assign(when=pd.Timestamp("2031-06-01"))
        change = detector.path_to_normal(row).changes[0][0]
    assert change.column == "when"
    assert abs((pd.Timestamp(change.proposed) - frame["when"][3]).days) < 60
    assert change.observed == pd.Timestamp("2031-06-01")
