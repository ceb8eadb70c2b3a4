"""How long answers take, and how many rows a second: a server in a process of its own, 1 to 64 clients, this machine.

    python reports/benchmarks/serving/load.py

writes load.csv beside it, and the page serving.md. It asks 127.0.0.1 alone, and each measurement ends after so many
requests or seconds, whichever comes first.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
TABLE, PAGE = HERE / "load.csv", HERE.parent / "serving.md"
HOST = "127.0.0.1"
CLIENTS, SIZES = (1, 4, 16, 64), (1, 100)
ALONE = "in process"
MODES: dict[str, dict[str, float]] = {
    "merged": {},
    "one by one": {"max_batch_rows": 1},
    "merged, no wait": {"max_wait_seconds": 0},
}
MAX_REQUESTS, MAX_SECONDS, N_TURNS, N_WARM_UP, START_SECONDS = 2_000, 3.0, 2, 20, 60.0
TEXT = """# Serving: how long answers take

    {command}

A model of 28 columns (`thyroid_sick`, the default preset), served by `scoring_app` under uvicorn in one process,
and asked by 1 to 64 clients of one other process on the same machine, each of which asks again as soon as it has its
answer. {cpus} cores, which the clients share: compare figures with one another, and not with those of other machines.
*CPU* is what the server's process computed. Each line is {turns} turns, the modes one after the other, of at most
{requests:,} requests or {seconds:.0f} seconds. Without a server, `decide` takes {alone:.1f} ms of CPU for one row, and
{hundred:.1f} ms for 100.

{table}

*merged* is the default: requests that came while others were being scored are scored together, and where the last
ones were, the next wait 2 ms for others. *merged, no wait* is `--batch-wait-ms 0`; *one by one* scores each by itself.

{findings}
"""


FINDINGS = """- Single rows a second, merged beside one by one: {faster} clients.
- CPU time of a single row, one by one beside merged, with 1, 4, 16 and 64 clients: {cheaper} times.
- Requests of 100 rows: {many:.1f} times the rows a second with 16 clients.
- Waiting 2 ms where others came gives {waited} times the rows a second with 1, 4, 16 and 64 clients.
- A row that one client asks for alone takes {apart:.0f} times the CPU time of one in a request of 100: send rows
  together where you can.
- Errors: {errors:,} of {requests:,} requests."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--serve", nargs=3, metavar=("MODEL", "FD", "LIMITS"), help=argparse.SUPPRESS)
    arguments.add_argument("--page", action="store_true", help="write the page alone, from load.csv")
    given = arguments.parse_args()
    if given.serve:
        serve(*given.serve)
        return
    if not given.page:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "sick.vae"
            rows, alone = fitted(model)
            pd.DataFrame([*alone, *measured(model, rows)]).to_csv(TABLE, index=False)
    PAGE.write_text(page(pd.read_csv(TABLE)), encoding="utf-8")


def fitted(path: Path) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Rows as JSON has them, and what one and a hundred of them take without a server."""
    from vae_anomaly import VAEDetector, save
    from vae_anomaly_datasets import load_thyroid_sick

    table = load_thyroid_sick()[0]
    detector = VAEDetector(random_state=0).fit(table)
    save(detector, path)
    alone = []
    for n_rows in SIZES:
        taken = []
        for _ in range(N_WARM_UP):
            began = time.process_time()
            detector.decide(table[:n_rows])
            taken.append(time.process_time() - began)
        ms = round(1e3 * float(np.median(taken)) / n_rows, 3)
        alone.append({"mode": ALONE, "rows": n_rows, "clients": 0, "cpu_ms_per_row": ms})
    used = [column.name for column in detector.columns_ if column.is_used]
    return json.loads(table[used].to_json(orient="records")), alone


def serve(model: str, descriptor: str, limits: str) -> None:
    """The process that answers."""
    import uvicorn

    from vae_anomaly.serving import ServingLimits, scoring_app

    app = scoring_app(model, limits=ServingLimits(**json.loads(limits)))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    server.run(sockets=[socket.socket(fileno=int(descriptor))])


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    port: int
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """What it has computed so far; on Linux."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(model: Path, limits: dict[str, float]) -> Iterator[Server]:
    """A server on a free port, which ends with the context."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen(256)
        descriptor, port = listening.fileno(), listening.getsockname()[1]
        command = [sys.executable, __file__, "--serve", str(model), str(descriptor), json.dumps(limits)]
        process = subprocess.Popen(command, pass_fds=[descriptor])
    try:
        yield Server(port, process)
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def measured(model: Path, rows: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    """Modes take turns, so that what else the machine does meets all of them."""
    with ExitStack() as closing:
        servers = {mode: closing.enter_context(server(model, limits)) for mode, limits in MODES.items()}
        for size in SIZES:
            bodies = [json.dumps({"rows": rows[start : start + size]}).encode() for start in range(0, 2_000, size)]
            for each in servers.values():
                asyncio.run(asked(each.port, bodies, 1, N_WARM_UP, START_SECONDS))
            for clients in CLIENTS:
                found: dict[str, list[tuple[list[float], int, float, float]]] = {mode: [] for mode in MODES}
                for _, mode in itertools.product(range(N_TURNS), MODES):
                    before = servers[mode].cpu_seconds()
                    answer = asyncio.run(asked(servers[mode].port, bodies, clients, MAX_REQUESTS, MAX_SECONDS))
                    found[mode].append((*answer, servers[mode].cpu_seconds() - before))
                for mode, turns in found.items():
                    line = {"mode": mode, "rows": size, "clients": clients} | summed(turns, size)
                    print(line, flush=True)  # noqa: T201
                    yield line


def summed(turns: list[tuple[list[float], int, float, float]], size: int) -> dict[str, object]:
    taken = [seconds for each, *_ in turns for seconds in each]
    n_errors, wall, cpu = (sum(parts) for parts in list(zip(*turns, strict=True))[1:])
    return {
        "requests": len(taken),
        "errors": n_errors,
        "p50_ms": round(1e3 * float(np.percentile(taken, 50)), 2),
        "p99_ms": round(1e3 * float(np.percentile(taken, 99)), 2),
        "rows_per_second": round(size * (len(taken) - n_errors) / wall),
        "cpu_ms_per_row": round(1e3 * cpu / (size * len(taken)), 3),
    }


async def asked(
    port: int, bodies: list[bytes], n_clients: int, most: int, seconds: float
) -> tuple[list[float], int, float]:
    """Seconds of each request, how many failed, and all the time."""
    numbers, taken, n_errors = itertools.count(), [], 0
    began = time.perf_counter()

    async def client() -> None:
        nonlocal n_errors
        reader, writer = await asyncio.open_connection(HOST, port)
        while (number := next(numbers)) < most and time.perf_counter() - began < seconds:
            body = bodies[number % len(bodies)]
            head = (
                f"POST /score HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            start = time.perf_counter()
            writer.write(head.encode() + body)
            status, answer = await answered(reader)
            taken.append(time.perf_counter() - start)
            n_errors += status != 200 or b'"anomaly_score": null' in answer
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(n_clients)))
    return taken, n_errors, time.perf_counter() - began


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    n_bytes = int(head.split("content-length: ")[1].split("\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(n_bytes)


def page(table: pd.DataFrame) -> str:
    alone = table[table["mode"] == ALONE].set_index("rows")["cpu_ms_per_row"]
    found = table[table["mode"] != ALONE].astype({"requests": int, "errors": int, "rows_per_second": int})
    heads = ["mode", "rows", "clients", "requests", "errors", "p50, ms", "p99, ms", "rows/s", "CPU, ms/row"]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for line in found.to_dict("records"):
        counts = [f"{value:,}" for value in (line["rows"], line["clients"], line["requests"], line["errors"])]
        times = [f"{line['p50_ms']:.1f}", f"{line['p99_ms']:.1f}"]
        lines.append([line["mode"], *counts, *times, f"{line['rows_per_second']:,}", f"{line['cpu_ms_per_row']:.2f}"])
    listed = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return TEXT.format(
        command="python reports/benchmarks/serving/load.py",
        cpus=os.cpu_count(),
        requests=MAX_REQUESTS,
        turns=N_TURNS,
        seconds=MAX_SECONDS,
        alone=alone[1],
        hundred=100 * alone[100],
        table=listed,
        findings=findings(found),
    )


def findings(found: pd.DataFrame) -> str:
    """What the figures say, as ratios."""
    rate = found.set_index(["mode", "rows", "clients"])["rows_per_second"]
    cpu = found.set_index(["mode", "rows", "clients"])["cpu_ms_per_row"]
    faster = ", ".join(
        f"{rate['merged', 1, each] / rate['one by one', 1, each]:.1f} times with {each}" for each in CLIENTS
    )
    cheaper = ", ".join(f"{cpu['one by one', 1, each] / cpu['merged', 1, each]:.1f}" for each in CLIENTS)
    waited = [f"{rate['merged', 1, each] / rate['merged, no wait', 1, each]:.2f}" for each in CLIENTS]
    apart = cpu["merged", 1, 1] / cpu["merged", 100, 1]
    many = rate["merged", 100, 16] / rate["one by one", 100, 16]
    return FINDINGS.format(
        faster=faster,
        cheaper=cheaper,
        many=many,
        waited=", ".join(waited),
        apart=apart,
        errors=int(found["errors"].sum()),
        requests=int(found["requests"].sum()),
    )


if __name__ == "__main__":
    main()
