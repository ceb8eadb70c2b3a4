"""Images of where an image is anomalous: overlays, pages that explain one, and sheets of the most anomalous."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from vae_anomaly.errors import DataError
from vae_anomaly_cli.render.colour_map import N_COLOURS, heat_colours

Levels = npt.NDArray[np.number[Any]]
Surprise = npt.NDArray[np.floating[Any]]
Colours = npt.NDArray[np.float64]

MIN_SIDE = 256
PAGE_SIDE = 1024
SHEET_SIDE = 256
MARGIN = 24
GAP = 16
LINE = 8
TITLE_POINTS = 18
# Of Linux, Windows and macOS.
FONTS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf", "arial.ttf", "Arial.ttf")
TEXT_POINTS = 14
BAR_WIDTH = 256
BAR_HEIGHT = 14
INK = "#202020"
FAINT_INK = "#606060"
FRAME = "#c8c8c8"
IMAGE, EXPECTED, SURPRISE = "image", "what the model expects", "surprise"

_SOFTNESS = 0.5
_LEGEND_GREY = 150
_HATCH_PERIOD = 8
_HATCH_LEVELS = (235.0, 170.0)


@dataclass(frozen=True)
class SheetEntry:
    """One image of a contact sheet.

    Parameters
    ----------
    name : str
        Shortened in the middle if it does not fit.
    score : float
        As shown beside the name.
    image, surprise, reconstruction : ndarray
        As for `heat_map_page`.
    """

    name: str
    score: float
    image: Levels
    surprise: Surprise
    reconstruction: Levels | None = None


def overlay(image: Levels, surprise: Surprise, low: float, high: float) -> Image.Image:
    """Draw surprise as heat over the image in grey.

    Colours are the middle of the map "inferno": perceptually uniform, readable for those who see no red or no
    green, and saturated throughout, from violet over red to yellow, so that none is mistaken for a grey of the
    image; the ends of the map, nearly black and nearly white, would be.  Heat is transparent up to `low`, and covers
    the image from `high` on; in between it gets more opaque.  Missing pixels, NaN, are hatched.

    Parameters
    ----------
    image : ndarray of shape (channels, height, width), uint8 or uint16
        With 16 bits, the darkest pixel is shown black and the brightest white.
    surprise : ndarray of shape (height, width)
        Of any unit.
    low, high : float
        The scale; if they are equal, all above is covered.

    Returns
    -------
    Image
        RGB; enlarged by a whole number if the longer side has fewer than 256 pixels.

    Raises
    ------
    DataError
        If shapes do not belong together, or the scale is not finite or upside down.
    """
    _check(image, surprise, None, low, high)
    factor = -(-MIN_SIDE // max(surprise.shape))
    return _heated(_shown(image, *_black_and_white(image)), surprise, low, high, factor)


def heat_map_page(
    image: Levels,
    surprise: Surprise,
    reconstruction: Levels | None,
    low: float,
    high: float,
    title: str,
    unit: str = "nats per pixel",
) -> Image.Image:
    """Draw an image, what the model expects, and where they differ, side by side.

    Parameters
    ----------
    image, surprise, low, high
        As for `overlay`; above 1024 pixels they are shrunk by a whole number, each pixel of surprise to the largest of
        those that it stands for.
    reconstruction : ndarray of shape (channels, height, width), optional
        What the model expects, in the levels of the image, whole or not.
    title : str
        File name and score; shortened in the middle if it does not fit.
    unit : str
        Of the surprise.

    Raises
    ------
    DataError
        If shapes do not belong together, or the scale is not finite or upside down.
    """
    panels = _panels(image, surprise, reconstruction, low, high, PAGE_SIDE, smallest=MIN_SIDE)
    captions = [_text(caption, TEXT_POINTS, FAINT_INK, PAGE_SIDE) for caption, _ in panels]
    body = _row([_column([text, _framed(panel)], LINE // 2) for text, (_, panel) in zip(captions, panels, strict=True)])
    legend = _legend(low, high, unit, missing=bool(np.isnan(surprise).any()))
    width = max(body.width, legend.width)
    return _page([_text(title, TITLE_POINTS, INK, width), body, legend])


def contact_sheet(
    entries: Sequence[SheetEntry],
    low: float,
    high: float,
    unit: str = "nats per pixel",
    n_columns: int | None = None,
) -> Image.Image:
    """Draw images in the order of their ranks, all on one scale.

    Parameters
    ----------
    entries : sequence of SheetEntry
        From rank 1 on.
    low, high : float
        The scale of surprise, as for `overlay`.
    unit : str
        Of the surprise.
    n_columns : int, optional
        Entries beside each other; by default 2 with reconstructions and 3 without.

    Raises
    ------
    DataError
        If there is no entry, shapes do not belong together, or the scale is not finite or upside down.
    """
    if not entries:
        raise DataError("a contact sheet has no images; expected at least one.")
    expected = any(entry.reconstruction is not None for entry in entries)
    n_columns = min(n_columns or (2 if expected else 3), len(entries))
    bodies = []
    for entry in entries:
        panels = _panels(entry.image, entry.surprise, entry.reconstruction, low, high, SHEET_SIDE)
        bodies.append(_row([_framed(panel) for _, panel in panels], gap=LINE))
    width = max([SHEET_SIDE, *(body.width for body in bodies)])
    cells = []
    for rank, (entry, body) in enumerate(zip(entries, bodies, strict=True), start=1):
        number = _text(f"{rank}.", TEXT_POINTS, FAINT_INK, width)
        score = _text(number_text(entry.score), TEXT_POINTS, INK, width)
        name = _text(entry.name, TEXT_POINTS, INK, width - number.width - score.width - 2 * LINE)
        head = Image.new("RGB", (width, max(number.height, name.height, score.height)), "white")
        head.paste(number, (0, 0))
        head.paste(name, (number.width + LINE, 0))
        head.paste(score, (width - score.width, 0))
        cells.append(_column([head, body], LINE // 2))
    rows = [_row(cells[start : start + n_columns], gap=MARGIN) for start in range(0, len(cells), n_columns)]
    legend = _legend(low, high, unit, missing=any(np.isnan(entry.surprise).any() for entry in entries))
    order = ", ".join([IMAGE, EXPECTED, SURPRISE] if expected else [IMAGE, SURPRISE])
    return _page([_text(order, TEXT_POINTS, FAINT_INK, PAGE_SIDE), *rows, legend])


def number_text(value: float) -> str:
    """A number in about four characters that people read.

    Examples
    --------
    >>> number_text(0.01234), number_text(-3.0), number_text(12345.6)
    ('0.0123', '-3', '12,346')
    """
    return f"{value:,.0f}" if 999.5 <= abs(value) < 1e7 else f"{value:.3g}"


def shortened(text: str, points: int, width: int) -> str:
    """A text in one line that is at most so many pixels wide, with an ellipsis in place of its middle.

    Control characters and bytes that are no text become �.

    Examples
    --------
    >>> name = shortened("screw_0001_long_name.png", points=14, width=110)
    >>> name.startswith("screw_"), "…" in name, name.endswith("e.png")
    (True, True, True)
    """
    text = "".join(letter if letter.isprintable() else "�" for letter in unicodedata.normalize("NFC", text))
    font = _font(points)
    if font.getlength(text) <= width:
        return text
    shortest, longest = 0, len(text)
    while longest - shortest > 1:
        kept = (shortest + longest) // 2
        if font.getlength(_without_middle(text, kept)) <= width:
            shortest = kept
        else:
            longest = kept
    return _without_middle(text, shortest)


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def _check(image: Levels, surprise: Surprise, reconstruction: Levels | None, low: float, high: float) -> None:
    fits = image.ndim == 3 and len(image) in (1, 3) and image.shape[1:] == surprise.shape and surprise.size
    if not fits or (reconstruction is not None and reconstruction.shape != image.shape):
        shapes = f"{image.shape}, {surprise.shape}" + (
            f", {reconstruction.shape}" if reconstruction is not None else ""
        )
        raise DataError(
            f"image, surprise and reconstruction have the shapes {shapes}; expected (1 or 3, height, width), "
            "(height, width), and for the reconstruction that of the image."
        )
    if not (np.isfinite([low, high]).all() and low <= high):
        raise DataError(f"the scale of surprise goes from {low} to {high}; expected finite numbers, low <= high.")


def _black_and_white(*levels: Levels | None) -> tuple[float, float]:
    """The levels that are shown black and white: those of the depth, or the extremes of what has 16 bits."""
    given = [each for each in levels if each is not None]
    if given[0].dtype == np.uint16:
        return float(given[0].min()), float(max(given[0].max(), given[0].min() + 1.0))
    bilevel = all(each.max() <= 1 for each in given)
    return 0.0, 1.0 if bilevel else 255.0


def _shown(levels: Levels, black: float, white: float) -> npt.NDArray[np.uint8]:
    """Levels as 8 bits, of shape (channels, height, width)."""
    shares = (levels.astype(np.float64) - black) / (white - black)
    return np.rint(255 * np.clip(np.nan_to_num(shares), 0, 1)).astype(np.uint8)


def _panels(
    image: Levels,
    surprise: Surprise,
    reconstruction: Levels | None,
    low: float,
    high: float,
    largest: int,
    smallest: int = 1,
) -> list[tuple[str, Image.Image]]:
    """Captions and images of one size, whose longer side fits, so far as whole factors allow."""
    _check(image, surprise, reconstruction, low, high)
    side = max(surprise.shape)
    divisor = -(-side // largest)
    factor = max(-(-smallest // side) if smallest > 1 else largest // side, 1)
    black, white = _black_and_white(image, reconstruction)
    shown = [
        _reduced(_shown(levels, black, white), divisor) for levels in (image, reconstruction) if levels is not None
    ]
    images = [_image(levels.repeat(factor, axis=1).repeat(factor, axis=2)).convert("RGB") for levels in shown]
    images.append(_heated(shown[0], _largest_of(surprise, divisor), low, high, factor))
    captions = [IMAGE, SURPRISE] if reconstruction is None else [IMAGE, EXPECTED, SURPRISE]
    return list(zip(captions, images, strict=True))


def _reduced(levels: npt.NDArray[np.uint8], divisor: int) -> npt.NDArray[np.uint8]:
    reduced: npt.NDArray[np.uint8] = np.atleast_3d(np.asarray(_image(levels).reduce(divisor))).transpose(2, 0, 1)
    return reduced


def _largest_of(surprise: Surprise, divisor: int) -> Surprise:
    """The largest of each block, so that a hot pixel stays hot; missing where a whole block is."""
    height, width = (-(-side // divisor) for side in surprise.shape)
    padded = np.full((height * divisor, width * divisor), np.nan)
    padded[: surprise.shape[0], : surprise.shape[1]] = surprise
    # (rows, rows in a block, columns, columns in a block)
    blocks = padded.reshape(height, divisor, width, divisor)
    largest: Surprise = np.fmax.reduce(np.fmax.reduce(blocks, axis=3), axis=1)
    return largest


def _image(levels: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(levels[0] if len(levels) == 1 else np.ascontiguousarray(levels.transpose(1, 2, 0)))


def _blended(grey: Colours, shares: Colours) -> Colours:
    """Heat, from 0 at the low end of the scale to 1, over levels of grey: of shape (..., 3)."""
    colours = heat_colours()[np.rint((N_COLOURS - 1) * shares).astype(np.intp)]
    opacity = shares[..., None] ** _SOFTNESS
    return grey[..., None] * (1 - opacity) + colours * opacity


def _heated(shown: npt.NDArray[np.uint8], surprise: Surprise, low: float, high: float, factor: int) -> Image.Image:
    grey = np.asarray(_image(shown).convert("L"), dtype=np.float64)
    missing = np.isnan(surprise)
    if high > low:
        shares = np.clip((np.clip(surprise, low, high) - low) / (high - low), 0, 1)
    else:
        shares = (surprise > low).astype(np.float64)
    heated = _blended(grey, np.where(missing, 0, shares))
    pixels = np.rint(heated).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
    missing = missing.repeat(factor, axis=0).repeat(factor, axis=1)
    return Image.fromarray(np.where(missing[..., None], _hatch(*missing.shape)[..., None], pixels))


def _hatch(height: int, width: int) -> npt.NDArray[np.uint8]:
    rows, columns = np.indices((height, width))
    light, dark = _HATCH_LEVELS
    return np.where((rows + columns) % _HATCH_PERIOD < _HATCH_PERIOD // 2, light, dark).astype(np.uint8)


@cache
def _font(points: int) -> ImageFont.FreeTypeFont:
    """The first installed font with the letters of many languages; else the one inside Pillow, which has no accents."""
    for name in FONTS:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, points)
    font = ImageFont.load_default(points)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


def _text(text: str, points: int, ink: str, width: int) -> Image.Image:
    """One line, with the same height and base line for all of one size."""
    font = _font(points)
    text = shortened(text, points, width)
    ascent, descent = font.getmetrics()
    left, _, right, _ = font.getbbox(text)
    image = Image.new("RGB", (max(round(right - min(left, 0)), 1), ascent + descent), "white")
    ImageDraw.Draw(image).text((-min(left, 0), 0), text, fill=ink, font=font)
    return image


def _framed(image: Image.Image) -> Image.Image:
    framed = Image.new("RGB", (image.width + 2, image.height + 2), FRAME)
    framed.paste(image, (1, 1))
    return framed


def _row(images: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    width = sum(image.width + gap for image in images) - gap
    row = Image.new("RGB", (width, max(image.height for image in images)), "white")
    left = 0
    for image in images:
        row.paste(image, (left, 0))
        left += image.width + gap
    return row


def _column(images: Sequence[Image.Image], gap: int) -> Image.Image:
    height = sum(image.height + gap for image in images) - gap
    column = Image.new("RGB", (max(image.width for image in images), height), "white")
    top = 0
    for image in images:
        column.paste(image, (0, top))
        top += image.height + gap
    return column


def _page(images: Sequence[Image.Image]) -> Image.Image:
    column = _column(images, GAP)
    page = Image.new("RGB", (column.width + 2 * MARGIN, column.height + 2 * MARGIN), "white")
    page.paste(column, (MARGIN, MARGIN))
    return page


def _legend(low: float, high: float, unit: str, *, missing: bool) -> Image.Image:
    """A bar of the scale with numbers below it and its unit beside it."""
    shares = np.linspace(0, 1, BAR_WIDTH)
    colours = _blended(np.full(BAR_WIDTH, float(_LEGEND_GREY)), shares)
    bar = _framed(Image.fromarray(np.rint(colours).astype(np.uint8)[None].repeat(BAR_HEIGHT, axis=0)))
    numbers = [f"up to {number_text(low)}", number_text((low + high) / 2), f"from {number_text(high)}"]
    labels = [_text(number, TEXT_POINTS, INK, BAR_WIDTH // 3) for number in numbers]
    scale = Image.new("RGB", (bar.width, bar.height + labels[0].height + LINE // 2), "white")
    scale.paste(bar, (0, 0))
    for position, label in zip((0.0, 0.5, 1.0), labels, strict=True):
        scale.paste(label, (round(position * (bar.width - label.width)), bar.height + LINE // 2))
    parts = [scale, _text(unit, TEXT_POINTS, FAINT_INK, PAGE_SIDE)]
    if missing:
        patch = _framed(Image.fromarray(_hatch(BAR_HEIGHT, 2 * BAR_HEIGHT)))
        parts.append(_row([patch, _text("missing", TEXT_POINTS, FAINT_INK, PAGE_SIDE)], LINE))
    return _row(parts)
