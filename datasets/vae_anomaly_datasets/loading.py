"""Loaders: one function per table, each returning its features and its labels."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from vae_anomaly_datasets.registry import FOLDER, Dataset, DatasetError, read_registry

Labelled = tuple[pd.DataFrame, "pd.Series[int]"]


def list_datasets() -> list[str]:
    """Name the tables that ship, in alphabetical order.

    Examples
    --------
    >>> list_datasets()
    ['cardiotocography', 'thyroid_sick', 'wine']
    """
    return list(read_registry())


def describe(name: str) -> Dataset:
    """Look up a table's source, licence and counts.

    Parameters
    ----------
    name : str
        One of `list_datasets`.

    Raises
    ------
    DatasetError
        If no table has this name.

    Examples
    --------
    >>> describe("thyroid_sick").licence.spdx
    'CC-BY-4.0'
    """
    registry = read_registry()
    if name not in registry:
        raise DatasetError(f"no data set is named {name!r}. Choose one of: {', '.join(registry)}.")
    return registry[name]


def path_of(name: str) -> Path:
    """Give the path of a table's file, for programs that read files.

    Parameters
    ----------
    name : str
        One of `list_datasets`.

    Returns
    -------
    Path
        A gzip-compressed CSV whose last column is ``label``.

    Raises
    ------
    DatasetError
        If no table has this name.

    Examples
    --------
    >>> path_of("wine").name
    'wine.csv.gz'
    """
    return FOLDER / describe(name).file


def load_cardiotocography() -> Labelled:
    """Load fetal heart rate recordings; an anomaly is a suspect or pathologic one.

    2,114 rows and 21 numeric columns in their original units, many of them counts with a mass at
    zero; 466 anomalies (22 %); no missing cells.

    Returns
    -------
    X : DataFrame of shape (2114, 21)
        Measurements.
    y : Series of shape (2114,)
        1 for an anomaly, 0 otherwise; named ``label``.

    Raises
    ------
    DatasetError
        If the shipped file is missing or damaged.

    References
    ----------
    Campos, D. and Bernardes, J. (2000). Cardiotocography. UCI Machine Learning Repository.
    https://doi.org/10.24432/C51S4N (CC BY 4.0)

    Examples
    --------
    >>> X, y = load_cardiotocography()
    >>> X.loc[0, ["LB", "ASTV", "Width"]].astype(int).to_dict()
    {'LB': 120, 'ASTV': 73, 'Width': 64}
    """
    return _load("cardiotocography")


def load_thyroid_sick() -> Labelled:
    """Load patients of a thyroid clinic; an anomaly is a patient diagnosed as sick.

    3,772 rows and 29 columns of mixed types: numbers, yes/no answers and categories; 231 anomalies
    (6 %); 6,064 missing cells. Column ``TBG`` was never measured, ``TBG measured`` never varies and
    one age is 455, as in the original.

    Returns
    -------
    X : DataFrame of shape (3772, 29)
        Measurements and answers; missing cells are NaN.
    y : Series of shape (3772,)
        1 for an anomaly, 0 otherwise; named ``label``.

    Raises
    ------
    DatasetError
        If the shipped file is missing or damaged.

    References
    ----------
    Thyroid disease records supplied by the Garavan Institute and J. Ross Quinlan, New South Wales
    Institute, Sydney, Australia, 1987. UCI Machine Learning Repository.
    https://doi.org/10.24432/C5D010 (CC BY 4.0)

    Examples
    --------
    >>> X, y = load_thyroid_sick()
    >>> int(X["T3"].isna().sum()), sorted(X["sex"].dropna().unique())
    (769, ['F', 'M'])
    """
    return _load("thyroid_sick")


def load_wine() -> Labelled:
    """Load chemical analyses of wines; an anomaly comes from another cultivar than the rest.

    129 rows and 13 numeric columns in their original units; 10 anomalies (8 %); no missing cells.

    Returns
    -------
    X : DataFrame of shape (129, 13)
        Measurements.
    y : Series of shape (129,)
        1 for an anomaly, 0 otherwise; named ``label``.

    Raises
    ------
    DatasetError
        If the shipped file is missing or damaged.

    References
    ----------
    Aeberhard, S. and Forina, M. (1992). Wine. UCI Machine Learning Repository.
    https://doi.org/10.24432/C5PC7J (CC BY 4.0)

    Examples
    --------
    >>> X, y = load_wine()
    >>> float(X["alcohol"].max())
    14.34
    """
    return _load("wine")


def _load(name: str, folder: Path = FOLDER) -> Labelled:
    entry = describe(name)
    path = folder / entry.file
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing. Install vae-anomaly again to restore it.") from None
    entry.verify(content)
    frame = pd.read_csv(io.BytesIO(content), compression="gzip")
    return frame.drop(columns="label"), frame["label"]
