"""`devicetrust doctor`: the seed product's troubleshooting chapter, walked through at the server."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Final

import click
from typing_extensions import override

from gateway.adapters.plugins import PlugInError, load_condition_parsers
from gateway.adapters.store import Store
from gateway.adapters.store.address import store_address
from gateway.agent.doctor.probes import PROBE_SECONDS, Probe, run_probes
from gateway.cli.check import find
from gateway.cli.doctor_parts import enablement, listener, web_apps
from gateway.cli.doctor_parts.logged import judge_log
from gateway.cli.doctor_parts.policies import judge_policy
from gateway.cli.doctor_parts.store_seen import StoreSeen, policies_of_files, read_store
from gateway.config.errors import ConfigError
from gateway.config.iwa_load import load_iwa_settings
from gateway.config.load import load_settings
from gateway.config.material import load_material
from gateway.config.org_configuration import org_configuration
from gateway.model.checkup import Check, as_json, exit_code, report
from gateway.model.issued import AuthorityStatus
from gateway.model.iwa import Iwa
from gateway.model.settings import GatewaySettings
from gateway.model.store_errors import StoreError, StoreUnavailable
from gateway.pki.certificate import Certificate, parse_certificate
from gateway.pki.names import COMMON_NAME
from gateway.server.org_socket import SOCKET_NAME
from gateway.server.short_path import short_path
from gateway.services.material import Material
from gateway.services.org_configuration import OrgConfiguration

_SECONDS: Final = 5.0
_DEFAULT: Final = "gateway.yaml"


@click.command(
    epilog="""\b
Examples:
  devicetrust doctor -c gateway.yaml
  devicetrust doctor --iwa iwa.yaml                  at the machine of an IWA web app
  devicetrust doctor --json | jq '.checks[] | select(.state == "failed")'
\b
Exit code: 0 nothing failed (there may be warnings), 1 something did, 2 a configuration cannot be read."""
)
@click.option("-c", "--config", "config_path", metavar="FILE", help="Configuration file of the gateway.")
@click.option(
    "--iwa", "iwa_path", metavar="FILE", help="Configuration file of an IWA web app, at its machine."
)
@click.option("--json", "as_json_wanted", is_flag=True, help="Print the result as JSON.")
def doctor(config_path: str | None, iwa_path: str | None, as_json_wanted: bool) -> int:
    """Find out why devices are not trusted, or untrusted ones come in.

    Looks at IWA web apps, enablement, authority, mTLS handshake, sign-on policies and System Log, and says
    for each what was seen and what to do. Asks the running gateway and the network; changes nothing. Without
    options it reads gateway.yaml; with --iwa alone only what concerns the IWA web app.
    """
    probes: list[Probe] = []
    if iwa_path is not None:
        from gateway.cli.doctor_parts.iwa_host import iwa_probes

        probes += iwa_probes(load_iwa_settings(iwa_path))
    if config_path is not None or iwa_path is None:
        probes += gateway_probes(load_settings(config_path or _DEFAULT), config_path or _DEFAULT)
    checks = run_probes(probes, PROBE_SECONDS)
    if as_json_wanted:
        click.echo(json.dumps(as_json(checks), indent=2, ensure_ascii=False))
    else:
        for line in report(checks):
            click.echo(line)
    return exit_code(checks)


def gateway_probes(settings: GatewaySettings, path: str) -> list[Probe]:
    return [
        Probe(
            enablement.CONFIGURATION,
            lambda: [enablement.judge_configuration(path, find(settings, datetime.now(UTC)))],
        ),
        Probe(enablement.ORG_PROCESS, lambda: [_org_process(settings, path)]),
        Probe(enablement.STORE, lambda: _of_store(settings, path)),
        Probe(listener.NAMES, lambda: [listener.judge_names(listener.unresolved(settings))]),
    ]


def _org_process(settings: GatewaySettings, path: str) -> Check:
    if settings.store_url is None:
        return enablement.ORG_PROCESS.skipped(f"{path} says store: none, so there is no org")
    try:
        with short_path(settings.keys_directory) as place:
            connection = _OverSocket(settings.org_host, f"{place}/{SOCKET_NAME}")
            with contextlib.closing(connection):
                connection.request("GET", "/enroll/discovery")
                status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        trouble = getattr(error, "strerror", None) or str(error)
        return enablement.judge_org_process(None, f"{settings.keys_directory}/{SOCKET_NAME}: {trouble}", path)
    return enablement.judge_org_process(status, "", path)


def _of_store(settings: GatewaySettings, path: str) -> Iterator[Check]:
    """What is in the store, and what is held against it: clients' view of the listener, the IWA web apps."""
    now = datetime.now(UTC)
    try:
        parsers = load_condition_parsers()
        material = load_material(path, parsers, now)
        configuration = org_configuration(settings, parsers)
    except (ConfigError, PlugInError) as error:
        yield enablement.STORE.skipped(f"the configuration cannot be used: {error}")
        return
    if settings.store_url is None:
        yield enablement.judge_switch(settings.device_trust_enabled, path)
        yield from listener.judge_listener(settings, material.certificates, _names(material, None))
        for policy in policies_of_files(material):
            yield judge_policy(policy)
        return
    try:
        seen = _read(settings.store_url, configuration, now)
    except StoreError as error:
        yield enablement.STORE.failed(str(error), "see that it can be used: devicetrust store status")
        yield from listener.judge_listener(settings, material.certificates, _names(material, None))
        return
    yield enablement.STORE.ok("opens, and has the tables of this version")
    yield enablement.judge_switch(seen.device_trust_enabled, path)
    yield enablement.judge_read_only(seen)
    yield from enablement.judge_authority(seen, settings, now)
    if seen.iwas or any(each.builtin for each in settings.authorities):
        yield enablement.judge_people(seen, settings)
        yield from web_apps.judge_registered(seen.iwas)
        yield from _asked(seen)
    yield from listener.judge_listener(settings, material.certificates, _names(material, seen))
    for each in seen.policies:
        yield judge_policy(each)
    yield from judge_log(seen.log)


def _read(url: str, configuration: OrgConfiguration, now: datetime) -> StoreSeen:
    """Raises StoreError, also for a file that is not there: it would be made."""
    file = store_address(url).sqlite_file
    if file is not None and not file.exists():
        raise StoreUnavailable(f"{file} is not there yet; the gateway makes it when it starts")
    store = Store.open(url)
    try:
        return read_store(store, configuration, now)
    finally:
        store.close()


def _asked(seen: StoreSeen) -> list[Check]:
    """The IWA web apps, all at once."""
    probes = [
        Probe(
            web_apps.REGISTERED,
            partial(_asked_about, iwa),
        )
        for iwa in seen.iwas
        if iwa.enabled
    ]
    return run_probes(probes, PROBE_SECONDS * 0.6)


def _asked_about(iwa: Iwa) -> Iterator[Check]:
    yield web_apps.judge_about(iwa, web_apps.ask_about(iwa.url))


def _names(material: Material, seen: StoreSeen | None) -> list[str]:
    """Of the authorities whose certificates the mTLS host has to ask for."""
    certificates: list[Certificate] = [one for each in material.authorities for one in each.certificates]
    if seen is not None and any(each.builtin for each in material.settings.authorities):
        certificates += [
            parse_certificate(each.certificate_der)
            for each in seen.authorities
            if each.status is not AuthorityStatus.RETIRED
        ]
    found = (
        next((str(value) for kind, value in each.subject_attributes if kind == COMMON_NAME), None)
        for each in certificates
    )
    return list(dict.fromkeys(name for name in found if name is not None))


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, host: str, path: str) -> None:
        super().__init__(host, timeout=_SECONDS)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)
