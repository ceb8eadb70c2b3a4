"""What is written down of fits, under the same names wherever it is."""

from __future__ import annotations

from typing import Any

from vae_anomaly.model import TrainingCheck

# Parameters that hold cells of the data, or objects that say nothing in words, as functions do.
NOT_SHOWN = ("missing_values", "callbacks", "verbose")


def scalars_of(check: TrainingCheck) -> dict[str, float]:
    """The numbers of a check by name; of several trainings, with the number of the training before."""
    before = "" if check.n_trainings == 1 else f"training{check.training + 1}/"
    values = {
        "elbo/training": check.elbo,
        "elbo/held_out": check.validation_elbo,
        "kl": check.kl,
        "learning_rate": check.learning_rate,
        "rows_per_second": check.rows_per_second,
    }
    return {before + name: value for name, value in values.items() if value is not None}


def shown_parameters(detector: Any) -> dict[str, Any]:
    """The parameters of a detector that may be written down: none with cells of the data."""
    return {
        name: value for name, value in detector.get_params().items() if name not in NOT_SHOWN and not callable(value)
    }
