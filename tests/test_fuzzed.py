"""A few damaged and forged files of each kind; `python reports/benchmarks/trust/fuzz.py` tries thousands."""

import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

pytest.importorskip("benchmarks", reason="reports are no part of a source distribution")
from benchmarks.trust.targets import IMAGE_FORMATS, Workbench

from vae_anomaly.store import FORMAT_VERSION

N_EXAMPLES = 8
FORMATS = ("csv", "jsonl", "json", "parquet")
NAMES = (
    *(f"model of {what}, {how}" for what in ("a table", "images") for how in ("damaged", "forged")),
    *(f"model of version {version}, damaged" for version in range(1, FORMAT_VERSION + 1)),
    *(f"{extension} table" for extension in FORMATS),
    *(f"{extension} image" for extension in IMAGE_FORMATS),
    *(f"journal of a {kind}" for kind in ("file", "folder")),
)


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {target.name: target for target in Workbench(Path(tmp_path_factory.mktemp("fuzz"))).targets()}


def test_every_kind_is_fuzzed_here(targets):
    assert set(targets) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused_in_our_words_or_give_what_they_have_to(targets, name):
    target = targets[name]

    @settings(max_examples=N_EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(target.examples)
    def judge(example):
        assert target.judge(example) == ""

    judge()
