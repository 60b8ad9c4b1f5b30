"""The metadata of an identity provider: its name, its signing keys, where it takes requests
(SAML Metadata §2, WS-Federation 1.2 §3).

Metadata is a file that the administrator chose, so it is trusted for what it says, and its own signature is
not checked. It is still parsed with nothing on that reaches outside of it.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from lxml import etree

from gateway.federation import names
from gateway.federation.algorithms import SigningPublicKey, signing_public_key
from gateway.federation.errors import MessageRejected, MetadataRejected
from gateway.federation.structure import Element
from gateway.federation.validity import parse_instant
from gateway.model.settings import FederationProtocol

MAX_METADATA_BYTES = 33_554_432  # a national federation publishes some 30 MB

_M = f"{{{names.MD}}}"
_ENTITY = _M + "EntityDescriptor"
_ENTITIES = _M + "EntitiesDescriptor"
_D = f"{{{names.DS}}}"
_XSI_TYPE = f"{{{names.XSI}}}type"
_WS_ADDRESSING = (f"{{{names.WSA}}}", f"{{{names.WSA_2004}}}")


@dataclass(frozen=True, slots=True)
class SingleSignOnUrl:
    """Where the provider takes requests. ``binding`` is a SAML binding's URI, or BINDING_WS_FED."""

    binding: str
    location: str


@dataclass(frozen=True, slots=True)
class IdpMetadata:
    """What one provider's metadata says for one protocol. There is at least one key.

    ``valid_until`` is the earliest end that the entity, its role, or a group around it has; None: no end.
    """

    entity_id: str
    signing_keys: tuple[SigningPublicKey, ...]
    sso_urls: tuple[SingleSignOnUrl, ...]
    valid_until: datetime | None

    @property
    def sso_locations(self) -> tuple[str, ...]:
        """The distinct URLs, for `gateway.federation.requests.authn_request_seen`."""
        return tuple(dict.fromkeys(url.location for url in self.sso_urls))


def parse_idp_metadata(
    xml: bytes, now: datetime, entity_id: str | None, protocol: FederationProtocol
) -> IdpMetadata:
    """Read the provider ``entity_id`` (None: the only one) from metadata, for one protocol.

    A KeyDescriptor without ``use`` is for signing too. Certificates are holders of keys: their own dates and
    issuers mean nothing here (SAML metadata IOP §2.6.1). cacheDuration is for those who fetch; ignored.
    Raises MetadataRejected with a sentence for the administrator.
    """
    entity = _choose(_parse(xml), entity_id, protocol)
    name = entity.get("entityID")
    if not name:
        raise MetadataRejected("the metadata has an EntityDescriptor without an entityID")
    roles = list(_roles(entity, protocol))
    valid_until = _valid_until([entity, *entity.iterancestors(), *roles])
    if valid_until is not None and valid_until <= now:
        raise MetadataRejected(
            f"the metadata of {name!r} was valid until {valid_until.isoformat()}; get the current file"
        )
    keys: list[SigningPublicKey] = []
    for role in roles:
        keys.extend(key for key in _signing_keys(role, name) if key not in keys)
    if not keys:
        raise MetadataRejected(f"the metadata of {name!r} has no signing certificate for {protocol.value}")
    urls = tuple(url for role in roles for url in _sso_urls(role, protocol))
    return IdpMetadata(name, tuple(keys), urls, valid_until)


def _parse(xml: bytes) -> Element:
    if len(xml) > MAX_METADATA_BYTES:
        raise MetadataRejected(f"the metadata has more than {MAX_METADATA_BYTES} bytes")
    if b"<!DOCTYPE" in xml:
        raise MetadataRejected("the metadata has a document type declaration, which is not accepted")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(xml, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MetadataRejected(f"the metadata is not well-formed XML: {error}") from None
    if root.tag not in (_ENTITY, _ENTITIES):
        raise MetadataRejected(
            f"the file is not SAML metadata: its root is {names.local_name(root.tag)[:60]!r}"
        )
    return root


def _choose(root: Element, entity_id: str | None, protocol: FederationProtocol) -> Element:
    entities = [each for each in root.iter(_ENTITY) if any(True for _ in _roles(each, protocol))]
    if entity_id is not None:
        entities = [each for each in entities if each.get("entityID") == entity_id]
        if len(entities) > 1:
            raise MetadataRejected(f"the metadata has {entity_id!r} more than once")
    wanted = "identity provider" if entity_id is None else repr(entity_id)
    if not entities:
        raise MetadataRejected(f"the metadata has no {wanted} that speaks {protocol.value}")
    if len(entities) > 1:
        found = ", ".join(repr(each.get("entityID")) for each in entities[:3])
        raise MetadataRejected(
            f"the metadata has {len(entities)} identity providers ({found}, …): set entity_id"
        )
    return entities[0]


def _roles(entity: Element, protocol: FederationProtocol) -> Iterator[Element]:
    """The entity's roles as an identity provider of that protocol."""
    if protocol is FederationProtocol.SAML2:
        for role in entity.findall(_M + "IDPSSODescriptor"):
            if names.SAMLP2 in role.get("protocolSupportEnumeration", "").split():
                yield role
        return
    for role in entity.findall(_M + "RoleDescriptor"):
        prefix, _, local = role.get(_XSI_TYPE, "").strip().rpartition(":")
        if local == "SecurityTokenServiceType" and role.nsmap.get(prefix or None) == names.FED:
            yield role


def _valid_until(elements: list[Element]) -> datetime | None:
    ends = [text for element in elements if (text := element.get("validUntil"))]
    try:
        return min((parse_instant(text, "validUntil") for text in ends), default=None)
    except MessageRejected as error:
        raise MetadataRejected(f"the metadata is wrong: {error.detail}") from None


def _signing_keys(role: Element, entity_id: str) -> Iterator[SigningPublicKey]:
    for descriptor in role.findall(_M + "KeyDescriptor"):
        if descriptor.get("use", "signing") != "signing":
            continue
        for certificate in descriptor.iterfind(f"{_D}KeyInfo/{_D}X509Data/{_D}X509Certificate"):
            try:
                der = base64.b64decode("".join((certificate.text or "").split()), validate=True)
                yield signing_public_key(x509.load_der_x509_certificate(der).public_key())
            except (binascii.Error, ValueError, x509.InvalidVersion) as error:
                raise MetadataRejected(
                    f"a signing certificate of {entity_id!r} cannot be used: {error}"
                ) from None


def _sso_urls(role: Element, protocol: FederationProtocol) -> Iterator[SingleSignOnUrl]:
    if protocol is FederationProtocol.SAML2:
        for service in role.findall(_M + "SingleSignOnService"):
            binding, location = service.get("Binding"), service.get("Location")
            if binding and location:
                yield SingleSignOnUrl(binding, location.strip())
        return
    for endpoint in role.findall(f"{{{names.FED}}}PassiveRequestorEndpoint"):
        for wsa in _WS_ADDRESSING:
            for address in endpoint.iterfind(f"{wsa}EndpointReference/{wsa}Address"):
                yield SingleSignOnUrl(names.BINDING_WS_FED, (address.text or "").strip())
