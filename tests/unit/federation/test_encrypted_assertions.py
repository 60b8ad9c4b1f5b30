"""Encrypted assertions: opened only with strong algorithms, believed only with a signature."""

import pytest
from cryptography.hazmat.primitives import hashes
from support.messages import (
    NOW,
    XENC,
    XENC11,
    Encryption,
    Saml2Assertion,
    Saml2Response,
    expectation,
    rsa_key,
    saml_form,
    sign,
)

from gateway.federation.errors import MessageRejected
from gateway.federation.saml2 import verify_response
from gateway.model.reasons import MessageReason as Reason

KEY = rsa_key("app")
SHA256 = XENC + "sha256"
CBC = Encryption(content=XENC + "aes256-cbc")
OAEP_11 = Encryption(
    key_transport=XENC11 + "rsa-oaep",
    digest=SHA256,
    mask=XENC11 + "mgf1sha256",
    oaep_hash=hashes.SHA256(),
    mask_hash=hashes.SHA256(),
)


def message(
    encryption: Encryption,
    *,
    inner: bool = True,
    outer: bool = False,
    assertion: Saml2Assertion | None = None,
) -> bytes:
    text = (assertion or Saml2Assertion()).xml()
    plaintext = sign(text, "response") if inner else text.encode()
    response = Saml2Response().xml(encryption.assertion(plaintext, KEY.public_key()))
    return sign(response, "response") if outer else response


def user_of(xml: bytes) -> str:
    return verify_response(saml_form(xml), expectation(KEY), NOW).identity.user


def refused(xml: bytes) -> MessageRejected:
    with pytest.raises(MessageRejected) as caught:
        verify_response(saml_form(xml), expectation(KEY), NOW)
    return caught.value


ACCEPTED: list[tuple[str, Encryption]] = [
    ("AES-256-GCM and OAEP", Encryption()),
    ("AES-128-GCM", Encryption(content=XENC11 + "aes128-gcm")),
    ("OAEP with a SHA-256 digest", Encryption(digest=SHA256, oaep_hash=hashes.SHA256())),
    ("OAEP of XML Encryption 1.1", OAEP_11),
    ("the key beside the data", Encryption(key_beside_data=True)),
    (
        "a reference to a certificate in the manner of Windows",
        Encryption(
            extra_key_info='<o:SecurityTokenReference xmlns:o="http://docs.oasis-open.org/wss/2004/01/'
            'oasis-200401-wss-wssecurity-secext-1.0.xsd"><ds:X509Data/></o:SecurityTokenReference>'
        ),
    ),
]


@pytest.mark.parametrize("encryption", [row[1] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
@pytest.mark.parametrize(("inner", "outer"), [(True, False), (False, True), (True, True)])
def test_a_signed_and_encrypted_assertion_passes(encryption: Encryption, inner: bool, outer: bool) -> None:
    assert user_of(message(encryption, inner=inner, outer=outer)) == "alice@example.test"


def test_cbc_passes_only_with_a_signature_around_it() -> None:
    assert user_of(message(CBC, outer=True)) == "alice@example.test"
    assert user_of(message(CBC, inner=False, outer=True)) == "alice@example.test"
    assert refused(message(CBC)).reason is Reason.ALGORITHM_REFUSED


def test_encryption_is_no_signature() -> None:
    assert refused(message(Encryption(), inner=False)).reason is Reason.SIGNATURE_MISSING


def test_a_wrong_signature_inside_is_refused_although_the_one_around_is_right() -> None:
    forged = sign(Saml2Assertion().xml(), "response", rsa_key("attacker"))
    response = Saml2Response().xml(Encryption().assertion(forged, KEY.public_key()))
    assert refused(sign(response, "response")).reason is Reason.SIGNATURE_INVALID


def test_without_a_configured_key_the_detail_names_the_setting() -> None:
    with pytest.raises(MessageRejected) as caught:
        verify_response(saml_form(message(Encryption())), expectation(), NOW)
    assert caught.value.reason is Reason.MALFORMED
    assert "decryption_key" in caught.value.detail


REFUSED: list[tuple[str, Encryption, Reason]] = [
    ("RSA 1.5", Encryption(key_transport=XENC + "rsa-1_5"), Reason.ALGORITHM_REFUSED),
    ("3DES", Encryption(content=XENC + "tripledes-cbc"), Reason.ALGORITHM_REFUSED),
    ("a cipher that nobody knows", Encryption(content="urn:rot13"), Reason.ALGORITHM_REFUSED),
    (
        "OAEP with MD5",
        Encryption(digest="http://www.w3.org/2001/04/xmldsig-more#md5"),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "a mask that nobody knows",
        Encryption(key_transport=XENC11 + "rsa-oaep", mask="urn:x"),
        Reason.ALGORITHM_REFUSED,
    ),
    ("a mask where none belongs", Encryption(mask=XENC11 + "mgf1sha256"), Reason.ALGORITHM_REFUSED),
    ("a digest other than was used", Encryption(digest=SHA256), Reason.MALFORMED),
    (
        "a retrieval method",
        Encryption(extra_key_info='<ds:RetrievalMethod URI="http://attacker.test/"/>'),
        Reason.MALFORMED,
    ),
    (
        "a name in KeyInfo",
        Encryption(extra_key_info="<saml:NameID>admin</saml:NameID>"),
        Reason.MALFORMED,
    ),
    (
        "two keys",
        Encryption(extra_key_info=f'<xenc:EncryptedKey xmlns:xenc="{XENC}"/>'),
        Reason.MALFORMED,
    ),
]


@pytest.mark.parametrize(
    ("encryption", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
@pytest.mark.parametrize("outer", [False, True], ids=["unsigned around", "signed around"])
def test_an_encryption_of_another_kind_is_refused(
    encryption: Encryption, reason: Reason, outer: bool
) -> None:
    assert refused(message(encryption, outer=outer)).reason is reason


def test_a_cipher_reference_is_not_followed() -> None:
    reference = f'<xenc:CipherReference xmlns:xenc="{XENC}" URI="http://attacker.test/"/>'
    xml = message(Encryption()).replace(b"</xenc:CipherValue>", b"</xenc:CipherValue>" + reference.encode())
    assert refused(xml).reason is Reason.MALFORMED


def test_oaep_parameters_are_refused() -> None:
    xml = message(Encryption()).replace(
        b'rsa-oaep-mgf1p">', b'rsa-oaep-mgf1p"><xenc:OAEPparams>AAAA</xenc:OAEPparams>'
    )
    assert refused(xml).reason is Reason.ALGORITHM_REFUSED


def broken(xml: bytes, marker: bytes, position: int) -> bytes:
    """Change one character of the base64 after ``marker``."""
    start = xml.rindex(marker) + len(marker) + position
    return xml[:start] + (b"B" if xml[start : start + 1] == b"A" else b"A") + xml[start + 1 :]


@pytest.mark.parametrize("position", [4, 40], ids=["in the beginning", "further on"])
@pytest.mark.parametrize("encryption", [Encryption(), OAEP_11], ids=["OAEP", "OAEP 1.1"])
def test_every_failure_to_decrypt_reads_the_same(encryption: Encryption, position: int) -> None:
    xml = message(encryption)
    data, key = xml.rindex(b"<xenc:CipherValue>"), xml.index(b"<xenc:CipherValue>")
    assert key < data
    details = {
        refused(broken(xml, b"<xenc:CipherValue>", position)).detail,
        refused(xml[:data] + xml[data:].replace(xml[data + 18 : data + 98], b"", 1)).detail,
        refused(broken(xml[:data], b"<xenc:CipherValue>", position) + xml[data:]).detail,
    }
    assert details == {"the encrypted assertion does not open with the configured decryption_key"}


@pytest.mark.parametrize("length", [0, 5, 12, 27], ids=["empty", "half a nonce", "a nonce", "half a tag"])
def test_gcm_that_is_too_short_reads_the_same(length: int) -> None:
    class Cut(Encryption):
        def _encrypt(self, key: bytes, plaintext: bytes) -> bytes:
            return super()._encrypt(key, plaintext)[:length]

    response = Saml2Response().xml(Cut().assertion(b"", KEY.public_key()))
    detail = refused(sign(response, "response")).detail
    assert detail == "the encrypted assertion does not open with the configured decryption_key"


def test_a_key_of_another_length_than_the_cipher_says_is_refused() -> None:
    xml = message(Encryption()).replace(b"aes256-gcm", b"aes128-gcm")
    assert refused(xml).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "length", [0, 16, 40, 48], ids=["empty", "a block", "no whole block", "padding out of range"]
)
def test_cbc_that_does_not_end_well_reads_the_same(length: int) -> None:
    class Cut(Encryption):
        def _encrypt(self, key: bytes, plaintext: bytes) -> bytes:
            return super()._encrypt(key, b"\0" * 1000)[:length]

    response = Saml2Response().xml(Cut(content=CBC.content).assertion(b"", KEY.public_key()))
    detail = refused(sign(response, "response")).detail
    assert detail == "the encrypted assertion does not open with the configured decryption_key"


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"alice",
        b"<x/>",
        Saml2Assertion().xml().replace("saml:Assertion", "saml:Claims").encode(),
        Saml2Response().xml(Saml2Assertion().xml()),
        Saml2Assertion().xml().encode() * 2,
        b"<!DOCTYPE x>" + Saml2Assertion().xml().encode(),
        Saml2Assertion(user="alice<!-- -->x").xml().encode(),
    ],
    ids=[
        "nothing",
        "text",
        "another element",
        "the parts of an assertion under another name",
        "a Response",
        "two assertions",
        "a document type",
        "a comment",
    ],
)
def test_what_was_encrypted_is_read_with_the_same_rules(plaintext: bytes) -> None:
    response = sign(Saml2Response().xml(Encryption().assertion(plaintext, KEY.public_key())), "response")
    assert refused(response).reason is Reason.MALFORMED


def test_an_id_inside_that_also_stands_outside_is_refused() -> None:
    response = Saml2Response(response_id="_assertion1").xml(
        Encryption().assertion(sign(Saml2Assertion().xml(), "response"), KEY.public_key())
    )
    assert refused(response).reason is Reason.MALFORMED


def test_an_encrypted_and_a_plain_assertion_together_are_refused() -> None:
    encrypted = Encryption().assertion(sign(Saml2Assertion().xml(), "response"), KEY.public_key())
    response = Saml2Response().xml(encrypted, Saml2Assertion(user="admin", assertion_id="_2").xml())
    assert refused(response).reason is Reason.MALFORMED
