"""Names that parameters take, as types: an editor offers them, and mypy finds those that there are not.

`tests/test_names.py` compares them with the tables that the names are looked up in.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

PresetName: TypeAlias = Literal["default", "accurate", "robust"]
ActivationName: TypeAlias = Literal["silu", "relu", "tanh", "gelu", "softplus", "identity"]
BackboneName: TypeAlias = Literal["auto", "mlp", "convolutional"]
LikelihoodName: TypeAlias = Literal[
    "auto",
    "gaussian",
    "student_t",
    "rounded_student_t",
    "bounded_student_t",
    "spiked_student_t",
    "spiked_rounded_student_t",
    "spiked_bounded_student_t",
    "unit_gaussian",
    "continuous_bernoulli",
    "bernoulli",
    "binary",
    "categorical",
    "constant",
    "ordinal",
    "poisson",
    "discretized_logistic",
]
AugmentationName: TypeAlias = Literal["flips", "rotations", "shifts", "brightness"]
PriorName: TypeAlias = Literal["auto", "standard_normal", "exemplar", "mixture"]
ScoreName: TypeAlias = Literal[
    "auto",
    "pooled_elbo",
    "local_ratio",
    "elbo",
    "elbo_per_cell",
    "importance_weighted",
    "reconstruction",
    "kl",
    "debiased_elbo",
    "input_complexity",
    "likelihood_ratio",
    "likelihood_regret",
    "likelihood_path",
    "surprise",
]
CalibrationName: TypeAlias = Literal["auto", "split", "cross"]
UnitsName: TypeAlias = Literal["data", "group"]
DeviceName: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName: TypeAlias = Literal["highest", "high", "medium"]
Decimal: TypeAlias = Literal[".", ","]
Thousands: TypeAlias = Literal[",", ".", " ", "'"]
