"""`--config FILE`: options from TOML; the command line goes before it, and what is wrong is one clear line."""

import json
import re

import pytest

from vae_anomaly_cli.application import COMMANDS
from vae_anomaly_cli.configuration import read_configuration


@pytest.fixture
def configured(write):
    """The path of a file of options."""
    return lambda text: write("options.toml", text)


def test_file_gives_options_to_the_command_and_to_all(run, configured, orders_csv, model):
    path = configured(f'model = "{model}"\nid = "order"\nquiet = true\n[score]\ntop = 2\njson = true\n')
    outcome = run("score", orders_csv, "--config", path)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    summary = json.loads(outcome.text)
    assert summary["model"] == str(model)
    assert len(summary["ranked"]) == 2


def test_command_line_goes_before_the_file_and_its_table_before_its_top(run, configured, orders_csv, model):
    path = configured(f'top = 5\nmodel = "{model}"\n[score]\ntop = 3\njson = true\n')
    assert len(json.loads(run("score", orders_csv, "--config", path).text)["ranked"]) == 3
    assert len(json.loads(run("score", orders_csv, "--config", path, "--top", "1").text)["ranked"]) == 1


def test_what_comes_from_the_file_is_said(run, configured, orders_csv, model):
    path = configured("top = 5\n[score]\nshow = true\nfalse_alarm_rate = 0.1\n")
    said = run("score", orders_csv, "-m", model, "--top", "2", "--config", path).err.splitlines()
    assert said[0] == f"{path}: --false-alarm-rate, --show"


@pytest.mark.parametrize("key", ["max-iter", "max_iter", '"max-iter"'])
def test_words_of_a_name_are_joined_by_dashes_or_underscores(run, configured, orders_csv, tmp_path, key, fast):
    path = configured(f"{key} = 5\nn-estimators = 2\n[fit]\ndata = ['{orders_csv}']\noutput = '{tmp_path / 'm.vae'}'\n")
    outcome = run("fit", "--config", path)
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "m.vae").exists()


def test_options_for_all_commands_hold_where_they_can_be_used(run, configured, orders_csv, good, model, image_model):
    path = configured('random-state = 3\ndrop = ["order"]\npasses = 2\n')
    assert run("score", orders_csv, "-m", model, "--config", path).code == 0
    assert run("score", good, "-m", image_model, "--config", path).code == 0
    own = configured("[score]\nrandom-state = 3\n")
    assert "--random-state cannot go with --model" in run("score", orders_csv, "-m", model, "--config", own).error()


def test_old_names_work_and_warn(run, configured, orders_csv, fast):
    path = configured("[score]\nseed = 2\nmissing = [-999]\nno-fold = true\n")
    said = run("score", orders_csv, *fast, "--config", path).err
    for old, new in (
        ("--seed 2", "--random-state 2"),
        ("--missing -999", "--missing-values -999"),
        ("--no-fold", "--no-fold-case"),
    ):
        assert f"warning: {old} is now {new}\n" in said


def test_old_names_hold_where_new_ones_do(run, configured, orders_csv, model, fast):
    path = configured("seed = 3\n")
    assert run("score", orders_csv, "-m", model, "--config", path).code == 0
    assert run("score", orders_csv, *fast, "--config", path).err.startswith(
        f"{path}: --random-state\nwarning: --seed 3 "
    )
    for text, given, used in (
        ("seed = 3\n", ("--random-state", "5"), 5),
        ("random-state = 3\n", ("--seed", "5"), 5),
        ("random-state = 3\n[score]\nseed = 4\n", (), 4),
        ("seed = 3\n[score]\nrandom-state = 4\n", (), 4),
    ):
        outcome = run("score", orders_csv, *fast, *given, "--json", "--config", configured(text))
        assert outcome.code == 0, outcome.err
        asked = run("score", orders_csv, *fast, "--random-state", used, "--json")
        assert json.loads(outcome.text)["ranked"] == json.loads(asked.text)["ranked"]
    both = configured("seed = 3\nrandom-state = 4\n")
    assert "--seed is the old name of --random-state" in run("score", orders_csv, *fast, "--config", both).error()


def test_value_that_one_command_takes_may_stand_at_the_top(run, configured, orders_csv, model, fast):
    path = configured('contamination = "auto"\n')
    outcome = run("score", orders_csv, *fast, "--config", path)
    assert outcome.code == 0, outcome.err


def test_mark_in_front_is_skipped_and_deep_nesting_refused(run, write, orders_csv, model):
    marked = write("marked.toml", b"\xef\xbb\xbftop = 3\nshow = true\n")
    assert run("score", orders_csv, "-m", model, "--config", marked).err.startswith(f"{marked}: --top, --show\n")
    deep = write("deep.toml", b"x = " + b"[" * 5000 + b"]" * 5000)
    assert "it nests too deeply" in run("score", orders_csv, "-m", model, "--config", deep).error()


def test_paths_are_those_of_the_current_directory(run, write, tmp_path, monkeypatch, orders_csv, model):
    (tmp_path / "settings").mkdir()
    path = write("settings/options.toml", f'model = "{model}"\noutput = "scored.csv"\n')
    monkeypatch.chdir(tmp_path)
    assert run("score", orders_csv, "--config", path).code == 0
    assert (tmp_path / "scored.csv").exists()


BAD = [
    ("topp = 3", "topp is no option of any command. Did you mean top?"),
    ("[score]\ntopp = 3", "[score] topp is no option of vae-anomaly score. Did you mean top?"),
    ("[score]\npasses = 2", "[score] passes is no option of vae-anomaly score, but of fit. Move it to [fit]"),
    ("[fit]\ntop = 2", "[fit] top is no option of vae-anomaly fit, but of score, "),
    ("[scor]\ntop = 3", "[scor] is no command. Did you mean [score]?"),
    ("[[score]]\ntop = 3", 'score = [{"top": 3}]: expected a number.'),
    ('[score]\ntop = "x"', '[score] top = "x": expected a whole number.'),
    ("top = true", "top = true: expected a whole number."),
    ("top = 0", "top = 0: expected a number of at least 1."),
    ("random-state = 4294967296", "expected a number of at least 0 and at most 2147483647."),
    ("explain = 1", "explain = 1: expected true or false."),
    ("id = [1, true]", "id = true: expected text, or a list of these."),
    ("model = 3", "model = 3: expected text."),
    ('preset = "best"', 'preset = "best": expected one of default, accurate, robust.'),
    ('device = "tpu"', 'device = "tpu": expected one of auto, cpu, cuda, mps.'),
    ("[score]\ntop-k = 1", "[score] top-k is no option"),
    ("[score]\nmax-iter = 1\nmax_iter = 2", "max_iter is there twice"),
    ("config = 'a'", "config is no option of any command"),
    ("top = ", "is no TOML"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text for text, _ in BAD])
def test_what_no_option_can_be_is_refused(run, configured, orders_csv, text, message):
    path = configured(text)
    line = run("score", orders_csv, "--config", path).error()
    assert line.startswith(f"error: --config {path}")
    assert message in line


@pytest.mark.parametrize(
    ("name", "message"), [("none.toml", "does not exist"), (".", "cannot be read: Is a directory")]
)
def test_file_that_cannot_be_read_is_refused(run, orders_csv, tmp_path, name, message):
    assert message in run("score", orders_csv, "--config", tmp_path / name).error()


def test_bytes_that_are_no_text_are_refused(run, write, orders_csv):
    assert "is no TOML" in run("score", orders_csv, "--config", write("o.toml", b"a = '\xff'")).error()


@pytest.mark.parametrize("each", COMMANDS, ids=lambda each: each.name)
def test_every_command_takes_a_file(run, write, each):
    path = write("options.toml", "no_such_option = 1\n")
    required = [parameter for parameter in each.parameters.values() if parameter.is_required]
    given = [
        text for parameter in required for text in ([] if parameter.option.is_argument else [parameter.flag]) + ["x"]
    ]
    assert "no_such_option is no option of any command" in run(each.name, *given, "--config", path).error()


def test_example_of_the_guide_has_options_that_there_are(root, write):
    (example,) = re.findall(r"```toml\n(.*?)```", (root / "docs/guide/command_line.md").read_text(), re.DOTALL)
    path = write("monthly.toml", example)
    settings = {each.name: each.settings() for each in COMMANDS}
    score, fit = (read_configuration(str(path), name, settings) for name in ("score", "fit"))
    assert score.values["false_alarm_rate"] == 0.001
    assert score.for_all == {"model", "id"}
    assert fit.values["column"] == ["zip=categorical", "rating=ordinal"]


def test_options_that_the_guide_names_are_there(root):
    text = (root / "docs/guide/command_line.md").read_text().partition("Earlier names work")[0]
    known = {flag for each in COMMANDS for parameter in each.parameters.values() for flag in parameter.flags}
    general = {"--help", "--help-all", "--config", "--install-completion"}
    assert {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)} <= known | general
