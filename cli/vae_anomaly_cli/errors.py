"""What a command reports when it stops: one line for people, one exit code for scripts."""

# Exit code of a command that was asked to fail on drift; no failure has it.
DRIFTED = 3


class CommandError(Exception):
    """The work failed although the input was usable: exit code 1."""

    exit_code = 1


class InputError(CommandError):
    """The options or the input cannot be used as they are: exit code 2."""

    exit_code = 2


class InputChanged(CommandError):
    """The input did not stay as it was while it was read."""


class Interrupted(CommandError):
    """Ctrl-C, with a word on how to go on."""

    exit_code = 130


class ReaderLeft(Exception):
    """Whoever read standard output left (`| head`): the command ends without a word, exit code 0."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP: ends the command after the clean-up, and no training goes on as it does after Ctrl-C.

    Parameters
    ----------
    number : int
        Of the signal.
    text : str
        What people read.
    """

    def __init__(self, number: int, text: str = "terminated.") -> None:
        super().__init__(text)
        self.number = int(number)

    @property
    def exit_code(self) -> int:
        """What shells say of a process that a signal ended: 143 or 129."""
        return 128 + self.number
