"""What presets stand for, and that what is given explicitly wins."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from vae_anomaly import ELBO, Gaussian, PooledELBO, SpecificationError, TrainingPlan, VAEDetector, load, save
from vae_anomaly.columns import Column, TableEncoder
from vae_anomaly.detectors import fit_config
from vae_anomaly.detectors.parameters import PRESETS, ROBUST
from vae_anomaly.fitting import FitConfig, SplitConfig
from vae_anomaly.fitting.partition import calibration_kind
from vae_anomaly.model import elbo_terms
from vae_anomaly.model.priors import FittedStandardNormal
from vae_anomaly.model.priors.exemplar import FittedExemplar

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning")

ENCODER = TableEncoder(tuple(Column(f"x{index}", "continuous", Gaussian(), "given") for index in range(40)))
TRIM = PRESETS[ROBUST].trim_fraction


def configured(**parameters: Any) -> FitConfig:
    return fit_config(VAEDetector(**parameters), ENCODER, "none", 1000)


def test_robust_preset_has_half_of_the_rows_fewer_steps_and_leaves_the_worst_out() -> None:
    usual, robust = configured(), configured(preset="robust")
    assert (usual.training.max_iter, robust.training.max_iter) == (783, 300)
    assert (usual.training.trim_fraction, robust.training.trim_fraction) == (0.0, TRIM)
    assert usual.network.n_members == robust.network.n_members == 4
    # Rows that a member may train on, and all of them.
    assert [usual.split.n_own(900, 1000), robust.split.n_own(900, 1000)] == [900, 500]
    assert [robust.split.n_own(n, n) for n in (3, 8192, 8193, 100_000)] == [2, 4096, 4096, 4096]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"max_iter": 90}, lambda config: config.training.max_iter == 90),
        ({"n_estimators": 7}, lambda config: config.network.n_members == 7),
        ({"max_samples": 950}, lambda config: config.split.n_own(960, 1000) == 950),
        ({"max_samples": 0.8}, lambda config: config.split.n_own(1000, 1000) == 800),
        ({"row_score": "elbo"}, lambda config: config.score == ELBO()),
        ({"training": TrainingPlan(trim_fraction=0.3)}, lambda config: config.training.trim_fraction == 0.3),
        ({"training": TrainingPlan(trim_fraction=0.0)}, lambda config: config.training.trim_fraction == 0.0),
        ({"training": TrainingPlan(weight_decay=0.0)}, lambda config: config.training.trim_fraction == TRIM),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_explicit_parameters_win_over_the_preset(given: dict[str, Any], found: Any) -> None:
    assert found(configured(preset="robust", **given))


def test_members_of_the_robust_preset_leave_each_other_folds_unless_rows_are_many() -> None:
    X = np.random.default_rng(0).normal(size=(400, 2))
    detector = VAEDetector(preset="robust", max_iter=3).fit(X)
    assert detector.calibration_.kind == "cross"
    assert detector.fit_report_.n_rows == 400
    half = SplitConfig(4096, 0.1, "none", 0.5)
    kinds = [
        calibration_kind("auto", n, 4, min(half.max_samples, n // 2), by_member=True) for n in (300, 16_383, 16_384)
    ]
    assert kinds == ["cross", "cross", "split"]


def test_preset_is_cloned_searched_and_kept_in_a_model_file(tmp_path: Any) -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    search = GridSearchCV(VAEDetector(max_iter=3), {"preset": ["default", "robust"]}, cv=2).fit(X)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    detector = clone(VAEDetector(preset="robust", max_iter=3)).fit(X)
    save(detector, tmp_path / "robust.vae")
    found = load(tmp_path / "robust.vae")
    assert found.preset == found.fitted_parameters_["preset"] == "robust"
    np.testing.assert_array_equal(found.score_samples(X), detector.score_samples(X))
    with pytest.raises(SpecificationError, match="preset is 'default' and was 'robust'"):
        detector.set_params(preset="default", warm_start=True).fit(X)


def test_preset_that_there_is_not_or_not_for_images_is_refused() -> None:
    with pytest.raises(ValueError, match="The 'preset' parameter of VAEDetector must be a str among"):
        VAEDetector(preset="cheap").fit(np.eye(5))
    for preset in ("robust", "accurate"):
        with pytest.raises(SpecificationError, match="is for rows of a table, and the rows are images"):
            VAEDetector(preset=preset).fit(np.zeros((5, 4, 4)))


def test_exemplars_of_a_trimmed_training_are_those_of_the_highest_bound() -> None:
    X = np.random.default_rng(0).normal(size=(300, 2))
    parameters: dict[str, Any] = {"max_iter": 30, "max_samples": 200, "early_stopping": False, "calibration": None}
    parameters |= {"prior": "exemplar", "row_score": PooledELBO(n_draws=2)}
    detector = VAEDetector(training=TrainingPlan(trim_fraction=0.25), **parameters).fit(X)
    model = detector.model_
    assert isinstance(model.vae.prior, FittedExemplar)
    assert model.vae.prior.n_components == 150
    # The other rows of each member have lower bounds under N(0, I); members draw the same rows without trimming.
    whole = VAEDetector(training=TrainingPlan(trim_fraction=0.0), **parameters).fit(X).vae_.prior
    assert isinstance(whole, FittedExemplar)
    batch = model.encoder.encode(_table(detector, X))
    kept = [torch.isin(batch.fingerprints(), own) for own in model.vae.prior.fingerprints]
    drawn = [torch.isin(batch.fingerprints(), own) for own in whole.fingerprints]
    model.vae.prior = FittedStandardNormal(4, 2)
    bound = elbo_terms(model.vae, batch, model.noise).elbo
    for member in range(4):
        left_out = drawn[member] & ~kept[member]
        assert (int(kept[member].sum()), int(left_out.sum())) == (150, 50)
        assert bool((drawn[member] | ~kept[member]).all())
        assert bound[member][kept[member]].mean() > bound[member][left_out].quantile(0.9)


def _table(detector: VAEDetector, X: Any) -> Any:
    from vae_anomaly.detectors import read_table

    return read_table(detector, X, fitting=False)


def test_trimmed_training_has_as_many_exemplars_where_there_are_rows() -> None:
    X = np.random.default_rng(0).normal(size=(1400, 2))
    detector = VAEDetector(preset="robust", prior="exemplar", max_iter=3).fit(X)
    assert detector.vae_.prior.n_components == 512
