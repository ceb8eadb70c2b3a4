"""The offset of the score that reviewed rows teach, as a linear function of what the cells of a row add."""

import numpy as np
import pandas as pd
import pytest
import torch

from vae_anomaly import DataWarning, FitWarning, VAEDetector, load, save
from vae_anomaly.columns import Batch
from vae_anomaly.fitting import score_rows, score_shares, scores_and_comparisons
from vae_anomaly.model import LearnedOffset, OffsetFeatures
from vae_anomaly.scores import likelihood_score_of

FEATURES = OffsetFeatures(group_of=(0, 1, 1), sloped=(True, False, True), starts=(0, 0, 3), n_levels=(0, 3, 0))


def offset():
    made = LearnedOffset.empty(FEATURES)
    made.weights.copy_(torch.tensor([1.0, -0.5]))
    made.slopes.copy_(torch.tensor([0.25, 2.0]))
    made.levels.copy_(torch.tensor([0.0, 3.0, 7.0]))
    made.of_row.copy_(torch.tensor([-1.0]))
    made.typical.copy_(torch.tensor([1.0, 2.0, 0.0, 4.0]))
    return made


ROWS = Batch(
    torch.tensor([[2.0, 1.0, -1.0], [0.5, 0.0, 0.0], [0.0, 9.0, 3.0]]),
    torch.tensor([[True, True, True], [True, False, True], [False, True, True]]),
)
NATS = torch.tensor([[3.0, 2.5, 1.0], [1.0, 5.0, 0.0], [8.0, 2.0, 2.0]], dtype=torch.float64)
OF_ROW = torch.tensor([4.0, 6.0, 3.0], dtype=torch.float64)


def test_offset_by_hand():
    cells, of_row = offset().by_cell(NATS, OF_ROW, ROWS)
    # 1 * (3 - 1) + 0.25 * 2; -0.5 * (2.5 - 2) + the level's 3; -0.5 * 1 + 2 * -1
    assert cells[0].tolist() == [2.5, 2.75, -2.5]
    # 0 + 0.25 * 0.5; a missing cell; 0
    assert cells[1].tolist() == [0.125, 0.0, 0.0]
    # missing; an unseen level is the last; -0.5 * 2 + 2 * 3
    assert cells[2].tolist() == [0.0, 7.0, 5.0]
    assert of_row.tolist() == [0.0, -2.0, 1.0]


def test_design_times_coefficients_is_the_offset():
    made = offset()
    coefficients = torch.cat([made.weights, made.of_row, made.slopes, made.levels])
    design = made.design(NATS, OF_ROW, ROWS)
    assert design.shape == (3, FEATURES.size)
    cells, of_row = made.by_cell(NATS, OF_ROW, ROWS)
    torch.testing.assert_close(design @ coefficients, cells.sum(1) + of_row)
    again = LearnedOffset.of(coefficients, made.typical, FEATURES)
    assert all(torch.equal(one, other) for one, other in zip(made.buffers(), again.buffers(), strict=True))


def test_huge_cells_and_nats_stay_finite():
    far = Batch(torch.full((1, 3), 1e30), torch.ones(1, 3, dtype=torch.bool))
    cells, of_row = offset().by_cell(
        torch.full((1, 3), 1e300, dtype=torch.float64), torch.tensor([1e300]).double(), far
    )
    assert bool(cells.isfinite().all())
    assert bool(of_row.isfinite().all())


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "speed": rng.normal(size=400),
            "load": rng.lognormal(size=400),
            "kind": rng.choice(["a", "b", "c"], 400, p=[0.6, 0.3, 0.1]),
            "same": np.ones(400),
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 300, 400), "D"),
        }
    )
    frame.loc[::9, "speed"] = np.nan
    return frame


SCORES = ("pooled_elbo", "elbo", "local_ratio")


@pytest.fixture(scope="module", params=SCORES)
def taught(request, rows):
    is_anomaly = (rows["speed"].fillna(0) > 1.5).to_numpy()
    detector = VAEDetector(max_iter=60, n_estimators=2, row_score=request.param, latent_dim=2).fit(rows)
    before = detector.score_samples(rows)
    chosen = np.r_[np.flatnonzero(is_anomaly)[:15], np.flatnonzero(~is_anomaly)[:40]]
    return before, detector.learn(rows.iloc[chosen], is_anomaly[chosen])


def test_shares_of_a_member_add_up_to_its_score(taught, rows):
    _, detector = taught
    model = detector.model_
    batch = model.encoder.encode(detector._read(rows))
    for score in (likelihood_score_of(model.score), model.score):
        by_member = scores_and_comparisons(model.vae, batch, score, model.noise, by_member=True)[1]
        for member in range(2):
            shares = score_shares(model.vae, batch, score, model.noise, member=member)
            np.testing.assert_allclose(shares.cells.sum(1) - shares.of_row, by_member[:, member], atol=1e-6)
        shares = score_shares(model.vae, batch, score, model.noise)
        total = score_rows(model.vae, batch, score, model.noise)
        torch.testing.assert_close(shares.cells.sum(1) - shares.of_row, total, atol=1e-6, rtol=1e-6)


def test_explanation_has_what_was_learned_in_its_contributions(taught, rows):
    before, detector = taught
    few = rows.iloc[:5]
    explanation = detector.explain(few)
    total = explanation.contributions.sum(axis=1) + explanation.kl
    np.testing.assert_allclose(total, detector.anomaly_score(few), atol=1e-6)
    np.testing.assert_array_equal(detector.likelihood_score(rows), -before)
    assert not np.allclose(detector.score_samples(rows), before)


def test_what_was_learned_ranks_rows_by_it(taught, rows):
    before, detector = taught
    is_anomaly = (rows["speed"].fillna(0) > 1.5).to_numpy()
    rest = np.r_[np.flatnonzero(is_anomaly)[15:], np.flatnonzero(~is_anomaly)[40:]]

    def share_above(scores):
        return np.mean(scores[rest][is_anomaly[rest]][:, None] < scores[rest][~is_anomaly[rest]])

    assert share_above(detector.score_samples(rows)) > share_above(before)
    largest = detector.learned_.weights[0]
    assert (largest.column, largest.added > 0) == ("speed", True)


def test_answers_that_are_all_normal_suppress_the_kind_and_not_the_row(rows):
    detector = VAEDetector(max_iter=60, n_estimators=2, latent_dim=2).fit(rows)
    benign = rows.copy()
    benign["load"] = 60.0 + np.arange(400) % 7
    assert (detector.predict(benign) == -1).all()
    with pytest.warns(FitWarning, match="all 30 reviewed rows are normal: rows like them are moved below"):
        detector.learn(benign.iloc[:30], np.zeros(30))
    assert (detector.predict(benign.iloc[30:]) == 1).mean() > 0.9
    other = rows.iloc[:30].assign(speed=9.0)
    assert (detector.predict(other) == -1).mean() > 0.9


def test_learned_weights_say_which_column_level_and_direction(taught):
    _, detector = taught
    frame = detector.learned_.frame()
    assert set(frame["kind"]) == {"nats", "deviation", "level", "whole row"}
    assert (frame["added"].abs().diff().dropna() <= 0).all()
    nats = frame[frame["kind"] == "nats"]
    np.testing.assert_allclose(nats["factor"], 1 + nats["added"])
    assert set(frame[frame["kind"] == "level"]["column"]) <= {"kind", "day", "same"}
    assert detector.learned_.sentences(1)[0].startswith("speed above its middle adds")


def test_where_nothing_is_learned_scores_and_calibration_stay(rows, tmp_path):
    detector = VAEDetector(max_iter=60, n_estimators=2, latent_dim=2).fit(rows)
    save(detector, tmp_path / "m.vae")
    loaded = load(tmp_path / "m.vae")
    with pytest.warns(FitWarning, match="all 9 reviewed rows are anomalous: scores stay as they are"):
        loaded.learn(rows.iloc[:9], np.ones(9))
    np.testing.assert_array_equal(loaded.score_samples(rows), detector.score_samples(rows))
    np.testing.assert_array_equal(loaded.p_values(rows), detector.p_values(rows))
    assert loaded.learned_.sentences() == ["nothing yet: all 9 reviewed rows are anomalous"]
    assert loaded.threshold_ == detector.threshold_


def test_calibrate_leaves_confirmed_anomalies_out_and_warns_of_rows_that_taught(rows):
    detector = VAEDetector(max_iter=60, n_estimators=2, latent_dim=2, calibration="split", early_stopping=False).fit(
        rows
    )
    others = rows.assign(load=rows["load"] + 0.001)
    found = (others["speed"].fillna(0) > 1.5).to_numpy()
    detector.learn(others.iloc[:100], found[:100])
    assert detector.learned_.in_use
    with pytest.warns(DataWarning, match=f"{(~found[:100]).sum()} of these rows were reviewed as normal and taught"):
        detector.calibrate(others)
    assert detector.calibration_.n_rows == 400 - found[:100].sum()


def test_a_threshold_that_somebody_set_stays_with_a_warning(rows):
    detector = VAEDetector(max_iter=60, n_estimators=2, latent_dim=2).fit(rows).set_threshold(score=9.0)
    found = (rows["speed"].fillna(0) > 1.5).to_numpy()
    with pytest.warns(DataWarning, match="the threshold of 9 nats was set for the score before, and stays"):
        detector.learn(rows.iloc[:100], found[:100])
    assert detector.threshold_.score == 9.0
