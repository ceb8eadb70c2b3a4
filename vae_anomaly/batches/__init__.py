"""One scorer for Arrow batches, of rows and of images: what the command line, a server and other engines score with."""

from vae_anomaly.batches.batch_scorer import BatchScorer, scorer
from vae_anomaly.batches.image_kernel import n_images_at_a_time, pixels_of_files
from vae_anomaly.batches.result_names import (
    APPENDED,
    FLAG,
    JUDGED_BY,
    LIKELIHOOD,
    P_VALUE,
    PROBLEM,
    REASONS,
    SCORE,
    SPARE_NAMES,
    WHY,
    columns_of_earlier_run,
)
from vae_anomaly.batches.row_scores import Numbers, RowScores, scored_rows
from vae_anomaly.batches.sentences import N_REASONS, combination, no_formula, sentences_of
from vae_anomaly.batches.table_kernel import TableKernel

__all__ = [
    "APPENDED",
    "FLAG",
    "JUDGED_BY",
    "LIKELIHOOD",
    "N_REASONS",
    "PROBLEM",
    "P_VALUE",
    "REASONS",
    "SCORE",
    "SPARE_NAMES",
    "WHY",
    "BatchScorer",
    "Numbers",
    "RowScores",
    "TableKernel",
    "columns_of_earlier_run",
    "combination",
    "n_images_at_a_time",
    "no_formula",
    "pixels_of_files",
    "scored_rows",
    "scorer",
    "sentences_of",
]
