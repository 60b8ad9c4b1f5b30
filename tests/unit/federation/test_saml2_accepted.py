"""Responses of the shapes that real providers send, and the same answer from another library."""

import base64
import textwrap

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from lxml import etree
from signxml import SignatureConfiguration, SignatureMethod, XMLSigner, XMLVerifier, methods
from signxml.algorithms import CanonicalizationMethod
from support.messages import (
    NOW,
    Saml2Assertion,
    Saml2Response,
    certificate_der,
    ec_key,
    expectation,
    rsa_key,
    saml_form,
    sign,
)

from gateway.federation.algorithms import SigningPrivateKey
from gateway.federation.form import MessageForm
from gateway.federation.saml2 import verify_response

KEYS: list[tuple[str, SigningPrivateKey]] = [
    ("RSA 2048", rsa_key()),
    ("P-256", ec_key()),
    ("P-384", ec_key("idp", ec.SECP384R1)),
    ("P-521", ec_key("idp", ec.SECP521R1)),
]
each_key = pytest.mark.parametrize("key", [row[1] for row in KEYS], ids=[row[0] for row in KEYS])
each_placement = pytest.mark.parametrize("what", ["assertion", "response", "both"])


def message() -> bytes:
    return Saml2Response().xml(Saml2Assertion().xml())


def user_of(xml: bytes | MessageForm, **idp: object) -> str:
    form = xml if isinstance(xml, MessageForm) else saml_form(xml)
    return verify_response(form, expectation(**idp), NOW).identity.user


@each_key
@each_placement
def test_either_or_both_signatures_pass(what: str, key: SigningPrivateKey) -> None:
    assert user_of(sign(message(), what, key), signing_keys=(key.public_key(),)) == "alice@example.test"


@each_placement
def test_key_info_with_a_certificate_and_a_prefix_list_pass(what: str) -> None:
    signed = sign(message(), what, certificate=certificate_der(rsa_key()), inclusive_prefixes=("xs", "xsi"))
    assert user_of(signed) == "alice@example.test"


def test_a_prefix_list_may_name_a_prefix_that_is_declared_outside_of_the_assertion() -> None:
    declared = ' xmlns:xs="http://www.w3.org/2001/XMLSchema"'
    response = Saml2Response(declarations=declared).xml(Saml2Assertion().xml())
    assert user_of(sign(response, inclusive_prefixes=("xs",))) == "alice@example.test"


def test_a_default_namespace_in_a_prefix_list_passes_where_there_is_none() -> None:
    assert user_of(sign(message(), inclusive_prefixes=("#default", "xs"))) == "alice@example.test"


def test_the_second_of_two_keys_passes_during_a_roll_over() -> None:
    keys = (rsa_key("old").public_key(), ec_key().public_key(), rsa_key().public_key())
    assert user_of(sign(message(), "both"), signing_keys=keys) == "alice@example.test"


def test_namespace_prefixes_are_the_providers_own_affair() -> None:
    renamed = (
        message().replace(b"saml:", b"ns1:").replace(b"xmlns:saml=", b"xmlns:ns1=").replace(b"samlp", b"ns0")
    )
    assert user_of(sign(renamed, "both")) == "alice@example.test"


def test_default_namespaces_pass() -> None:
    assertion = Saml2Assertion().xml().replace("saml:", "").replace("xmlns:saml=", "xmlns=")
    assert user_of(sign(Saml2Response().xml(assertion), "both")) == "alice@example.test"


def with_base64_broken_into_lines(signed: bytes, line_end: str) -> bytes:
    root = etree.fromstring(signed)
    for tag in ("SignatureValue", "X509Certificate"):
        for element in root.iter("{http://www.w3.org/2000/09/xmldsig#}" + tag):
            lines = textwrap.wrap(element.text or "", 64)
            element.text = line_end + line_end.join(lines) + line_end
    return etree.tostring(root)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\n    "], ids=["LF", "CR as &#13; and LF", "indented"])
def test_base64_in_lines_passes(line_end: str) -> None:
    signed = sign(message(), certificate=certificate_der(rsa_key()))
    broken = with_base64_broken_into_lines(signed, line_end)
    assert (b"&#13;" in broken) == ("\r" in line_end)
    assert user_of(broken) == "alice@example.test"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_form_value_in_lines_passes_and_goes_on_as_it_came(line_end: str) -> None:
    encoded = line_end.join(textwrap.wrap(base64.b64encode(sign(message())).decode(), 76)) + line_end
    form = MessageForm((("SAMLResponse", encoded),))
    verified = verify_response(form, expectation(), NOW)
    assert line_end.replace("\n", "%0A").replace("\r", "%0D").encode() in verified.rebuilt_body


@pytest.mark.parametrize(
    "declaration",
    [
        b'<?xml version="1.0" encoding="UTF-8"?>\n',
        b"<?xml version='1.0' encoding='utf-8' standalone=\"no\" ?>",
        b'\r\n<?xml version="1.0"?>\n',
        b"  \n",
    ],
)
def test_an_xml_declaration_and_white_space_around_pass(declaration: bytes) -> None:
    assert user_of(declaration + sign(message(), "both") + b"\n  ") == "alice@example.test"


def test_an_indented_message_passes() -> None:
    root = etree.fromstring(message())
    etree.indent(root)
    assert user_of(sign(etree.tostring(root), "both")) == "alice@example.test"


def test_names_outside_of_ascii_pass() -> None:
    assertion = Saml2Assertion(
        user="žofie@пример.test", groups=("Büro & <Lager>".replace("&", "&amp;").replace("<", "&lt;"),)
    )
    verified = verify_response(saml_form(sign(Saml2Response().xml(assertion.xml()))), expectation(), NOW)
    assert verified.identity.user == "žofie@пример.test"
    assert verified.identity.groups == {"Büro & <Lager>"}


def test_two_thousand_groups_pass() -> None:
    groups = tuple(f"group number {number} of many" for number in range(2000))
    verified = verify_response(
        saml_form(sign(Saml2Response().xml(Saml2Assertion(groups=groups).xml()))), expectation(), NOW
    )
    assert verified.identity.groups == set(groups)


def test_a_signed_response_may_have_extensions() -> None:
    extra = '<samlp:Extensions><x:hint xmlns:x="urn:vendor">1</x:hint></samlp:Extensions>'
    assert user_of(sign(Saml2Response(extra=extra).xml(Saml2Assertion().xml()), "response"))


def test_an_attribute_value_may_hold_an_element_where_it_is_not_asked_for() -> None:
    targeted = (
        '<saml:Attribute Name="urn:oid:1.3.6.1.4.1.5923.1.1.1.10"><saml:AttributeValue>'
        "<saml:NameID>opaque</saml:NameID></saml:AttributeValue></saml:Attribute>"
    )
    assert user_of(sign(Saml2Response().xml(Saml2Assertion(extra_attributes=targeted).xml())))


def test_a_response_without_issuer_and_destination_passes_when_the_assertion_is_signed() -> None:
    bare = Saml2Response(issuer=None, destination=None, in_response_to=None)
    assert user_of(sign(bare.xml(Saml2Assertion().xml())))


def certificate(key: SigningPrivateKey) -> x509.Certificate:
    return x509.load_der_x509_certificate(certificate_der(key))


SIGNXML_METHODS = {
    "RSA 2048": SignatureMethod.RSA_SHA256,
    "P-256": SignatureMethod.ECDSA_SHA256,
    "P-384": SignatureMethod.ECDSA_SHA384,
    "P-521": SignatureMethod.ECDSA_SHA512,
}


@each_key
def test_signxml_accepts_what_we_sign(key: SigningPrivateKey) -> None:
    signed = etree.fromstring(sign(Saml2Assertion().xml(), "response", key))
    configuration = SignatureConfiguration(location=".//")
    result = XMLVerifier().verify(signed, x509_cert=_pem(key), expect_config=configuration, id_attribute="ID")
    assert not isinstance(result, list)
    assert result.signed_xml is not None
    assert b"alice@example.test" in etree.tostring(result.signed_xml)


@pytest.mark.parametrize(("name", "key"), KEYS, ids=[row[0] for row in KEYS])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_we_accept_what_signxml_signs(name: str, key: SigningPrivateKey, digest: str) -> None:
    place = '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="placeholder"></ds:Signature>'
    text = Saml2Assertion().xml().replace("</saml:Issuer>", "</saml:Issuer>" + place)
    signer = XMLSigner(
        method=methods.enveloped,
        signature_algorithm=SIGNXML_METHODS[name],
        digest_algorithm=digest,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signed = signer.sign(
        etree.fromstring(text),
        key=key,
        cert=[certificate(key)],
        reference_uri="_assertion1",
        id_attribute="ID",
    )
    assertion = etree.tostring(signed).decode()
    assert user_of(Saml2Response().xml(assertion), signing_keys=(key.public_key(),)) == "alice@example.test"


def _pem(key: SigningPrivateKey) -> str:
    body = "\n".join(textwrap.wrap(base64.b64encode(certificate_der(key)).decode(), 64))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
