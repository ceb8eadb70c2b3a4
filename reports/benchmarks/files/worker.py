"""Runs commands of `vae-anomaly`, each in a process of its own that is forked after the imports.

Started by path, with the code to run in PYTHONPATH. A line of standard input is a JSON list, the arguments of a
command; the answer is a line of JSON: exit code, standard output and standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

LIMIT = 120


def run(arguments: list[str]) -> tuple[int, str, str]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _command(arguments, out, err)
        code = _wait(child)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    return code, texts[0], texts[1]


def _command(arguments: list[str], out: IO[bytes], err: IO[bytes]) -> None:
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        from vae_anomaly_cli.main import main

        try:
            code = main(arguments) or 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:  # noqa: BLE001
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _wait(child: int) -> int:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 124


def preload() -> None:
    """Run each command once, so that children find everything imported."""
    import torch

    from vae_anomaly_cli.main import main

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        table, model = f"{folder}/table.csv", f"{folder}/model.vae"
        rows = [f"{row * row % 97}.5,{row % 3},2025-01-{row % 28 + 1:02d}" for row in range(60)]
        Path(table).write_text("\n".join(["number,level,date", *rows, ""]), encoding="utf-8")
        kept = os.dup(1), os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        main(["fit", table, "-o", model, "--max-iter", "2"])
        main(["info", model, "--json"])
        main(["explain", table, "-m", model, "--row", "1", "--json"])
        main(["score", table, "-m", model, "--top", "3", "--json"])
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    preload()
    for line in sys.stdin:
        code, out, err = run(json.loads(line))
        answers.write(json.dumps([code, out, err]) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
