"""SAML 2.0 and WS-Federation messages of an identity provider of our own, to be signed, bent and broken.

Everything is text until it is signed, so that a test can put anything anywhere::

    signed = sign(Saml2Response().xml(Saml2Assertion(user="alice").xml()), "assertion")
    form = saml_form(signed.replace(b"alice", b"mallory"))
"""

import base64
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.federation.algorithms import SigningPrivateKey
from gateway.federation.expectation import Expectation, IdentityProvider
from gateway.federation.form import MessageForm
from gateway.federation.signing import sign_document

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ISSUER = "https://idp.example.test/metadata"
AUDIENCE = "https://wiki.apps.example.test/saml/metadata"
RECIPIENT = "https://wiki.apps.example.test/saml/acs"
REQUEST_ID = "_request1"
ASSERTION_ID = "_assertion1"
RESPONSE_ID = "_response1"

SAML = 'xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"'
SAMLP = 'xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"'
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
WST_2005 = "http://schemas.xmlsoap.org/ws/2005/02/trust"
WST_13 = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"


@cache
def rsa_key(name: str = "idp", bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key that is the same for one name during one test run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str = "idp", curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


@cache
def certificate_der(key: SigningPrivateKey, *, expired: bool = False) -> bytes:
    """A self-signed certificate, as providers put into their metadata."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1)
    until = NOW + timedelta(days=-1 if expired else 3650)
    builder = builder.not_valid_before(NOW - timedelta(days=900)).not_valid_after(until)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass(frozen=True, kw_only=True)
class Saml2Assertion:
    """The parts of an assertion that tests change. ``extra_…`` is XML put in at that place."""

    assertion_id: str = ASSERTION_ID
    issuer: str = ISSUER
    user: str = "alice@example.test"
    groups: tuple[str, ...] = ("staff", "vpn users")
    groups_attribute: str = "groups"
    audiences: tuple[tuple[str, ...], ...] = ((AUDIENCE,),)
    recipient: str | None = RECIPIENT
    in_response_to: str | None = REQUEST_ID
    method: str = BEARER
    context: str = PASSWORD
    now: datetime = NOW
    issued: timedelta = timedelta(0)
    not_before: timedelta | None = timedelta(minutes=-1)
    not_on_or_after: timedelta | None = timedelta(minutes=5)
    confirmed_until: timedelta | None = timedelta(minutes=5)
    session_until: timedelta | None = timedelta(hours=8)
    extra_conditions: str = ""
    extra_subject: str = ""
    extra: str = ""
    extra_attributes: str = ""

    def at(self, offset: timedelta | None, name: str) -> str:
        return "" if offset is None else f' {name}="{instant(self.now + offset)}"'

    def subject(self) -> str:
        recipient = "" if self.recipient is None else f' Recipient="{self.recipient}"'
        answers = "" if self.in_response_to is None else f' InResponseTo="{self.in_response_to}"'
        until = self.at(self.confirmed_until, "NotOnOrAfter")
        return (
            f'<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">'
            f'{self.user}</saml:NameID><saml:SubjectConfirmation Method="{self.method}">'
            f"<saml:SubjectConfirmationData{recipient}{answers}{until}/></saml:SubjectConfirmation>"
            f"{self.extra_subject}</saml:Subject>"
        )

    def xml(self) -> str:
        restrictions = "".join(
            "<saml:AudienceRestriction>"
            + "".join(f"<saml:Audience>{audience}</saml:Audience>" for audience in audiences)
            + "</saml:AudienceRestriction>"
            for audiences in self.audiences
        )
        values = "".join(
            f'<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" '
            f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">{group}'
            "</saml:AttributeValue>"
            for group in self.groups
        )
        return (
            f'<saml:Assertion {SAML} ID="{self.assertion_id}" Version="2.0" '
            f'IssueInstant="{instant(self.now + self.issued)}"><saml:Issuer>{self.issuer}</saml:Issuer>'
            f"{self.subject()}"
            f"<saml:Conditions{self.at(self.not_before, 'NotBefore')}"
            f"{self.at(self.not_on_or_after, 'NotOnOrAfter')}>{restrictions}{self.extra_conditions}"
            "</saml:Conditions>"
            f'<saml:AuthnStatement AuthnInstant="{instant(self.now)}" SessionIndex="_s1"'
            f"{self.at(self.session_until, 'SessionNotOnOrAfter')}><saml:AuthnContext>"
            f"<saml:AuthnContextClassRef>{self.context}</saml:AuthnContextClassRef></saml:AuthnContext>"
            "</saml:AuthnStatement>"
            f'<saml:AttributeStatement><saml:Attribute Name="{self.groups_attribute}">{values}'
            '</saml:Attribute><saml:Attribute Name="mail"><saml:AttributeValue>alice.mail@example.test'
            f"</saml:AttributeValue></saml:Attribute>{self.extra_attributes}</saml:AttributeStatement>"
            f"{self.extra}</saml:Assertion>"
        )


@dataclass(frozen=True, kw_only=True)
class Saml2Response:
    """The envelope around an assertion."""

    response_id: str = RESPONSE_ID
    issuer: str | None = ISSUER
    destination: str | None = RECIPIENT
    in_response_to: str | None = REQUEST_ID
    status: str = f'<samlp:Status><samlp:StatusCode Value="{SUCCESS}"/></samlp:Status>'
    now: datetime = NOW
    extra: str = ""
    declarations: str = ""

    def xml(self, *assertions: str) -> bytes:
        destination = "" if self.destination is None else f' Destination="{self.destination}"'
        answers = "" if self.in_response_to is None else f' InResponseTo="{self.in_response_to}"'
        issuer = "" if self.issuer is None else f"<saml:Issuer>{self.issuer}</saml:Issuer>"
        return (
            f'<samlp:Response {SAMLP} {SAML}{self.declarations} ID="{self.response_id}" Version="2.0" '
            f'IssueInstant="{instant(self.now)}"{destination}{answers}>{issuer}'
            f"{self.status}{self.extra}{''.join(assertions)}</samlp:Response>"
        ).encode()


@dataclass(frozen=True, kw_only=True)
class Saml11Assertion:
    """A SAML 1.1 token as WS-Federation providers issue it."""

    assertion_id: str = ASSERTION_ID
    issuer: str = ISSUER
    user: str | None = "alice@example.test"
    second_user: str | None = None  # of the AttributeStatement, when it is to differ
    groups: tuple[str, ...] = ("staff", "vpn users")
    audiences: tuple[tuple[str, ...], ...] = ((AUDIENCE,),)
    confirmation: str = (
        "<saml:SubjectConfirmation><saml:ConfirmationMethod>urn:oasis:names:tc:SAML:1.0:cm:bearer"
        "</saml:ConfirmationMethod></saml:SubjectConfirmation>"
    )
    now: datetime = NOW
    not_before: timedelta | None = timedelta(minutes=-1)
    not_on_or_after: timedelta | None = timedelta(minutes=5)
    minor_version: str = "1"
    context: str = "urn:oasis:names:tc:SAML:1.0:am:password"
    extra_conditions: str = ""
    extra: str = ""

    def subject(self, user: str | None) -> str:
        name = "" if user is None else f"<saml:NameIdentifier>{user}</saml:NameIdentifier>"
        return f"<saml:Subject>{name}{self.confirmation}</saml:Subject>"

    def xml(self) -> str:
        def at(offset: timedelta | None, name: str) -> str:
            return "" if offset is None else f' {name}="{instant(self.now + offset)}"'

        restrictions = "".join(
            "<saml:AudienceRestrictionCondition>"
            + "".join(f"<saml:Audience>{audience}</saml:Audience>" for audience in audiences)
            + "</saml:AudienceRestrictionCondition>"
            for audiences in self.audiences
        )
        values = "".join(f"<saml:AttributeValue>{group}</saml:AttributeValue>" for group in self.groups)
        return (
            '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion" MajorVersion="1" '
            f'MinorVersion="{self.minor_version}" AssertionID="{self.assertion_id}" Issuer="{self.issuer}" '
            f'IssueInstant="{instant(self.now)}"><saml:Conditions{at(self.not_before, "NotBefore")}'
            f"{at(self.not_on_or_after, 'NotOnOrAfter')}>{restrictions}{self.extra_conditions}"
            "</saml:Conditions>"
            f"<saml:AttributeStatement>{self.subject(self.second_user or self.user)}"
            '<saml:Attribute AttributeName="Group" AttributeNamespace="http://schemas.xmlsoap.org/claims">'
            f"{values}</saml:Attribute>"
            '<saml:Attribute AttributeName="UPN" AttributeNamespace="http://schemas.xmlsoap.org/claims">'
            "<saml:AttributeValue>alice@corp.example.test</saml:AttributeValue></saml:Attribute>"
            "</saml:AttributeStatement>"
            f'<saml:AuthenticationStatement AuthenticationMethod="{self.context}" '
            f'AuthenticationInstant="{instant(self.now)}">{self.subject(self.user)}'
            f"</saml:AuthenticationStatement>{self.extra}</saml:Assertion>"
        )


def rstr(
    token: str | bytes,
    namespace: str = WST_13,
    *,
    collection: bool = False,
    extra: str = "",
    before: str = "",
    declaration: str = "",
) -> bytes:
    """A RequestSecurityTokenResponse around a token, bare or in a collection."""
    inner = token.decode() if isinstance(token, bytes) else token
    response = (
        f'<t:RequestSecurityTokenResponse xmlns:t="{namespace}">{before}'
        '<wsp:AppliesTo xmlns:wsp="http://schemas.xmlsoap.org/ws/2004/09/policy">'
        '<wsa:EndpointReference xmlns:wsa="http://www.w3.org/2005/08/addressing">'
        f"<wsa:Address>{AUDIENCE}</wsa:Address></wsa:EndpointReference></wsp:AppliesTo>"
        f"<t:RequestedSecurityToken>{inner}</t:RequestedSecurityToken>{extra}"
        "<t:TokenType>urn:oasis:names:tc:SAML:1.0:assertion</t:TokenType>"
        "</t:RequestSecurityTokenResponse>"
    )
    if collection:
        response = (
            f'<t:RequestSecurityTokenResponseCollection xmlns:t="{namespace}">{response}'
            "</t:RequestSecurityTokenResponseCollection>"
        )
    return (declaration + response).encode()


def sign(
    xml: bytes | str,
    what: str = "assertion",
    key: SigningPrivateKey | None = None,
    *,
    certificate: bytes | None = None,
    inclusive_prefixes: tuple[str, ...] = (),
    assertion_id: str = ASSERTION_ID,
) -> bytes:
    """Sign the ``assertion``, the ``response`` (the root), ``both`` or ``nothing``."""
    signed = xml.encode() if isinstance(xml, str) else xml
    targets: dict[str, tuple[str | None, ...]] = {
        "assertion": (assertion_id,),
        "response": (None,),
        "both": (assertion_id, None),
        "nothing": (),
    }
    for element_id in targets[what]:
        signed = sign_document(
            signed,
            key or rsa_key(),
            element_id=element_id,
            certificate_der=certificate,
            inclusive_prefixes=inclusive_prefixes,
        )
    return signed


def saml_form(xml: bytes, relay_state: str | None = "state-1", **more: str) -> MessageForm:
    fields = [("SAMLResponse", base64.b64encode(xml).decode())]
    if relay_state is not None:
        fields.append(("RelayState", relay_state))
    return MessageForm((*fields, *more.items()))


def ws_fed_form(xml: bytes, wctx: str | None = "rm=0&id=passive", wa: str = "wsignin1.0") -> MessageForm:
    fields = [("wa", wa), ("wresult", xml.decode())]
    if wctx is not None:
        fields.append(("wctx", wctx))
    return MessageForm(tuple(fields))


def body_of(form: MessageForm) -> bytes:
    """The form as a browser submits it."""
    return urlencode(form.fields).encode()


def identity_provider(**changes: object) -> IdentityProvider:
    values: dict[str, object] = {
        "name": "idp",
        "entity_id": ISSUER,
        "signing_keys": (rsa_key().public_key(),),
    }
    return IdentityProvider(**(values | changes))  # type: ignore[arg-type]  # fields by name, as a test writes them


def expectation(decryption_key: rsa.RSAPrivateKey | None = None, **idp_changes: object) -> Expectation:
    return Expectation(
        idp=identity_provider(**idp_changes),
        audience=AUDIENCE,
        recipients=(RECIPIENT,),
        decryption_key=decryption_key,
    )


@dataclass(frozen=True, kw_only=True)
class Encryption:
    """How an assertion is encrypted; the defaults are those of most providers."""

    content: str = XENC11 + "aes256-gcm"
    key_transport: str = XENC + "rsa-oaep-mgf1p"
    digest: str | None = None
    mask: str | None = None
    key_beside_data: bool = False
    oaep_hash: hashes.HashAlgorithm = field(default_factory=hashes.SHA1)
    mask_hash: hashes.HashAlgorithm = field(default_factory=hashes.SHA1)
    extra_key_info: str = ""

    def data(self, plaintext: bytes, key: rsa.RSAPublicKey) -> str:
        """An EncryptedData element, with an EncryptedKey in its KeyInfo or after it."""
        content_key = os.urandom(16 if "128" in self.content else 32)
        oaep = padding.OAEP(padding.MGF1(self.mask_hash), self.oaep_hash, None)
        wrapped = _base64(key.encrypt(content_key, oaep))
        digest = (
            "" if self.digest is None else f'<ds:DigestMethod xmlns:ds="{DS}" Algorithm="{self.digest}"/>'
        )
        mask = "" if self.mask is None else f'<x11:MGF xmlns:x11="{XENC11}" Algorithm="{self.mask}"/>'
        encrypted_key = (
            f'<xenc:EncryptedKey xmlns:xenc="{XENC}"><xenc:EncryptionMethod Algorithm="{self.key_transport}">'
            f"{digest}{mask}</xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>{wrapped}"
            "</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>"
        )
        inside = "" if self.key_beside_data else encrypted_key
        ciphertext = _base64(self._encrypt(content_key, plaintext))
        return (
            f'<xenc:EncryptedData xmlns:xenc="{XENC}" Type="{XENC}Element"><xenc:EncryptionMethod '
            f'Algorithm="{self.content}"/><ds:KeyInfo xmlns:ds="{DS}">{inside}{self.extra_key_info}'
            f"</ds:KeyInfo><xenc:CipherData><xenc:CipherValue>{ciphertext}"
            "</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>"
        ) + (encrypted_key if self.key_beside_data else "")

    def assertion(self, plaintext: bytes, key: rsa.RSAPublicKey) -> str:
        return f"<saml:EncryptedAssertion {SAML}>{self.data(plaintext, key)}</saml:EncryptedAssertion>"

    def _encrypt(self, key: bytes, plaintext: bytes) -> bytes:
        if self.content.endswith("-gcm"):
            nonce = os.urandom(12)
            return nonce + AESGCM(key).encrypt(nonce, plaintext, None)
        pad = 16 - len(plaintext) % 16
        initial = os.urandom(16)
        encryptor = Cipher(algorithms.AES(key), modes.CBC(initial)).encryptor()
        return initial + encryptor.update(plaintext + bytes(pad - 1) + bytes([pad])) + encryptor.finalize()


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def key_descriptor(key: SigningPrivateKey, use: str | None = "signing", *, expired: bool = False) -> str:
    used = "" if use is None else f' use="{use}"'
    certificate = base64.encodebytes(certificate_der(key, expired=expired)).decode()
    return (
        f'<md:KeyDescriptor{used}><ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data><ds:X509Certificate>'
        f"{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
    )


def idp_entity(
    keys: str, entity_id: str = ISSUER, attributes: str = "", sso: str = "https://idp.example.test/sso"
) -> str:
    """An EntityDescriptor of a SAML 2.0 identity provider. ``keys`` are KeyDescriptors."""
    return (
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" '
        f'entityID="{entity_id}"{attributes}>'
        '<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
        f'{keys}<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" '
        f'Location="{sso}"/><md:SingleSignOnService '
        f'Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{sso}/post"/>'
        "</md:IDPSSODescriptor></md:EntityDescriptor>"
    )


def sts_entity(keys: str, entity_id: str = ISSUER, passive: str = "https://idp.example.test/wsfed") -> str:
    """An EntityDescriptor of a WS-Federation provider, in the shape that AD FS publishes."""
    return (
        f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{entity_id}">'
        '<md:RoleDescriptor xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xmlns:fed="http://docs.oasis-open.org/wsfed/federation/200706" '
        'xsi:type="fed:SecurityTokenServiceType" '
        'protocolSupportEnumeration="http://docs.oasis-open.org/wsfed/federation/200706">'
        f"{keys}<fed:PassiveRequestorEndpoint>"
        '<wsa:EndpointReference xmlns:wsa="http://www.w3.org/2005/08/addressing">'
        f"<wsa:Address>{passive}</wsa:Address></wsa:EndpointReference></fed:PassiveRequestorEndpoint>"
        "</md:RoleDescriptor></md:EntityDescriptor>"
    )
