"""Letters of other alphabets among digits: VAEDetector, and the detectors of a network's features.

pip install -c constraints.txt -e ".[benchmark,features]"
python reports/benchmarks/images/letters.py --seeds 0
python reports/benchmarks/images/letters.py --sheet letters.png

The digits are those of MNIST, the letters are drawn here by a font, turned, slanted and placed as MNIST places digits.
A font is no hand: they show what is missed, and are easier than letters that were written.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from benchmarks.detection.cells import Ledger, commit
from benchmarks.harness import SEEDS, console, fit_warnings
from benchmarks.images.sets import Grey, task
from benchmarks.images.small import MAPS, OURS, VECTORS, auroc, enlarged
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import affine_transform, center_of_mass, gaussian_filter, shift, zoom

from vae_anomaly import VAEDetector

HERE = Path(__file__).resolve().parent
COLUMNS = ("seed", "method", "alphabet", "auroc", "fit_s", "commit")
METHODS = (OURS, MAPS, VECTORS)
# Without those that look like a digit or a stroke.
ALPHABETS = {
    "Greek": "ΑΒΓΔΕΗΘΚΛΜΝΞΠΡΣΤΥΦΧΨΩαβγδεζηθκλμνξπρτυφχψω",
    "Cyrillic": "АБВГДЕЖИКЛМНПРСТУФХЦЧШЩЫЭЮЯавгджиклмнптуфцшщыэюя",
    "Armenian": "ԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՆՇՈՉՊՋՌՍՎՏՐՑՓՔՕՖ",
    "Georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
}
N_EACH = 400
DRAWN, SIDE, BOX = 96, 28, 20
SLANT, TURN, SHARPNESS = 0.25, 0.15, 2.0


def letters(rng: np.random.Generator, alphabet: str) -> Grey:
    """(letters, 28, 28): light on dark, 20 pixels at most, their mass in the middle."""
    found = np.zeros((N_EACH, SIDE, SIDE), dtype=np.uint8)
    fonts = [
        ImageFont.truetype(font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight=weight)), 64)
        for weight in ("normal", "bold")
    ]
    for image in found:
        canvas = Image.new("L", (DRAWN, DRAWN))
        letter = str(rng.choice(list(alphabet)))
        ImageDraw.Draw(canvas).text((DRAWN / 2, DRAWN / 2), letter, 255, fonts[rng.integers(2)], "mm")
        angle, slant = rng.normal(0, TURN), rng.normal(0, SLANT)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.array([[1.0, 0.0], [slant, 1.0]])
        middle = np.full(2, (DRAWN - 1) / 2)
        moved = affine_transform(np.asarray(canvas, dtype=float), matrix, middle - matrix @ middle, order=1)
        rows, columns = (np.flatnonzero((moved > 32).any(axis)) for axis in (1, 0))
        cut = moved[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        small = zoom(gaussian_filter(cut, 1.0), BOX / max(cut.shape), order=1)
        placed = np.zeros((SIDE, SIDE))
        top, left = ((SIDE - size) // 2 for size in small.shape)
        placed[top : top + small.shape[0], left : left + small.shape[1]] = small
        away = (SIDE - 1) / 2 - np.array(center_of_mass(placed))
        middled = shift(placed, away, order=1)
        # As sharp as digits.
        image[:] = np.clip(np.rint((middled / middled.max() - 0.5) * 255 * SHARPNESS + 128), 0, 255)
    return found


def sheet(path: Path) -> None:
    """Ten letters of each alphabet, and digits, as one image."""
    rng = np.random.default_rng(0)
    rows = [letters(rng, alphabet)[:10] for alphabet in ALPHABETS.values()] + [task("mnist", 0).normal[:10]]
    Image.fromarray(np.vstack([np.hstack(list(row)) for row in rows])).resize((1120, 560)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sheet", type=Path, help="only show some of the letters in this file")
    chosen = parser.parse_args()
    if chosen.sheet is not None:
        sheet(chosen.sheet)
        return
    torch.set_num_threads(1)
    ledger = Ledger(HERE / "letters.csv", COLUMNS, 3)
    with ledger.alone():
        for seed in chosen.seeds:
            given = task("mnist", seed)
            for method in chosen.methods:
                made = VAEDetector(random_state=seed) if method == OURS else enlarged(method, seed)
                begin = time.perf_counter()
                with fit_warnings():
                    made.fit(given.training)
                fit_s = time.perf_counter() - begin
                normal = -made.score_samples(given.normal)
                rng = np.random.default_rng([seed, 7])
                for name, alphabet in ALPHABETS.items():
                    found = auroc(normal, -made.score_samples(letters(rng, alphabet)))
                    row = {"auroc": found, "fit_s": fit_s, "commit": commit()}
                    ledger.add({"seed": seed, "method": method, "alphabet": name, **row})
                    console.log(f"{seed}, {method}, {name}: {found:.3f}", highlight=False)


if __name__ == "__main__":
    main()
