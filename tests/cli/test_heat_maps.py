import numpy as np
import pytest
from PIL import Image

from vae_anomaly.errors import DataError
from vae_anomaly_cli.render.heat_maps import (
    MARGIN,
    SheetEntry,
    _font,
    contact_sheet,
    heat_map_page,
    number_text,
    overlay,
    shortened,
)

SHAPES = [(1, 28, 28), (1, 256, 256), (1, 320, 128), (3, 512, 512), (1, 1, 28), (1, 300, 1), (3, 1, 1), (1, 1500, 700)]


def image_of(shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


def entry_of(shape, name="a.png", score=1.5, expected=True):
    image = image_of(shape)
    return SheetEntry(name, score, image, np.zeros(shape[1:]), image if expected else None)


def margins_are_white(page):
    pixels = np.asarray(page).copy()
    pixels[MARGIN:-MARGIN, MARGIN:-MARGIN] = 255
    return bool((pixels == 255).all())


def colour_at(opened, row, column):
    return tuple(np.asarray(opened)[row, column].tolist())


@pytest.mark.parametrize(
    ("height", "width", "factor"), [(28, 28, 10), (128, 128, 2), (1, 28, 10), (255, 3, 2), (256, 9, 1), (600, 400, 1)]
)
def test_small_images_are_enlarged_by_a_whole_number(height, width, factor):
    opened = overlay(image_of((1, height, width)), np.zeros((height, width)), 0, 1)
    assert opened.mode == "RGB"
    assert opened.size == (factor * width, factor * height)


def test_image_shows_in_grey_where_surprise_is_low():
    image = image_of((1, 256, 256))
    for surprise in (np.zeros((256, 256)), np.full((256, 256), 2.0), np.full((256, 256), -np.inf)):
        opened = np.asarray(overlay(image, surprise, 2, 3))
        assert (opened == image[0, :, :, None]).all()


def test_each_pixel_is_enlarged_in_its_place():
    image = image_of((1, 16, 16))
    opened = np.asarray(overlay(image, np.zeros((16, 16)), 0, 1))
    assert (opened[8::16, 8::16, 0] == image[0]).all()
    assert (opened[:16, :16] == image[0, 0, 0]).all()


def test_colour_image_is_grey_below_the_heat():
    opened = overlay(np.full((3, 256, 256), [[[255]], [[0]], [[0]]], np.uint8), np.zeros((256, 256)), 0, 1)
    assert colour_at(opened, 0, 0) == (76, 76, 76)


def test_high_surprise_covers_any_image_in_one_colour():
    surprise = np.array([[3.0, 4.0, 1e30, np.inf]])
    dark = np.asarray(overlay(np.zeros((1, 1, 4), np.uint8), surprise, 1, 3))
    bright = np.asarray(overlay(np.full((3, 1, 4), 255, np.uint8), surprise, 1, 3))
    assert len(np.unique(dark.reshape(-1, 3), axis=0)) == 1
    assert (dark == bright).all()


def test_same_surprise_has_the_same_colour_whatever_else_is_in_the_image():
    image = np.full((1, 2, 2), 90, np.uint8)
    one = overlay(image, np.array([[1.5, 0.0], [0.0, 0.0]]), 1, 3)
    other = overlay(image, np.array([[1.5, 99.0], [-5.0, np.nan]]), 1, 3)
    assert colour_at(one, 5, 5) == colour_at(other, 5, 5)
    assert len(set(colour_at(one, 5, 5))) > 1


def test_more_surprise_is_less_like_the_image():
    surprise = np.linspace(0, 1, 256)[None]
    colours = np.asarray(overlay(np.full((1, 1, 256), 150, np.uint8), surprise, 0, 1))[0].astype(float)
    saturation = colours.max(axis=1) - colours.min(axis=1)
    assert saturation[0] == 0
    assert (np.diff(saturation[::32]) > 0).all()


def test_missing_pixels_are_hatched_in_grey():
    surprise = np.zeros((16, 16))
    surprise[:8] = np.nan
    opened = np.asarray(overlay(np.zeros((1, 16, 16), np.uint8), surprise, 0, 1))
    assert set(np.unique(opened[:128])) == {170, 235}
    assert (opened[128:] == 0).all()


def test_constant_surprise_on_a_scale_of_one_value_is_transparent():
    image = image_of((1, 256, 256))
    assert (np.asarray(overlay(image, np.full((256, 256), 0.7), 0.7, 0.7)) == image[0, :, :, None]).all()
    assert len(np.unique(np.asarray(overlay(image, np.full((256, 256), 0.8), 0.7, 0.7)).reshape(-1, 3), axis=0)) == 1


def test_16_bits_are_shown_from_their_darkest_to_their_brightest():
    image = np.full((1, 256, 256), 1000, np.uint16)
    assert colour_at(overlay(image, np.zeros((256, 256)), 0, 1), 0, 0) == (0, 0, 0)
    image[0, 0, :2] = 3000, 2000
    opened = overlay(image, np.zeros((256, 256)), 0, 1)
    assert [colour_at(opened, 0, column)[0] for column in (0, 1, 2)] == [255, 128, 0]


def test_bilevel_is_black_and_white():
    opened = overlay(np.eye(256, dtype=np.uint8)[None], np.zeros((256, 256)), 0, 1)
    assert (np.asarray(opened)[..., 0] == np.eye(256) * 255).all()


@pytest.mark.parametrize("low_high", [(1, 0), (np.nan, 1), (0, np.inf)])
def test_scale_that_is_none_is_refused(low_high):
    with pytest.raises(DataError, match="expected finite numbers, low <= high"):
        overlay(image_of((1, 4, 4)), np.zeros((4, 4)), *low_high)


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(DataError, match=r"shapes \(1, 4, 4\), \(4, 5\); expected"):
        overlay(image_of((1, 4, 4)), np.zeros((4, 5)), 0, 1)
    with pytest.raises(DataError, match=r"\(3, 4, 4\); expected"):
        heat_map_page(image_of((1, 4, 4)), np.zeros((4, 4)), image_of((3, 4, 4)), 0, 1, "a")
    with pytest.raises(DataError, match="shapes"):
        overlay(image_of((2, 4, 4)), np.zeros((4, 4)), 0, 1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("expected", [True, False])
@pytest.mark.parametrize("title", ["a.png", "folder/" * 60 + "a.png   12.5 nats", "größe 名\n\t\x1b.png", ""])
def test_page_keeps_its_margins(shape, expected, title):
    image = image_of(shape)
    surprise = np.zeros(shape[1:])
    surprise[0, 0] = np.nan
    page = heat_map_page(image, surprise, image / 2 if expected else None, -1234.5678, 98765.4321, title)
    assert page.mode == "RGB"
    assert margins_are_white(page)
    assert max(page.size) <= 3 * 1024 + 150


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_page_shows_image_and_expectation_on_one_scale(dtype):
    top = np.iinfo(dtype).max
    image = np.tile(np.array([[[0, top]]], dtype), (1, 256, 128))
    page = np.asarray(heat_map_page(image, np.zeros((256, 256)), np.full(image.shape, top / 2), 0, 1, "a"))
    middle = page[page.shape[0] // 2, :, 0]
    assert middle[MARGIN + 1 : MARGIN + 257].tolist() == [0, 255] * 128
    assert set(middle[MARGIN + 280 : MARGIN + 520]) == {128}


def test_hot_pixel_stays_hot_when_a_page_shrinks_the_image():
    surprise = np.zeros((2500, 2500))
    surprise[1201, 1202] = 9
    black = np.zeros((1, 2500, 2500), np.uint8)
    hottest = colour_at(overlay(np.zeros((1, 1, 1), np.uint8), np.full((1, 1), 9.0), 0, 1), 0, 0)
    page = np.asarray(heat_map_page(black, surprise, None, 0, 1, "a"))
    assert page.shape[1] < 2000
    assert (page[200:-200] == hottest).all(axis=2).any()


def test_missing_is_explained_only_where_there_is_some():
    surprise = np.zeros((28, 28))
    page = heat_map_page(image_of((1, 28, 28)), surprise, None, 0, 1, "a")
    surprise[3, 3] = np.nan
    legend = slice(page.height - MARGIN - 40, None)
    changed = np.asarray(heat_map_page(image_of((1, 28, 28)), surprise, None, 0, 1, "a")) != np.asarray(page)
    assert changed[legend].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_entries", [1, 2, 7])
def test_sheet_keeps_its_margins(shape, n_entries):
    entries = [
        entry_of(shape, "long_name_" * 30 + f"{row}.png", -12345.6, expected=row != 1) for row in range(n_entries)
    ]
    sheet = contact_sheet(entries, 0, 1)
    assert margins_are_white(sheet)
    assert sheet.width <= 2 * 3 * 280 + 2 * MARGIN


def test_sheet_has_the_entries_in_order_on_a_grid():
    entries = [
        SheetEntry(f"{row}.png", 1.0, np.full((1, 256, 256), 20 * row + 10, np.uint8), np.zeros((256, 256)))
        for row in range(5)
    ]
    pixels = np.asarray(contact_sheet(entries, 0, 1, n_columns=2))[..., 0]
    places = [np.argwhere(pixels == 20 * row + 10) for row in range(5)]
    corners = [tuple(place[(len(place)) // 2] // 280) for place in places]
    assert len({row for row, _ in corners}) == 3
    assert corners == sorted(corners)


def test_sheet_holds_images_of_several_sizes():
    sheet = contact_sheet([entry_of(shape) for shape in SHAPES], 0, 1)
    assert margins_are_white(sheet)


def test_sheet_without_images_is_refused():
    with pytest.raises(DataError, match="no images; expected at least one"):
        contact_sheet([], 0, 1)


def test_same_surprise_has_the_same_colour_on_every_entry_of_a_sheet():
    black = np.zeros((1, 256, 256), np.uint8)
    entries = [SheetEntry("a", 1, black, np.full((256, 256), level)) for level in (1.5, 1.5)]
    entries.append(SheetEntry("b", 1, black, np.full((256, 256), 100.0)))
    pixels = np.asarray(contact_sheet(entries, 1, 3)).reshape(-1, 3)
    expected = colour_at(overlay(black, np.full((256, 256), 1.5), 1, 3), 0, 0)
    assert (pixels == expected).all(axis=1).sum() >= 2 * 256 * 256


@pytest.mark.parametrize("text", ["", "a", "a.png", "x" * 500, "screw_0001_" * 20 + "end.png"])
@pytest.mark.parametrize("width", [20, 100, 400])
def test_shortened_text_keeps_both_ends(text, width):
    short = shortened(text, 14, width)
    if short != text:
        start, end = short.split("…")
        assert text.startswith(start)
        assert text.endswith(end)
        assert 0 <= len(start) - len(end) <= 1


def test_accents_stay_and_control_characters_are_replaced():
    assert shortened("Gro\u0308ße é Ω ж.png\n\udcff", 14, 500) == "Größe é Ω ж.png��"


def test_letters_with_and_without_accents_are_drawn_differently():
    if _font(14).getname()[0] == "Aileron":
        pytest.skip("no font with accents is installed")
    pages = [
        heat_map_page(image_of((1, 28, 28)), np.zeros((28, 28)), None, 0, 1, title) for title in ("o", "ö", "ő", "�")
    ]
    assert len({page.tobytes() for page in pages}) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.012345, "0.0123"), (-3.5, "-3.5"), (999.7, "1,000"), (1e12, "1e+12"), (12345.6, "12,346")],
)
def test_numbers_are_short(value, text):
    assert number_text(value) == text


def test_inputs_are_left_as_they_were():
    image, surprise = image_of((1, 28, 28)), np.full((28, 28), np.nan)
    before = image.copy()
    heat_map_page(image, surprise, image, 0, 1, "a")
    assert isinstance(overlay(image, surprise, 0, 1), Image.Image)
    assert (image == before).all()
    assert np.isnan(surprise).all()
