"""The demo's site: its names and addresses, and every file that the gateway and a browser need.

All host names are below ``localhost``, which browsers and curl take for this machine without asking any
name server (RFC 6761 §6.3), so that nothing has to be written into the system's hosts file.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from gateway.cli.demo_parts.messages import GROUP_CLAIM, Person
from gateway.cli.demo_parts.pki import web_server
from gateway.model.settings import ChallengeMode, Enforcement, FederationProtocol

LOOPBACK: Final = "127.0.0.1"
ORG_NAME: Final = "acme"
ORG_HOST: Final = "sso.localhost"
MTLS_DOMAIN: Final = "mtls.localhost"
PKCS12_PASSWORD: Final = "demo"  # noqa: S105 - printed for the person to type; the key lives as long as the demo
WINDOWS_BROWSER: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)

CORP_DEVICE: Final = "urn:uuid:00000000-0000-4000-8000-000000000004"  # as its certificate calls it

ALICE: Final = Person("alice@example.test", "Alice Ambrose", ("Everyone", "Editors"))
BOB: Final = Person("bob@example.test", "Bob Brown", ("Everyone",))
PEOPLE: Final = (ALICE, BOB)

POLICY: Final[Mapping[str, Any]] = {
    "name": "Trusted computers only",
    "default": "deny",
    "rules": [
        {
            "name": "Trusted computers",
            "platforms": ["windows", "macos", "linux"],
            "device_trust": "trusted",
            "access": "allow",
        }
    ],
}


@dataclass(frozen=True, slots=True)
class DemoApp:
    """One app behind the gateway. ``assertion_path`` is where it takes sign-ons."""

    name: str
    label: str
    protocol: FederationProtocol
    host: str
    assertion_path: str
    challenge: ChallengeMode
    enforcement: Enforcement


WIKI: Final = DemoApp(
    "wiki",
    "Team wiki",
    FederationProtocol.SAML2,
    "wiki.apps.localhost",
    "/saml/acs",
    ChallengeMode.REDIRECT,
    Enforcement.SIGN_ON,
)
PAYROLL: Final = DemoApp(
    "payroll",
    "Payroll",
    FederationProtocol.WS_FED,
    "payroll.apps.localhost",
    "/signin",
    ChallengeMode.FORM,
    Enforcement.SESSION,
)
APPS: Final = (WIKI, PAYROLL)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The ports of one run, all on loopback. ``upstream_ports`` is by the app's name."""

    https_port: int
    http_port: int
    metrics_port: int
    idp_port: int
    upstream_ports: Mapping[str, int]

    def origin(self, host: str) -> str:
        """What browsers see of a host behind the gateway."""
        return f"https://{host}:{self.https_port}"

    @property
    def idp_origin(self) -> str:
        return f"http://{LOOPBACK}:{self.idp_port}"

    def entity_id(self, app: DemoApp) -> str:
        """SAML entity ID, or WS-Federation realm."""
        return f"{self.origin(app.host)}/"

    def assertion_url(self, app: DemoApp) -> str:
        return self.origin(app.host) + app.assertion_path

    @property
    def org_origin(self) -> str:
        """Of the API."""
        return self.origin(ORG_HOST)

    @property
    def publication_url(self) -> str:
        """Where certificates say that CRLs and OCSP are found."""
        return f"http://{ORG_HOST}:{self.http_port}"

    @property
    def readiness_url(self) -> str:
        return f"http://{LOOPBACK}:{self.metrics_port}/readyz"


def write_site(directory: Path, addresses: Addresses) -> Path:
    """Server certificate, policy and gateway.yaml; the path of the last. The identity provider writes its
    metadata, `OtherAuthorities` what is known of other CAs than the built-in one."""
    root_pem, server = web_server([ORG_HOST, "localhost", "*.apps.localhost", f"*.{MTLS_DOMAIN}"])
    (directory / "web-root.pem").write_bytes(root_pem)
    (directory / "server.pem").write_bytes(server.certificate_pem)
    write_private(directory / "server.key", server.key_pem)
    (directory / "policy.yaml").write_text(yaml.safe_dump(dict(POLICY), sort_keys=False))
    file = directory / "gateway.yaml"
    file.write_text(yaml.safe_dump(_configuration(addresses), sort_keys=False))
    return file


def write_private(path: Path, content: bytes) -> None:
    """A new file that its owner alone may read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def claim_port(preferred: Sequence[int] = ()) -> socket.socket:
    """A socket at the first of these loopback ports that is free, or else at any that is. It listens: two
    that are only bound may have the same port."""
    for port in (*preferred, 0):
        claimed = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        claimed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            claimed.bind((LOOPBACK, port))
            claimed.listen()
        except OSError:
            claimed.close()
            if port == 0:
                raise
        else:
            return claimed
    raise AssertionError("port 0 is always tried last")


def port_of(claimed: socket.socket) -> int:
    port: int = claimed.getsockname()[1]
    return port


def _configuration(addresses: Addresses) -> dict[str, Any]:
    return {
        "org": {"name": ORG_NAME, "host": ORG_HOST, "mtls_domain": MTLS_DOMAIN},
        "listen": {
            "https": [f"{LOOPBACK}:{addresses.https_port}"],
            "http": [f"{LOOPBACK}:{addresses.http_port}"],
            "metrics": f"{LOOPBACK}:{addresses.metrics_port}",
            "workers": 2,
        },
        "tls": {"certificates": [{"certificate": "server.pem", "private_key": "server.key"}]},
        "device_trust": {
            "enabled": True,
            "enrollment": {"max_per_hour": 1_000},  # whoever tries it does so more often than a computer
            "authorities": [
                {"name": "builtin", "builtin": True},
                {"name": "corp", "certificates": "corp-ca.pem", "crls": ["corp.crl"]},
            ],
        },
        "identity_providers": [
            {"name": "saml", "protocol": "saml2", "metadata": "idp-saml.xml"},
            {
                "name": "ws-fed",
                "protocol": "ws-fed",
                "metadata": "idp-ws-fed.xml",
                "groups_attribute": GROUP_CLAIM,
            },
        ],
        "apps": [
            {
                "name": app.name,
                "label": app.label,
                "host": app.host,
                "upstream": f"http://{LOOPBACK}:{addresses.upstream_ports[app.name]}",
                "protocol": app.protocol.value,
                "identity_provider": "saml" if app.protocol is FederationProtocol.SAML2 else "ws-fed",
                "entity_id": addresses.entity_id(app),
                "assertion_endpoints": [app.assertion_path],
                "challenge": app.challenge.value,
                "enforcement": app.enforcement.value,
                "policy": "policy.yaml",
            }
            for app in APPS
        ],
    }
