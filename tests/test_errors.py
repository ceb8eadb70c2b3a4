"""Exceptions keep what they know, and are the built-in kinds that callers expect."""

import pickle

import pytest

from vae_anomaly import errors
from vae_anomaly.errors import (
    CellTypeError,
    DataError,
    ModelFileError,
    SpecificationError,
    TrainingDiverged,
    VAEAnomalyError,
)


def test_diverged_training_survives_pickling():
    # A worker process of joblib hands its exceptions back pickled.
    copy = pickle.loads(pickle.dumps(TrainingDiverged(iteration=40, epoch=3, last_finite_loss=1.25)))
    assert (copy.iteration, copy.epoch, copy.last_finite_loss) == (40, 3, 1.25)
    assert str(copy) == str(TrainingDiverged(40, 3, 1.25))


def test_diverged_training_names_the_step_the_epoch_and_the_loss():
    message = str(TrainingDiverged(iteration=40, epoch=3, last_finite_loss=1.25))
    assert "iteration 40 (epoch 3)" in message
    assert "1.25 nats" in message


@pytest.mark.parametrize("kind", [DataError, CellTypeError])
def test_data_error_keeps_column_and_row_through_pickling(kind):
    copy = pickle.loads(pickle.dumps(kind("wrong cell", column="age", row=17)))
    assert type(copy) is kind
    assert (str(copy), copy.column, copy.row) == ("wrong cell", "age", 17)


def test_data_error_without_a_place_has_none():
    error = DataError("no rows")
    assert error.column is None
    assert error.row is None


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (DataError, ValueError),
        (CellTypeError, ValueError),
        (CellTypeError, TypeError),
        (SpecificationError, ValueError),
        (ModelFileError, ValueError),
        (TrainingDiverged, RuntimeError),
    ],
)
def test_exceptions_are_also_the_builtin_kind(kind, builtin):
    assert issubclass(kind, builtin)


def test_one_except_clause_catches_everything_raised_on_purpose():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    raised = [kind for kind in kinds if not issubclass(kind, Warning)]
    assert len(raised) >= 6
    assert all(issubclass(kind, VAEAnomalyError) for kind in raised)


def test_warnings_are_user_warnings_and_no_errors():
    for kind in (errors.FitWarning, errors.DataWarning):
        assert issubclass(kind, UserWarning)
        assert not issubclass(kind, VAEAnomalyError)
