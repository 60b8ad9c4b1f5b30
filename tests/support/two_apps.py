"""A site with two apps of ours. Its identity provider is a key only: tests sign the messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from support import messages
from support.echo_app import SSO_URL, echo_app
from support.site import TRUSTED_WINDOWS_ONLY, Site

WIKI, PAYROLL = "wiki.apps.example.test", "payroll.apps.example.test"
ACS = "/saml/acs"


@contextmanager
def two_apps(site: Site, address: str = "127.0.0.1") -> Iterator[dict[str, Any]]:
    """Runs the echo app as both; gateway.yaml as a value. The wiki gates sign-ons, payroll every request."""
    keys = messages.key_descriptor(messages.rsa_key())
    (site.directory / "idp.xml").write_text(messages.idp_entity(keys, sso=SSO_URL))
    (site.directory / "policy.yaml").write_text(yaml.safe_dump(dict(TRUSTED_WINDOWS_ONLY)))
    with echo_app(address) as port:
        wiki, payroll = (_app(host, f"http://{address}:{port}") for host in (WIKI, PAYROLL))
        payroll["enforcement"] = "session"
        provider = {"name": "idp", "protocol": "saml2", "metadata": "idp.xml"}
        yield site.configuration([provider], [wiki, payroll])


def _app(host: str, upstream: str) -> dict[str, Any]:
    name = host.partition(".")[0]
    return {
        "name": name,
        "label": name.capitalize(),
        "host": host,
        "upstream": upstream,
        "protocol": "saml2",
        "identity_provider": "idp",
        "entity_id": f"https://{host}",
        "assertion_endpoints": [ACS],
        "policy": "policy.yaml",
    }
