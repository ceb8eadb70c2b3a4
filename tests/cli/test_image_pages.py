"""Pages that show where images are anomalous, and contact sheets of them."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from vae_anomaly_cli.errors import CommandError


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def coloured(page):
    """How many pixels of a page are no grey."""
    with Image.open(page) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return int((np.ptp(pixels, axis=2) > 20).sum())


def test_each_image_gets_a_page_in_its_sub_folder(run, image_model, inspected, tmp_path):
    maps = tmp_path / "maps"
    outcome = run("score", inspected, "-m", image_model, "--heatmaps", maps, "-o", tmp_path / "o.csv")
    assert outcome.code == 0, outcome.err
    assert names_in(maps) == names_in(inspected)
    assert outcome.err.splitlines()[-1].endswith(f"; written to {tmp_path / 'o.csv'}, {maps}")


def test_pages_do_not_change_the_table(run, image_model, inspected, tmp_path):
    plain = run("score", inspected, "-m", image_model)
    assert run("score", inspected, "-m", image_model, "--heatmaps", tmp_path / "maps").out == plain.out


def test_strange_images_are_more_coloured_than_others(run, image_model, inspected, tmp_path):
    run("score", inspected, "-m", image_model, "--heatmaps", tmp_path / "maps")
    normal = [coloured(page) for page in (tmp_path / "maps" / "good").iterdir()]
    anomalous = [coloured(page) for page in (tmp_path / "maps" / "scratch" / "deep").iterdir()]
    assert min(anomalous) > max(normal)


def test_page_is_the_same_whether_all_or_the_strangest_are_drawn(run, image_model, inspected, tmp_path):
    run("score", inspected, "-m", image_model, "--heatmaps", tmp_path / "all")
    run("score", inspected, "-m", image_model, "--heatmaps", tmp_path / "some", "--top", "2")
    some = names_in(tmp_path / "some")
    assert len(some) == 2
    for name in some:
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "some" / name).read_bytes()


def test_top_draws_the_strangest_alone(run, image_model, inspected, tmp_path):
    outcome = run("score", inspected, "-m", image_model, "--heatmaps", tmp_path / "maps", "--top", "3", "--only-top")
    assert names_in(tmp_path / "maps") == sorted(outcome.frame["path"])
    assert set(outcome.frame["folder"]) == {"scratch/deep"}


def test_sheet_grows_with_top(run, image_model, inspected, tmp_path):
    sizes = []
    for top in ([], ["--top", "1"], ["--top", "3"]):
        sheet = tmp_path / f"sheet{len(sizes)}.png"
        outcome = run("score", inspected, "-m", image_model, "--sheet", sheet, *top, "--json")
        assert outcome.code == 0, outcome.err
        assert json.loads(outcome.text)["sheet"] == str(sheet)
        with Image.open(sheet) as image:
            sizes.append(image.size)
    assert sizes[0][1] > sizes[2][1] > sizes[1][1]


def test_sheet_and_table_may_go_into_the_folder_of_pages(run, image_model, inspected, tmp_path):
    maps = tmp_path / "new" / "maps"
    places = ("--heatmaps", maps, "--sheet", maps / "sheet.png", "-o", maps / "o.csv", "--top", "1")
    assert run("score", inspected, "-m", image_model, *places).code == 0
    assert {"o.csv", "sheet.png"} < set(names_in(maps))


def test_other_files_among_the_pages_stay(run, image_model, inspected, tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "notes.txt").write_text("mine")
    assert run("score", inspected, "-m", image_model, "--heatmaps", tmp_path / "maps", "--top", "1").code == 0
    assert (tmp_path / "maps" / "notes.txt").read_text() == "mine"


def test_pages_of_other_formats_have_names_of_their_own(run, image_model, tmp_path, draw):
    for number, name in enumerate(["a.png", "a.bmp", "a.bmp.png", "B.PNG"]):
        draw(tmp_path / "in" / name, number)
    outcome = run("score", tmp_path / "in", "-m", image_model, "--heatmaps", tmp_path / "maps")
    assert outcome.code == 0, outcome.err
    assert names_in(tmp_path / "maps") == ["B.PNG", "a.bmp.png", "a.bmp.png.png", "a.png"]


def test_outputs_among_the_images_are_refused(run, image_model, inspected):
    for option, name in (("--heatmaps", "maps"), ("--heatmaps", "."), ("--sheet", "good/s.png"), ("-o", "o.csv")):
        line = run("score", inspected, "-m", image_model, option, inspected / name).error()
        assert "lies in the input folder" in line
    line = run("score", f"{inspected}/**/*.png", "-m", image_model, "--heatmaps", inspected / "maps").error()
    assert "lies in the input folder" in line
    assert len(names_in(inspected)) == 9


def test_table_may_lie_where_a_pattern_searches_for_images(run, image_model, inspected):
    outcome = run("score", f"{inspected}/**/*.png", "-m", image_model, "-o", inspected / "o.csv")
    assert outcome.code == 0, outcome.err
    assert run("score", f"{inspected}/**/*.png", "-m", image_model).code == 0


def test_pages_and_sheets_never_replace_a_image(run, image_model, inspected, tmp_path):
    image = inspected / "good" / "1.png"
    before = image.read_bytes()
    line = run("score", image, "-m", image_model, "--heatmaps", inspected / "good").error()
    assert "would replace input files" in line
    (tmp_path / "link").symlink_to(inspected / "good")
    line = run("score", image, "-m", image_model, "--heatmaps", tmp_path / "link").error()
    assert "would replace input files" in line
    assert "is an input file itself" in run("score", image, "-m", image_model, "--sheet", image).error()
    assert image.read_bytes() == before


def test_sheet_never_replaces_a_page(run, image_model, inspected, tmp_path):
    page = tmp_path / "maps" / "good" / "1.png"
    line = run("score", inspected, "-m", image_model, "--heatmaps", tmp_path / "maps", "--sheet", page).error()
    assert "is also a page of --heatmaps" in line


def test_sheet_is_a_png_file(run, inspected, tmp_path):
    assert "expected a name that ends in .png" in run("score", inspected, "--sheet", tmp_path / "s.jpg").error()


def test_table_does_not_go_into_a_directory(run, inspected, tmp_path):
    (tmp_path / "o").mkdir()
    assert "is a directory; expected a file name" in run("score", inspected, "-o", tmp_path / "o").error()


def test_folder_of_pages_that_is_a_file_is_refused_before_the_fit(run, inspected, write):
    path = write("maps", "")
    assert "is a file; expected the name of a directory" in run("score", inspected, "--heatmaps", path).error()
    line = run("score", inspected, "--heatmaps", path / "deep").error(code=1)
    assert "cannot be made" in line


def test_folder_of_pages_that_cannot_be_written_is_found_before_the_fit(run, inspected, tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    assert "no permission to write" in run("score", inspected, "--heatmaps", folder).error(code=1)


def test_page_that_cannot_be_written_is_a_failure(run, image_model, inspected, tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "good").write_text("in the way")
    maps = ("--heatmaps", tmp_path / "maps", "-o", tmp_path / "o.csv")
    line = run("score", inspected, "-m", image_model, *maps).error(code=1)
    assert "cannot be written" in line
    assert not (tmp_path / "o.csv").exists()


def test_failure_of_a_page_of_the_strangest_comes_after_the_table(run, image_model, inspected, tmp_path, monkeypatch):
    def fail(*arguments):
        raise CommandError("the disk is full.")

    monkeypatch.setattr("vae_anomaly_cli.render.pages.write_image", fail)
    options = ("--sheet", tmp_path / "s.png", "-o", tmp_path / "o.csv")
    assert "the disk is full" in run("score", inspected, "-m", image_model, *options).error(code=1)
    assert (tmp_path / "o.csv").exists()
