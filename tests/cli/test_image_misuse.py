"""What cannot go with images is refused in one line, before anything heavy is loaded."""

import subprocess
import sys

import numpy as np
import pytest

from vae_anomaly import VAEDetector, save


@pytest.mark.parametrize("size", ["12", "0x4", "ax4", "4x", "-4x4"])
def test_size_that_is_none_is_refused(run, good, size):
    assert (
        f"--image-shape {size}: expected height and width in pixels"
        in run("score", good, f"--image-shape={size}").error()
    )


def test_empty_folder_and_folder_without_images(run, tmp_path, image_model):
    assert "without tables or images" in run("score", tmp_path, "-m", image_model).error()
    (tmp_path / "notes.txt").write_text("a")
    assert "without tables or images" in run("score", tmp_path).error()
    assert "without tables or images" in run("fit", tmp_path, "-o", tmp_path / "m.vae").error()


def test_image_folder_or_pattern_that_is_not_there(run, tmp_path, good):
    assert "does not exist" in run("score", tmp_path / "no.png").error()
    assert "does not exist" in run("score", tmp_path / "no", "--heatmaps", tmp_path / "maps").error()
    assert "matches no file" in run("score", f"{tmp_path}/*.png").error()
    assert "is an empty folder" in run("score", good, tmp_path).error()


def test_folder_with_tables_and_images_is_refused_with_the_pattern(run, tmp_path, write, draw):
    write("t.csv", "a\n1\n2\n")
    draw(tmp_path / "a.png")
    line = run("score", tmp_path).error()
    assert f"{tmp_path} holds 1 image and 1 table; expected one or the other" in line
    assert f"'{tmp_path}/*.png'" in line
    draw(tmp_path / "sub" / "b.png")
    line = run("fit", tmp_path, "-o", "m.vae").error()
    assert "2 images and 1 table" in line
    assert f"'{tmp_path}/**/*.png'" in line
    assert (
        "the arguments hold 2 images and 1 table"
        in run("score", tmp_path / "t.csv", tmp_path / "a.png", tmp_path / "sub").error()
    )


def test_pattern_chooses_among_tables_and_images(run, tmp_path, write, image_model, draw):
    write("t.csv", "a\n1\n2\n")
    draw(tmp_path / "a.png")
    assert run("score", f"{tmp_path}/*.png", "-m", image_model).frame["path"].tolist() == ["a.png"]


@pytest.mark.parametrize(
    "options",
    [
        ["--drop", "x"],
        ["--format", "csv"],
        ["--delimiter", ";"],
        ["--column", "a=count"],
        ["--model-missing"],
        ["--sample-rows", "9"],
        ["--preset", "robust"],
        ["--explain"],
        ["--passes", "2"],
    ],
)
def test_options_of_tables_are_refused_for_images(run, good, options):
    command = ("fit", "-o", "m.vae") if "--passes" in options else ("score",)
    line = run(*command, good, *options).error()
    assert line.startswith(f"error: {options[0]} cannot go with images")


@pytest.mark.parametrize("options", [["--image-shape", "8x8"], ["--heatmaps", "maps"], ["--sheet", "s.png"]])
def test_options_of_images_are_refused_for_tables(run, orders_csv, options):
    line = run("score", orders_csv, *options).error()
    assert line.startswith(f"error: {options[0]} cannot go with tables")


def test_size_is_refused_for_a_fit_on_tables(run, orders_csv):
    line = run("fit", orders_csv, "-o", "m.vae", "--image-shape", "8x8").error()
    assert line.startswith("error: --image-shape cannot go with tables")


@pytest.mark.parametrize("command", ["score", "evaluate", "calibrate", "drift", "review"])
def test_size_beside_a_model_is_its_own(run, good, image_model, tmp_path, command):
    needed = {"evaluate": ("--label", "folder", "--normal", "."), "calibrate": ("-o", tmp_path / "m.vae")}
    options = ("-m", image_model, "--image-shape", "8x9", *needed.get(command, ()))
    line = run(command, good, *options).error()
    assert line.startswith(f"error: --image-shape 8x9: {image_model} takes images of 16x16 pixels")


def test_model_of_images_and_model_of_tables_are_told_apart(run, good, orders, image_model, tmp_path):
    orders.to_csv(tmp_path / "t.csv", index=False)
    for command in ("score", "explain"):
        line = run(command, tmp_path / "t.csv", "-m", image_model).error()
        assert f"{image_model} was fitted on images, and the input is tables" in line
    table_model = tmp_path / "t.vae"
    assert run("fit", tmp_path / "t.csv", "-o", table_model, "--max-iter", "5").code == 0
    line = run("score", good, "-m", table_model).error()
    assert f"{table_model} was fitted on tables, and the input is images" in line


def test_model_of_images_as_floats_does_not_take_files(run, good, tmp_path, levels_of):
    images = np.stack([levels_of(number) for number in range(20)]) / 255
    save(VAEDetector(max_iter=5).fit(images), tmp_path / "m.vae")
    assert "was fitted on floats" in run("score", good, "-m", tmp_path / "m.vae").error()


def test_explain_and_compare_name_what_to_use_for_images(run, good):
    for command in (("explain", good), ("compare", good, "--label", "x")):
        line = run(*command).error()
        assert f"vae-anomaly {command[0]} takes tables" in line
        assert "for images there is vae-anomaly score: --heatmaps DIR" in line


def test_model_is_not_written_over_an_image(run, good):
    assert "is named like an image" in run("fit", good, "-o", good / "1.png").error()


def test_misuse_with_images_loads_nothing_heavy(good):
    code = (
        "import sys; from vae_anomaly_cli.main import main;"
        f"codes = [main(['score', {str(good)!r}, '--explain']), main(['explain', {str(good)!r}])];"
        "heavy = [n for n in ('torch', 'sklearn', 'scipy', 'pandas', 'pyarrow') if n in sys.modules];"
        "print(codes, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[2, 2] []\n"
