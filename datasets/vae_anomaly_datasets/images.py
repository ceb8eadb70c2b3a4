"""Image folders that ship."""

from __future__ import annotations

from pathlib import Path

from vae_anomaly_datasets.registry import FOLDER, DatasetError

N_BOOTS = 484


def ankle_boots_folder() -> Path:
    """Give the folder of 484 grey images of 28 x 28 pixels: ankle boots, and a few other things among new ones.

    ``good`` holds 400 ankle boots to learn from.  ``new`` holds 60 further ones in ``new/boot``, and six each of bags,
    dresses, sandals and sneakers in folders of these names.

    Returns
    -------
    Path
        With the sub-folders ``good`` and ``new``.

    Raises
    ------
    DatasetError
        If images are missing.

    References
    ----------
    Xiao, H., Rasul, K. and Vollgraf, R. (2017). Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms. https://github.com/zalandoresearch/fashion-mnist (MIT)

    Examples
    --------
    >>> len(list((ankle_boots_folder() / "good").glob("*.png")))
    400
    """
    folder = FOLDER / "ankle_boots"
    n_there = len(list(folder.rglob("*.png")))
    if n_there != N_BOOTS:
        raise DatasetError(f"{folder} holds {n_there} images of {N_BOOTS}. Install vae-anomaly again to restore it.")
    return folder
