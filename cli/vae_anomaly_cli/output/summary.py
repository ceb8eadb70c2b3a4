"""The summary of a command, for programs."""

from typing import Any

from vae_anomaly_cli.console import data_stream
from vae_anomaly_cli.sources import dumps


def write_summary(summary: dict[str, Any]) -> None:
    """Write one JSON object to standard output."""
    with data_stream() as stream:
        stream.write(f"{dumps(summary, indent=2)}\n".encode())
