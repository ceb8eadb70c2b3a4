"""Finding, surveying, reading and writing image files, and what is said of those that cannot be read."""

import os
import pickle
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from vae_anomaly.data.image_files import (
    ImageFileError,
    ImageFormat,
    Problem,
    Survey,
    find_images,
    read_image,
    read_images,
    survey,
    write_png,
)
from vae_anomaly.errors import DataError

GREY = ImageFormat(4, 6, 1, 8)
COLOUR = ImageFormat(4, 6, 3, 8)
DEEP = ImageFormat(4, 6, 1, 16)
BILEVEL = ImageFormat(4, 6, 1, 1)
LEVELS = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
ORIENTATION = 0x0112


def saved(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def grey(path, height=4, width=6, level=7):
    return saved(Image.new("L", (width, height), level), path)


def refusal(path, image_format=GREY):
    with pytest.raises(ImageFileError) as raised:
        read_image(path, image_format)
    assert raised.value.path == path
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"{path}: ")
    return raised.value.reason


def test_folder_is_searched_in_natural_order_and_without_hidden_names(tmp_path):
    names = ["10.png", "2.PNG", "b/1.jpg", "a/x10.tif", "a/x9.tiff", "B2/1.bmp", "01.png"]
    for name in [*names, ".hidden.png", ".cache/1.png", "a/.thumbs/1.png", "notes.txt", "mask.npy"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["01.png", "2.PNG", "10.png", "a/x9.tiff", "a/x10.tif", "b/1.jpg", "B2/1.bmp"]


def test_folder_within_a_hidden_one_is_searched(tmp_path):
    path = grey(tmp_path / ".data" / "1.png")
    assert find_images(path.parent) == [path]


def test_single_image_is_found_by_string_or_path(tmp_path):
    path = grey(tmp_path / "a.png")
    assert find_images(path) == find_images(str(path)) == [path]


def test_pattern_matches_images_and_folders_of_them(tmp_path):
    paths = [grey(tmp_path / name) for name in ("good/2.png", "good/10.png", "good/deep/1.png", "bad/1.png")]
    (tmp_path / "good" / "notes.txt").touch()
    assert find_images(str(tmp_path / "g*")) == paths[:3]
    assert find_images(str(tmp_path / "good" / "*")) == paths[:3]
    assert find_images(str(tmp_path / "**" / "1.png")) == [paths[3], paths[2]]


def test_name_with_brackets_is_no_pattern_if_it_exists(tmp_path):
    path = grey(tmp_path / "set [1]" / "a.png")
    assert find_images(path.parent) == [path]


def test_link_without_a_target_is_found_so_that_it_is_reported(tmp_path):
    path = tmp_path / "gone.png"
    path.symlink_to(tmp_path / "nowhere.png")
    assert find_images(tmp_path) == [path]
    assert "No such file" in refusal(path)


def test_missing_path_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist; expected an image"):
        find_images(tmp_path / "nowhere")


def test_nothing_to_find_says_what_there_is_instead(tmp_path):
    with pytest.raises(DataError, match="empty folder; expected images, as png, jpg"):
        find_images(tmp_path)
    with pytest.raises(DataError, match=r"\*\.png matches no file"):
        find_images(str(tmp_path / "*.png"))
    for name in ("a.csv", "b.csv", "c.npy", "README"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"no image among 4 files: \.csv \(2\), .*\.npy \(1\)"):
        find_images(tmp_path)
    with pytest.raises(DataError, match=r"a\.csv has no image among 1 files"):
        find_images(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("modes", "channels", "depth"),
    [
        (["L", "L"], 1, 8),
        (["1", "1"], 1, 1),
        (["1", "L"], 1, 8),
        (["I;16", "I;16"], 1, 16),
        (["I;16", "F"], 1, 16),
        (["I;16", "L"], 1, 8),
        (["I;16", "1"], 1, 8),
        (["LA", "L"], 1, 8),
        (["L", "P"], 3, 8),
        (["I;16", "RGB"], 3, 8),
        (["CMYK"], 3, 8),
    ],
)
def test_format_keeps_what_the_images_show(tmp_path, modes, channels, depth):
    paths = [saved(Image.new(mode, (6, 4)), tmp_path / f"{row}.tif") for row, mode in enumerate(modes)]
    seen = survey(paths)
    assert seen.n_images == len(modes)
    assert seen.problems == ()
    assert seen.format() == ImageFormat(4, 6, channels, depth)


def test_grey_maps_of_16_bits_are_16_bits_deep(tmp_path):
    header = tmp_path / "a.pgm"
    header.write_bytes(b"P5\n6 4\n65535\n" + np.arange(24, dtype=">u2").tobytes())
    assert survey([header]).format() == DEEP
    assert read_image(header, DEEP).ravel().tolist() == list(range(24))


def test_survey_counts_problems_and_reads_no_pixels(tmp_path):
    good, cut, text = grey(tmp_path / "1.png", 40, 60), grey(tmp_path / "2.png", 40, 60), tmp_path / "3.png"
    cut.write_bytes(cut.read_bytes()[:60])
    text.write_text("not an image")
    seen = survey([good, cut, text], n_workers=2)
    assert seen.sizes == {(40, 60): 2}
    assert [problem.path for problem in seen.problems] == [text]
    assert isinstance(seen.problems[0], Problem)


def test_mixed_sizes_need_a_size(tmp_path):
    paths = [grey(tmp_path / f"{row}.png", *size) for row, size in enumerate([(4, 6), (4, 6), (5, 5)])]
    seen = survey(paths)
    with pytest.raises(
        DataError, match=r"3 images have 2 sizes.* 4x6 \(2\), 5x5 \(1\).*--image-shape HEIGHTxWIDTH.*image_shape=\("
    ):
        seen.format()
    assert seen.format((8, 9)) == ImageFormat(8, 9, 1, 8)
    with pytest.raises(DataError, match="0x9 is empty"):
        seen.format((0, 9))


def test_format_needs_a_readable_image(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("no")
    with pytest.raises(DataError, match=r"none of 1 files is a readable image \(.*a\.png: no image"):
        survey([path]).format((4, 6))
    with pytest.raises(DataError, match="none of 0 files"):
        Survey({}, {}).format()


def test_file_that_is_no_image_says_so(tmp_path):
    text = tmp_path / "text.png"
    text.write_text("a,b\n1,2\n")
    assert refusal(text).startswith("no image by its first bytes; expected png")
    empty = tmp_path / "empty.png"
    empty.touch()
    assert refusal(empty) == "the file is empty; copy it again or leave it out."
    postscript = tmp_path / "script.png"
    postscript.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n%%EndComments\nshowpage\n")
    assert refusal(postscript).startswith("no image")
    assert "No such file" in refusal(tmp_path / "gone.png")
    assert "Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("compression", ["png", "jpg", "bmp", "gif", "webp", "pgm", "raw", "tiff_lzw", "tiff_deflate"])
@pytest.mark.parametrize("damage", ["cut", "scrambled"])
def test_damaged_file_is_reported_without_noise(tmp_path, capfd, compression, damage):
    noise = np.random.default_rng(0).integers(0, 256, (90, 80), dtype=np.uint8)
    tiff = compression in ("raw", "tiff_lzw", "tiff_deflate")
    path = tmp_path / f"a.{'tif' if tiff else compression}"
    if tiff:
        saved(Image.fromarray(noise), path, compression=compression)
    else:
        saved(Image.fromarray(noise), path)
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] if damage == "cut" else content[:half] + bytes(half // 2) + content[half:][::-1])
    wanted = ImageFormat(90, 80, 3 if compression == "webp" else 1, 8)
    if damage == "cut":
        assert "again or leave it out." in refusal(path, wanted)
    else:
        dict(read_images([path], wanted))
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_file_without_permission_says_so(tmp_path):
    path = grey(tmp_path / "a.png")
    path.chmod(0)
    assert "Permission denied" in refusal(path)


def test_decompression_bomb_is_refused_and_a_large_image_is_not(tmp_path, monkeypatch):
    path = grey(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert (read_image(path, GREY) == 7).all()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "more than 20 pixels, where Pillow suspects a decompression bomb" in refusal(path)
    assert "decompression bomb" in survey([path]).problems[0].reason


def test_warning_filters_are_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    path = grey(tmp_path / "a.png")
    before = list(warnings.filters)
    assert len(list(read_images([path] * 20, GREY))) == 20
    assert list(warnings.filters) == before


def test_pillow_is_quiet_in_a_fresh_process(tmp_path):
    path = grey(tmp_path / "a.png")
    code = (
        "import sys, PIL.Image as i, logging; from vae_anomaly.data.image_files import *;"
        "i.MAX_IMAGE_PIXELS = 20; read_image(sys.argv[1], ImageFormat(4, 6, 1, 8));"
        "logging.getLogger('PIL.TiffImagePlugin').error('noise')"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_error_survives_pickling():
    error = ImageFileError("a.png", "gone.")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path, copy.reason) == (str(error), "a.png", "gone.")


@pytest.mark.parametrize("n_workers", [None, 1, 3])
def test_images_come_in_order_with_their_errors_in_place(tmp_path, n_workers):
    paths = [grey(tmp_path / f"{row}.png", *((200, 300) if row % 7 == 0 else (4, 6)), level=row) for row in range(40)]
    paths[5].write_text("no")
    outcomes = list(read_images(map(str, paths), GREY, n_workers=n_workers))
    assert [path for path, _ in outcomes] == paths
    assert isinstance(outcomes.pop(5)[1], ImageFileError)
    assert [image[0, 0, 0] for _, image in outcomes] == [row for row in range(40) if row != 5]


def test_no_more_than_two_images_for_each_worker_are_decoded_ahead(tmp_path):
    path = grey(tmp_path / "a.png")
    n_taken = 0

    def endless():
        nonlocal n_taken
        while True:
            n_taken += 1
            yield path

    images = read_images(endless(), GREY, n_workers=3)
    assert n_taken == 0
    for n_read in range(1, 20):
        next(images)
        assert n_taken <= n_read - 1 + 6
    images.close()


def test_threads_end_when_the_consumer_stops(tmp_path):
    paths = [grey(tmp_path / f"{row}.png") for row in range(30)]
    images = read_images(paths, GREY, n_workers=3)
    next(images)
    assert any(thread.name.startswith("images") for thread in threading.enumerate())
    images.close()
    assert not any(thread.name.startswith("images") for thread in threading.enumerate())


def test_no_images_are_read_from_no_paths():
    assert list(read_images([], GREY)) == []


@pytest.mark.parametrize(
    ("image", "image_format"),
    [
        (LEVELS, GREY),
        (LEVELS[None], GREY),
        (np.stack([LEVELS, LEVELS // 2, 255 - LEVELS]), COLOUR),
        (LEVELS.astype(np.uint16) * 257, DEEP),
        (LEVELS % 20 == 0, BILEVEL),
        (Image.fromarray(LEVELS), GREY),
    ],
)
def test_written_image_reads_back_the_same(tmp_path, image, image_format):
    path = tmp_path / "new" / "folder" / "a.png"
    write_png(image, path)
    write_png(image, path)
    assert (read_image(path, image_format) == np.asarray(image)).all()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("image", [np.zeros((3, 4, 6)), np.zeros((3, 4, 6), np.uint16), np.zeros((0, 6), np.uint8)])
def test_array_that_is_no_png_image_is_refused(tmp_path, image):
    with pytest.raises(DataError, match="is no PNG image; expected bool, uint8 or uint16"):
        write_png(image, tmp_path / "a.png")


def test_image_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OSError, match=r"file/a\.png cannot be written: .*\. Name another file\."):
        write_png(LEVELS, tmp_path / "file" / "a.png")
    with pytest.raises(OSError, match=r"folder\.png cannot be written: Is a directory"):
        write_png(LEVELS, tmp_path / "folder.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]
