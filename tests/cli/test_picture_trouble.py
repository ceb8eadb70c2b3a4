"""Names that are empty, outputs that would replace what is somebody else's, and files that are not there."""


import pytest


def error_of(outcome, code=2):
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.err
    line = outcome.err.splitlines()[-1]
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("option", ["--heatmaps", "--sheet", "-o", "-m"])
def test_empty_name_is_not_the_current_directory(run, good, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    line = error_of(run("score", good, option, ""))
    assert {"-o": "--output", "-m": "--model"}.get(option, option) in line
    assert "the name is empty" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", ""),
        ("fit", "", "-o", "m.vae"),
        ("explain", ""),
        ("compare", "", "--label", "x"),
        ("info", ""),
    ],
)
def test_empty_data_is_not_the_current_directory(run, draw, tmp_path, monkeypatch, arguments):
    draw(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    line = error_of(run(*arguments))
    assert ("MODEL" if arguments[0] == "info" else "DATA") in line
    assert "the name is empty" in line


def test_other_commands_refuse_empty_names_of_outputs(run, orders_csv):
    assert "--output" in error_of(run("fit", orders_csv, "-o", ""))
    assert "--repair" in error_of(run("explain", orders_csv, "--repair", ""))
    assert "--output" in error_of(run("compare", orders_csv, "--label", "paid", "-o", ""))


def test_pages_replace_pages_and_no_other_picture(run, picture_model, inspected, tmp_path, draw):
    maps = tmp_path / "maps"
    assert run("score", inspected, "-m", picture_model, "--heatmaps", maps).code == 0
    assert run("score", inspected, "-m", picture_model, "--heatmaps", maps).code == 0
    mask = draw(maps / "scratch" / "deep" / "1.png")
    before, others = mask.read_bytes(), (maps / "good" / "0.png").stat().st_mtime_ns
    line = error_of(run("score", inspected, "-m", picture_model, "--heatmaps", maps, "-o", tmp_path / "o.csv"))
    assert f"a page would replace {mask}, which vae-anomaly did not write; name another directory" in line
    assert mask.read_bytes() == before
    assert (maps / "good" / "0.png").stat().st_mtime_ns == others
    assert not (tmp_path / "o.csv").exists()
