"""One name for a thing: options of a fit are parameters of the estimator, and headings are columns of the file."""

import dataclasses
import inspect

import pytest

from vae_anomaly import VAEDetector
from vae_anomaly.batches import APPENDED, REASONS
from vae_anomaly_cli.options import Device, FitOptions, RunOptions

# Options of a fit with another name than a parameter of VAEDetector, and why.
OTHER_NAMES = {
    "column": ("columns", "is repeated, for one column each time"),
    "no_fold_case": ("reading__fold_case", "turns off what is on: a switch says 'no'"),
    "decimal": ("reading__decimal", "a part of the parameter `reading`"),
    "thousands": ("reading__thousands", "a part of the parameter `reading`"),
    "date_format": ("reading__date_format", "a part of the parameter `reading`"),
    "sample_rows": (None, "of files: Python gets the rows themselves"),
    "method": (None, "of images: in Python, VAEDetector or PatchDetector"),
    "features": (None, "of images: in Python, FeatureMapDetector and its parameter `network`"),
}
OLD_NAMES = [
    ("--seed", "random_state"),
    ("--missing", "missing_values"),
    ("--no-fold", "no_fold_case"),
    ("--size", "image_shape"),
    ("--calibration-group", "calibration_groups"),
]


def test_options_of_a_fit_have_the_names_of_parameters_or_a_reason():
    parameters = inspect.signature(VAEDetector.__init__).parameters
    own = {field.name for field in dataclasses.fields(FitOptions)}
    assert OTHER_NAMES.keys() == {name for name in own if name not in parameters}
    known = VAEDetector(columns=None).get_params()
    for name, (parameter, why) in OTHER_NAMES.items():
        assert parameter is None or parameter.partition("__")[0] in known, name
        assert why


def test_parameters_of_options_are_set_by_their_names():
    options = FitOptions(random_state=3, n_estimators=2, max_iter=5, image_shape="4x6", calibration_groups="shop")
    found = options.parameters()
    assert found == {
        "random_state": 3,
        "n_estimators": 2,
        "max_iter": 5,
        "image_shape": (4, 6),
        "calibration_groups": "shop",
    }
    assert "device" in {field.name for field in dataclasses.fields(RunOptions)}
    assert VAEDetector().device in tuple(Device)


@pytest.mark.parametrize(("old", "name"), OLD_NAMES)
def test_old_names_are_those_of_options(old, name):
    hints = inspect.get_annotations(FitOptions)
    assert hints[name].__metadata__[0].deprecated.flag == old


def test_old_names_do_what_the_new_ones_do(run, orders_csv, fast, tmp_path):
    old = run("fit", orders_csv, "-o", tmp_path / "old.vae", *fast, "--seed", "3", "--missing", "-999", "--no-fold")
    new = ("--random-state", "3", "--missing-values", "-999", "--no-fold-case")
    assert run("fit", orders_csv, "-o", tmp_path / "new.vae", *fast, *new).code == 0
    assert old.code == 0
    assert "warning: --seed 3 is now --random-state 3" in old.err
    assert (tmp_path / "old.vae").read_bytes() == (tmp_path / "new.vae").read_bytes()


@pytest.mark.parametrize("option", ["--seed", "--random-state"])
def test_old_names_have_the_bounds_of_the_new_ones(run, orders_csv, option):
    assert f"'{option}'" in run("score", orders_csv, option, "-1").error()


def test_headings_of_the_ranking_are_columns_of_the_file(run, orders_csv, model):
    outcome = run("score", orders_csv, "-m", model, "--explain", "--show", "-q")
    headings = [cell.strip() for cell in outcome.text.splitlines()[1].strip("┃").split("┃")]
    assert headings == ["row", "anomaly_score", "p_value", "is_anomaly", "reasons"]
    assert {*headings[1:]} <= {*APPENDED, REASONS}
