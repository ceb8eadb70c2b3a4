"""How the command `vae-anomaly` begins and ends."""

import os
import re
import sys

from vae_anomaly_cli.errors import CommandError, InputError, ReaderLeft, Terminated
from vae_anomaly_cli.signals import terminated_by_signals
from vae_anomaly_cli.standard_streams import drop_output, standard_streams
from vae_anomaly_cli.start_up import quick_start

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
DEBUG_VARIABLE = "VAE_ANOMALY_DEBUG"
# As a value by itself, or behind its option.
IN_MEMORY = re.compile(r"(--[\w-]+=|-\w)?memory://", re.IGNORECASE)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; every failure is one line on standard error.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the process.
    """
    with standard_streams():
        try:
            with terminated_by_signals(), quick_start():
                code = _run(_of_process() if arguments is None else arguments)
                sys.stdout.flush()
                return code
        except KeyboardInterrupt:
            drop_output()
            _report("interrupted.")
            return INTERRUPTED
        except Terminated as stop:
            drop_output()
            _report(str(stop))
            return stop.exit_code
        except ReaderLeft:
            return DONE
        except CommandError as error:
            return _stop(error, str(error), error.exit_code)


def _of_process() -> list[str]:
    """Return what the process was given; its own memory is no place, for it ends with the process."""
    for argument in sys.argv[1:]:
        if IN_MEMORY.match(argument):
            raise InputError(
                f"{argument}: memory:// is the memory of this process, which is empty now and gone at its end. Give a "
                "path, or the address of a store like s3://bucket/name."
            )
    return sys.argv[1:]


def _run(given: list[str]) -> int:
    # Not at the head of the file: Ctrl-C would show where the import was.
    import typer

    from vae_anomaly_cli.application import command_line
    from vae_anomaly_cli.console import one_line

    try:
        code = int(command_line()(given or ["--help"], prog_name="vae-anomaly", standalone_mode=False) or DONE)
    except typer.Abort:
        code = INTERRUPTED
    except (CommandError, ReaderLeft):
        raise
    except MemoryError as error:
        return _stop(error, "the memory does not suffice; give less at once, or run it where there is more.", FAILED)
    except Exception as error:  # noqa: BLE001 - people get one line, never a traceback
        # The class of usage errors is typer's own or click's, as the version has it; both format themselves.
        format_message = getattr(error, "format_message", None)
        if format_message is not None:
            message = format_message().replace("Value error, ", "").rstrip(".")
            command = getattr(getattr(error, "ctx", None), "command_path", "vae-anomaly")
            end = "" if message.endswith("?") else "."
            return _stop(error, f"{message}{end} See {command} --help.", MISUSED)
        hint = f"{DEBUG_VARIABLE}=1 shows where."
        return _stop(error, f"{type(error).__name__}: {one_line(error)} ({hint})", FAILED)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code


def _stop(error: Exception, message: str, code: int) -> int:
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    _report(message)
    return code


def _report(message: str) -> None:
    from vae_anomaly_cli.console import report_error

    report_error(message)
