"""A missing cell is neutral: it costs what it was expected to cost, in any unit and whatever else is missing."""

import dataclasses
import itertools
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from vae_anomaly import EmptyRowWarning, FitWarning, ModelFileError, PooledELBO, VAEDetector, load, save
from vae_anomaly.columns import Batch
from vae_anomaly.detectors import read_table
from vae_anomaly.fitting import Cells, score_rows, scores_and_comparisons
from vae_anomaly.fitting.expert_statistics import _without_gross
from vae_anomaly.model import Experts
from vae_anomaly.model.experts import KNOTS
from vae_anomaly.store.container import packed, unpacked

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning")

FAST = {"n_estimators": 2, "max_iter": 120, "max_samples": 500, "hidden_layer_sizes": (32,)}
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


def correlated(n, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 2))
    weights = np.array([[1.0, 0.9, 0.5, 0.0, 0.3, -0.7], [0.0, 0.4, -0.8, 1.0, 0.3, 0.7]])
    return scale * (common @ weights + 0.3 * rng.normal(size=(n, 6)))


def mixed(n, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)
    return pd.DataFrame(
        {
            "amount": np.exp(3 + common + 0.3 * rng.normal(size=n)),
            "weight": 1e-4 * (common + 0.2 * rng.normal(size=n)),
            "visits": rng.poisson(np.exp(1 + 0.4 * common)),
            "colour": np.where(common + rng.normal(size=n) > 0.5, "red", "blue"),
            "paid": common + 0.5 * rng.normal(size=n) > 0,
            "unit": 7.0,
        }
    )


def without(rows, share, seed=9):
    hidden = np.random.default_rng(seed).random(rows.shape) < share
    return rows.mask(hidden) if isinstance(rows, pd.DataFrame) else np.where(hidden, np.nan, rows)


def expected_costs(detector):
    """What each cell is expected to cost: that of the members and that of the columns alone, by their weights."""
    *of_members, alone = detector.vae_.experts.cells.double()
    weight = detector.row_score_.independence
    return (1 - weight) * sum(of_members) / len(of_members) + weight * alone


TABLES = {
    "tiny units": lambda n, seed: correlated(n, seed, 1e-6),
    "huge units": lambda n, seed: correlated(n, seed, 1e6),
    "mixed types": mixed,
}


@pytest.fixture(scope="module", params=[*TABLES, "trained with holes"])
def fitted(request):
    make = TABLES.get(request.param, correlated)
    rows = make(4000, 0)
    rows = without(rows, 0.25) if request.param not in TABLES else rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return VAEDetector(**FAST).fit(rows), make(2000, 1)


@pytest.fixture(scope="module")
def cross():
    return VAEDetector(**FAST | {"max_samples": 4096, "early_stopping": False}).fit(correlated(1500))


def test_mean_score_does_not_depend_on_the_missing_share(fitted):
    detector, rows = fitted
    whole = detector.anomaly_score(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyRowWarning)
        means = np.array([detector.anomaly_score(without(rows, share)).mean() for share in SHARES])
    assert (np.abs(means - whole.mean()) < 0.1 * whole.std()).all(), (means - whole.mean()) / whole.std()


def test_plain_sum_depends_on_the_missing_share_by_the_units(fitted):
    detector, rows = fitted
    plain = dataclasses.replace(detector.row_score_, missing="ignored")
    half = without(rows, 0.5)
    encoded = [detector.encoder_.encode(read_table(detector, some, fitting=False)) for some in (rows, half)]
    whole, few = (-score_rows(detector.vae_, batch, plain, detector.noise_).numpy() for batch in encoded)
    assert abs(few.mean() - whole.mean()) > 0.05 * whole.std()
    assert np.array_equal(whole, detector.anomaly_score(rows))


def test_rows_without_half_of_their_cells_are_flagged_about_as_often(fitted):
    detector, rows = fitted
    threshold = np.quantile(detector.anomaly_score(rows), 0.95)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyRowWarning)
        flagged = (detector.anomaly_score(without(rows, 0.5)) > threshold).mean()
    # Less than 5 %: the spread of the scores shrinks with the cells that are known.
    assert 0.01 < flagged < 0.06


def test_row_without_any_cell_has_the_mean_score_and_a_warning(fitted):
    detector, rows = fitted
    whole = detector.anomaly_score(rows)
    few = without(rows, 1.0)[:5]
    if isinstance(few, pd.DataFrame):
        few.index = ["a", "b", "c", "d", "e"]
    known = few.copy()
    known[:2] = rows[:2]
    for method in (detector.score_samples, detector.anomaly_score, detector.predict, detector.p_values):
        with pytest.warns(EmptyRowWarning) as caught:
            found = method(known)
        assert len(caught) == 1
        assert caught[0].message.args == (3, "c" if isinstance(few, pd.DataFrame) else 2, "row")
        assert np.isfinite(found).all()
    with pytest.warns(EmptyRowWarning):
        empty = detector.anomaly_score(few)
    assert np.ptp(empty) == 0
    assert abs(empty[0] - whole.mean()) < 0.1 * whole.std()
    assert detector.predict(rows[:1]).shape == (1,)


def test_units_do_not_change_the_order_of_rows_with_missing_cells():
    rows, new = correlated(3000), without(correlated(500, 1), 0.3)
    scores = [VAEDetector(**FAST).fit(rows * unit).anomaly_score(new * unit) for unit in (1.0, 1e-6)]
    ranks = [score.argsort().argsort() for score in scores]
    assert np.corrcoef(*ranks)[0, 1] > 0.9999


def test_costs_are_neutral_for_each_member_that_leaves_a_fold_out(cross):
    model, rows = cross.model_, correlated(2000, 1)
    assert cross.calibration_.kind == "cross"

    def by_member(some):
        batch = model.encoder.encode(read_table(cross, some, fitting=False))
        return scores_and_comparisons(model.vae, batch, model.score, model.noise, by_member=True)[1]

    whole = by_member(rows)
    for share in (0.25, 0.75):
        shift = (by_member(without(rows, share)).mean(0) - whole.mean(0)) / whole.std(0)
        assert (np.abs(shift) < 0.15).all(), shift


@pytest.mark.parametrize("calibration", ["cross", "split"])
def test_rows_that_calibrate_a_member_do_not_influence_its_costs(calibration):
    parameters = FAST | {"max_iter": 20, "early_stopping": False, "calibration": calibration}
    rows = correlated(2000)
    detector = VAEDetector(**parameters).fit(rows)
    suspects = detector.calibration_.suspects
    of_first = suspects.ids[suspects.folds == 0]
    other = rows.copy()
    other[of_first] = 3 * other[of_first][:, ::-1]
    before, after = detector.vae_.experts, VAEDetector(**parameters).fit(other).vae_.experts
    for name, of_experts in before.named_buffers():
        same = [torch.equal(one, other) for one, other in zip(of_experts, getattr(after, name), strict=True)]
        # The first member, the second, which was trained on these rows where members take turns, and the columns alone.
        assert same == [True, calibration == "split", True] or name == "counted", name


def test_charge_is_the_arithmetic_written_out():
    observed = torch.tensor([[True, True, True, True], [False, True, True, False], [False, False, False, False]])
    cells = torch.tensor([[1.0, 2.0, 4.0, 8.0], [0.0, 1.0, -1.0, 3.0]])
    combination = torch.tensor([[0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -2.0]])
    counted = torch.tensor([True, True, False, True])
    experts = Experts(cells, combination, torch.zeros(2), counted)
    batch = Batch(torch.zeros(3, 4), observed)
    share = 2 / 3
    of_cells, of_combinations = experts.charges(batch)
    assert of_cells.tolist() == [[0.0, 9.0, 15.0], [0.0, 3.0, 3.0]]
    line = [[0.0, share, 1.0], [0.0, 1 - (share - 0.5) / 0.25, -2.0]]
    torch.testing.assert_close(of_combinations, torch.tensor(line).double(), rtol=1e-6, atol=1e-6)
    assert len(KNOTS) == combination.shape[1] + 1
    assert experts.charges(batch.take(slice(0, 1))) is None


def test_one_gross_cell_hardly_moves_what_its_column_costs():
    surprise = torch.rand(200, 3, dtype=torch.float64)
    gross = surprise.clone()
    gross[7, 1] = 1e9
    assert (_without_gross(gross).nanmean(0) - surprise.mean(0)).abs().max() < 0.06
    assert torch.equal(_without_gross(surprise), surprise)


@pytest.mark.parametrize(
    "parameters",
    [
        {"calibration": None},
        {"calibration": None, "early_stopping": False},
        {"n_estimators": 1},
        {"prior": "standard_normal"},
        {"likelihood": "student_t"},
    ],
)
def test_costs_are_learned_from_few_rows_too(parameters):
    rows, new = correlated(120), correlated(1000, 1)
    detector = VAEDetector(**FAST | parameters).fit(rows)
    whole = detector.anomaly_score(new)
    some = without(new, 0.4)
    some[:, 0] = new[:, 0]
    shift = (detector.anomaly_score(some).mean() - whole.mean()) / whole.std()
    assert abs(shift) < 0.4


def test_smallest_fit_has_costs():
    detector = VAEDetector(**FAST).fit([[1.0], [2.5]])
    assert all(bool(statistics.isfinite().all()) for statistics in detector.vae_.experts.buffers())


def test_further_fits_learn_their_own_costs():
    detector = VAEDetector(**FAST | {"max_iter": 20})
    costs = []
    for seed in range(3):
        detector.partial_fit(correlated(600, seed) * (1 + seed))
        costs.append(detector.vae_.experts.cells.clone())
    detector.set_params(warm_start=True).fit(correlated(600, 5))
    costs.append(detector.vae_.experts.cells)
    assert all(bool(found.isfinite().all()) for found in costs)
    assert not any(torch.equal(one, other) for one, other in itertools.pairwise(costs))


def test_missing_date_misses_all_of_its_parts():
    rng = np.random.default_rng(0)
    hours = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 24 * 730, 900), unit="h")
    frame = pd.DataFrame({"size": rng.normal(size=900), "when": hours})
    detector = VAEDetector(**FAST).fit(frame)
    indices = list(detector.encoder_.model_indices_of(1))
    assert len(indices) > 1
    explanation = detector.explain(frame.assign(when=pd.NaT).iloc[:3])
    costs = expected_costs(detector)
    assert explanation.contributions["when"].tolist() == pytest.approx([float(costs[indices].sum())] * 3)
    assert "when" not in {reason.column for reasons in explanation.reasons() for reason in reasons}
    np.testing.assert_allclose(explanation.contributions.sum(axis=1) + explanation.kl, explanation.score)


def test_whether_a_cell_is_missing_is_always_observed():
    detector = VAEDetector(model_missing=True, **FAST).fit(without(correlated(2500), 0.2))
    cells = Cells.of(detector.encoder_)
    assert (~cells.hideable).sum() == 6
    assert not cells.counted[~cells.hideable].any()
    row, others = np.zeros((1, 6)), [column.kind for column in detector.encoder_.modelled]
    batch = detector.encoder_.encode(read_table(detector, row, fitting=False))
    hidden = cells.hidden(batch, torch.tensor([[True, False, False, False, False, True]]))
    lacking = row.copy()
    lacking[0, [0, 5]] = np.nan
    expected = detector.encoder_.encode(read_table(detector, lacking, fitting=False))
    assert others.count("missing") == 6
    assert torch.equal(hidden.values, expected.values)
    assert torch.equal(hidden.observed, expected.observed)


def test_images_with_missing_pixels_are_neutral_too():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(600, 1, 1)) + 0.3 * rng.normal(size=(600, 6, 6)) + np.linspace(0, 3, 6)
    detector = VAEDetector(row_score="pooled_elbo", max_iter=60, max_samples=200).fit(images[:400])
    whole = detector.anomaly_score(images[400:])
    holes = images[400:].copy()
    holes[rng.random(holes.shape) < 0.3] = np.nan
    scores = detector.anomaly_score(holes)
    assert abs(scores.mean() - whole.mean()) < 0.25 * whole.std()
    explanation = detector.explain(holes[:9])
    np.testing.assert_allclose(explanation.contributions.sum((1, 2, 3)) + explanation.kl, scores[:9], rtol=1e-9)


def test_scores_of_rows_with_missing_cells_depend_on_the_row_alone(cross):
    rows = without(correlated(300, 3), 0.4)[:257]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyRowWarning)
        together = cross.score_samples(rows)
        order = np.random.default_rng(0).permutation(len(rows))
        assert np.array_equal(cross.score_samples(rows[order]), together[order])
        alone = [cross.score_samples(row[None])[0] for row in rows[:5]]
    assert np.array_equal(alone, together[:5])


def test_other_words_for_missing_are_refused():
    with pytest.raises(ValueError, match=r"^missing is one of \('expected', 'ignored'\), not 'mean'"):
        PooledELBO(missing="mean")


@pytest.mark.parametrize("sharpness", [0, 0.1])
def test_score_that_ignores_missing_cells_charges_none(sharpness, tmp_path):
    score = PooledELBO(missing="ignored", sharpness=sharpness)
    detector = VAEDetector(row_score=score, **FAST).fit(correlated(100))
    assert (detector.vae_.experts is None) == (sharpness == 0)
    some = without(correlated(20, 1), 0.3)
    explanation = detector.explain(some)
    assert (explanation.contributions.to_numpy()[np.isnan(some)] == 0).all()
    assert (explanation.charged == 0).all()
    save(detector, tmp_path / "m.vae")
    rows = without(correlated(20, 1), 0.3)
    assert np.array_equal(load(tmp_path / "m.vae").score_samples(rows), detector.score_samples(rows))


def test_saved_detector_charges_the_same(cross, tmp_path):
    save(cross, tmp_path / "m.vae")
    rows = without(correlated(50, 1), 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyRowWarning)
        assert np.array_equal(load(tmp_path / "m.vae").score_samples(rows), cross.score_samples(rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("vae.experts.cells"), r"experts have shape None, and the score asks for \(3, 6\)"),
        (lambda t: t.pop("vae.experts.medians"), "inconsistent"),
        (lambda t: t.update({"vae.experts.cells": torch.zeros(3, 5)}), r"experts have shape \(3, 5\)"),
        (lambda t: t.update({"vae.experts.cells": torch.zeros(2, 6)}), r"experts have shape \(2, 6\)"),
        (lambda t: t.update({"vae.experts.combination": torch.zeros(3, 3)}), "inconsistent"),
        (lambda t: t.update({"vae.experts.medians": torch.zeros(2)}), "inconsistent"),
        (lambda t: t["vae.experts.cells"].fill_(torch.inf), "not finite"),
        (lambda t: t["vae.experts.combination"].fill_(torch.nan), "not finite"),
        (lambda t: t["vae.experts.medians"].fill_(torch.nan), "not finite"),
    ],
)
def test_manipulated_costs_are_refused(cross, tmp_path, change, message):
    file = tmp_path / "m.vae"
    save(cross, file)
    content = unpacked(file, tensors=True)
    assert json.loads(content.manifest)["score"]["fields"]["missing"] == "expected"
    change(content.tensors)
    file.write_bytes(packed(content.manifest, content.tensors))
    with pytest.raises(ModelFileError, match=message):
        load(file)
