"""A complete gateway.yaml and, for tests that need them, all the files that it names."""

import base64
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from support.pki import Authority, federation_credential

COMPLETE = """\
org:
  name: acme
  host: sso.example.test
  mtls_domain: mtls.example.test
listen:
  https: ["127.0.0.1:8443"]
  metrics: "127.0.0.1:9464"
  workers: 1
tls:
  mtls_minimum_version: "1.2"
  certificates:
    - {certificate: certs/apps.pem, private_key: certs/apps.key}
store: sqlite:///var/devicetrust.db
device_trust:
  enabled: true
  learn_more_url: https://help.example.test/device-trust
  authorities:
    - name: corp
      certificates: certs/corp-ca.pem
      crls: [certs/corp.crl]
      stale_crl: deny
      user_binding: required
      device_from: san_uri
      user_from: san_upn
identity_providers:
  - {name: okta, protocol: saml2, metadata: idp-metadata.xml}
zones:
  - {name: office, cidrs: [10.0.0.0/8, "2001:db8::/32"]}
trusted_proxies: []
apps:
  - name: wiki
    label: Team wiki
    host: wiki.apps.example.test
    upstream: http://127.0.0.1:9000
    protocol: saml2
    identity_provider: okta
    entity_id: https://wiki.apps.example.test/saml/metadata
    assertion_endpoints: [/saml/acs]
    enforcement: sign_on
    challenge: form
    client_conditions: false
    policy: policies/wiki.yaml
"""

POLICY = """\
name: Trusted Windows only
default: deny
rules:
  - name: Trusted Windows
    platforms: [windows]
    device_trust: trusted
    access: allow
"""


def changed(*replacements: tuple[str, str], text: str = COMPLETE) -> str:
    """The file with pieces of its text replaced; each piece must stand in it exactly once."""
    for old, new in replacements:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in gateway.yaml"
        text = text.replace(old, new)
    return text


class Installation:
    """A directory in which `COMPLETE` has everything that it names, and nothing is wrong with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.configuration = directory / "gateway.yaml"
        self.web = Authority.create_root("Web root")
        self.corp = Authority.create_root("Corp devices")
        for name in ("certs", "policies"):
            (directory / name).mkdir()
        names = ["sso.example.test", "wiki.apps.example.test", "*.mtls.example.test"]
        self.web.issue_server(names).write(directory / "certs", "apps")
        self.write("certs/corp-ca.pem", self.corp.pem)
        self.write("certs/corp.crl", self.corp.crl())
        self.write("idp-metadata.xml", saml_metadata().encode())
        self.write("policies/wiki.yaml", POLICY.encode())
        self.write("gateway.yaml", COMPLETE.encode())

    def write(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path

    def configure(self, *replacements: tuple[str, str]) -> None:
        self.write("gateway.yaml", changed(*replacements).encode())


def saml_metadata(attributes: str = "") -> str:
    """Metadata of a SAML 2.0 identity provider with one signing key."""
    der = federation_credential("idp.example.test").certificate.public_bytes(Encoding.DER)
    return (
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" '
        f'entityID="https://idp.example.test/metadata" {attributes}>'
        '<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
        '<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">'
        f"<ds:X509Data><ds:X509Certificate>{base64.b64encode(der).decode()}</ds:X509Certificate>"
        "</ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" '
        'Location="https://idp.example.test/sso"/>'
        "</md:IDPSSODescriptor></md:EntityDescriptor>"
    )
