"""Two ways to locate that were not taken: a position given its neighbours, and the pixels themselves, one seed.

pip install -c constraints.txt -e ".[benchmark,features]"
python reports/benchmarks/images/neighbours.py

KolektorSDD and MVTec screw are not in the repository; see harness.py.  What is measured goes to neighbours.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from benchmarks.detection.cells import Ledger, commit
from benchmarks.harness import Array, console, fit_warnings
from benchmarks.images.features import NETWORK, REAL, features_of, given
from scipy.ndimage import gaussian_filter
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor
from torch.nn import functional

from vae_anomaly import FeatureMapDetector
from vae_anomaly.detectors import top_mean

HERE = Path(__file__).resolve().parent
MEASURES = ("image_auroc", "pixel_auroc", "pixel_ap", "nats", "added_pixel_auroc", "added_pixel_ap")
COLUMNS = ("set", "map", *MEASURES, "commit")
# Features after block 2, and after 2 and 4: how the network's maps lie side by side in `features_of`.
AFTER_2, AFTER_4 = 24, 64
LAYERS = {"blocks 2 and 4": slice(0, AFTER_4), "blocks 4 and 10": slice(AFTER_2, None)}
DISTANCES = (0, 2, 3)
COMPONENTS, SHARED, RIDGE, HELD_OUT = 48, 0.35, 1e-3, 5
PATCH, STRIDE, PATCH_SHARED = 8, 4, 0.2
TOP, FENCE, SMOOTHING, STEP = 0.01, 3.0, 2.0, 2


def components(known: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Principal components of the deviations from the mean of each position, with about unit variance."""
    mean = known.mean(0, keepdim=True)
    rows = (known - mean).permute(0, 2, 3, 1).flatten(0, 2)
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    scaled = vectors[:, -COMPONENTS:] / (values[-COMPONENTS:] + RIDGE * values[-1]).sqrt()
    first, second = (torch.einsum("nchw,cd->ndhw", part - mean, scaled) for part in (known, asked))
    return first, second


def beside(maps: Tensor, distance: int) -> Tensor:
    """What lies above, below, left and right of each position, side by side."""
    padded = functional.pad(maps, (distance,) * 4, mode="replicate")
    height, width = maps.shape[2:]
    moves = ((0, 1), (2, 1), (1, 0), (1, 2))
    return torch.cat([padded[:, :, y * distance :, x * distance :][:, :, :height, :width] for y, x in moves], 1)


def without_neighbours(known: Tensor, asked: Tensor, distance: int) -> tuple[Tensor, Tensor]:
    """What a linear regression on the neighbours, one for all positions, leaves over."""
    inputs = beside(known, distance).permute(0, 2, 3, 1).flatten(0, 2)
    targets = known.permute(0, 2, 3, 1).flatten(0, 2)
    ridge = 0.05 * torch.eye(inputs.shape[1])
    weights = torch.linalg.solve(inputs.T @ inputs / len(inputs) + ridge, inputs.T @ targets / len(inputs))
    first, second = (part - torch.einsum("nchw,cd->ndhw", beside(part, distance), weights) for part in (known, asked))
    return first, second


def nats(known: Tensor, asked: Tensor, shared: float) -> Array:
    """Of a Gaussian at each position, but for a constant: (images, height, width)."""
    n, size, height, width = known.shape
    rows = known.permute(2, 3, 0, 1).flatten(0, 1)
    own = rows.transpose(1, 2) @ rows / n
    mixed = (1 - shared) * own + shared * own.mean(0, keepdim=True)
    ridge = RIDGE * mixed.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(size)
    factor = torch.linalg.cholesky(mixed + ridge)
    white = torch.linalg.solve_triangular(factor, asked.permute(2, 3, 1, 0).flatten(0, 1), upper=False)
    found = 0.5 * white.square().sum(1) + factor.diagonal(dim1=1, dim2=2).log().sum(1)[:, None]
    whole: Array = found.T.unflatten(1, (height, width)).double().numpy()
    return whole


def patches(images: Array) -> Tensor:
    """(images, pixels of a patch, height, width): the pixels around positions."""
    edge = (PATCH - STRIDE) // 2
    padded = functional.pad(torch.from_numpy(images).float()[:, None] / 255, (edge,) * 4, mode="reflect")
    found = functional.unfold(padded, PATCH, stride=STRIDE)
    placed: Tensor = found.unflatten(2, (images.shape[1] // STRIDE, images.shape[2] // STRIDE))
    return placed


def ways(name: str) -> Iterator[tuple[str, Callable[[int], tuple[Tensor, Tensor]], float]]:
    """Of each map what is known, and what is asked, with so many of the training images held out first."""
    training, tested, *_ = features_of(name)
    for layer, chosen in LAYERS.items():
        for distance in DISTANCES:

            def given_those(n_held_out: int, chosen: slice = chosen, distance: int = distance) -> tuple[Tensor, Tensor]:
                asked = torch.cat([training[:n_held_out, chosen], tested[:, chosen]])
                known, asked = components(training[n_held_out:, chosen], asked)
                return without_neighbours(known, asked, distance) if distance else (known, asked)

            yield f"{layer}, " + (f"given those at {distance}" if distance else "alone"), given_those, SHARED
    one = given(name)

    def of_pixels(n_held_out: int) -> tuple[Tensor, Tensor]:
        known, asked = patches(one.training), torch.cat([patches(one.training[:n_held_out]), patches(one.tested)])
        mean = known[n_held_out:].mean(0, keepdim=True)
        return known[n_held_out:] - mean, asked - mean

    yield "pixels", of_pixels, PATCH_SHARED


def fenced(values: Array) -> Array:
    lower, upper = np.quantile(values, [0.25, 0.75], axis=0)
    lowered: Array = np.minimum(values, upper + FENCE * (upper - lower))
    return lowered


def tops(maps: Array) -> Array:
    return np.array([top_mean(one, int(np.ceil(TOP * one.size))) for one in maps])


def main() -> None:
    torch.set_num_threads(2)
    ledger = Ledger(HERE / "neighbours.csv", COLUMNS, 2)
    with ledger.alone(), torch.inference_mode():
        for name in REAL:
            one = given(name)
            truth = one.masks[:, ::STEP, ::STEP].ravel()
            with fit_warnings():
                detector = FeatureMapDetector(NETWORK, random_state=0).fit(one.training / 255)
            default = detector.explain(one.tested / 255).excess[:, ::STEP, ::STEP].ravel()
            ledger.add(
                {"set": name, "map": "default", "commit": commit(), "pixel_ap": average_precision_score(truth, default)}
            )
            n_held_out = len(one.training) // HELD_OUT
            for said, made, shared in ways(name):
                found = nats(*made(n_held_out), shared)
                expected = fenced(found[:n_held_out]).mean(0)
                excess = found - expected
                scale = fenced(tops(excess[:n_held_out])).std(ddof=1) * np.sqrt(6) / np.pi
                small = torch.from_numpy(excess[n_held_out:] / scale)[:, None]
                large = functional.interpolate(small, size=one.tested.shape[1:], mode="bilinear")[:, 0].numpy()
                maps = np.stack([gaussian_filter(image, SMOOTHING) for image in large])[:, ::STEP, ::STEP].ravel()
                measured = (
                    roc_auc_score(one.defective, tops(excess[n_held_out:])),
                    roc_auc_score(truth, maps),
                    average_precision_score(truth, maps),
                    found[:n_held_out].mean(),
                    roc_auc_score(truth, default + maps),
                    average_precision_score(truth, default + maps),
                )
                ledger.add({"set": name, "map": said, "commit": commit(), **dict(zip(MEASURES, measured, strict=True))})
                figures = " ".join(f"{measure} {value:.3f}" for measure, value in zip(MEASURES, measured, strict=True))
                console.log(f"{name}, {said}: {figures}", highlight=False)


if __name__ == "__main__":
    main()
