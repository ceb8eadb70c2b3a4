"""Exceptions and warnings of the toolkit: one line each, saying what, where, what was expected and what to do."""


class VAEAnomalyError(Exception):
    """Root of every exception that the toolkit raises on purpose."""


class DataError(VAEAnomalyError, ValueError):
    """The data cannot be used as given; the message names the column, the row and the remedy.

    Parameters
    ----------
    message : str
        One line.
    column : str, optional
        Name of the offending column.
    row : int, optional
        Position of the offending row, counted from 0.
    """

    def __init__(self, message: str, *, column: str | None = None, row: int | None = None) -> None:
        super().__init__(message)
        self.column = column
        self.row = row


class CellTypeError(DataError, TypeError):
    """A cell holds an object that is neither a number nor a string, such as a dict or a list."""


class SpecificationError(VAEAnomalyError, ValueError):
    """A likelihood, prior, backbone or score was asked for by a name or an object that is not one."""


class NotAvailable(SpecificationError, AttributeError):
    """A model of this kind has no such thing; an AttributeError too, so that ``hasattr`` can ask for it."""


class ModelFileError(VAEAnomalyError, ValueError):
    """The file is not a model file, is damaged, or was written by a newer version."""


class TrainingDiverged(VAEAnomalyError, RuntimeError):
    """The loss became NaN or infinite twice, the second time after a rollback with a smaller step.

    Parameters
    ----------
    iteration : int
        Optimisation step, counted from 1, at whose check the loss was found not finite.
    epoch : int
        Pass over the members' subsamples in which that step lies, counted from 1.
    last_finite_loss : float
        Mean negative ELBO, in nats per row, at the last check where it was finite.
    """

    def __init__(self, iteration: int, epoch: int, last_finite_loss: float) -> None:
        self.iteration = iteration
        self.epoch = epoch
        self.last_finite_loss = last_finite_loss
        super().__init__(
            f"training diverged at iteration {iteration} (epoch {epoch}), also after a rollback with a tenth of "
            f"the step; the last finite loss was {last_finite_loss:.6g} nats per row. "
            "Lower learning_rate_init, or scale columns with extreme values."
        )

    def __reduce__(self) -> tuple[type["TrainingDiverged"], tuple[int, int, float]]:
        return type(self), (self.iteration, self.epoch, self.last_finite_loss)


class FitWarning(UserWarning):
    """Training ended in a state that scores alone would not reveal; ``fit_report_`` holds the figures."""


class DataWarning(UserWarning):
    """A column was set aside or treated in a way that its owner should know of."""
