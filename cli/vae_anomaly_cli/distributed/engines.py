"""The engines that there are, by name."""

from collections.abc import Callable, Mapping

from vae_anomaly_cli.console import Messages
from vae_anomaly_cli.distributed.part_work import Engine, ThisProcess


def _on_ray(address: str | None, device: str, messages: Messages) -> Engine:
    from vae_anomaly_cli.distributed.ray_engine import RayEngine

    return RayEngine(address, device, messages)


ENGINES: Mapping[str, Callable[[str | None, str, Messages], Engine]] = {"ray": _on_ray}


def open_engine(name: str | None, address: str | None, device: str, messages: Messages) -> Engine:
    """Return an engine.

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
    return ThisProcess() if name is None else ENGINES[name](address, device, messages)
