"""Names that are empty, outputs that would replace what is somebody else's, and files that are not there."""

import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from vae_anomaly import VAEDetector, save
from vae_anomaly.fitting import MAX_LATENTS
from vae_anomaly_cli.pipeline import Pipeline
from vae_anomaly_cli.render.pages import Pages


@pytest.mark.parametrize("option", ["--heatmaps", "--sheet", "-o", "-m"])
def test_empty_name_is_not_the_current_directory(run, good, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    line = run("score", good, option, "").error()
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
    line = run(*arguments).error()
    assert ("MODEL" if arguments[0] == "info" else "DATA") in line
    assert "the name is empty" in line


def test_other_commands_refuse_empty_names_of_outputs(run, orders_csv):
    assert "--output" in run("fit", orders_csv, "-o", "").error()
    assert "--repair" in run("explain", orders_csv, "--repair", "").error()
    assert "--output" in run("compare", orders_csv, "--label", "paid", "-o", "").error()


def test_pages_replace_pages_and_no_other_image(run, image_model, inspected, tmp_path, draw):
    maps = tmp_path / "maps"
    assert run("score", inspected, "-m", image_model, "--heatmaps", maps).code == 0
    assert run("score", inspected, "-m", image_model, "--heatmaps", maps).code == 0
    mask = draw(maps / "scratch" / "deep" / "1.png")
    before, others = mask.read_bytes(), (maps / "good" / "0.png").stat().st_mtime_ns
    line = run("score", inspected, "-m", image_model, "--heatmaps", maps, "-o", tmp_path / "o.csv").error()
    assert f"a page would replace {mask}, which vae-anomaly did not write; name another directory" in line
    assert mask.read_bytes() == before
    assert (maps / "good" / "0.png").stat().st_mtime_ns == others
    assert not (tmp_path / "o.csv").exists()


def test_a_image_that_nobody_would_open_is_not_replaced_either(run, image_model, inspected, tmp_path):
    bomb = tmp_path / "maps" / "good" / "0.png"
    bomb.parent.mkdir(parents=True)
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    end = b"\0\0\0\0IEND\xaeB`\x82"
    bomb.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + end
    )
    line = run("score", inspected, "-m", image_model, "--heatmaps", tmp_path / "maps").error()
    assert f"a page would replace {bomb}" in line


def test_links_that_lead_nowhere_or_in_a_circle_are_told_of(run, good, image_model, fast_images, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.png").symlink_to(good / f"{number}.png")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    fitted = run("fit", folder, "-o", tmp_path / "m.vae", *fast_images)
    assert fitted.code == 0, fitted.err
    assert fitted.err.count("left out: ") == 2
    assert "20 of 22 files" in fitted.err
    outputs = ("--heatmaps", tmp_path / "maps", "--sheet", tmp_path / "s.png", "-o", tmp_path / "o.csv")
    for model in ((), ("-m", image_model)):
        options = model or fast_images
        scored = run("score", folder, *options, *outputs)
        assert scored.code == 0, scored.err
        assert scored.err.count("left out: ") == 2
    one = run("score", folder / "0.png", folder / "gone.png", "-m", image_model)
    assert one.code == 0, one.err
    assert len(one.frame) == 2


def test_folder_by_two_names_is_one(run, good, image_model, monkeypatch):
    monkeypatch.chdir(good.parent)
    assert len(run("score", good, "good", "./good", "-m", image_model).frame) == 40


def test_model_of_four_channels_refuses_files(run, good, tmp_path):
    arrays = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 4)).astype(np.uint8)
    save(VAEDetector(max_iter=5, n_estimators=1, calibration=None).fit(arrays), tmp_path / "m.vae")
    assert "images of 4 channels" in run("score", good, "-m", tmp_path / "m.vae").error()


@pytest.mark.parametrize("method", ["auto", "image", "patch"])
def test_size_that_memory_does_not_hold_is_refused(run, good, tmp_path, method):
    line = run("fit", good, "-o", tmp_path / "m.vae", "--image-shape", "99999x99999", "--method", method).error()
    assert "an image of 99999x99999 pixels takes 9,536 MiB" in line


def test_more_latents_than_noise_has_dimensions_are_refused(run, orders_csv, tmp_path):
    line = run("fit", orders_csv, "-o", tmp_path / "m.vae", "--latent-dim", "100000").error()
    assert "--latent-dim" in line
    assert f"{MAX_LATENTS}" in line


def test_ctrl_c_while_pages_are_drawn_stops_at_the_next(run, image_model, inspected, tmp_path, monkeypatch):
    drawing, n_drawn, n_scored = threading.Event(), [], []
    score = Pipeline._score

    def write(*arguments):
        n_drawn.append(1)
        drawing.set()
        time.sleep(0.5)

    def interrupted(*arguments, **options):
        n_scored.append(1)
        if len(n_scored) == 2:
            assert drawing.wait(30)
            raise KeyboardInterrupt
        return score(*arguments, **options)

    monkeypatch.setattr("vae_anomaly.batches.image_kernel.MAX_PER_BATCH", 4)
    monkeypatch.setattr(Pages, "write", write)
    monkeypatch.setattr(Pipeline, "_score", interrupted)
    for number in range(3):
        (inspected / f"{number}.png").write_bytes((inspected / "good" / "0.png").read_bytes())
    outputs = ("--heatmaps", tmp_path / "maps", "-o", tmp_path / "o.csv")
    assert run("score", inspected, "-m", image_model, *outputs).error(130) == "error: interrupted."
    assert len(n_drawn) == 1
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize(
    ("images", "levels"),
    [
        (np.random.default_rng(0).random((20, 8, 8)), "grey as floats"),
        (np.random.default_rng(0).random((20, 8, 8)).round(), "black and white"),
        (np.random.default_rng(0).integers(0, 2, (20, 8, 8)), "black and white"),
    ],
)
def test_info_tells_floats_from_black_and_white(run, tmp_path, images, levels):
    save(VAEDetector(max_iter=5, n_estimators=1).fit(images), tmp_path / "m.vae")
    assert f"8x8 pixels (height x width), {levels}" in run("info", tmp_path / "m.vae").text


def test_ctrl_c_before_the_command_is_loaded_shows_no_traceback():
    program = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            sys.meta_path.remove(self)
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from vae_anomaly_cli.main import main
sys.exit(main(["--help"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"error: interrupted.\n")


def test_files_with_several_pages_are_named_once(run, good, fast_images, tmp_path):
    pages = [Image.open(path).convert("L") for path in sorted(good.iterdir())[:24]]
    for number, page in enumerate(pages):
        page.save(tmp_path / f"{number}.tif", save_all=True, append_images=[page])
    outcome = run("score", tmp_path, *fast_images)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("has 2 pages or frames: the first is read") == 20
    assert outcome.err.count("/0.tif has 2 pages") == 1
    assert "4 more files have several pages" in outcome.err
