"""Small images: what is normal, what is not, and which images of MNIST and Fashion-MNIST are drawn for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from benchmarks.harness import DATA

Grey = npt.NDArray[np.uint8]

SETS = ("mnist", "fashion_mnist")
TRAINING, TESTED, OTHERS, CHANGED, UNIFORM = 12_000, 2_000, 3_000, 1_000, 300
A_CLASS = 6_000
NOISES = (0.1, 0.2, 0.3)
CHANGES = ("constant", "inverted", "upside down", "mirrored", "uniform noise", *(f"noise {share}" for share in NOISES))
KINDS = ("other set", *CHANGES, "rest")


@dataclass(frozen=True)
class Task:
    """Training images, normal test images, and anomalies of one or more kinds."""

    training: Grey
    normal: Grey
    anomalies: dict[str, Grey]


def names() -> list[str]:
    """Every task: a set against the other and against changed images, and each class against the rest of its set."""
    return [*SETS, *(f"{name} {label}" for name in SETS for label in range(10))]


def task(name: str, seed: int) -> Task:
    """The images of a task, drawn by the seed."""
    rng = np.random.default_rng([seed, names().index(name)])
    known, _, label = name.partition(" ")
    x_train, y_train, x_test, y_test = images(known)
    if not label:
        other = next(images(one)[2] for one in SETS if one != known)
        normal = drawn(rng, x_test, TESTED)
        return Task(
            drawn(rng, x_train, TRAINING),
            normal,
            {"other set": drawn(rng, other, TESTED), **dict(changed(rng, drawn(rng, x_test, CHANGED)))},
        )
    one = int(label)
    rest = drawn(rng, x_test[y_test != one], OTHERS)
    return Task(drawn(rng, x_train[y_train == one], A_CLASS), x_test[y_test == one], {"rest": rest})


def changed(rng: np.random.Generator, normal: Grey) -> Iterator[tuple[str, Grey]]:
    """Images that a model of the normal ones should not take for them."""
    n, *size = normal.shape
    yield "constant", np.broadcast_to(rng.integers(0, 256, (n, 1, 1)), normal.shape).astype(np.uint8)
    yield "inverted", 255 - normal
    yield "upside down", normal[:, ::-1]
    yield "mirrored", normal[:, :, ::-1]
    yield "uniform noise", rng.integers(0, 256, (UNIFORM, *size)).astype(np.uint8)
    for share in NOISES:
        noisy = normal + 255 * share * rng.normal(size=normal.shape)
        yield f"noise {share}", np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def drawn(rng: np.random.Generator, rows: Grey, n: int) -> Grey:
    return rows[np.sort(rng.permutation(len(rows))[:n])]


@cache
def images(name: str) -> tuple[Grey, Grey, Grey, Grey]:
    with np.load(DATA / name / f"{name}.npz") as file:
        x_train, y_train, x_test, y_test = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    return x_train.reshape(-1, 28, 28), y_train, x_test.reshape(-1, 28, 28), y_test
