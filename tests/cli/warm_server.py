"""Runs the command in children of a process that has all imports behind it: what `test_standard_streams.py` asks for.

A request is a line of JSON; the answers are the number of the child, and its exit code.
"""

import gc
import json
import os
import sys

import rich.progress
import rich.table  # noqa: F401

import vae_anomaly.comparison
import vae_anomaly.decisions
import vae_anomaly.explain
import vae_anomaly.store  # noqa: F401
import vae_anomaly_cli.commands.score
import vae_anomaly_cli.image_model
import vae_anomaly_cli.output.journal
import vae_anomaly_cli.render.explanation
import vae_anomaly_cli.table_model  # noqa: F401
from vae_anomaly_cli.main import main


def stream(descriptor, mode):
    """A stream as the interpreter makes it; None where it is closed."""
    try:
        os.fstat(descriptor)
    except OSError:
        return None
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "utf-8").partition(":")
    errors = "backslashreplace" if descriptor == 2 else errors or "strict"
    return open(descriptor, mode, encoding=encoding, errors=errors, closefd=False)


def run(request):
    """Be the command."""
    for descriptor, path in enumerate(request["streams"]):
        if path is None:
            os.close(descriptor)
            continue
        flags = os.O_WRONLY | os.O_APPEND if descriptor else os.O_RDONLY
        opened = os.open(path, flags)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if request["uid"]:
        os.setgroups([])
        os.setgid(request["uid"])
        os.setuid(request["uid"])
    sys.stdin, sys.stdout, sys.stderr = stream(0, "r"), stream(1, "w"), stream(2, "w")
    try:
        code = main([os.fsdecode(argument.encode("latin-1")) for argument in request["arguments"]])
    except SystemExit as end:
        code = int(end.code or 0)
    # As the interpreter ends, without the second that it takes to take down all that was imported.
    for written in (sys.stdout, sys.stderr):
        try:
            if written is not None:
                written.flush()
        except (OSError, ValueError) as error:
            os.write(2, f"Exception ignored in: {error!r}\n".encode())
            code = 120
    os._exit(code)


def serve():
    """Answer requests until there are no more."""
    gc.freeze()
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w")
    for line in iter(asked.readline, b""):
        child = os.fork()
        if not child:
            asked.close()
            run(json.loads(line))
        print(child, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


if __name__ == "__main__":
    serve()
