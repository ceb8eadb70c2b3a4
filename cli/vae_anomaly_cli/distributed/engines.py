"""The engines that there are, by name."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.distributed.engine import Engine, ThisProcess

Opens = Callable[[str | None, str, Messages], AbstractContextManager[Engine]]


def _on_ray(address: str | None, device: str, messages: Messages) -> AbstractContextManager[Engine]:
    from vae_anomaly_cli.distributed.ray_engine import ray_engine

    return ray_engine(address, device, messages)


ENGINES: Mapping[str, Opens] = {"ray": _on_ray}


@contextlib.contextmanager
def open_engine(name: str | None, address: str | None, device: str, messages: Messages) -> Iterator[Engine]:
    """Have an engine, and what it began ended.

    Parameters
    ----------
    name : str or None
        A key of `ENGINES`; None is this process.
    address : str or None
        Of its cluster.
    device : str
        Where the arithmetic runs.
    messages : Messages
        Says what it does.
    """
    if name is None:
        yield ThisProcess()
        return
    with ENGINES[name](address, device, messages) as engine:
        yield engine
