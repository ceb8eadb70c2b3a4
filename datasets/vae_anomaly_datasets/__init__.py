"""Small real tables and a folder of images with known anomalies, shipped with their sources and licences.

Each loader reads one table from the package itself, without a network, and checks it against the
checksum in the registry.

Examples
--------
>>> from vae_anomaly_datasets import list_datasets, load_wine
>>> list_datasets()
['cardiotocography', 'thyroid_sick', 'wine']
>>> X, y = load_wine()
>>> X.shape, int(y.sum())
((129, 13), 10)
"""

from vae_anomaly_datasets.images import ankle_boots_folder
from vae_anomaly_datasets.loading import (
    Labelled,
    describe,
    list_datasets,
    load_cardiotocography,
    load_thyroid_sick,
    load_wine,
    path_of,
)
from vae_anomaly_datasets.registry import Dataset, DatasetError, Licence

__all__ = [
    "Dataset",
    "DatasetError",
    "Labelled",
    "Licence",
    "ankle_boots_folder",
    "describe",
    "list_datasets",
    "load_cardiotocography",
    "load_thyroid_sick",
    "load_wine",
    "path_of",
]
