"""Columns: what each one is, and what the training data taught about it."""

from vae_anomaly.columns.augmentation import MAX_SEEDS
from vae_anomaly.columns.baseline import Baseline, ComparedColumn, GroupLevel, References
from vae_anomaly.columns.baseline_learning import (
    COMPARED_KINDS,
    MAX_KEYS,
    BaselineSpecification,
    learn_baseline,
    residual_columns,
)
from vae_anomaly.columns.batch import Batch, taken
from vae_anomaly.columns.cell_units import CellUnits
from vae_anomaly.columns.column import MARGIN, RAW_LIMIT, VALUE_LIMIT, WHOLE_MARGIN, Column, Kind
from vae_anomaly.columns.column_list import Columns
from vae_anomaly.columns.dates import EPOCH_UNITS, MICROSECOND, PERIODS, THURSDAY, epoch_unit
from vae_anomaly.columns.encoder import Encoder
from vae_anomaly.columns.image_encoder import LEVELS_OF_DEPTH, ImageEncoder, learn_channels
from vae_anomaly.columns.inference import DECLARABLE, Declarations, check_declarations, infer_columns
from vae_anomaly.columns.levels import LevelRule, with_hashed_levels
from vae_anomaly.columns.missing_codes import MissingValues, given_codes, without_codes
from vae_anomaly.columns.named_augmentation import (
    Augment,
    Augmentation,
    check_suits_size,
    resolve_augment,
)
from vae_anomaly.columns.seasons import N_EFFECTS, SEASONS, TREND, Seasons
from vae_anomaly.columns.table_encoder import TableEncoder
from vae_anomaly.columns.text_reading import read_text, read_training_text, unreadable

__all__ = [
    "COMPARED_KINDS",
    "DECLARABLE",
    "EPOCH_UNITS",
    "LEVELS_OF_DEPTH",
    "MARGIN",
    "MAX_KEYS",
    "MAX_SEEDS",
    "MICROSECOND",
    "N_EFFECTS",
    "PERIODS",
    "RAW_LIMIT",
    "SEASONS",
    "THURSDAY",
    "TREND",
    "VALUE_LIMIT",
    "WHOLE_MARGIN",
    "Augment",
    "Augmentation",
    "Baseline",
    "BaselineSpecification",
    "Batch",
    "CellUnits",
    "Column",
    "Columns",
    "ComparedColumn",
    "Declarations",
    "Encoder",
    "GroupLevel",
    "ImageEncoder",
    "Kind",
    "LevelRule",
    "MissingValues",
    "References",
    "Seasons",
    "TableEncoder",
    "check_declarations",
    "check_suits_size",
    "epoch_unit",
    "given_codes",
    "infer_columns",
    "learn_baseline",
    "learn_channels",
    "read_text",
    "read_training_text",
    "residual_columns",
    "resolve_augment",
    "taken",
    "unreadable",
    "with_hashed_levels",
    "without_codes",
]
