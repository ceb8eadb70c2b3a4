"""`vae-anomaly serve`: a model behind an endpoint."""

import importlib.util
import logging
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from vae_anomaly_cli.command import Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import RunOptions, check_model_path
from vae_anomaly_cli.signing import signing_key

if TYPE_CHECKING:
    from fastapi import FastAPI

    from vae_anomaly.serving import ServingLimits

LIBRARIES = ("fastapi", "uvicorn", "prometheus_client")
INSTALL = 'python -m pip install "vae-anomaly[serve]"'
SERVER, LIMITS = "Server", "Limits"
MAX_PORT = 65_535
# Each may hold a body in memory.
MAX_CONNECTIONS = 512
LOOPBACK = ("127.0.0.1", "::1", "localhost")
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"

HELP = f"""Serve MODEL, which is one of tables, over HTTP until Ctrl-C or SIGTERM.

\b
[bold]Examples[/bold]
  vae-anomaly serve orders.vae
  vae-anomaly serve orders.vae --port 9000
  vae-anomaly serve orders.onnx               from export, without PyTorch

\b
[bold]A request[/bold]
  curl -H 'content-type: application/json' http://127.0.0.1:8000/score \\
       -d '{{"rows": [{{"amount": 12.5, "country": "DE"}}]}}'

POST /score takes {{"rows": [...]}}, an object for each row with all columns of the model (null where there is no \
value), or an Arrow IPC stream (content-type: application/vnd.apache.arrow.stream). It answers with anomaly_score \
(nats), p_value, is_anomaly and problem for each row, in their order; as Arrow where Accept asks for it. With \
?explain=true each row comes with reasons, with ?explain=flagged those that are flagged. Cells are read as score reads \
them: a row with one that cannot be read has a problem and no score, and the others are scored.

GET /model says which columns there are, /openapi.json the same as a schema, /health whether all is well and whether \
rows have changed (see drift), /metrics all counts for Prometheus.

When MODEL is replaced it is loaded without a pause; one that cannot be used is refused, and the one before served on.

Nobody is asked who they are: the server listens on this machine alone, unless --host says otherwise; then put a proxy \
in front that asks.

It needs FastAPI and others: {INSTALL}

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class ServeOptions:
    """What to serve, where, and how much at once."""

    model: Annotated[str, Option("Model file, or one of export.", metavar="MODEL", is_argument=True, is_path=True)]
    port: Annotated[
        int,
        Option(
            "Port; 0 takes a free one, and says which.", metavar="N", min=0, max=MAX_PORT, panel=SERVER, common=True
        ),
    ] = 8000
    host: Annotated[
        str, Option("Address to listen on; 0.0.0.0 is all of them.", metavar="ADDRESS", panel=SERVER, common=True)
    ] = "127.0.0.1"
    max_body_mib: Annotated[
        int, Option("Largest body, in MiB.", metavar="N", min=1, max=1024, panel=LIMITS, common=True)
    ] = 8
    max_rows: Annotated[int, Option("Most rows of a request.", metavar="N", min=1, panel=LIMITS, common=True)] = 10_000
    max_explained_rows: Annotated[
        int, Option("Most rows of a request that get reasons.", metavar="N", min=1, panel=LIMITS)
    ] = 100
    max_waiting_rows: Annotated[
        int, Option("Most rows that wait; more are told to come later.", metavar="N", min=1, panel=LIMITS)
    ] = 40_000
    batch_wait_ms: Annotated[
        int,
        Option(
            "How long to wait for others to be scored with, where some came.",
            metavar="MS",
            min=0,
            max=1000,
            panel=LIMITS,
        ),
    ] = 2
    timeout: Annotated[
        int, Option("Seconds for a body to arrive, and to be scored.", metavar="SECONDS", min=1, panel=LIMITS)
    ] = 30
    reload_seconds: Annotated[
        int, Option("How often to look whether MODEL was replaced; 0 never.", metavar="SECONDS", min=0, panel=LIMITS)
    ] = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be, before the library is loaded."""
        missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
        if missing:
            raise InputError(f"{missing[0]} is not installed, and serve needs it. Install it with: {INSTALL}")
        check_model_path(self.model)


@command(HELP)
def serve(serving: ServeOptions, run: RunOptions, messages: Messages) -> None:
    """Serve MODEL over HTTP."""
    with _listening(serving.host, serving.port) as listening:
        app = _application(serving, run)
        host, port = listening.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        n_columns = len(app.state.service.engine.fields)
        messages.note(
            f"serving {serving.model} ({counted(n_columns, 'column')}) on {address}: POST /score; GET {address}/model "
            "says what rows look like; Ctrl-C ends"
        )
        if serving.host not in LOOPBACK:
            messages.warning(
                f"--host {serving.host}: other machines can reach this address, and nobody is asked who they are. Put "
                "a proxy in front that asks, and encrypts."
            )
        _serve(app, listening, serving, quiet=run.quiet)


def _listening(host: str, port: int) -> socket.socket:
    """Take the port before the model is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host}: no such address; expected one of this machine, like 127.0.0.1.") from error
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        raise InputError(
            f"cannot listen on {host}, port {port}: {(error.strerror or str(error)).lower()}. Choose another one with "
            "--port; 0 takes a free one."
        ) from error
    return listening


def _application(serving: ServeOptions, run: RunOptions) -> "FastAPI":
    from vae_anomaly import ModelFileError, NotInstalled, SpecificationError
    from vae_anomaly.serving import scoring_app

    try:
        return scoring_app(serving.model, limits=_limits(serving), key=signing_key(), device=str(run.device))
    except (ModelFileError, NotInstalled, SpecificationError) as error:
        raise InputError(error) from error
    except OSError as error:
        raise InputError(f"{serving.model} cannot be read: {error.strerror or error}.") from error


def _limits(serving: ServeOptions) -> "ServingLimits":
    from vae_anomaly.serving import ServingLimits

    return ServingLimits(
        max_body_bytes=serving.max_body_mib << 20,
        max_rows=serving.max_rows,
        max_explained_rows=serving.max_explained_rows,
        max_waiting_rows=serving.max_waiting_rows,
        max_wait_seconds=serving.batch_wait_ms / 1000,
        timeout_seconds=serving.timeout,
        reload_seconds=serving.reload_seconds,
    )


def _serve(app: "FastAPI", listening: socket.socket, serving: ServeOptions, *, quiet: bool) -> None:
    """Answer until a signal ends it; what was begun is answered before."""
    import uvicorn

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=LOG_FORMAT)
    logging.getLogger("vae_anomaly").setLevel(logging.ERROR if quiet else logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.ERROR if quiet else logging.WARNING)
    configuration = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=serving.timeout,
    )
    uvicorn.Server(configuration).run(sockets=[listening])
