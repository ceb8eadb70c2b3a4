"""`vae-anomaly info`: what is in a model file."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from vae_anomaly_cli.command import Option, command
from vae_anomaly_cli.options import Json, KeyFile, check_model_path
from vae_anomaly_cli.signing import signing_key, use_key

if TYPE_CHECKING:
    from vae_anomaly_cli.render.taught import Taught

HELP = """Show what a model was fitted on and how, without building it, and whether the file is as it was written.

\b
[bold]Examples[/bold]
  vae-anomaly info orders.vae
  vae-anomaly info orders.vae --json | jq .offset

The file is read once for its checksum, which finds damage. Whether somebody changed it only a signature tells: give \
the key that it was signed with, and a file that is not is refused. Whoever has the key can sign; for a signature that \
others can verify without, sign the file itself, with minisign or cosign: the same fit gives the same bytes.

Of a model that has learned from a review (vae-anomaly learn) it says from how many answers, and what changed the most.

Of a file with a model for each group of rows (vae-anomaly fit --by) it says which groups have one.

It says what of the training data the file contains: text as it is, text as keyed hashes, numbers, fingerprints.
"""


@dataclass(frozen=True)
class InfoOptions:
    """Which model to show."""

    model: Annotated[str, Option("Model file.", metavar="MODEL", is_argument=True, is_path=True)]
    as_json: Json = False
    key_file: KeyFile = None

    def __post_init__(self) -> None:
        """Read the key early."""
        use_key(self.key_file)


@command(HELP)
def info(showing: InfoOptions) -> None:
    """Show what MODEL was fitted on and how, without building it."""
    model = showing.model
    check_model_path(model)
    from vae_anomaly import read_manifest
    from vae_anomaly_cli.models import located, model_errors

    with model_errors(model):
        manifest = read_manifest(located(model), key=signing_key())
    taught = _taught(model) if manifest.get("answers") is not None else None
    if showing.as_json:
        from vae_anomaly_cli.output.summary import write_summary
        from vae_anomaly_cli.render.contents import DataContents

        if manifest["kind"] == "groups":
            write_summary(manifest)
            return
        columns = [column | _text_read_as(column) for column in manifest["columns"]]
        answers = {} if taught is None else {"answers": manifest["answers"] | taught.describe()}
        contents = {"contents": DataContents.of(manifest).describe()}
        write_summary(manifest | {"columns": columns} | answers | contents)
        return
    from vae_anomaly_cli.render.manifest import show_manifest

    show_manifest(model, manifest, {} if taught is None else taught.facts())


def _taught(model: str) -> "Taught":
    """Read what reviewed rows taught a model; it takes building it, as nothing else here does."""
    from vae_anomaly_cli.models import open_model
    from vae_anomaly_cli.options import Device
    from vae_anomaly_cli.render.taught import Taught

    return Taught.of(open_model(model, Device.CPU))


def _text_read_as(column: dict[str, Any]) -> dict[str, str]:
    """How the text of a column is read, in words, beside its format; nothing where there is nothing to say."""
    found = column.get("text_format")
    described = found["fields"]["description"] if found else ""
    return {"text_read_as": described} if described else {}
