"""JSON of names that are not UTF-8."""

import json

from vae_anomaly_cli.sources.json_values import dumps


def test_name_that_is_not_utf_8_is_escaped() -> None:
    name = b"bad\xff.csv".decode("utf-8", "surrogateescape")
    text = dumps({"input": name, "größe": 1})
    assert json.loads(text.encode()) == {"input": name, "größe": 1}
