"""Columns that held one value in training: evidence in every method, and nothing for the network to learn."""

import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import DataError, DataWarning, ELBOPerCell, VAEDetector, load, save
from vae_anomaly.detectors import read_table
from vae_anomaly.explain.conditionals import conditionals

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

N = 100
# 90 observed cells of `unit`, 100 of the others.
SAME_UNIT, OTHER_UNIT = math.log1p(-1 / 91), math.log(1 / 91)
SAME, OTHER = math.log1p(-1 / 101), math.log(1 / 101)


def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "unit": np.where(np.arange(N) < 90, 3.0, np.nan),
            "x": rng.normal(size=N),
            "place": ["here"] * N,
            "city": rng.choice(["a", "b", "c"], N),
            "on": [True] * N,
        }
    )


def moved() -> pd.DataFrame:
    """The first four rows: as it was, and with another number, text and truth value."""
    frame = rows().iloc[:4].copy()
    frame.loc[1, "unit"], frame.loc[2, "place"], frame.loc[3, "on"] = 7.0, "there", False
    return frame


def small(**parameters: object) -> VAEDetector:
    return VAEDetector(n_estimators=2, max_iter=30, hidden_layer_sizes=(8,), calibration=None).set_params(**parameters)


@pytest.fixture(scope="module")
def fitted() -> VAEDetector:
    return small().fit(rows())


def test_constants_take_no_weights_and_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        fitted = small().fit(rows())
    assert [column.kind for column in fitted.columns_] == [
        "constant",
        "continuous",
        "constant",
        "categorical",
        "boolean",
    ]
    # x has one output, city room for four levels; the encoder sees as many features and two mask bits.
    assert (fitted.vae_.n_parameters, fitted.vae_.n_varying, fitted.vae_.n_columns) == (5, 2, 5)
    assert fitted.vae_.encoder.layers[0].weight.shape[1] == 5 + 2
    assert fitted.vae_.latent_dim == 2
    assert [column.name for column in fitted.encoder_.modelled] == ["x", "city", "unit", "place", "on"]


def test_cell_costs_what_the_rule_of_succession_says(fitted: VAEDetector) -> None:
    cells = fitted.elbo_terms(moved()).log_likelihood
    expected = np.array(
        [
            [SAME_UNIT, SAME, SAME],
            [OTHER_UNIT, SAME, SAME],
            [SAME_UNIT, OTHER, SAME],
            [SAME_UNIT, SAME, OTHER],
        ]
    )
    np.testing.assert_allclose(cells[..., [0, 2, 4]], np.stack([expected] * 2), rtol=1e-5)
    contributions = fitted.explain(moved()).contributions[["unit", "place", "on"]]
    np.testing.assert_allclose(contributions, -expected, rtol=1e-5)


def test_missing_cell_has_no_term(fitted: VAEDetector) -> None:
    assert (fitted.elbo_terms(rows()).log_likelihood[:, 90:, 0] == 0).all()


def test_distance_does_not_matter(fitted: VAEDetector) -> None:
    near, far = (fitted.score_samples(rows().assign(unit=unit)) for unit in (3.001, -1e300))
    np.testing.assert_array_equal(near, far)


@pytest.mark.parametrize("score", ["pooled_elbo", "elbo", "reconstruction", "importance_weighted"])
def test_move_of_a_constant_moves_the_score_by_its_odds(score: str) -> None:
    detector = small(row_score=score, prior="standard_normal").fit(rows())
    fall = detector.score_samples(rows().iloc[:4]) - detector.score_samples(moved())
    # log((1 - u) / u) = log n
    np.testing.assert_allclose(fall, [0, math.log(90), math.log(100), math.log(100)], atol=1e-5)


def test_score_per_cell_counts_constants_among_the_cells(fitted: VAEDetector) -> None:
    whole = fitted.elbo_terms(rows()).elbo.mean(0)
    each = small(row_score=ELBOPerCell(n_draws=1)).fit(rows()).score_samples(rows())
    np.testing.assert_allclose(each, whole / rows().notna().sum(axis=1), rtol=1e-6)


def test_constants_do_not_reach_the_latents(fitted: VAEDetector) -> None:
    np.testing.assert_array_equal(fitted.transform(moved()), fitted.transform(rows().iloc[:4]))


def test_training_is_the_same_without_them() -> None:
    with_constants, without = small().fit(rows()), small().fit(rows()[["x", "city"]])
    assert with_constants.history_ == without.history_
    # Rows whose constants are missing are not known to be whole, and are rounded differently.
    found, expected = with_constants.transform(rows()), without.transform(rows()[["x", "city"]])
    np.testing.assert_array_equal(found[:90], expected[:90])
    np.testing.assert_allclose(found[90:], expected[90:], rtol=1e-5, atol=1e-6)


def test_report_compares_bounds_with_the_same_terms() -> None:
    frame = rows().assign(unit=3.0)
    report, plain = (small().fit(part).fit_report_ for part in (frame, frame[["x", "city"]]))
    assert plain.baseline_elbo is not None
    assert report.baseline_elbo is not None
    assert report.elbo - plain.elbo == pytest.approx(3 * SAME, abs=1e-5)
    assert report.baseline_elbo - plain.baseline_elbo == pytest.approx(3 * SAME, abs=1e-5)


def test_reason_says_what_was_always_there(fitted: VAEDetector) -> None:
    explanation = fitted.explain(moved())
    assert explanation.constant.tolist() == [True, False, True, False, True]
    first = [str(reasons[0]).split(" (")[0] for reasons in explanation.reasons()[1:]]
    assert first == [
        "unit is 7, always 3 in training",
        "place is 'there', always 'here' in training",
        "on is false, always true in training",
    ]
    assert (explanation.tail_probability["unit"] < 0.01).tolist() == [False, True, False, False]
    np.testing.assert_allclose(explanation.log_likelihood["unit"], [SAME_UNIT, OTHER_UNIT, SAME_UNIT, SAME_UNIT])


def test_others_say_nothing_of_a_constant(fitted: VAEDetector) -> None:
    batch = fitted.encoder_.encode(read_table(fitted, moved(), fitting=False))
    found = conditionals(fitted.vae_, batch, fitted.noise_, [(0,), (1,), (2,), (3,), (4,)])
    # In the model's order unit, place and on stand behind x and city.
    tails = np.array([[1, 1, 1], [1 / 91, 1, 1], [1, 1 / 101, 1], [1, 1, 1 / 101]])
    np.testing.assert_allclose(found.position[:, 2:].exp(), tails, rtol=1e-5)
    assert (found.expected[:, 2:] == 0).all()


def test_constants_are_drawn_filled_and_repaired(fitted: VAEDetector) -> None:
    drawn = fitted.sample(5, random_state=0)
    for frame in (drawn, fitted.reconstruct(moved())):
        assert frame[["unit", "place", "on"]].drop_duplicates().to_numpy().tolist() == [[3.0, "here", True]]
    missing = moved().assign(unit=np.nan)
    assert fitted.impute(missing)["unit"].tolist() == [3.0] * 4
    assert fitted.impute(moved())["unit"].tolist() == [3.0, 7.0, 3.0, 3.0]
    repaired = fitted.repair(moved())
    pd.testing.assert_frame_equal(repaired[["unit", "place", "on"]], rows().iloc[:4][["unit", "place", "on"]])


def test_missing_part_of_a_constant_is_learned() -> None:
    detector = small(model_missing=True).fit(rows())
    contributions = detector.explain(rows().iloc[[0, 95]]).contributions["unit"]
    # A missing value in one of ten cells.
    assert contributions.iloc[1] > contributions.iloc[0] + 0.5
    assert detector.vae_.n_varying == 2 + 5
    (reason,) = detector.explain(moved().iloc[[1]]).reasons(1)[0]
    assert (reason.column, reason.part, reason.expected) == ("unit", "", 3.0)


def test_table_of_constants_only_is_fitted_scored_and_explained() -> None:
    frame = rows()[["unit", "place"]]
    detector = small(prior="standard_normal").fit(frame)
    found = detector.score_samples(pd.DataFrame({"unit": [3.0, 4.0], "place": ["here", "there"]}))
    assert found[0] - found[1] == pytest.approx(math.log(90) + math.log(100), abs=1e-4)
    assert detector.vae_.latent_dim == 1
    assert detector.explain(moved()[["unit", "place"]]).reasons(1)[1][0].observed == 7.0
    assert (detector.sample(3, random_state=0)["place"] == "here").all()


def test_constants_survive_the_file(fitted: VAEDetector, tmp_path: Path) -> None:
    save(fitted, tmp_path / "m.vae")
    loaded = load(tmp_path / "m.vae")
    assert loaded.columns_ == fitted.columns_
    np.testing.assert_array_equal(loaded.score_samples(moved()), fitted.score_samples(moved()))
    pd.testing.assert_frame_equal(loaded.explain(moved()).cell_scores, fitted.explain(moved()).cell_scores)


def test_what_is_asked_for_decides_about_numbers() -> None:
    frame = rows()[["unit", "x"]]
    kinds = {
        likelihood: type(small(likelihood=likelihood).fit(frame).columns_[0].likelihood).__name__
        for likelihood in ("categorical", "gaussian")
    }
    assert kinds == {"categorical": "Constant", "gaussian": "Gaussian"}
    with pytest.raises(DataError, match="'x' is to be Constant and holds 100 different values"):
        small(likelihood="constant").fit(frame)
