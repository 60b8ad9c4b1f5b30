"""TLS contexts over a reload: kept as long as they are made of the same, new where anything differs."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.site import Site
from support.two_apps import two_apps

from gateway.cli.loading import loader_for
from gateway.pki.authority import TrustSnapshot
from gateway.pki.revocation import RevocationIndex
from gateway.server.hosts import HostTable, host_table
from gateway.services.snapshot import build_snapshot

Change = Callable[[Site, dict[str, Any]], object]


def table(configuration: dict[str, Any], directory: Path, former: HostTable | None) -> HostTable:
    file = directory / "gateway.yaml"
    file.write_text(json.dumps(configuration))
    material = loader_for(str(file))(datetime.now(UTC))
    trust = TrustSnapshot(True, material.authorities, RevocationIndex(), 1)
    return host_table(build_snapshot(material, trust), material.certificates, None, former)


def new_certificate(site: Site, _: dict[str, Any]) -> None:
    names = ["sso.example.test", "*.apps.example.test", "*.mtls.example.test"]
    site.web.issue_server(names).write(site.directory, "server")


def other_authority(site: Site, _: dict[str, Any]) -> None:
    (site.directory / "corp-ca.pem").write_bytes(site.other.trust_pem)


def newer_version(_: Site, configuration: dict[str, Any]) -> None:
    configuration["tls"]["mtls_minimum_version"] = "1.3"


def other_label(_: Site, configuration: dict[str, Any]) -> None:
    configuration["apps"][0]["label"] = "Another"


@pytest.mark.parametrize(
    ("change", "app_is_kept", "mtls_is_kept"),
    [
        (other_label, True, True),
        (other_authority, True, False),
        (newer_version, True, False),
        (new_certificate, False, False),
    ],
    ids=["nothing of TLS", "another authority of devices", "another version", "another certificate"],
)
def test_a_context_is_kept_while_it_is_made_of_the_same(
    tmp_path: Path, change: Change, app_is_kept: bool, mtls_is_kept: bool
) -> None:
    site = Site(tmp_path)
    with two_apps(site) as configuration:
        before = table(configuration, tmp_path, None)
        change(site, configuration)
        after = table(configuration, tmp_path, before)
    host = "wiki.apps.example.test"
    assert (before.contexts[host] is after.contexts[host]) is app_is_kept
    assert (before.mtls is after.mtls) is mtls_is_kept
