"""Pixels: from an image as Pillow decodes it to an array of a model's format, and back."""

from __future__ import annotations

import contextlib

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from vae_anomaly.data.image_formats import COLOUR, KINDS, ImageArray, ImageFormat
from vae_anomaly.errors import DataError

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnfitError(Exception):
    """A readable image does not fit the format."""


def orientation(image: Image.Image) -> int:
    """How EXIF says that the stored pixels are turned, 1 to 8."""
    if image.format == "TIFF":  # Pillow turns these itself
        return 1
    with contextlib.suppress(Exception):  # damaged metadata of an image that is whole
        # Not image.getexif(): for PNG that decodes the pixels, to see what comes after them.
        turned = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
        return turned if turned in _TURNS else 1
    return 1


def upright(image: Image.Image) -> Image.Image:
    """The image as EXIF says that it is upright."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def mode_of(image: Image.Image) -> str:
    """Pillow's mode of an image that is not loaded yet; L for a palette of greys."""
    palette = image.palette
    if image.mode != "P" or palette is None or palette.rawmode not in (None, "RGB"):
        return image.mode
    entries = np.frombuffer(bytes(palette.palette), np.uint8)
    entries = entries[: len(entries) // 3 * 3].reshape(-1, 3)
    return "L" if (entries == entries[:, :1]).all() else "P"


def levels_of(image: Image.Image, mode: str, wanted: ImageFormat) -> ImageArray:
    """Pixels of the wanted size and depth, of shape (1 or 3, height, width), by an image's `mode_of`.

    Raises
    ------
    UnfitError
        If the image does not fit the format; `read_image` says what fits.
    """
    refusal = wanted.refusal((image.height, image.width))
    if refusal is not None:
        raise UnfitError(refusal)
    channels, depth = KINDS.get(mode, COLOUR)
    if channels > wanted.channels:
        image, channels = _grey(image), 1
    if depth < wanted.depth == 16:
        raise UnfitError(f"{depth}-bit image where the model takes 16-bit ones; find the original, or leave it out.")
    if depth == 16:
        if wanted.depth == 1:
            raise UnfitError("16-bit image where the model takes black and white; convert it, or leave it out.")
        deep = Image.fromarray(_deep_levels(image).astype(np.float32))
        levels: npt.NDArray[np.float32] = np.clip(np.rint(np.asarray(_resized(deep, wanted))), 0, 65535)[None]
        return levels.astype(np.uint16) if wanted.depth == 16 else np.rint(levels / 257).astype(np.uint8)
    image = _opaque(image, "L" if channels == 1 else "RGB")
    if wanted.depth == 1 and not np.isin(np.asarray(image), (0, 255)).all():
        raise UnfitError("holds shades of grey where the model takes black and white; convert it, or leave it out.")
    pixels: npt.NDArray[np.uint8] = np.atleast_3d(np.asarray(_resized(image, wanted))).transpose(2, 0, 1)
    return (pixels > 0).astype(np.uint8) if wanted.depth == 1 else pixels


def _grey(image: Image.Image) -> Image.Image:
    """A colour image whose pixels all are as red as green and blue, as a grey one."""
    pixels = np.asarray(_opaque(image, "RGB"))
    if not (pixels == pixels[..., :1]).all():
        raise UnfitError("colour image where the model takes grey ones; convert it to grey, or leave it out.")
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0]))


def _deep_levels(image: Image.Image) -> npt.NDArray[np.uint16]:
    """Levels of shape (height, width) of an image with integers of more than 8 bits, or with floats."""
    stored = np.asarray(image)
    top = 1 if image.mode == "F" else 65535
    if not ((stored >= 0) & (stored <= top)).all():  # also NaN
        has_nan = bool(np.isnan(stored).any())
        found = "that are not numbers" if has_nan else f"from {stored.min():g} to {stored.max():g}"
        raise UnfitError(f"holds levels {found}; expected 0 to {top}. Convert it to 16 bits, or leave it out.")
    if image.mode == "F":
        stored = np.rint(stored.astype(np.float64) * 65535)
    clear = image.info.get("transparency")
    return np.where(stored == clear, 65535, stored).astype(np.uint16) if isinstance(clear, int) else stored.astype("u2")


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """Over white, as L or RGB."""
    if image.mode == "LAB":
        raise UnfitError("has Lab colours, which are not read; convert it to RGB, or leave it out.")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert(mode)


def _resized(image: Image.Image, wanted: ImageFormat) -> Image.Image:
    size = (wanted.width, wanted.height)
    if image.size == size:
        return image
    if wanted.depth == 1:
        return image.resize(size, Image.Resampling.NEAREST)
    shrinks = image.width > wanted.width or image.height > wanted.height
    return image.resize(size, Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC)


def image_of(image: ImageArray | npt.NDArray[np.bool_]) -> Image.Image:
    """An image of pixels, of shape (height, width), (1, height, width) or (3, height, width).

    Raises
    ------
    DataError
        If PNG cannot hold them.
    """
    pixels = image[0] if image.ndim == 3 and len(image) == 1 else image
    if pixels.ndim == 2 and pixels.size and pixels.dtype in (np.bool_, np.uint8, np.uint16):
        return Image.fromarray(pixels)
    if pixels.ndim == 3 and len(pixels) == 3 and pixels.size and pixels.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    raise DataError(
        f"an array of {image.dtype} and shape {image.shape} is no PNG image; expected bool, uint8 or uint16 of "
        "shape (height, width) or (1, height, width), or uint8 of shape (3, height, width)."
    )
