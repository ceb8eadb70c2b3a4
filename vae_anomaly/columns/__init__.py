"""Columns: what each one is, and what the training data taught about it."""

from vae_anomaly.columns.inference import DECLARABLE, Declarations, check_declarations, infer_columns
from vae_anomaly.columns.specification import RAW_LIMIT, VALUE_LIMIT, Column, Kind

__all__ = [
    "DECLARABLE",
    "RAW_LIMIT",
    "VALUE_LIMIT",
    "Column",
    "Declarations",
    "Kind",
    "check_declarations",
    "infer_columns",
]
