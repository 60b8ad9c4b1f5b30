"""Metadata of identity providers: the keys that are believed, and sentences for what cannot be used."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support.messages import (
    ISSUER,
    NOW,
    Saml2Assertion,
    Saml2Response,
    ec_key,
    expectation,
    idp_entity,
    key_descriptor,
    rsa_key,
    saml_form,
    sign,
    sts_entity,
)

from gateway.federation.errors import MetadataRejected
from gateway.federation.expectation import Expectation, identity_provider
from gateway.federation.metadata import MAX_METADATA_BYTES, IdpMetadata, parse_idp_metadata
from gateway.federation.names import BINDING_POST, BINDING_REDIRECT, BINDING_WS_FED
from gateway.federation.saml2 import verify_response
from gateway.federation.signing import sign_document
from gateway.model.settings import FederationProtocol, IdentityProviderSettings

SAML2, WS_FED = FederationProtocol.SAML2, FederationProtocol.WS_FED
KEY = key_descriptor(rsa_key())
GROUP = '<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"{}>{}</md:EntitiesDescriptor>'


def parsed(xml: str, entity_id: str | None = None, protocol: FederationProtocol = SAML2) -> IdpMetadata:
    return parse_idp_metadata(xml.encode(), NOW, entity_id, protocol)


def refused(xml: str | bytes, entity_id: str | None = None, protocol: FederationProtocol = SAML2) -> str:
    octets = xml.encode() if isinstance(xml, str) else xml
    with pytest.raises(MetadataRejected) as caught:
        parse_idp_metadata(octets, NOW, entity_id, protocol)
    return caught.value.detail


def test_a_saml_provider_is_read() -> None:
    metadata = parsed(idp_entity(KEY))
    assert metadata.entity_id == ISSUER
    assert metadata.signing_keys == (rsa_key().public_key(),)
    assert [(url.binding, url.location) for url in metadata.sso_urls] == [
        (BINDING_REDIRECT, "https://idp.example.test/sso"),
        (BINDING_POST, "https://idp.example.test/sso/post"),
    ]
    assert metadata.sso_locations == ("https://idp.example.test/sso", "https://idp.example.test/sso/post")
    assert metadata.valid_until is None


def test_a_ws_fed_provider_is_read() -> None:
    metadata = parsed(sts_entity(KEY), protocol=WS_FED)
    assert metadata.signing_keys == (rsa_key().public_key(),)
    assert [(url.binding, url.location) for url in metadata.sso_urls] == [
        (BINDING_WS_FED, "https://idp.example.test/wsfed")
    ]


def test_settings_and_metadata_make_a_provider_whose_messages_pass() -> None:
    settings = IdentityProviderSettings("okta", SAML2, "idp.xml", user_attribute="mail", groups_attribute="g")
    provider = identity_provider(settings, parsed(idp_entity(KEY)))
    accepts = Expectation(provider, expectation().audience, expectation().recipients)
    signed = sign(Saml2Response().xml(Saml2Assertion(groups_attribute="g").xml()))
    identity = verify_response(saml_form(signed), accepts, NOW).identity
    assert (identity.user, identity.identity_provider) == ("alice.mail@example.test", "okta")
    assert identity.groups == {"staff", "vpn users"}


def test_several_keys_are_kept_each_once_and_encryption_keys_are_left_out() -> None:
    keys = (
        key_descriptor(rsa_key())
        + key_descriptor(rsa_key())
        + key_descriptor(ec_key(), None)
        + key_descriptor(rsa_key("encryption"), "encryption")
    )
    assert parsed(idp_entity(keys)).signing_keys == (rsa_key().public_key(), ec_key().public_key())


def test_a_certificate_is_only_a_holder_of_a_key() -> None:
    assert parsed(idp_entity(key_descriptor(rsa_key(), expired=True))).signing_keys


def test_comments_a_declaration_and_a_signature_are_no_obstacle() -> None:
    xml = (
        f'<?xml version="1.0"?><!-- ours -->{idp_entity(KEY, attributes=" ID=" + chr(34) + "_m1" + chr(34))}'
    )
    signed = sign_document(xml.encode(), rsa_key())
    assert parse_idp_metadata(signed, NOW, None, SAML2).entity_id == ISSUER
    assert parsed(xml).signing_keys


def test_one_of_many_is_chosen_by_its_entity_id() -> None:
    other = idp_entity(key_descriptor(ec_key()), "https://other.test")
    nested = GROUP.format("", GROUP.format("", idp_entity(KEY)) + other)
    assert parsed(nested, "https://other.test").signing_keys == (ec_key().public_key(),)
    assert parsed(nested, ISSUER).signing_keys == (rsa_key().public_key(),)
    assert "set entity_id" in refused(nested)
    assert "no 'https://third.test'" in refused(nested, "https://third.test")


def test_a_service_provider_beside_is_no_choice() -> None:
    sp = (
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="urn:sp">'
        '<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"/>'
        "</md:EntityDescriptor>"
    )
    assert parsed(GROUP.format("", sp + idp_entity(KEY))).entity_id == ISSUER
    assert "no identity provider that speaks saml2" in refused(sp)


def test_an_end_in_the_future_is_kept_the_earliest_of_all() -> None:
    group = GROUP.format(
        ' validUntil="2026-11-25T00:00:00Z"',
        idp_entity(KEY, attributes=' validUntil="2026-11-24T00:00:00Z" cacheDuration="PT1S"'),
    )
    until = parsed(group).valid_until
    assert until is not None
    assert until.day == 24


PAST = ' validUntil="2026-11-23T11:59:59Z"'
SENTENCES: list[tuple[str, str, FederationProtocol, str]] = [
    ("an end that has passed", idp_entity(KEY, attributes=PAST), SAML2, "was valid until"),
    ("the end of the group around", GROUP.format(PAST, idp_entity(KEY)), SAML2, "was valid until"),
    (
        "the end of the role",
        idp_entity(KEY).replace("<md:IDPSSODescriptor", "<md:IDPSSODescriptor" + PAST),
        SAML2,
        "was valid until",
    ),
    ("an end that is no date", idp_entity(KEY, attributes=' validUntil="soon"'), SAML2, "not a date"),
    ("no key", idp_entity(""), SAML2, "no signing certificate"),
    (
        "an encryption key only",
        idp_entity(key_descriptor(rsa_key(), "encryption")),
        SAML2,
        "no signing certificate",
    ),
    ("a key of 1024 bits", idp_entity(key_descriptor(rsa_key("weak", 1024))), SAML2, "1024 bits"),
    (
        "a weak key among good ones",
        idp_entity(KEY + key_descriptor(rsa_key("weak", 1024))),
        SAML2,
        "1024 bits",
    ),
    (
        "a key on another curve",
        idp_entity(key_descriptor(ec_key("odd", ec.SECP256K1))),
        SAML2,
        "neither RSA nor ECDSA",
    ),
    (
        "a certificate that is none",
        idp_entity(KEY.replace("MII", "AAA", 1)),
        SAML2,
        "cannot be used",
    ),
    ("base64 that is none", idp_entity(KEY.replace("MII", "***", 1)), SAML2, "cannot be used"),
    ("a SAML provider asked for WS-Fed", idp_entity(KEY), WS_FED, "no identity provider that speaks ws-fed"),
    ("a WS-Fed provider asked for SAML", sts_entity(KEY), SAML2, "no identity provider that speaks saml2"),
    (
        "a role of another type",
        sts_entity(KEY).replace("fed:SecurityTokenServiceType", "fed:ApplicationServiceType"),
        WS_FED,
        "no identity provider",
    ),
    (
        "a role of a type of another namespace",
        sts_entity(KEY).replace("xsi:type=" + '"fed:', "xsi:type=" + '"md:'),
        WS_FED,
        "no identity provider",
    ),
    (
        "SAML 1.1 only",
        idp_entity(KEY).replace("SAML:2.0:protocol", "SAML:1.1:protocol"),
        SAML2,
        "no identity",
    ),
    ("no entityID", idp_entity(KEY, entity_id=""), SAML2, "without an entityID"),
    ("another document", "<html/>", SAML2, "not SAML metadata"),
    ("text", "alice", SAML2, "not well-formed"),
    ("nothing", "", SAML2, "not well-formed"),
    ("a document type", "<!DOCTYPE x>" + idp_entity(KEY), SAML2, "document type"),
]


@pytest.mark.parametrize(
    ("xml", "protocol", "sentence"), [row[1:] for row in SENTENCES], ids=[row[0] for row in SENTENCES]
)
def test_metadata_that_cannot_be_used_says_why(xml: str, protocol: FederationProtocol, sentence: str) -> None:
    assert sentence in refused(xml, protocol=protocol)


def test_metadata_without_end_is_refused_before_it_is_parsed() -> None:
    assert "more than 33554432 bytes" in refused(b" " * (MAX_METADATA_BYTES + 1))


def test_one_provider_twice_is_refused() -> None:
    assert "more than once" in refused(GROUP.format("", idp_entity(KEY) * 2), ISSUER)


def test_metadata_in_another_encoding_is_refused_not_misread() -> None:
    assert refused(idp_entity(KEY, entity_id="https://ž.test").encode("iso-8859-2"))
