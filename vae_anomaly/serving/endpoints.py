"""What is asked and answered over HTTP."""

import asyncio
import functools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response

from vae_anomaly.serving.limits import ServingLimits
from vae_anomaly.serving.model_file import LOG
from vae_anomaly.serving.openapi import ARROW, JSON, schemas, score_operation
from vae_anomaly.serving.refusals import Refusal, too_large
from vae_anomaly.serving.row_answers import arrow_answer, json_answer
from vae_anomaly.serving.service import ScoringService
from vae_anomaly.version import __version__

EXPLAIN = {"": "", "false": "", "0": "", "true": "true", "1": "true", "flagged": "flagged"}
Endpoint = Callable[[Request], Awaitable[Response]]
# As servers call it that clients leave.
CLIENT_LEFT = 499


def application(path: str | os.PathLike[str], limits: ServingLimits, key: bytes | None, device: str) -> FastAPI:
    """Make the application; see `scoring_app`."""
    service = ScoringService(path, limits, key, device)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.begin()
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="vae-anomaly",
        version=__version__,
        description="Anomaly scores of rows: the negative ELBO in nats, higher is more anomalous.",
        lifespan=lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.add_exception_handler(404, _no_such_path)
    app.add_exception_handler(405, _no_such_method)
    for name, endpoint in _endpoints(service).items():
        extra = score_operation() if name == "/score" else None
        app.add_api_route(
            name,
            _answered(service, name, endpoint),
            methods=["POST"] if name == "/score" else ["GET"],
            openapi_extra=extra,
            response_class=Response,
            name=name.strip("/").replace("/", "_") or "index",
            summary=endpoint.__doc__,
        )
    app.openapi = functools.partial(_openapi, app, service)  # type: ignore[method-assign]
    return app


async def _no_such_path(_request: Request, _error: Exception) -> Response:
    refusal = Refusal(404, "there is no such path; GET / names those that there are.", "not_found")
    return JSONResponse(refusal.describe(), refusal.status)


async def _no_such_method(request: Request, _error: Exception) -> Response:
    rows = request.url.path.endswith("/score")
    remedy = "POST rows to it; GET /model has an example." if rows else "GET it."
    refusal = Refusal(405, f"the path does not take {request.method[:10]}; {remedy}", "method")
    return JSONResponse(refusal.describe(), refusal.status, {"Allow": "POST" if rows else "GET"})


def _endpoints(service: ScoringService) -> dict[str, Endpoint]:
    async def score(request: Request) -> Response:
        """Score rows"""  # noqa: D400 - a heading
        as_arrow, to_arrow, explain = _is_arrow(request), _wants_arrow(request), _explain(request)
        body = await _body(request, service.limits)
        engine, rows, judged = await service.scored(body, as_arrow=as_arrow, explain=explain)
        if to_arrow:
            return Response(arrow_answer(engine, rows, judged, explain), media_type=ARROW)
        return Response(json_answer(engine, rows, judged, explain), media_type=JSON)

    async def health(_request: Request) -> Response:
        """Whether it is alive, ready, and serves the file that is there"""  # noqa: D400
        found = service.health()
        return JSONResponse(found, 200 if found["ready"] else 503)

    async def live(_request: Request) -> Response:
        """Whether it is alive"""  # noqa: D400
        return JSONResponse({"live": True})

    async def ready(_request: Request) -> Response:
        """Whether it takes rows"""  # noqa: D400
        is_open = service.queue.is_open
        return JSONResponse({"ready": is_open}, 200 if is_open else 503)

    async def metrics(_request: Request) -> Response:
        """Counts, for Prometheus"""  # noqa: D400
        text = service.metrics.text(service.engine, service.queue.n_waiting)
        return Response(text, headers={"content-type": service.metrics.content_type})

    async def model(_request: Request) -> Response:
        """The model, and the columns that rows have to have"""  # noqa: D400
        return JSONResponse(service.model())

    async def index(_request: Request) -> Response:
        """What there is"""  # noqa: D400
        return JSONResponse(
            {
                "score": "POST /score",
                "see": ["/model", "/health", "/metrics", "/openapi.json"],
                "version": __version__,
            }
        )

    return {
        "/score": score,
        "/health": health,
        "/health/live": live,
        "/health/ready": ready,
        "/metrics": metrics,
        "/model": model,
        "/": index,
    }


def _answered(service: ScoringService, name: str, endpoint: Endpoint) -> Endpoint:
    """Count what is answered, and answer what fails without a word of what was sent."""

    async def answer(request: Request) -> Response:
        began = time.perf_counter()
        try:
            response = await endpoint(request)
        except Refusal as refusal:
            service.metrics.errors.labels(refusal.kind).inc()
            headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
            response = JSONResponse(refusal.describe(), refusal.status, headers)
        except Exception as error:  # noqa: BLE001 - a traceback would show what was sent
            LOG.error("%s failed: %s", name, type(error).__name__)
            service.metrics.errors.labels("failed").inc()
            failed = Refusal(500, "this is a fault of the server.", "failed")
            response = JSONResponse(failed.describe(), failed.status)
        service.metrics.requests.labels(name, str(response.status_code)).inc()
        if name == "/score":
            service.metrics.seconds.observe(time.perf_counter() - began)
        return response

    return answer


async def _body(request: Request, limits: ServingLimits) -> bytes:
    """Read a body, no more of it than is taken, whatever its headers say."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limits.max_body_bytes:
        raise too_large(limits.max_body_bytes)
    parts, n_bytes = [], 0
    try:
        async with asyncio.timeout(limits.timeout_seconds):
            more = True
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(CLIENT_LEFT, "the client left.", "client_left")
                part, more = message.get("body", b""), message.get("more_body", False)
                n_bytes += len(part)
                if n_bytes > limits.max_body_bytes:
                    raise too_large(limits.max_body_bytes)
                parts.append(part)
    except TimeoutError as error:
        raise Refusal(408, f"the body did not arrive within {limits.timeout_seconds:g} s.", "slow_body") from error
    return b"".join(parts)


def _is_arrow(request: Request) -> bool:
    """Whether the body is Arrow; else it is JSON.

    Raises
    ------
    Refusal
        If it is neither, or compressed.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "the body is compressed (Content-Encoding); send it as it is.", "compressed")
    given = _media_type(request.headers.get("content-type", ""))
    if given not in (ARROW, JSON):
        found = f"the content type is {given[:60]!r}" if given else "the request has no content type"
        raise Refusal(
            415, f"{found}; expected {JSON} or {ARROW}. With curl: -H 'content-type: {JSON}'.", "content_type"
        )
    return given == ARROW


def _wants_arrow(request: Request) -> bool:
    return any(_media_type(each) == ARROW for each in request.headers.get("accept", "").split(","))


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _explain(request: Request) -> str:
    given = request.query_params.get("explain", "").lower()
    if given not in EXPLAIN:
        raise Refusal(422, f"explain={given[:20]!r}; expected true, flagged or false.", "query")
    return EXPLAIN[given]


def _openapi(app: FastAPI, service: ScoringService) -> dict[str, Any]:
    """The schema, with the columns of the model that is served now."""
    found: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    found["components"] = {"schemas": schemas(service.engine)}
    return found
