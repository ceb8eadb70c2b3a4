"""What the formats of image files show: grey levels, colours, transparency, orientation and size."""

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from vae_anomaly.data.image_files import ImageFileError, ImageFormat, read_image, read_images, survey
from vae_anomaly.errors import PagesLeftOutWarning

GREY = ImageFormat(4, 6, 1, 8)
COLOUR = ImageFormat(4, 6, 3, 8)
DEEP = ImageFormat(4, 6, 1, 16)
BILEVEL = ImageFormat(4, 6, 1, 1)
LEVELS = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
ORIENTATION = 0x0112


def saved(opened, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    opened.save(path, **options)
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


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif", "pgm", "webp"])
def test_grey_levels_are_exact(tmp_path, suffix):
    opened = Image.fromarray(LEVELS)
    path = saved(opened.convert("RGB") if suffix == "webp" else opened, tmp_path / f"a.{suffix}", lossless=True)
    image = read_image(path, COLOUR if suffix == "webp" else GREY)
    assert image.dtype == np.uint8
    assert (image == LEVELS).all()


def test_grey_becomes_three_equal_channels_in_a_colour_format(tmp_path):
    image = read_image(saved(Image.fromarray(LEVELS), tmp_path / "a.png"), COLOUR)
    assert image.shape == (3, 4, 6)
    assert (image == LEVELS).all()
    assert image.flags.c_contiguous
    assert image.flags.writeable


def test_colour_channels_come_first(tmp_path):
    path = saved(Image.new("RGB", (6, 4), (10, 20, 30)), tmp_path / "a.png")
    assert read_image(path, COLOUR)[:, 2, 3].tolist() == [10, 20, 30]


def test_palette_shows_its_colours(tmp_path):
    opened = Image.new("P", (6, 4), 1)
    opened.putpalette([0, 0, 0, 200, 100, 50])
    assert read_image(saved(opened, tmp_path / "a.png"), COLOUR)[:, 0, 0].tolist() == [200, 100, 50]


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette_of_greys_is_grey(tmp_path, suffix):
    opened = Image.new("P", (6, 4), 1)
    opened.putpalette([0, 0, 0, 90, 90, 90])
    opened.putpixel((0, 0), 0)
    path = saved(opened, tmp_path / f"a.{suffix}")
    assert survey([path]).format() == GREY
    assert read_image(path, GREY)[0, 0].tolist() == [0, 90, 90, 90, 90, 90]


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
def test_transparent_palette_entry_shows_white(tmp_path, transparency):
    opened = Image.new("P", (6, 4), 1)
    opened.putpalette([0, 0, 0, 200, 100, 50])
    opened.putpixel((0, 0), 0)
    image = read_image(saved(opened, tmp_path / "a.png", transparency=transparency), COLOUR)
    assert image[:, 0, 0].tolist() == [255, 255, 255]
    assert image[:, 0, 1].tolist() == [200, 100, 50]


def test_transparency_shows_white_through(tmp_path):
    colour = Image.new("RGBA", (6, 4), (100, 0, 200, 0))
    colour.putpixel((1, 0), (100, 0, 200, 255))
    image = read_image(saved(colour, tmp_path / "rgba.png"), COLOUR)
    assert image[:, 0, :2].T.tolist() == [[255, 255, 255], [100, 0, 200]]
    image = read_image(saved(Image.new("LA", (6, 4), (100, 51)), tmp_path / "la.png"), GREY)
    assert image.shape == (1, 4, 6)
    assert (image == round(0.2 * 100 + 0.8 * 255)).all()


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_transparent_grey_level_shows_white(tmp_path, mode):
    path = saved(Image.new(mode, (6, 4), 100), tmp_path / "a.png", transparency=100)
    white = 255 if mode == "L" else 65535
    assert (read_image(path, GREY if mode == "L" else DEEP) == white).all()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colour_spaces_are_converted(tmp_path, mode):
    path = saved(Image.new("RGB", (6, 4), (255, 0, 0)).convert(mode), tmp_path / "a.jpg", quality=100)
    assert read_image(path, COLOUR)[:, 0, 0] == pytest.approx([255, 0, 0], abs=3)


def test_lab_is_refused_by_name(tmp_path):
    assert "Lab colours" in refusal(saved(Image.new("LAB", (6, 4)), tmp_path / "a.tif"), COLOUR)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_levels_of_16_bits_are_exact(tmp_path, suffix):
    levels = np.linspace(0, 65535, 24).astype(np.uint16).reshape(4, 6)
    path = saved(Image.fromarray(levels), tmp_path / f"a.{suffix}")
    image = read_image(path, DEEP)
    assert image.dtype == np.uint16
    assert (image == levels).all()


def test_levels_of_16_bits_become_8_by_a_257th(tmp_path):
    levels = np.array([[0, 128, 129, 257, 32896, 65535]] * 4, np.uint16)
    image = read_image(saved(Image.fromarray(levels), tmp_path / "a.png"), GREY)
    assert image.dtype == np.uint8
    assert image[0, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_integers_are_16_bits_as_far_as_they_fit(tmp_path):
    path = saved(Image.fromarray(np.full((4, 6), 65535, np.int32)), tmp_path / "a.tif")
    assert (read_image(path, DEEP) == 65535).all()
    for level in (65536, -1):
        path = saved(Image.fromarray(np.full((4, 6), level, np.int32)), tmp_path / "b.tif")
        assert f"from {level} to {level}; expected 0 to 65535" in refusal(path, DEEP)


def test_floats_are_shares_of_white(tmp_path):
    path = saved(Image.fromarray(np.array([[0, 0.5, 1] * 2] * 4, np.float32)), tmp_path / "a.tif")
    assert read_image(path, DEEP)[0, 0, :3].tolist() == [0, 32768, 65535]
    assert read_image(path, GREY)[0, 0, :3].tolist() == [0, 128, 255]
    for level in (np.nan, 1.5, np.inf):
        path = saved(Image.fromarray(np.full((4, 6), level, np.float32)), tmp_path / "b.tif")
        assert "expected 0 to 1" in refusal(path)


def test_bilevel_is_0_and_1(tmp_path):
    opened = Image.new("1", (6, 4))
    opened.putpixel((2, 1), 1)
    path = saved(opened, tmp_path / "a.png")
    image = read_image(path, BILEVEL)
    assert image.dtype == np.uint8
    assert np.argwhere(image).tolist() == [[0, 1, 2]]
    assert image.max() == 1
    assert read_image(path, GREY).max() == 255


def test_grey_is_bilevel_if_it_is_black_and_white(tmp_path):
    path = saved(Image.fromarray(np.eye(4, 6, dtype=np.uint8) * 255), tmp_path / "a.png")
    assert (read_image(path, BILEVEL) == np.eye(4, 6)).all()
    assert "shades of grey where the model takes black and white" in refusal(grey(tmp_path / "b.png"), BILEVEL)


def test_bilevel_is_resized_without_shades(tmp_path):
    opened = Image.fromarray(np.random.default_rng(0).random((9, 13)) < 0.5)
    assert set(np.unique(read_image(saved(opened, tmp_path / "a.png"), BILEVEL))) == {0, 1}


def test_image_that_loses_what_it_shows_is_refused(tmp_path):
    colour = saved(Image.new("RGB", (6, 4), "red"), tmp_path / "colour.png")
    assert refusal(colour).startswith("colour image where the model takes grey ones; convert")
    assert refusal(colour, DEEP).startswith("colour image")
    assert refusal(grey(tmp_path / "a.png"), DEEP).startswith("8-bit image where the model takes 16-bit ones")
    assert refusal(saved(Image.new("I;16", (6, 4)), tmp_path / "b.png"), BILEVEL).startswith("16-bit image where")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, suffix, orientation):
    upright = np.full((48, 32), 128, np.uint8)
    upright[:16, :16] = 255  # top left
    upright[:16, 16:] = 0  # top right
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(Image.fromarray(turned).convert("RGB"), tmp_path / f"a.{suffix}", exif=exif)
    found = survey([path]).format()
    assert (found.height, found.width) == (48, 32)
    image = read_image(path, found)
    corners = image[0, 8, 8], image[0, 8, 24], image[0, 40, 8], image[0, 40, 24]
    assert np.array(corners, float) == pytest.approx([255, 0, 128, 128], abs=4)


def test_damaged_exif_does_not_cost_the_image(tmp_path):
    path = saved(Image.fromarray(LEVELS), tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\0")
    assert survey([path]).format() == GREY
    assert (read_image(path, GREY) == LEVELS).all()


def test_first_frame_counts(tmp_path):
    first, second = Image.new("L", (6, 4), 50), Image.new("L", (6, 4), 200)
    for name in ("a.gif", "a.tif", "a.png"):
        path = saved(first, tmp_path / name, save_all=True, append_images=[second])
        assert (read_image(path, GREY) == 50).all()


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png", "a.webp"])
def test_further_pages_and_frames_are_warned_of(tmp_path, name):
    images = [Image.fromarray(np.full((4, 6), level, np.uint8)) for level in (50, 120, 200)]
    path = saved(images[0], tmp_path / name, save_all=True, append_images=images[1:])
    with pytest.warns(PagesLeftOutWarning, match="has 3 pages or frames: the first is read") as caught:
        list(read_images([path], GREY))
    assert [(one.message.path, one.message.n_pages) for one in caught] == [(path, 3)]


@pytest.mark.filterwarnings("error")
def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path):
    path = tmp_path / "a.tif"
    with TiffImagePlugin.AppendingTiffWriter(path, new=True) as pages:
        Image.new("L", (6, 4), 50).save(pages, "TIFF")
        pages.newFrame()
        Image.new("L", (3, 2), 50).save(pages, "TIFF", tiffinfo={254: 1})
    with Image.open(path) as opened:
        opened.seek(1)
        assert opened.tag_v2.get(254) == 1
    ((_, pixels),) = read_images([path], GREY)
    assert (pixels == 50).all()


def test_colour_of_greys_fits_a_grey_format(tmp_path):
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (4, 6), dtype=np.uint8)
    grey = Image.fromarray(levels)
    for name, image in (
        ("a.png", grey.convert("RGB")),
        ("b.png", grey.convert("RGBA")),
        ("c.bmp", grey.convert("RGB")),
    ):
        assert (read_image(saved(image, tmp_path / name), GREY) == levels).all()
    nearly = np.array(grey.convert("RGB"))
    nearly[2, 3, 1] ^= 1
    with pytest.raises(ImageFileError, match="colour image where the model takes grey ones"):
        read_image(saved(Image.fromarray(nearly), tmp_path / "d.png"), GREY)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "1", "LA"])
@pytest.mark.parametrize(("height", "width"), [(4, 6), (9, 23), (2, 3), (3, 40), (1, 1)])
def test_constant_image_stays_constant_at_any_size(tmp_path, mode, height, width):
    level = {"L": 201, "RGB": (201, 201, 201), "I;16": 51001, "1": 1, "LA": (201, 255)}[mode]
    path = saved(Image.new(mode, (width, height), level), tmp_path / "a.png")
    wanted = {"RGB": COLOUR, "I;16": DEEP, "1": BILEVEL}.get(mode, GREY)
    image = read_image(path, wanted)
    assert image.shape == (wanted.channels, 4, 6)
    assert (image == np.ravel(level)[0]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_shrinking_averages_instead_of_skipping(tmp_path, dtype):
    stripes = np.tile(np.array([0, np.iinfo(dtype).max], dtype), (64, 48))
    wanted = ImageFormat(8, 12, 1, 8 * np.dtype(dtype).itemsize)
    inner = read_image(saved(Image.fromarray(stripes), tmp_path / "a.png"), wanted)[0, :, 1:-1]
    assert inner / np.iinfo(dtype).max == pytest.approx(np.full(inner.shape, 0.5), abs=0.02)


def test_other_proportions_are_distorted_and_not_cropped(tmp_path):
    halves = np.repeat(np.array([[0, 255]], np.uint8), [60, 60], axis=1).repeat(10, axis=0)
    image = read_image(saved(Image.fromarray(halves), tmp_path / "a.png"), ImageFormat(20, 20, 1, 8))
    assert image[0, :, :8].max() < 20
    assert image[0, :, 12:].min() > 235
