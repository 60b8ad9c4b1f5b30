"""The JSON Schema that editors use: complete, described, and in the language of the file."""

import json
from collections.abc import Iterator
from typing import Any

from gateway.config.schema import json_schema


def properties(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        for name, value in node.get("properties", {}).items():
            yield f"{path}/{name}", value
        for key, value in node.items():
            yield from properties(value, f"{path}/{key}")


def test_every_key_is_explained() -> None:
    unexplained = [
        path
        for path, value in properties(json_schema())
        if not value.get("description") and "/stale_crl/" not in path
    ]
    assert unexplained == []


def test_unknown_keys_are_marked_in_every_section() -> None:
    sections = json_schema()["$defs"]
    assert {
        name for name, section in sections.items() if section["additionalProperties"] is not False
    } == set()


def test_defaults_and_choices_are_written_as_in_the_file() -> None:
    sections = json_schema()["$defs"]
    assert sections["AppSection"]["properties"]["session_lifetime"]["default"] == "8h"
    assert sections["AuthoritySection"]["properties"]["stale_crl"]["default"] == "deny"
    assert sections["ListenSection"]["properties"]["workers"]["anyOf"][0] == {"const": "auto"}
    assert sections["TlsSection"]["properties"]["mtls_minimum_version"]["enum"] == ["1.2", "1.3"]


def test_it_says_which_json_schema_it_is_and_what_is_required() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["required"]) == {"org", "listen", "tls", "device_trust", "identity_providers", "apps"}
