"""`vae-anomaly info`: what is in a model file."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly_cli.console import data_stream, one_line
from vae_anomaly_cli.errors import InputError
from vae_anomaly_cli.options import check_model_path


def info(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="The whole manifest as JSON.")] = False,
) -> None:
    """Show what MODEL was fitted on and how, without building it."""
    check_model_path(model)
    from vae_anomaly import ModelFileError, read_manifest

    try:
        manifest = read_manifest(model)
    except ModelFileError as error:
        raise InputError(error) from error
    except OSError as error:
        raise InputError(f"{model} cannot be read: {error.strerror or error}.") from error
    if as_json:
        from vae_anomaly_cli.jsonl import dumps

        with data_stream() as stream:
            stream.write(f"{dumps(manifest, indent=2)}\n".encode())
        return
    console = Console(highlight=False)
    console.print(_facts(model, manifest))
    console.print(_columns(manifest))


def _facts(model: str, manifest: dict[str, Any]) -> RichTable:
    """Lay out what holds for the model as a whole."""
    report = manifest["fit_report"]
    contamination = manifest["contamination"]
    facts = {
        "model": model,
        "created": f"{manifest['created']} by vae-anomaly {manifest['library_version']}",
        "training rows": f"{manifest['n_training_rows']:,}",
        "features": f"{manifest['n_features']}",
        "threshold": f"{-manifest['offset']:.2f} nats (contamination {contamination})",
        "held-out ELBO" if report["n_validation_rows"] else "training ELBO": f"{report['elbo']:.2f} nats a row",
        "ensemble": f"{manifest['parameters']['n_estimators']} members, {manifest['latent_dim']} latent dimensions, "
        f"{report['n_iter']} training steps",
    }
    drawn = RichTable(box=None, show_header=False)
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, fact in facts.items():
        drawn.add_row(name, Text(one_line(fact)))
    return drawn


def _columns(manifest: dict[str, Any]) -> RichTable:
    """Lay out what each column was taken for."""
    drawn = RichTable()
    for heading in ("column", "kind", "likelihood", "because"):
        drawn.add_column(heading, overflow="fold")
    for column in manifest["columns"]:
        likelihood = column["likelihood"]
        used = likelihood is not None
        parts = column.get("parts", ())
        kinds = "\n".join([one_line(column["kind"]), *(f"+ {one_line(part['kind'])}" for part in parts)])
        holes = [part["reason"] for part in parts if part["kind"] == "missing" and not part["reason"].startswith("0 ")]
        because = "; ".join([column["reason"], *holes])
        drawn.add_row(
            Text(one_line(column["name"])),
            Text(kinds),
            Text(likelihood["name"] if used else "set aside"),
            Text(one_line(because)),
            style="" if used else "dim",
        )
    return drawn
