"""The names that signatures offer are those that there are."""

import subprocess
import sys
import typing

import pytest
from sklearn.utils._param_validation import StrOptions

from vae_anomaly import FeatureMapDetector, ImageFeatures, PatchDetector, Reading, TrainingPlan, VAEDetector
from vae_anomaly.columns.named_augmentation import AUGMENTATIONS
from vae_anomaly.detectors import parameters
from vae_anomaly.likelihoods import LIKELIHOODS
from vae_anomaly.model import ACTIVATIONS, BACKBONES, PRIORS
from vae_anomaly.scores import SCORES

# Parameters that are looked up in a table; of the others the constraint lists the names.
TABLES = {
    "preset": parameters.PRESETS,
    "activation": ACTIVATIONS,
    "augment": AUGMENTATIONS,
    "backbone": BACKBONES,
    "likelihood": LIKELIHOODS,
    "prior": PRIORS,
    "row_score": SCORES,
}
HAVE_AUTO = {"backbone", "likelihood", "prior", "row_score"}
ESTIMATORS = (VAEDetector, PatchDetector, FeatureMapDetector, ImageFeatures, TrainingPlan, Reading)


def literals(annotation):
    """The names of a Literal, also within a union."""
    if typing.get_origin(annotation) is typing.Literal:
        return set(typing.get_args(annotation))
    return set().union(*map(literals, typing.get_args(annotation)))


def hints_of(estimator):
    return {name: hint for name, hint in typing.get_type_hints(estimator.__init__).items() if name != "return"}


def constrained(estimator, name):
    options = estimator._parameter_constraints.get(name, [])
    found = (
        [option.options for option in options if isinstance(option, StrOptions)] if options != "no_validation" else []
    )
    return set().union(*found)


PLACES = [
    (estimator, name)
    for estimator in ESTIMATORS
    for name in hints_of(estimator)
    if literals(hints_of(estimator)[name]) or constrained(estimator, name)
]


@pytest.mark.parametrize(("estimator", "name"), PLACES, ids=lambda one: getattr(one, "__name__", one))
def test_names_of_a_signature_are_those_of_the_table(estimator, name):
    offered = literals(hints_of(estimator)[name])
    if name in TABLES:
        assert offered == set(TABLES[name]) | ({"auto"} if name in HAVE_AUTO else set())
    else:
        assert offered == constrained(estimator, name)


def test_every_table_has_a_parameter():
    assert {name for estimator, name in PLACES if estimator is VAEDetector} >= set(TABLES)


SNIPPETS = {
    "VAEDetector(prior='mixtrue')": "prior",
    "VAEDetector(row_score='elbow')": "row_score",
    "VAEDetector(preset='acurate')": "preset",
    "VAEDetector(device='gpu')": "device",
    "VAEDetector(calibration='crossed')": "calibration",
    "VAEDetector(likelihood='normal')": "likelihood",
    "PatchDetector(position='used')": "position",
    "PatchDetector(augment='flip')": "augment",
}
RIGHT = (
    "VAEDetector(prior=Exemplar(kernel_width=1.5), row_score=PooledELBO(), likelihood=StudentT(), backbone=MLP())",
    "VAEDetector(prior='exemplar', contamination=0.1, calibration=None, columns={'a': 'identifier', 'b': Poisson()})",
)


@pytest.mark.slow
def test_mypy_finds_names_that_there_are_not(tmp_path, root):
    names = "MLP, Exemplar, PatchDetector, Poisson, PooledELBO, StudentT, VAEDetector"
    file = tmp_path / "of_user.py"
    file.write_text("\n".join([f"from vae_anomaly import {names}", *SNIPPETS, *RIGHT]) + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", file]
    run = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    errors = [line for line in run.stdout.splitlines() if file.name in line and "error" in line]
    assert [line.split(":")[1] for line in errors] == [str(number) for number in range(2, 2 + len(SNIPPETS))], (
        run.stdout
    )
    for line, name in zip(errors, SNIPPETS.values(), strict=True):
        assert f'Argument "{name}"' in line
