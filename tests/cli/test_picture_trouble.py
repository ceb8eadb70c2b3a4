"""Names that are empty, outputs that would replace what is somebody else's, and files that are not there."""

import numpy as np
import pytest

from vae_anomaly import VAEDetector, save


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


def test_links_that_lead_nowhere_or_in_a_circle_are_told_of(run, good, picture_model, fast_pictures, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.png").symlink_to(good / f"{number}.png")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    fitted = run("fit", folder, "-o", tmp_path / "m.vae", *fast_pictures)
    assert fitted.code == 0, fitted.err
    assert fitted.err.count("left out: ") == 2
    assert "20 of 22 files" in fitted.err
    outputs = ("--heatmaps", tmp_path / "maps", "--sheet", tmp_path / "s.png", "-o", tmp_path / "o.csv")
    for model in ((), ("-m", picture_model)):
        options = model or fast_pictures
        scored = run("score", folder, *options, *outputs)
        assert scored.code == 0, scored.err
        assert scored.err.count("left out: ") == 2
    one = run("score", folder / "0.png", folder / "gone.png", "-m", picture_model)
    assert one.code == 0, one.err
    assert len(one.frame) == 2


def test_folder_by_two_names_is_one(run, good, picture_model, monkeypatch):
    monkeypatch.chdir(good.parent)
    assert len(run("score", good, "good", "./good", "-m", picture_model).frame) == 40


def test_model_of_four_channels_refuses_files(run, good, tmp_path):
    arrays = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 4)).astype(np.uint8)
    save(VAEDetector(max_iter=5, n_estimators=1).fit(arrays), tmp_path / "m.vae")
    assert "pictures of 4 channels" in error_of(run("score", good, "-m", tmp_path / "m.vae"))


@pytest.mark.parametrize("look", ["auto", "whole", "patches"])
def test_size_that_memory_does_not_hold_is_refused(run, good, tmp_path, look):
    line = error_of(run("fit", good, "-o", tmp_path / "m.vae", "--size", "99999x99999", "--look", look))
    assert "a picture of 99999x99999 pixels takes 9,536 MiB" in line


def test_more_latents_than_noise_has_dimensions_are_refused(run, orders_csv, tmp_path):
    from vae_anomaly.scores import MOST_LATENTS

    line = error_of(run("fit", orders_csv, "-o", tmp_path / "m.vae", "--latent-dim", "100000"))
    assert "--latent-dim" in line
    assert f"{MOST_LATENTS}" in line
