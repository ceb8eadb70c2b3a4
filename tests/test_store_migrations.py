"""Manifests of earlier format versions: pairs of likelihoods become wrappers, rare parameters a training plan."""

import pytest

from vae_anomaly import TrainingPlan
from vae_anomaly.data import ColumnRoles
from vae_anomaly.likelihoods import Bounded, Gaussian, InputOnly, OutputOnly, Rounded, Spiked, StudentT
from vae_anomaly.store.manifest import FORMAT_VERSION
from vae_anomaly.store.migrations import upgraded_manifest
from vae_anomaly.store.values import decode

NOISE = StudentT(floor=0.1)
UPGRADED = {
    "rounded_student_t": Rounded(NOISE),
    "bounded_student_t": Bounded(NOISE),
    "spiked_student_t": Spiked(NOISE),
    "spiked_rounded_student_t": Spiked(Rounded(NOISE)),
    "spiked_bounded_student_t": Spiked(Bounded(NOISE)),
    "student_t": NOISE,
}


def entry_of(name, **fields):
    return {"concept": "likelihood", "name": name, "fields": fields}


def manifest_of(entry, **others):
    """What the fourth version wrote of a detector, as far as it is asked for."""
    column = {"likelihood": entry, "parts": [{"likelihood": entry}]}
    parameters = {"likelihood": entry, "columns": {"mapping": {"a": entry}}, "activation": "silu", "prior": "exemplar"}
    parameters["contamination"] = "auto"
    return {
        "format_version": 4,
        "columns": [column],
        "parameters": parameters,
        "fit_report": {"n_rows_a_member": 7},
        "history": {},
        "n_members": 1,
        "kind": "rows",
        "score": {"concept": "score", "name": "elbo", "fields": {"n_draws": 4}},
        "offset": -3.0,
    } | others


def upgraded(entry):
    """In a column, in a part of one, in a window and as a parameter."""
    found = upgraded_manifest(manifest_of(entry), {})
    of_windows = manifest_of(
        entry,
        kind="patches",
        parameters={"model": "whole", "contamination": 0.1},
        windows=[{"n_draws": 2, "columns": [{"likelihood": entry, "parts": []}]}],
    )
    (window,) = upgraded_manifest(of_windows, {})["windows"]
    given = found["parameters"]
    assert decode(given["columns"])["a"] == decode(given["likelihood"])
    columns = [*found["columns"], *window["columns"]]
    parts = [part for column in columns for part in (column, *column["parts"])]
    return {decode(part["likelihood"]) for part in parts} | {decode(given["likelihood"])}


@pytest.mark.parametrize("name", UPGRADED)
def test_pair_becomes_a_wrapper_over_its_base(name):
    assert upgraded(entry_of(name, floor=0.1)) == {UPGRADED[name]}


def test_columns_of_a_conditional_model_are_found_under_their_new_names():
    assert upgraded(entry_of("predicted", noise="shared", floor=0.2)) == {OutputOnly(Gaussian("shared", 0.2))}
    assert upgraded(entry_of("given")) == {InputOnly()}


@pytest.mark.parametrize(
    ("contamination", "score", "rule"),
    [("auto", "elbo", "auto"), (0.05, "elbo", "contamination"), ("auto", "surprise", "fixed")],
)
def test_threshold_of_an_earlier_version_keeps_its_score_and_has_no_calibration(contamination, score, rule):
    given = manifest_of(entry_of("gaussian"), score={"concept": "score", "name": score, "fields": {"n_draws": 2}})
    given["parameters"] |= {"contamination": contamination}
    found = upgraded_manifest(given, {})["decisions"]
    assert (found["threshold"]["score"], found["threshold"]["rule"], found["calibration"]) == (3.0, rule, None)


def test_manifest_of_this_version_is_left_alone():
    manifest = {"format_version": FORMAT_VERSION, "columns": [{"likelihood": entry_of("gaussian")}]}
    assert upgraded_manifest(manifest, {}) is manifest


def test_columns_that_were_no_features_are_not_known_before_version_7():
    manifest = {"format_version": 6, "parameters": {}, "columns": [{"likelihood": entry_of("gaussian")}]}
    assert ColumnRoles.of(upgraded_manifest(manifest, {})["column_roles"]) == ColumnRoles()


def test_parameters_that_moved_are_in_a_training_plan_unless_they_are_the_defaults():
    plain = manifest_of(entry_of("gaussian"))
    given = plain | {"parameters": plain["parameters"] | {"weight_decay": 0.0, "kl_warmup": 0.2}}
    found = upgraded_manifest(given, {})["parameters"]
    assert decode(found["training"]) == TrainingPlan(weight_decay=0.0)
    assert not {"weight_decay", "kl_warmup"} & found.keys()
    defaults = plain | {"parameters": plain["parameters"] | TrainingPlan(trim_fraction=0.0).get_params()}
    assert upgraded_manifest(defaults, {})["parameters"]["training"] is None
