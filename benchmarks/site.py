"""Keys, messages, ports and gateway.yaml of the installation that is measured."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from support import messages
from support.pki import Authority, Credential, write_private
from support.processes import free_port

APP_HOST: Final = "wiki.apps.example.test"
MTLS_DOMAIN: Final = "mtls.example.test"
USER: Final = "alice@example.test"
DEVICE: Final = "urn:uuid:7c5b1f04-2f5e-4d0c-9f7a-4a4f3b1f9d11"
# What all sides negotiate. Left to themselves, two recent OpenSSLs would agree on a post-quantum group that
# the peers' older one does not know, and the comparison would be one of groups.
GROUP: Final = "X25519"
CIPHER: Final = "TLS_AES_256_GCM_SHA384"

_POLICY: Final = {
    "name": "Trusted Windows only",
    "default": "deny",
    "rules": [
        {"name": "Trusted Windows", "platforms": ["windows"], "device_trust": "trusted", "access": "allow"}
    ],
}


class Site:
    """Everything below ``directory``. Each workload starts the servers that it needs on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.https_port, self.metrics_port, self.upstream_port = free_port(), free_port(), free_port()
        web = Authority.create_root("Web root")
        self.corp_root = Authority.create_root("Corp root")
        self.corp = self.corp_root.issue_intermediate("Corp devices")
        names = ["sso.example.test", "*.apps.example.test", f"*.{MTLS_DOMAIN}"]
        server = web.issue_server(names)
        server.write(directory, "server")
        write_private(directory / "server-both.pem", server.certificate_pem + server.key_pem)  # for HAProxy
        self.web_pem = web.pem.decode()
        self._device_key = self.corp.issue_client(DEVICE, USER).key
        (directory / "corp-ca.pem").write_bytes(self.corp.trust_pem)
        # Apart from logs and keys: a directory in which much is written is looked at less often.
        self._crls = directory / "crls"
        self._crls.mkdir()
        (self._crls / "corp-root.crl").write_bytes(self.corp_root.crl())
        self.write_crl(self.corp.crl())
        descriptor = messages.key_descriptor(messages.rsa_key())
        self.metadata = directory / "idp-metadata.xml"
        self.metadata.write_text(messages.idp_entity(descriptor))
        (directory / "policy.yaml").write_text(yaml.safe_dump(_POLICY, sort_keys=False))

    def write_crl(self, content: bytes) -> None:
        """Replace the CRL of the device authority, as publishers do: write beside it, then rename."""
        new = self._crls / "corp.crl.new"
        new.write_bytes(content)
        new.replace(self._crls / "corp.crl")

    def write_all_crls(self) -> None:
        """``all.crl``: both lists in one file, for the peers."""
        lists = [(self._crls / name).read_bytes() for name in ("corp-root.crl", "corp.crl")]
        (self.directory / "all.crl").write_bytes(b"".join(lists))

    def device(self, user: str = USER) -> Credential:
        """A certificate of its own. All share one key, which nothing here looks at and which saves time."""
        return self.corp.issue_client(DEVICE, user, key=self._device_key)

    def write_device(self, name: str, device: Credential | None = None) -> Path:
        """Key, certificate and intermediate in one file."""
        device = device or self.device()
        path = self.directory / f"{name}.pem"
        path.write_bytes(device.key_pem + device.certificate_pem)
        return path

    @property
    def assertion_url(self) -> str:
        return f"https://{APP_HOST}:{self.https_port}/saml/acs"

    def message(
        self,
        identifier: object,
        *,
        user: str = USER,
        audience: str = messages.AUDIENCE,
        assertion_url: str | None = None,
        altered_user: str | None = None,
    ) -> bytes:
        """The posted form of a signed SAML Response, different for each identifier. ``altered_user`` is put
        in after it was signed."""
        now = datetime.now(UTC)
        recipient = assertion_url or self.assertion_url
        assertion_id = f"_assertion{identifier}"
        assertion = messages.Saml2Assertion(
            assertion_id=assertion_id,
            user=user,
            audiences=((audience,),),
            recipient=recipient,
            in_response_to=None,
            now=now,
            not_before=timedelta(minutes=-1),
        )
        response = messages.Saml2Response(
            response_id=f"_response{identifier}", destination=recipient, in_response_to=None, now=now
        )
        signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=assertion_id)
        if altered_user is not None:
            signed = signed.replace(user.encode(), altered_user.encode())
        return messages.body_of(messages.saml_form(signed))

    def configuration(self, *, enforcement: str = "sign_on", workers: int = 1) -> dict[str, Any]:
        """gateway.yaml as a value."""
        return {
            "org": {"name": "acme", "host": "sso.example.test", "mtls_domain": MTLS_DOMAIN},
            "listen": {
                "https": [f"127.0.0.1:{self.https_port}"],
                "metrics": f"127.0.0.1:{self.metrics_port}",
                "workers": workers,
            },
            "store": "none",
            "tls": {"certificates": [{"certificate": "server.pem", "private_key": "server.key"}]},
            "device_trust": {
                "enabled": True,
                "authorities": [
                    {
                        "name": "corp",
                        "certificates": "corp-ca.pem",
                        "crls": ["crls/corp-root.crl", "crls/corp.crl"],
                    }
                ],
            },
            "identity_providers": [{"name": "idp", "protocol": "saml2", "metadata": self.metadata.name}],
            "apps": [
                {
                    "name": "wiki",
                    "host": APP_HOST,
                    "upstream": f"http://127.0.0.1:{self.upstream_port}",
                    "protocol": "saml2",
                    "identity_provider": "idp",
                    "entity_id": messages.AUDIENCE,
                    "assertion_endpoints": ["/saml/acs"],
                    "enforcement": enforcement,
                    "policy": "policy.yaml",
                }
            ],
            # Thousands of connections that wait, and thousands of WebSockets of one app.
            "limits": {"idle_timeout": "1h", "max_upstream_connections": 10_000},
        }
