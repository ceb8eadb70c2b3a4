"""Likelihoods of earlier format versions: what had a class for each pair is a wrapper over its base."""

import pytest

from vae_anomaly.likelihoods import Bounded, Gaussian, InputOnly, OutputOnly, Rounded, Spiked, StudentT
from vae_anomaly.store.manifest import decode
from vae_anomaly.store.migrations import upgraded_manifest

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


def upgraded(entry):
    """In a column, in a part of one, in a window and as a parameter."""
    column = {"likelihood": entry, "parts": [{"likelihood": entry}]}
    manifest = {
        "format_version": 4,
        "columns": [column],
        "windows": [{"columns": [column]}],
        "parameters": {"likelihood": entry, "columns": {"mapping": {"a": entry}}},
    }
    found = upgraded_manifest(manifest)
    (window,) = found["windows"]
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


def test_manifest_of_this_version_is_left_alone():
    manifest = {"format_version": 5, "columns": [{"likelihood": entry_of("gaussian")}]}
    assert upgraded_manifest(manifest) is manifest
