"""Exceptions keep what they know, and are the built-in kinds that callers expect."""

import copy
import pickle
from pathlib import Path

import pytest

from vae_anomaly import errors
from vae_anomaly.data import ImageFileError
from vae_anomaly.errors import (
    AmbiguousTextWarning,
    CellTypeError,
    ColumnSetAsideWarning,
    DataError,
    DecimalMarkWarning,
    DetectorLeftOutWarning,
    EmptyRowWarning,
    ExportError,
    ExtraColumnsWarning,
    FileLeftOutWarning,
    FitWarning,
    ForkedProcessError,
    GroupsLeftOutWarning,
    HashedLevelWarning,
    LevelsMergedWarning,
    MatchedColumnsWarning,
    MissingCodeWarning,
    ModelFileError,
    NewGroupsWarning,
    NonFiniteScoreError,
    NotInstalled,
    NumericTextWarning,
    OddCellsWarning,
    PagesLeftOutWarning,
    SimilarGroupsWarning,
    SmallGroupsWarning,
    SortedColumnWarning,
    SpecificationError,
    TextReadWarning,
    TrainingDiverged,
    UnknownGroupsWarning,
    VAEAnomalyError,
    WorkerError,
)


def test_diverged_training_names_the_step_the_epoch_and_the_loss():
    message = str(TrainingDiverged(iteration=40, epoch=3, last_finite_loss=1.25))
    assert "iteration 40 (epoch 3)" in message
    assert "1.25 nats" in message
    assert "extreme values of column 'amount'" in str(TrainingDiverged(40, 3, 1.25, "amount"))


WITH_FIELDS = [
    ForkedProcessError("Cannot re-initialize CUDA."),
    WorkerError("has no vae_anomaly", "Install it."),
    GroupsLeftOutWarning("store", 9, ("a",), ("b",), 100, "it failed"),
    SimilarGroupsWarning("store", (("a", "A"),)),
    UnknownGroupsWarning("store", 2, 9, ("z",), 1),
    DataError("wrong cell", "expected numbers.", column="age", row=17),
    CellTypeError("wrong cell", "expected text.", column="age", row=17, item="image"),
    ImageFileError(Path("a.png"), "the file is empty."),
    NonFiniteScoreError(2, 600, 17),
    NonFiniteScoreError(1, 6, 3, "image"),
    TrainingDiverged(40, 3, 1.25),
    TrainingDiverged(40, 3, 1.25, "amount"),
    FitWarning("posterior collapse", "collapsed"),
    DetectorLeftOutWarning("forest", "clean", "it failed"),
    FileLeftOutWarning(Path("a.png"), "the file is empty."),
    EmptyRowWarning(2, 17),
    OddCellsWarning("age", "n/a", 17, 2, 400, label="p17"),
    DecimalMarkWarning("amount", "1,234", "1234", "1,5", 2),
    AmbiguousTextWarning("when", "01/02/2026", "as day/month", "Say so."),
    HashedLevelWarning("shop", 2),
    LevelsMergedWarning("shop", "NORTH", "north", 2),
    TextReadWarning((("amount", "numbers with a decimal comma"),)),
    ColumnSetAsideWarning("age", "it holds no value"),
    ExtraColumnsWarning(("age", "sex")),
    SmallGroupsWarning(("store", "product"), 90, 100, 40),
    NewGroupsWarning(80, 100),
    PagesLeftOutWarning(Path("a.tif"), 3),
    MatchedColumnsWarning((" AGE",), ("age",)),
    NumericTextWarning("zip", "12345"),
    MissingCodeWarning("age", ("-1", "-999"), 12),
    SortedColumnWarning("price", rises=False),
    NumericTextWarning("zip", "12345", "unknown"),
    NumericTextWarning("load", "", None, ("kg", "lb")),
    OddCellsWarning("age", "18+", 17, 1, 2000),
    NotInstalled("onnxruntime", "onnx"),
    ExportError(0.5, -12.0, 2e-5),
    AmbiguousTextWarning("amount", "1.234", "as 1.234", "Say so."),
    LevelsMergedWarning("paid", "YES", "yes", 2),
    TextReadWarning((("amount", "numbers in '$'"),)),
]


@pytest.mark.parametrize("error", WITH_FIELDS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_fields_survive_copies_and_pickles(error, copied):
    # A worker process of joblib hands its exceptions and warnings back pickled.
    again = copied(error)
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)


def test_every_exception_and_warning_with_fields_is_copied_above():
    own = {kind for kind in vars(errors).values() if isinstance(kind, type) and "__init__" in vars(kind)}
    assert own <= {type(error) for error in WITH_FIELDS}


def test_data_error_tells_where_in_the_terms_of_the_caller():
    error = DataError("column 'age' holds '(row 17)'", "expected numbers.", column="age", row=17)
    assert str(error) == "column 'age' holds '(row 17)' (index 17); expected numbers."
    assert error.text(row="line 19") == "column 'age' holds '(row 17)' (line 19); expected numbers."
    moved = error.with_row(3)
    assert (moved.row, moved.column, error.row) == (3, "age", 17)
    assert str(moved) == "column 'age' holds '(row 17)' (index 3); expected numbers."
    assert str(DataError("wrong cell", row=2, label="p7")) == "wrong cell (index 'p7')"
    assert str(DataError("wrong cell", row=2, label=7)) == "wrong cell (index 7)"
    assert str(DataError("infinite pixels", row=2, item="image")) == "infinite pixels (image 2)"


def test_data_error_without_a_row_names_none():
    error = DataError("no rows")
    assert (error.column, error.row) == (None, None)
    assert str(error) == error.text(row="line 19") == "no rows"


def test_warnings_about_the_same_have_the_same_subject():
    assert FitWarning("the KL is 0.1", "collapsed").subject == FitWarning("the KL is 0.2", "collapsed").subject
    assert ColumnSetAsideWarning("a", "90 texts").subject == ColumnSetAsideWarning("a", "80 texts").subject
    assert ColumnSetAsideWarning("a", "90 texts").subject != ColumnSetAsideWarning("b", "90 texts").subject


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
