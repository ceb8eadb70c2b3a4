"""Fitting on images, from options to exit."""

from pathlib import Path

from vae_anomaly_cli.console import Messages, data_stream
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.images.inputs import Problems, find_input
from vae_anomaly_cli.images.learning import learn_images
from vae_anomaly_cli.models import end_if_interrupted, save_model
from vae_anomaly_cli.options import Device, FitOptions
from vae_anomaly_cli.outputs import check_writable
from vae_anomaly_cli.sources import dumps, format_of_name, is_image


def fit_images(
    data: list[str], fit_options: FitOptions, output: str, device: Device, messages: Messages, *, as_json: bool
) -> None:
    """Fit, save the model, and say what was done."""
    path = Path(output)
    if format_of_name(path)[0] is not None or is_image(path):
        named = "an image" if is_image(path) else "a table"
        raise InputError(f"--output {output} is named like {named}; expected a name for a model, like parts.vae.")
    check_writable(path)
    source = find_input(data)
    problems = Problems(messages)
    learned = learn_images(source, fit_options, device, messages, problems.see)
    problems.tell()
    save_model(learned.detector, path)
    messages.note(f"{learned.done}; threshold {learned.threshold:,.2f} nats; written to {path}")
    if as_json:
        summary = learned.summary(source) | {"unusable": problems.count, "model": str(path)}
        with data_stream() as stream:
            stream.write(f"{dumps(summary, indent=2)}\n".encode())
    end_if_interrupted(learned.detector, path)
