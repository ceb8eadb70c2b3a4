"""Where the ranking and the table go: `--show` gives the one in any case, `-o -` the other."""

import pytest


def test_pipe_gets_the_table_and_show_the_ranking(run, orders_csv, model):
    table = run("score", orders_csv, "-m", model, "-q")
    assert len(table.frame) == 60
    shown = run("score", orders_csv, "-m", model, "--show", "-q", "--top", "3").text
    assert len([line for line in shown.splitlines() if line.startswith("│")]) == 3
    assert "anomaly_score" in shown.splitlines()[1]
    assert "\x1b" not in shown


def test_table_goes_to_a_file_beside_the_ranking(run, orders_csv, model, tmp_path):
    outcome = run("score", orders_csv, "-m", model, "--show", "-o", tmp_path / "scored.csv")
    assert outcome.code == 0
    assert outcome.text.startswith("┏")
    assert len((tmp_path / "scored.csv").read_text().splitlines()) == 61


def test_patterns_are_shown_with_the_ranking(run, orders_csv, model):
    assert (
        "--patterns: the table goes to standard output" in run("score", orders_csv, "-m", model, "--patterns").error()
    )
    assert run("score", orders_csv, "-m", model, "--patterns", "--show").code == 0


def test_ranking_of_images_is_shown(run, good, image_model):
    shown = run("score", good, "-m", image_model, "--show", "-q", "--top", "2").text
    assert len([line for line in shown.splitlines() if line.startswith("│")]) == 2


@pytest.mark.parametrize("other", [("--json",), ("-o", "-"), ("--output", "/dev/stdout")])
def test_two_things_on_standard_output_are_refused(run, orders_csv, other, tmp_path, capfd):
    line = run("score", orders_csv, "--show", *other).error()
    assert "both write to standard output; choose one" in line
