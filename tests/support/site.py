"""A whole site on loopback for one test: authorities, server certificate, policy, gateway.yaml.

A site knows no processes: `support.gateway_process` runs the gateway of a site, `support.peers` the apps
behind it and the identity providers.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from support.browser import Browser
from support.peers import IdentityProvider, IdentityProviderKind, RelyingParty, RelyingPartyKind
from support.pki import Authority, Credential
from support.processes import free_port

MTLS_DOMAIN = "mtls.example.test"
DEVICE = "urn:uuid:7c5b1f04-2f5e-4d0c-9f7a-4a4f3b1f9d11"
LEARN_MORE_URL = "https://help.example.test/device-trust"

TRUSTED_WINDOWS_ONLY: Mapping[str, Any] = {
    "name": "Trusted Windows only",
    "default": "deny",
    "rules": [
        {"name": "Trusted Windows", "platforms": ["windows"], "device_trust": "trusted", "access": "allow"}
    ],
}
TRUSTED_LINUX_ONLY: Mapping[str, Any] = {
    "name": "Trusted Linux only",
    "default": "deny",
    "rules": [
        {"name": "Trusted Linux", "platforms": ["linux"], "device_trust": "trusted", "access": "allow"}
    ],
}


class Site:
    """Addresses, keys and configuration. Everything is written below ``directory``."""

    def __init__(self, directory: Path, *, user: str = "alice@example.test") -> None:
        self.directory = directory
        self.user = user
        self.https_port = free_port()
        self.metrics_port = free_port()
        self.web = Authority.create_root("Web root")
        self.corp_root = Authority.create_root("Corp root")
        self.corp = self.corp_root.issue_intermediate("Corp devices")
        self.other = Authority.create_root("Other root").issue_intermediate("Other devices")
        names = ["sso.example.test", "*.apps.example.test", f"*.{MTLS_DOMAIN}"]
        self.web.issue_server(names).write(directory, "server")
        (directory / "corp-ca.pem").write_bytes(self.corp.trust_pem)
        (directory / "corp-root.crl").write_bytes(self.corp_root.crl())
        self.revoked: list[Credential] = []
        self.revoke()

    def public_base(self, host: str) -> str:
        return f"https://{host}:{self.https_port}"

    def issue(
        self, *, user: str | None = None, authority: Authority | None = None, **details: Any
    ) -> Credential:
        """A device certificate for this site's user and device, unless told otherwise."""
        return (authority or self.corp).issue_client(DEVICE, user or self.user, **details)

    def issue_expired(self) -> Credential:
        now = datetime.now(UTC)
        return self.issue(not_before=now - timedelta(days=9), not_after=now - timedelta(days=1))

    def revoke(self, *credentials: Credential) -> None:
        """Replace the CRL of the device authority by a newer one that has these on it, too. The gateway has
        read it when its metric ``devicetrust_revoked_certificates`` is the length of ``revoked``."""
        self.revoked.extend(credentials)
        new = self.directory / "corp.crl.new"
        new.write_bytes(self.corp.crl(self.revoked))
        new.replace(self.directory / "corp.crl")

    def browser(
        self, credential: Credential | None = None, login: Mapping[str, str] | None = None
    ) -> Browser:
        """A small browser that trusts the site and has this certificate, or none."""
        files = None
        if credential is not None:
            files = credential.write(self.directory, f"client-{credential.serial_number:x}")
        return Browser(self.web.pem.decode(), files, login or {}, mtls_domain=MTLS_DOMAIN)

    def app(self, name: str, relying_party: RelyingParty, **changes: Any) -> dict[str, Any]:
        """The ``apps`` entry of a relying party that was planned with `public_base` of its host. Its
        identity provider's entry has the app's name, unless ``changes`` says otherwise."""
        ws_fed = relying_party.kind is RelyingPartyKind.PASSPORT_WSFED
        policy = changes.pop("policy", TRUSTED_WINDOWS_ONLY)
        policy_file = self.directory / f"policy-{name}.yaml"
        policy_file.write_text(yaml.safe_dump(dict(policy), sort_keys=False))
        return {
            "name": name,
            "label": name.capitalize(),
            "host": relying_party.public_base.removeprefix("https://").partition(":")[0],
            "upstream": relying_party.upstream,
            "protocol": "ws-fed" if ws_fed else "saml2",
            "identity_provider": name,
            "entity_id": relying_party.entity_id,
            "assertion_endpoints": [relying_party.assertion_path],
            "policy": policy_file.name,
            **changes,
        }

    @staticmethod
    def identity_provider(name: str, idp: IdentityProvider, **changes: Any) -> dict[str, Any]:
        """The ``identity_providers`` entry of a running identity provider."""
        ws_fed = idp.kind in (IdentityProviderKind.WSFED, IdentityProviderKind.SIMPLESAMLPHP_WSFED)
        entry: dict[str, Any] = {
            "name": name,
            "protocol": "ws-fed" if ws_fed else "saml2",
            "metadata": str(idp.metadata),
        }
        if ws_fed:
            entry["groups_attribute"] = "http://schemas.xmlsoap.org/claims/Group"
        return {**entry, **changes}

    def configuration(
        self, identity_providers: Sequence[Mapping[str, Any]], apps: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """gateway.yaml as a value."""
        return {
            "org": {"name": "acme", "host": "sso.example.test", "mtls_domain": MTLS_DOMAIN},
            "listen": {
                "https": [f"127.0.0.1:{self.https_port}"],
                "metrics": f"127.0.0.1:{self.metrics_port}",
            },
            "store": "none",
            "tls": {"certificates": [{"certificate": "server.pem", "private_key": "server.key"}]},
            "device_trust": {
                "enabled": True,
                "learn_more_url": LEARN_MORE_URL,
                "authorities": [
                    {
                        "name": "corp",
                        "certificates": "corp-ca.pem",
                        "crls": ["corp-root.crl", "corp.crl"],
                    }
                ],
            },
            "identity_providers": [dict(entry) for entry in identity_providers],
            "apps": [dict(entry) for entry in apps],
        }
