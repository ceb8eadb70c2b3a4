"""What is in a model file, for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table as RichTable
from rich.text import Text

from vae_anomaly_cli.console import counted, one_line
from vae_anomaly_cli.models import EXPECTATIONS
from vae_anomaly_cli.options import DEFAULT
from vae_anomaly_cli.render.contents import DataContents
from vae_anomaly_cli.render.drawings import percent, show

GROUPS, MAX_SHOWN_GROUPS = "groups", 20
# Parameters of rules for thresholds that people choose.
ASKED = ("contamination", "false_alarm_rate", "confidence", "n_alerts", "per", "missed_cost")


def show_manifest(model: str, manifest: dict[str, Any], taught: Mapping[str, str]) -> None:
    """Draw what a model was fitted on, what reviewed rows taught it, and what its columns were taken for."""
    if manifest["kind"] == GROUPS:
        show(_fact_table(_group_facts(model, manifest)), _largest_groups(manifest))
        return
    show(_facts(model, manifest, taught), _columns(manifest))


def _facts(model: str, manifest: dict[str, Any], taught: Mapping[str, str]) -> RichTable:
    """Lay out what holds for the model as a whole."""
    images = manifest.get("images")
    row = "row" if images is None else "image"
    if manifest["kind"] == "feature_maps":
        return _fact_table(
            {
                "model": model,
                **_file_facts(manifest),
                "training images": f"{manifest['n_training_images']:,}",
                **_image_facts(manifest),
                **_decision_facts(manifest["decisions"], row),
            }
        )
    report = manifest["fit_report"]
    windows = manifest["windows"] if manifest["kind"] == "patches" else []
    model_of = windows[-1] if windows else manifest
    n_members = model_of.get("n_members", manifest["parameters"]["n_estimators"])
    n_training = manifest["n_training_images"] if windows else manifest["n_training_rows"]
    facts = {
        "model": model,
        **_file_facts(manifest),
        f"training {row}s": f"{n_training:,}",
        **_preset_facts(manifest["parameters"]),
        **({"features": f"{manifest['n_features']}"} if images is None else _image_facts(manifest)),
        **_role_facts(manifest["column_roles"]),
        **_baseline_facts(manifest),
        **_decision_facts(manifest["decisions"], row),
        **taught,
        "held-out ELBO" if report["n_validation_rows"] else "training ELBO": "not known"
        if report["elbo"] is None
        else f"{report['elbo']:,.2f} nats per {'patch' if windows else row}",
        "ensemble": f"{counted(n_members, 'member')}, {model_of['latent_dim']} latent dimensions, "
        f"{report['n_iter']} training steps",
        **DataContents.of(manifest).facts(row),
    }
    return _fact_table(facts)


def _fact_table(facts: Mapping[str, str]) -> RichTable:
    drawn = RichTable(box=None, show_header=False)
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, fact in facts.items():
        drawn.add_row(name, Text(one_line(fact)))
    return drawn


def _group_facts(model: str, manifest: dict[str, Any]) -> dict[str, str]:
    """Lay out what holds for a file with a model for each group of rows."""
    groups, failed, small = manifest["groups"], manifest["failed"], manifest["small"]
    facts = {
        "model": model,
        **_file_facts(manifest),
        "by": manifest["by"],
        "groups": f"{len(groups):,} with a model of their own, of {sum(group['n_rows'] for group in groups):,} rows",
    }
    if small["n_groups"]:
        facts["too few rows"] = (
            f"{counted(small['n_groups'], 'group')} below {manifest['min_rows']:,} rows, {small['n_rows']:,} in all: "
            "judged by the pooled model"
        )
    if failed:
        names = ", ".join(group["name"] for group in failed[:MAX_SHOWN_GROUPS])
        facts["failed"] = f"{counted(len(failed), 'group')}, judged by the pooled model: {names}"
    return facts | _role_facts(manifest["column_roles"])


def _largest_groups(manifest: dict[str, Any]) -> RichTable:
    """Lay out the groups with the most rows."""
    groups = sorted(manifest["groups"], key=lambda group: -group["n_rows"])
    more = len(groups) - MAX_SHOWN_GROUPS
    drawn = RichTable(title=None if more <= 0 else f"the largest of {len(groups):,} groups; --json has all")
    drawn.add_column("group", overflow="fold")
    drawn.add_column("training rows", justify="right")
    for group in groups[:MAX_SHOWN_GROUPS]:
        drawn.add_row(Text(one_line(group["name"])), f"{group['n_rows']:,}")
    return drawn


def _file_facts(manifest: dict[str, Any]) -> dict[str, str]:
    """Lay out who wrote the file, and whether it is as it was written."""
    created = f"{manifest['created']} " if "created" in manifest else ""
    checksum, signature = manifest["integrity"]["sha256"], manifest["integrity"]["signature"]
    facts = {
        "written": f"{created}by vae-anomaly {manifest['library_version']}, format {manifest['format_version']}",
        "checksum": "none, written by an earlier version" if checksum is None else f"sha256 {checksum} (holds)",
    }
    if signature == "none":
        return facts
    known = "verified with the key" if signature == "verified" else "not verified; give --key-file"
    return facts | {"signature": f"signed, {known}"}


def _preset_facts(parameters: dict[str, Any]) -> dict[str, str]:
    """Lay out what the training rows were taken for; models of patches and of earlier versions have no preset."""
    preset = parameters.get("preset", DEFAULT)
    return {"preset": EXPECTATIONS[preset]} if preset in EXPECTATIONS else {}


def _role_facts(roles: dict[str, Any]) -> dict[str, str]:
    """Lay out which columns were no features."""
    facts = {"id": ", ".join(roles["ids"]), "dropped": ", ".join(roles["dropped"])}
    if roles["label"] is not None:
        anomalous, normal = roles["anomalous"], ", ".join(roles["normal"])
        meaning = f" ({anomalous} = anomaly)" if anomalous is not None else f" ({normal} = normal)" if normal else ""
        facts["label"] = f"{roles['label']}{meaning}"
    return {name: fact for name, fact in facts.items() if fact}


def _baseline_facts(manifest: dict[str, Any]) -> dict[str, str]:
    """Lay out what numbers of rows are compared with."""
    baseline = manifest.get("baseline")
    if baseline is None:
        return {}
    names = [column["name"] for column in manifest["columns"]]
    levels = [
        f"{names[key]} ({n_groups:,} groups)"
        for key, n_groups in zip(baseline["keys"], baseline["n_groups"], strict=True)
    ]
    logarithmic = [names[column["position"]] for column in baseline["columns"] if column["asinh_scale"]]
    others = [names[column["position"]] for column in baseline["columns"] if not column["asinh_scale"]]
    compared = ([f"{', '.join(logarithmic)} on a logarithmic scale"] if logarithmic else []) + (
        [", ".join(others)] if others else []
    )
    facts = {"compared by": " / ".join(levels) or "all rows", "compared": "; ".join(compared)}
    if manifest["parameters"]["baseline_units"] == "group":
        facts["compared"] += "; scores in units of the spread of the group"
    if baseline["seasons"] is not None:
        used = ", ".join(baseline["seasons"]["used"]) or "nothing"
        facts["in time"] = f"{used} of {names[baseline['time']]}"
    return facts


def _decision_facts(decisions: dict[str, Any], row: str) -> dict[str, str]:
    """Lay out the threshold with what it promises, and the rows that it follows from."""
    from vae_anomaly.decisions import Threshold

    threshold, calibration = Threshold(**decisions["threshold"]), decisions["calibration"]
    asked = [
        f"{name} {value:g}".replace("_", " ")
        for name, value in threshold.parameters.items()
        if name in ASKED and value is not None
    ]
    rule = ", ".join(asked) or threshold.rule
    facts = {"threshold": f"{threshold.score:,.2f} nats ({rule})"}
    if threshold.expected_rate is not None:
        share = f"{percent(threshold.expected_rate)} of the {row}s fitted"
        if threshold.kind != "training":
            share = f"{percent(threshold.expected_rate)} of new normal {row}s expected"
        if threshold.rate_bound is not None:
            bound = percent(threshold.rate_bound, upwards=True)
            share += f", at most {bound} with {percent(threshold.confidence)} confidence"
        facts["flagged"] = share
    if calibration is None:
        return facts | {"calibration": "none: nothing is known of new rows; see vae-anomaly calibrate"}
    kept = f"{threshold.n_calibration:,} {row}s"
    n_folds = calibration["n_folds"]
    folds = f"{kept}, each scored by a model that has not seen it{f' ({n_folds} folds)' if n_folds > 1 else ''}"
    text = folds if calibration["kind"] == "cross" else f"{kept} that the model has not seen"
    if calibration["group_column"] is not None:
        text += f", by '{calibration['group_column']}'"
    dropped = calibration["n_confirmed"]
    return facts | {"calibration": f"{text}; {dropped:,} dropped after an audit" if dropped else text}


def _image_facts(manifest: dict[str, Any]) -> dict[str, str]:
    """Lay out what holds for a model of images."""
    from vae_anomaly_cli.image_model import describe_depth

    channels = manifest["columns"]
    images = manifest["images"]
    size = f"{images['height']}x{images['width']} pixels (height x width)"
    levels = describe_depth(len(channels), images["depth"] or _depth(channels))
    facts = {"images": f"{size}, {levels}"}
    augment = manifest["parameters"].get("augment")
    if augment:
        facts["augmented by"] = ", ".join(map(str, [augment] if isinstance(augment, str) else augment))
    if manifest["kind"] == "feature_maps":
        return facts | _network_facts(manifest)
    windows = manifest["windows"] if manifest["kind"] == "patches" else None
    if windows is None:
        return facts | {"backbone": _named(manifest["backbone"]), "score": _named(manifest["score"])}
    sides = " and ".join(f"{one['target']}x{one['target']}" for one in windows)
    model = "hidden and predicted" if manifest["parameters"]["model"] == "masked" else "seen whole"
    positions = "weighed by position" if manifest["by_position"] else "all positions alike"
    return facts | {"patches": f"{sides} pixels, {model}, {positions}"}


def _network_facts(manifest: dict[str, Any]) -> dict[str, str]:
    """Lay out whose features a model has densities of."""
    weights = manifest["network_weights"]
    if weights is None:
        return {"features": "of a network without a name, which the file does not hold"}
    name, source, license_, checksum = (one_line(weights[key]) for key in ("network", "source", "license", "sha256"))
    return {"features": f"of {name}, weights from {source} ({license_}), SHA-256 {checksum[:12]}..."}


def _depth(channels: list[dict[str, Any]]) -> int | None:
    """Bits of an image, by its highest level; None for floats."""
    from vae_anomaly.columns import LEVELS_OF_DEPTH

    if not any(channel.get("resolution") or _likelihood_of(channel) == "bernoulli" for channel in channels):
        return None
    top = max(channel.get("high") or 0 for channel in channels)
    return next((depth for depth, levels in LEVELS_OF_DEPTH.items() if levels == top), 8)


def _named(entry: dict[str, Any] | str) -> str:
    if isinstance(entry, str):
        return entry
    fields = ", ".join(f"{name} {value}" for name, value in entry["fields"].items())
    return f"{entry['name']} ({fields})" if fields else str(entry["name"])


def _likelihood_of(column: dict[str, Any]) -> str | None:
    return None if column["likelihood"] is None else str(column["likelihood"]["name"])


def _likelihood_name(entry: dict[str, Any]) -> str:
    """Of a likelihood that wraps another one, both names."""
    base = entry["fields"].get("base")
    return str(entry["name"]) if base is None else f"{entry['name']}_{_likelihood_name(base)}"


def _columns(manifest: dict[str, Any]) -> RichTable:
    """Lay out what each column was taken for."""
    drawn = RichTable()
    for heading in ("column" if manifest.get("images") is None else "channel", "kind", "likelihood", "because"):
        drawn.add_column(heading, overflow="fold")
    for column in manifest["columns"]:
        likelihood = column["likelihood"]
        parts = column.get("parts", ())
        used = likelihood is not None or bool(parts)
        kinds = "\n".join([one_line(column["kind"]), *(f"+ {one_line(part['kind'])}" for part in parts)])
        missing = [part["reason"] for part in parts if part["kind"] == "missing"]
        because = "; ".join([column["reason"], *missing])
        drawn.add_row(
            Text(one_line(column["name"])),
            Text(kinds),
            Text(
                one_line(_likelihood_name(likelihood))
                if likelihood is not None
                else "parts alone"
                if used
                else "set aside"
            ),
            Text(one_line(because)),
            style="" if used else "dim",
        )
    return drawn
