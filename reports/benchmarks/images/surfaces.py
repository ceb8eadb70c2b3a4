"""Surfaces and an object that are made here, or cut from textures of scikit-image, with defects that are made here.

They show whether a method breaks on another kind of image, and are no claim about defects of a real line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
from benchmarks.harness import Array
from PIL import Image
from scipy.ndimage import gaussian_filter

SIDE, TRAINING, TESTED = 256, 230, 100
# Lines of a texture that training images are cut from; test images come from those below.
TRAINING_LINES = 310
Mask = npt.NDArray[np.bool_]


def texture(name: str) -> Array:
    """Cut-outs of one photograph: no pixel is in a training and in a test image."""
    from skimage import data

    whole = np.asarray(getattr(data, name)(), dtype=np.float64)
    rng = np.random.default_rng([0, len(name)])
    above = list(cut_outs(whole[:TRAINING_LINES], TRAINING, rng))
    return np.stack([*above, *cut_outs(whole[TRAINING_LINES:], TESTED, rng)])


def cut_outs(area: Array, n: int, rng: np.random.Generator) -> Iterator[Array]:
    """At random positions, of random size, brightness and contrast."""
    height, width = area.shape
    for _ in range(n):
        side = int(rng.integers(150, 190))
        line, column = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
        cut = area[line : line + side, column : column + side]
        if rng.random() < 0.5:
            cut = cut[:, ::-1]
        resized = Image.fromarray(cut.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        grey = np.asarray(resized, dtype=np.float64) - 128
        grey = grey * rng.uniform(0.92, 1.08) + 128 + rng.uniform(-8, 8) + 2 * rng.normal(size=grey.shape)
        yield np.clip(np.rint(grey), 0, 255)


def fabric() -> Array:
    """A plain weave whose threads wander."""
    rng = np.random.default_rng([0, 1])
    lines, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    made = []
    for _ in range(TRAINING + TESTED):
        wander = 45 * gaussian_filter(rng.normal(size=(2, SIDE, SIDE)), (0, 25, 25))
        pitch, angle = rng.uniform(7.6, 8.4), rng.uniform(-0.05, 0.05)
        warp = (columns * np.cos(angle) + lines * np.sin(angle) + wander[0]) / pitch + rng.random()
        weft = (lines * np.cos(angle) - columns * np.sin(angle) + wander[1]) / pitch + rng.random()
        warp_on_top = (np.floor(warp) + np.floor(weft)) % 2 > 0
        thread = np.cos(2.6 * (np.where(warp_on_top, warp, weft) % 1 - 0.5))
        fibres = 1 + 0.36 * gaussian_filter(rng.normal(size=(SIDE, SIDE)), 1.2)
        grey = 60 + 120 * thread * fibres + 4 * rng.normal(size=(SIDE, SIDE)) + rng.uniform(-10, 10)
        made.append(np.clip(np.rint(grey), 0, 255))
    return np.stack(made)


def tablet() -> Array:
    """A tablet with an imprint, that lies nearly alike in every image."""
    rng = np.random.default_rng([0, 2])
    lines, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    strokes = (
        *((-40, -20, -40, 20), (-40, -20, -15, -20), (-40, 0, -20, 0)),
        *((10, -20, 10, 20), (10, 20, 35, 20), (35, 20, 35, -20)),
    )
    made = []
    for _ in range(TRAINING + TESTED):
        angle, middle, scale = 0.03 * rng.normal(), 128 + 2 * rng.normal(size=2), 1 + 0.01 * rng.normal()
        across, down = columns - middle[1], lines - middle[0]
        x = (across * np.cos(angle) + down * np.sin(angle)) / scale
        y = (down * np.cos(angle) - across * np.sin(angle)) / scale
        radius = (np.abs(x) / 95) ** 2.4 + (np.abs(y) / 60) ** 2.4
        inside = 1 / (1 + np.exp(25 * (radius - 1)))
        shade = np.clip(1.05 - 0.45 * np.clip(radius, 0, 1) ** 2 - 0.0012 * (x + y), 0, 2)
        grains = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 1.5)
        grains = 18 * np.clip(grains / grains.std() - 1.6, 0, 2)
        grey = inside * (190 * shade - grains) + (1 - inside) * (35 + 2 * rng.normal())
        for x0, y0, x1, y1 in strokes:
            length = np.hypot(x1 - x0, y1 - y0)
            along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length**2, 0, 1)
            distance = np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0))
            grey = grey - 45 * np.exp(-((distance / 2.4) ** 2))
        made.append(np.clip(np.rint(gaussian_filter(grey, 0.8) + 3 * rng.normal(size=(SIDE, SIDE))), 0, 255))
    return np.stack(made)


def scratch(image: Array, _source: Array, rng: np.random.Generator) -> tuple[Array, Mask]:
    """A thin bright or dark line that bends."""
    height, width = image.shape
    line = np.zeros(image.shape)
    point, angle = rng.uniform(0.15, 0.85, 2) * image.shape, rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(25, 70))):
        angle += 0.25 * rng.normal()
        point = point + 1.2 * np.array([np.sin(angle), np.cos(angle)])
        i, j = np.rint(point).astype(int)
        if 0 <= i < height and 0 <= j < width:
            line[i, j] = 1
    strength = np.minimum(4 * gaussian_filter(line, 1.0), 1)
    return image + rng.choice([-1, 1]) * rng.uniform(25, 60) * strength, strength > 0.3


def blob(image: Array, rng: np.random.Generator) -> Array:
    """How much of a defect with a wavy edge is at each pixel."""
    lines, columns = np.indices(image.shape)
    middle, radius = rng.uniform(0.2, 0.8, 2) * image.shape, rng.uniform(6, 18)
    waves = gaussian_filter(rng.normal(size=image.shape), 4)
    distance = np.hypot(lines - middle[0], (columns - middle[1]) * rng.uniform(0.7, 1.4)) + 2 * waves / waves.std()
    share: Array = 1 / (1 + np.exp((distance - radius) / 1.2))
    return share


def stain(image: Array, _source: Array, rng: np.random.Generator) -> tuple[Array, Mask]:
    """A brighter or darker spot."""
    share = blob(image, rng)
    changed = 0.6 * image + 0.4 * (image.mean() + rng.choice([-1, 1]) * rng.uniform(50, 80))
    return image * (1 - share) + share * changed, share > 0.5


def worn(image: Array, _source: Array, rng: np.random.Generator) -> tuple[Array, Mask]:
    """A spot without the texture."""
    share = blob(image, rng)
    return image * (1 - share) + share * gaussian_filter(image, rng.uniform(2, 3)), share > 0.5


def foreign(image: Array, source: Array, rng: np.random.Generator) -> tuple[Array, Mask]:
    """A spot of another image, turned."""
    share = blob(image, rng)
    turned = np.rot90(source, int(rng.integers(1, 4)))
    return image * (1 - share) + share * (0.9 * turned + rng.uniform(-10, 20)), share > 0.5


DEFECTS = (scratch, stain, worn, foreign)
SURFACES: dict[str, Callable[[], Array]] = {
    "brick": lambda: texture("brick"),
    "gravel": lambda: texture("gravel"),
    "grass": lambda: texture("grass"),
    "fabric": fabric,
    "tablet": tablet,
}


@cache
def surface(name: str) -> tuple[Array, Array, list[str], npt.NDArray[np.bool_]]:
    """Training images, test images, of each of these which defect it has or good, and masks; the same every time."""
    whole = SURFACES[name]()
    training, rest = whole[:TRAINING], whole[TRAINING:]
    rng = np.random.default_rng([1, list(SURFACES).index(name)])
    tested, kinds, masks = [], [], []
    for number, image in enumerate(rest):
        mask, kind = np.zeros(image.shape, dtype=bool), "good"
        if number % 2:
            defect = DEFECTS[number // 2 % len(DEFECTS)]
            changed, mask = defect(image, training[rng.integers(len(training))], rng)
            image, kind = np.clip(np.rint(changed), 0, 255), defect.__name__
        tested.append(image)
        kinds.append(kind)
        masks.append(mask)
    return training, np.stack(tested), kinds, np.stack(masks)
