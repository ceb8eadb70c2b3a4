"""The application, for any server that speaks ASGI."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vae_anomaly.errors import NotInstalled
from vae_anomaly.serving.limits import ServingLimits

if TYPE_CHECKING:
    from fastapi import FastAPI


def scoring_app(
    model_path: str | os.PathLike[str],
    *,
    limits: ServingLimits | None = None,
    key: bytes | None = None,
    device: str = "cpu",
) -> FastAPI:
    """An application that scores rows with a model: run it under any ASGI server, or mount it in another application.

    ``POST /score`` takes ``{"rows": [{...}]}`` or a stream of Arrow, and answers with the columns that ``vae-anomaly
    score`` appends. ``GET /health``, ``/metrics`` (Prometheus), ``/model`` and ``/openapi.json`` say the rest.  One
    thread scores what waits together; a model file that is replaced is loaded without a pause.

    Parameters
    ----------
    model_path : path-like
        A model file of tables, or one that `export_onnx` wrote, whose name ends in ``.onnx``; the latter has no
        p-values and no reasons.
    limits : ServingLimits, optional
        How much it takes on at once.
    key : bytes, optional
        What the model file, and each that replaces it, has to be signed with.
    device : {"auto", "cpu", "cuda", "mps"}, default="cpu"
        Where the arithmetic runs.

    Returns
    -------
    FastAPI

    Raises
    ------
    NotInstalled
        Without FastAPI or the client of Prometheus: see the extra ``serve``.
    ModelFileError
        If the file is no model, or one of images.
    OSError
        If it cannot be read.

    Notes
    -----
    It asks nobody who they are, and sends no headers for browsers of other sites: what is reached from elsewhere needs
    a proxy in front.  Several processes each have a model, counts and a test of drift of their own.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from vae_anomaly import VAEDetector, save
    >>> from vae_anomaly.serving import scoring_app
    >>> rows = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), columns=["speed", "load"])
    >>> path = tempfile.mkdtemp() + "/motors.vae"
    >>> save(VAEDetector(max_iter=100, early_stopping=False).fit(rows), path)
    >>> app = scoring_app(path)
    >>> app.openapi()["components"]["schemas"]["Row"]["required"]
    ['speed', 'load']
    """
    try:
        from vae_anomaly.serving.endpoints import application
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "vae_anomaly":
            raise
        raise NotInstalled(missing.replace("prometheus_client", "prometheus-client"), "serve") from error
    return application(model_path, limits or ServingLimits(), key, device)
