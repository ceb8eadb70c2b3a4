"""`vae-anomaly export`: a model of tables as an ONNX file."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vae_anomaly_cli.command import Option, command
from vae_anomaly_cli.console import Messages, counted
from vae_anomaly_cli.errors import CommandError, InputError
from vae_anomaly_cli.options import RunOptions, check_model_path

if TYPE_CHECKING:
    from vae_anomaly import VAEDetector

LIBRARIES = ("onnx", "onnxruntime")
INSTALL = 'python -m pip install "vae-anomaly[onnx]"'

HELP = f"""Write the scorer of MODEL, which is one of tables, as an ONNX file that runs without PyTorch.

\b
[bold]Examples[/bold]
  vae-anomaly export orders.vae orders.onnx

The file scores as the model does: from the cells as they are given to the score in nats, with the threshold that the \
model has now. Before it is written, its scores of rows that the model draws are compared with the model's.

In Python, vae_anomaly.OnnxModel scores tables with it, and needs neither PyTorch nor scikit-learn to be loaded; any \
other runtime for ONNX takes numbers. What the columns are is in the metadata of the file, and text that few rows hold \
is in it as keyed hashes, as in a model file.

It needs onnx and ONNX Runtime: {INSTALL}

Exit codes: see vae-anomaly --help.
"""


@dataclass(frozen=True)
class ExportOptions:
    """Which model to export, and where to."""

    model: Annotated[str, Option("Model file.", metavar="MODEL", is_argument=True, is_path=True)]
    exported: Annotated[
        str,
        Option("Where the ONNX file goes, like orders.onnx.", metavar="ONNX", is_argument=True, is_path=True),
    ]

    def __post_init__(self) -> None:
        """Refuse what cannot be, before the library is loaded."""
        missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
        if missing:
            raise InputError(f"{missing[0]} is not installed, and export needs it. Install it with: {INSTALL}")
        check_model_path(self.model)


@command(HELP)
def export(exporting: ExportOptions, run: RunOptions, messages: Messages) -> None:
    """Write the scorer of MODEL as an ONNX file."""
    from vae_anomaly.files import are_one_file
    from vae_anomaly_cli.models import load_detector
    from vae_anomaly_cli.output.targets import choose_model_path

    path = choose_model_path(exporting.exported, option="ONNX")
    if not isinstance(path, Path):
        raise InputError(f"ONNX {path}: expected a path. Export to a file, and copy it to the store.")
    if are_one_file(exporting.model, path):
        raise InputError(f"ONNX {path} is the model itself, which would be lost. Name another file, like model.onnx.")
    with messages.library_warnings():
        detector = load_detector(exporting.model, run.device, of_images=False)
        _write(detector, path)
    size = path.stat().st_size
    messages.note(
        f"exported {exporting.model} with {counted(len(detector.columns_), 'column')} to {path}: {size / 1024:,.0f} "
        "KiB, whose scores are those of the model"
    )


def _write(detector: "VAEDetector", path: Path) -> None:
    from vae_anomaly import ExportError, NotInstalled, SpecificationError, export_onnx

    try:
        export_onnx(detector, path)
    except (NotInstalled, SpecificationError) as error:
        raise InputError(error) from error
    except ExportError as error:
        raise CommandError(error) from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error
