"""The messages that the demo's identity provider signs: SAML 2.0 Responses, WS-Federation sign-in responses
with SAML 1.1 tokens, and the metadata that says who signs them.

Only as much of each standard as real providers send. The gateway's own signer is used; the verifier that
these messages meet is another module.
"""

import base64
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from lxml import etree

from gateway.cli.demo_parts.pki import Credential
from gateway.federation import names
from gateway.federation.signing import sign_element
from gateway.federation.structure import Element

ASSERTION_LIFETIME: Final = timedelta(minutes=5)
GROUP_CLAIM: Final = "http://schemas.xmlsoap.org/claims/Group"

_CLAIMS: Final = "http://schemas.xmlsoap.org/claims"
_CONTEXT_2: Final = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
_METHOD_1: Final = "urn:oasis:names:tc:SAML:1.0:am:password"
_EMAIL: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
_UPN: Final = "http://schemas.xmlsoap.org/claims/UPN"
_WSP: Final = "http://schemas.xmlsoap.org/ws/2004/09/policy"
_P, _A, _A1 = f"{{{names.SAMLP2}}}", f"{{{names.SAML2}}}", f"{{{names.SAML1}}}"
_M, _D, _T = f"{{{names.MD}}}", f"{{{names.DS}}}", f"{{{names.WST_2005}}}"
_PREFIXES: Final = {
    names.SAMLP2: "samlp",
    names.SAML2: "saml",
    names.SAML1: "saml",
    names.WST_2005: "t",
    names.WSA: "wsa",
    _WSP: "wsp",
    names.MD: "md",
    names.DS: "ds",
    names.FED: "fed",
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom the identity provider knows."""

    user: str
    full_name: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signer:
    """Who speaks: the provider's entity ID, and the key its metadata names."""

    entity_id: str
    credential: Credential


def saml_response(
    signer: Signer, person: Person, audience: str, acs_url: str, in_response_to: str | None
) -> bytes:
    """A Response with one assertion, both signed (SAML Profiles §4.1.4.2). None: nobody asked for it."""
    now = datetime.now(UTC)
    answers = {} if in_response_to is None else {"InResponseTo": in_response_to}
    response = _element(
        _P + "Response",
        ID=_identifier(),
        Version="2.0",
        IssueInstant=_instant(now),
        Destination=acs_url,
        **answers,
    )
    _add(response, _A + "Issuer", signer.entity_id)
    _add(_add(response, _P + "Status"), _P + "StatusCode", Value=names.STATUS_SUCCESS)
    assertion = _add(response, _A + "Assertion", ID=_identifier(), Version="2.0", IssueInstant=_instant(now))
    _add(assertion, _A + "Issuer", signer.entity_id)
    subject = _add(assertion, _A + "Subject")
    _add(subject, _A + "NameID", person.user, Format=_EMAIL)
    confirmation = _add(subject, _A + "SubjectConfirmation", Method=names.BEARER_2)
    end = _instant(now + ASSERTION_LIFETIME)
    _add(confirmation, _A + "SubjectConfirmationData", Recipient=acs_url, NotOnOrAfter=end, **answers)
    conditions = _add(assertion, _A + "Conditions", NotBefore=_instant(now), NotOnOrAfter=end)
    _add(_add(conditions, _A + "AudienceRestriction"), _A + "Audience", audience)
    statement = _add(assertion, _A + "AuthnStatement", AuthnInstant=_instant(now), SessionIndex=_identifier())
    _add(_add(statement, _A + "AuthnContext"), _A + "AuthnContextClassRef", _CONTEXT_2)
    attribute = _add(_add(assertion, _A + "AttributeStatement"), _A + "Attribute", Name="groups")
    for group in person.groups:
        _add(attribute, _A + "AttributeValue", group)
    _sign(assertion, signer)
    _sign(response, signer)
    return _serialized(response)


def sign_in_response(signer: Signer, person: Person, realm: str) -> bytes:
    """A RequestSecurityTokenResponse with a signed SAML 1.1 token (WS-Federation 1.2 §13.2)."""
    now = datetime.now(UTC)
    response = _element(_T + "RequestSecurityTokenResponse")
    applies = _add(response, f"{{{_WSP}}}AppliesTo")
    _add(_add(applies, f"{{{names.WSA}}}EndpointReference"), f"{{{names.WSA}}}Address", realm)
    token = _add(
        _add(response, _T + "RequestedSecurityToken"),
        _A1 + "Assertion",
        AssertionID=_identifier(),
        MajorVersion="1",
        MinorVersion="1",
        Issuer=signer.entity_id,
        IssueInstant=_instant(now),
    )
    end = _instant(now + ASSERTION_LIFETIME)
    conditions = _add(token, _A1 + "Conditions", NotBefore=_instant(now), NotOnOrAfter=end)
    _add(_add(conditions, _A1 + "AudienceRestrictionCondition"), _A1 + "Audience", realm)
    claims = _add(token, _A1 + "AttributeStatement")
    _add_subject(claims, person)
    attribute = _add(claims, _A1 + "Attribute", AttributeName="Group", AttributeNamespace=_CLAIMS)
    for group in person.groups:
        _add(attribute, _A1 + "AttributeValue", group)
    statement = _add(
        token,
        _A1 + "AuthenticationStatement",
        AuthenticationMethod=_METHOD_1,
        AuthenticationInstant=_instant(now),
    )
    _add_subject(statement, person)
    _sign(token, signer)
    _add(response, _T + "TokenType", names.SAML1)
    return _serialized(response)


def saml_metadata(signer: Signer, sso_url: str) -> bytes:
    """What a SAML 2.0 identity provider publishes (SAML Metadata §2.4.3)."""
    entity = _element(_M + "EntityDescriptor", entityID=signer.entity_id)
    role = _add(entity, _M + "IDPSSODescriptor", protocolSupportEnumeration=names.SAMLP2)
    _add_signing_key(role, signer)
    _add(role, _M + "SingleSignOnService", Binding=names.BINDING_REDIRECT, Location=sso_url)
    return _serialized(entity)


def ws_fed_metadata(signer: Signer, passive_url: str) -> bytes:
    """What a security token service publishes (WS-Federation 1.2 §3.1.2)."""
    entity = _element(_M + "EntityDescriptor", entityID=signer.entity_id)
    role = etree.SubElement(entity, _M + "RoleDescriptor", nsmap={"fed": names.FED})
    role.set("protocolSupportEnumeration", names.FED)
    role.set(f"{{{names.XSI}}}type", "fed:SecurityTokenServiceType")
    _add_signing_key(role, signer)
    endpoint = _add(role, f"{{{names.FED}}}PassiveRequestorEndpoint")
    _add(_add(endpoint, f"{{{names.WSA}}}EndpointReference"), f"{{{names.WSA}}}Address", passive_url)
    return _serialized(entity)


def authn_request(issuer: str, sso_url: str, acs_url: str) -> tuple[str, bytes]:
    """What a SAML app asks with: the request's ID and its bytes, unsigned (SAML Core §3.4.1)."""
    request_id = _identifier()
    request = _element(
        _P + "AuthnRequest",
        ID=request_id,
        Version="2.0",
        IssueInstant=_instant(datetime.now(UTC)),
        Destination=sso_url,
        AssertionConsumerServiceURL=acs_url,
        ProtocolBinding=names.BINDING_POST,
    )
    _add(request, _A + "Issuer", issuer)
    return request_id, _serialized(request)


def _element(tag: str, **attributes: str) -> Element:
    namespace = names.namespace_of(tag)
    return etree.Element(tag, attributes, nsmap={_PREFIXES[namespace]: namespace})


def _add(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
    namespace = names.namespace_of(tag)
    child = etree.SubElement(parent, tag, attributes, nsmap={_PREFIXES[namespace]: namespace})
    child.text = text
    return child


def _add_subject(statement: Element, person: Person) -> None:
    subject = _add(statement, _A1 + "Subject")
    _add(subject, _A1 + "NameIdentifier", person.user, Format=_UPN)
    _add(_add(subject, _A1 + "SubjectConfirmation"), _A1 + "ConfirmationMethod", names.BEARER_1)


def _add_signing_key(role: Element, signer: Signer) -> None:
    key_info = _add(_add(role, _M + "KeyDescriptor", use="signing"), _D + "KeyInfo")
    encoded = base64.b64encode(signer.credential.certificate_der).decode("ascii")
    _add(_add(key_info, _D + "X509Data"), _D + "X509Certificate", encoded)


def _sign(element: Element, signer: Signer) -> None:
    sign_element(element, signer.credential.key, certificate_der=signer.credential.certificate_der)


def _serialized(root: Element) -> bytes:
    return etree.tostring(root, encoding="utf-8", xml_declaration=False)


def _identifier() -> str:
    return f"_{secrets.token_hex(16)}"  # an xs:ID does not begin with a digit


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
