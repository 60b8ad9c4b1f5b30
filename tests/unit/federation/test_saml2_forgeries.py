"""What nobody may get through: wrapped, stripped, re-signed and half-signed responses."""

import base64
import hashlib
import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support import forgeries
from support.forgeries import rearranged, rsa_signature, signed_by_hand
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

from gateway.federation.errors import MessageRejected
from gateway.federation.saml2 import verify_response
from gateway.federation.structure import Element
from gateway.model.reasons import MessageReason as Reason

EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
DIGEST = f'<ds:DigestMethod Algorithm="{SHA256}"/>'
C14N_TRANSFORM = f'<ds:Transform Algorithm="{EXC_C14N}"/>'
ENVELOPED_TRANSFORM = f'<ds:Transform Algorithm="{ENVELOPED}"/>'


def refusal(xml: bytes, **idp: object) -> MessageRejected:
    with pytest.raises(MessageRejected) as caught:
        verify_response(saml_form(xml), expectation(**idp), NOW)
    return caught.value


def response(*, what: str = "assertion") -> bytes:
    return sign(Saml2Response().xml(Saml2Assertion().xml()), what)


WRAPPED: list[tuple[str, str, Callable[[Element], Element], Reason]] = [
    ("a signed Response inside of its own signature", "response", forgeries.wrap_1, Reason.MALFORMED),
    ("a signed Response beside the forged one", "response", forgeries.wrap_2, Reason.MALFORMED),
    ("a forged assertion before the signed one", "assertion", forgeries.wrap_3, Reason.MALFORMED),
    ("a forged assertion around the signed one", "assertion", forgeries.wrap_4, Reason.MALFORMED),
    ("the signed assertion after the forged one", "assertion", forgeries.wrap_5, Reason.MALFORMED),
    ("the signed assertion in the forged one's signature", "assertion", forgeries.wrap_6, Reason.MALFORMED),
    ("a forged assertion in Extensions", "assertion", forgeries.wrap_7, Reason.MALFORMED),
    ("the signed assertion in an Object", "assertion", forgeries.wrap_8, Reason.MALFORMED),
    ("the signed assertion in Advice", "assertion", forgeries.evil_inside_advice, Reason.MALFORMED),
    ("two assertions with one ID", "assertion", forgeries.same_id_twice, Reason.MALFORMED),
    ("a SAML 1.1 assertion beside", "assertion", forgeries.evil_of_another_namespace, Reason.MALFORMED),
    (
        "the ID of the assertion on the Response",
        "assertion",
        forgeries.response_takes_the_signed_id,
        Reason.MALFORMED,
    ),
    ("a NameID in KeyInfo", "assertion", forgeries.claims_in_key_info, Reason.MALFORMED),
    ("a NameID in an unsigned StatusDetail", "assertion", forgeries.claims_in_status, Reason.MALFORMED),
    ("a NameID in unsigned Extensions", "assertion", forgeries.claims_in_extensions, Reason.MALFORMED),
    ("two signatures in one assertion", "assertion", forgeries.two_signatures_in_one, Reason.MALFORMED),
    (
        "the assertion's signature in the Response",
        "assertion",
        forgeries.signature_moved_to_response,
        Reason.SIGNATURE_INVALID,
    ),
    ("no signature left", "assertion", forgeries.signature_removed, Reason.SIGNATURE_MISSING),
    ("another user, assertion signed", "assertion", forgeries.user_changed, Reason.SIGNATURE_INVALID),
    ("another user, Response signed", "response", forgeries.user_changed, Reason.SIGNATURE_INVALID),
    ("another user, both signed", "both", forgeries.user_changed, Reason.SIGNATURE_INVALID),
    ("a forged assertion, both signed", "both", forgeries.wrap_3, Reason.MALFORMED),
    ("a forged assertion in Extensions, both signed", "both", forgeries.wrap_7, Reason.MALFORMED),
    ("a signed Response in its signature, both signed", "both", forgeries.wrap_1, Reason.MALFORMED),
    (
        "an assertion's signature removed, Response signed",
        "both",
        forgeries.signature_removed,
        Reason.SIGNATURE_INVALID,
    ),
]


@pytest.mark.parametrize(
    ("what", "change", "reason"), [row[1:] for row in WRAPPED], ids=[row[0] for row in WRAPPED]
)
def test_a_rearranged_message_is_refused(
    what: str, change: Callable[[Element], Element], reason: Reason
) -> None:
    original = response(what=what)
    verify_response(saml_form(original), expectation(), NOW)  # the attack starts from a message that passes

    assert refusal(rearranged(original, change)).reason is reason


def test_an_unsigned_message_is_refused() -> None:
    assert refusal(response(what="nothing")).reason is Reason.SIGNATURE_MISSING


Row = tuple[str, Callable[[str], str], Reason]
SIGNED_BY_THE_PROVIDER: list[Row] = [
    (
        "two references",
        lambda info: info.replace("</ds:SignedInfo>", info[info.index("<ds:Reference") :], 1),
        Reason.MALFORMED,
    ),
    (
        "no reference",
        lambda info: info[: info.index("<ds:Reference")] + "</ds:SignedInfo>",
        Reason.MALFORMED,
    ),
    (
        "a reference to the Response",
        lambda info: info.replace("#_assertion1", "#_response1"),
        Reason.SIGNATURE_INVALID,
    ),
    (
        "a reference to the whole document",
        lambda info: info.replace("#_assertion1", ""),
        Reason.SIGNATURE_INVALID,
    ),
    (
        "a reference by XPointer",
        lambda info: info.replace("#_assertion1", "#xpointer(/)"),
        Reason.SIGNATURE_INVALID,
    ),
    (
        "a reference by percent-encoding",
        lambda info: info.replace("#_assertion1", "#%5Fassertion1"),
        Reason.SIGNATURE_INVALID,
    ),
    (
        "a reference to a file",
        lambda info: info.replace("#_assertion1", "file:///etc/passwd"),
        Reason.SIGNATURE_INVALID,
    ),
    (
        "a reference without URI",
        lambda info: info.replace(' URI="#_assertion1"', ""),
        Reason.SIGNATURE_INVALID,
    ),
    (
        "no transforms",
        lambda info: info.replace(ENVELOPED_TRANSFORM + C14N_TRANSFORM, ""),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "the enveloped transform alone",
        lambda info: info.replace(C14N_TRANSFORM, ""),
        Reason.ALGORITHM_REFUSED,
    ),
    ("canonicalization alone", lambda info: info.replace(ENVELOPED_TRANSFORM, ""), Reason.ALGORITHM_REFUSED),
    (
        "the transforms the other way round",
        lambda info: info.replace(ENVELOPED_TRANSFORM + C14N_TRANSFORM, C14N_TRANSFORM + ENVELOPED_TRANSFORM),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "a third transform",
        lambda info: info.replace(C14N_TRANSFORM, C14N_TRANSFORM * 2),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "an XSLT transform",
        lambda info: info.replace(
            C14N_TRANSFORM, '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"/>'
        ),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "an XPath transform",
        lambda info: info.replace(
            ENVELOPED_TRANSFORM,
            '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">'
            "<ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>",
        ),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "an XPath inside of the enveloped transform",
        lambda info: info.replace(
            ENVELOPED_TRANSFORM,
            f'<ds:Transform Algorithm="{ENVELOPED}"><ds:XPath>true()</ds:XPath></ds:Transform>',
        ),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "inclusive canonicalization",
        lambda info: info.replace(
            C14N_TRANSFORM, '<ds:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>'
        ),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "canonicalization with comments",
        lambda info: info.replace(EXC_C14N, EXC_C14N + "WithComments"),
        Reason.ALGORITHM_REFUSED,
    ),
    ("an unknown digest", lambda info: info.replace(SHA256, "urn:crc32"), Reason.ALGORITHM_REFUSED),
    (
        "an MD5 digest",
        lambda info: info.replace(SHA256, "http://www.w3.org/2001/04/xmldsig-more#md5"),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "a digest with parameters",
        lambda info: info.replace(DIGEST, f'<ds:DigestMethod Algorithm="{SHA256}"><x/></ds:DigestMethod>'),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "an MD5 signature",
        lambda info: info.replace(RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "a signature method with parameters",
        lambda info: info.replace(
            f'<ds:SignatureMethod Algorithm="{RSA_SHA256}"/>',
            f'<ds:SignatureMethod Algorithm="{RSA_SHA256}"><ds:HMACOutputLength>0</ds:HMACOutputLength>'
            "</ds:SignatureMethod>",
        ),
        Reason.ALGORITHM_REFUSED,
    ),
    (
        "a method of another kind of key",
        lambda info: info.replace("#rsa-sha256", "#ecdsa-sha256"),
        Reason.SIGNATURE_INVALID,
    ),
    (
        "a digest value cut short",
        lambda info: info.replace(info[info.index("<ds:DigestValue>") + 16 :][:40], "AAAA"),
        Reason.SIGNATURE_INVALID,
    ),
    (
        "an empty digest value",
        lambda info: (
            info[: info.index("<ds:DigestValue>")] + "<ds:DigestValue/></ds:Reference></ds:SignedInfo>"
        ),
        Reason.SIGNATURE_INVALID,
    ),
    ("a reference without a digest method", lambda info: info.replace(DIGEST, ""), Reason.MALFORMED),
    (
        "a reference with an object inside",
        lambda info: info.replace("</ds:Reference>", "<ds:Object/></ds:Reference>"),
        Reason.MALFORMED,
    ),
    (
        "an XPath inside of the canonicalization",
        lambda info: info.replace(
            C14N_TRANSFORM, f'<ds:Transform Algorithm="{EXC_C14N}"><ds:XPath>true()</ds:XPath></ds:Transform>'
        ),
        Reason.MALFORMED,
    ),
    (
        "two prefix lists",
        lambda info: info.replace(
            C14N_TRANSFORM,
            f'<ds:Transform Algorithm="{EXC_C14N}">'
            + f'<ec:InclusiveNamespaces xmlns:ec="{EXC_C14N}" PrefixList="xs"/>' * 2
            + "</ds:Transform>",
        ),
        Reason.MALFORMED,
    ),
    (
        "a manifest",
        lambda info: info.replace("</ds:SignedInfo>", "<ds:Manifest/></ds:SignedInfo>"),
        Reason.MALFORMED,
    ),
    (
        "more prefixes than any namespace needs",
        lambda info: info.replace(
            C14N_TRANSFORM,
            f'<ds:Transform Algorithm="{EXC_C14N}"><ec:InclusiveNamespaces xmlns:ec="{EXC_C14N}" '
            f'PrefixList="{" ".join(f"p{n}" for n in range(17))}"/></ds:Transform>',
        ),
        Reason.TOO_LARGE,
    ),
    (
        "a prefix that is none",
        lambda info: info.replace(
            C14N_TRANSFORM,
            f'<ds:Transform Algorithm="{EXC_C14N}"><ec:InclusiveNamespaces xmlns:ec="{EXC_C14N}" '
            'PrefixList="a:b"/></ds:Transform>',
        ),
        Reason.MALFORMED,
    ),
]


@pytest.mark.parametrize(
    ("alter", "reason"),
    [row[1:] for row in SIGNED_BY_THE_PROVIDER],
    ids=[row[0] for row in SIGNED_BY_THE_PROVIDER],
)
def test_a_signature_of_an_unusual_form_is_refused_although_the_key_is_right(
    alter: Callable[[str], str], reason: Reason
) -> None:
    assert refusal(Saml2Response().xml(signed_by_hand(alter=alter))).reason is reason


def test_the_signature_made_by_hand_passes_when_nothing_is_altered() -> None:
    verify_response(saml_form(Saml2Response().xml(signed_by_hand())), expectation(), NOW)


SIGNATURES: list[tuple[str, Callable[[str], str]]] = [
    ("without a value", lambda text: text[: text.index("<ds:SignatureValue>")] + "</ds:Signature>"),
    ("without anything", lambda text: text[: text.index("<ds:SignedInfo")] + "</ds:Signature>"),
    (
        "with the value first",
        lambda text: text.replace(
            text[text.index("<ds:SignedInfo") : text.index("<ds:SignatureValue>")], ""
        ).replace(
            "</ds:SignatureValue>",
            "</ds:SignatureValue>" + text[text.index("<ds:SignedInfo") : text.index("<ds:SignatureValue>")],
        ),
    ),
    ("with two values", lambda text: text.replace("</ds:Signature>", "<ds:SignatureValue/></ds:Signature>")),
    (
        "with two KeyInfo",
        lambda text: text.replace("</ds:Signature>", "<ds:KeyInfo/><ds:KeyInfo/></ds:Signature>"),
    ),
    (
        "with two SignedInfo",
        lambda text: text.replace("<ds:SignatureValue>", "<ds:SignedInfo/><ds:SignatureValue>"),
    ),
]


@pytest.mark.parametrize("alter", [row[1] for row in SIGNATURES], ids=[row[0] for row in SIGNATURES])
def test_a_signature_of_other_parts_is_refused(alter: Callable[[str], str]) -> None:
    assert refusal(Saml2Response().xml(signed_by_hand(alter_signature=alter))).reason is Reason.MALFORMED


def test_an_object_in_a_signature_is_refused() -> None:
    signed = signed_by_hand(
        alter_signature=lambda text: text.replace("</ds:Signature>", "<ds:Object/></ds:Signature>")
    )
    assert refusal(Saml2Response().xml(signed)).reason is Reason.MALFORMED


def test_a_retrieval_method_in_key_info_is_refused() -> None:
    signed = signed_by_hand(
        alter_signature=lambda text: text.replace(
            "</ds:Signature>",
            '<ds:KeyInfo><ds:RetrievalMethod URI="http://attacker.test/key"/></ds:KeyInfo></ds:Signature>',
        )
    )
    assert refusal(Saml2Response().xml(signed)).reason is Reason.MALFORMED


def test_text_between_the_parts_of_a_signature_is_refused() -> None:
    signed = signed_by_hand(
        alter_signature=lambda text: text.replace("<ds:SignatureValue>", "admin<ds:SignatureValue>")
    )
    assert refusal(Saml2Response().xml(signed)).reason is Reason.MALFORMED


def test_an_hmac_with_the_public_key_as_its_secret_is_refused() -> None:
    public_pem = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = signed_by_hand(
        alter=lambda info: info.replace(RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
        sign_octets=lambda octets: hmac.digest(public_pem, octets, "sha256"),
    )
    assert refusal(Saml2Response().xml(signed)).reason is Reason.ALGORITHM_REFUSED


def sha1_signed() -> bytes:
    signed = signed_by_hand(
        alter=lambda info: info.replace(RSA_SHA256, "http://www.w3.org/2000/09/xmldsig#rsa-sha1").replace(
            SHA256, "http://www.w3.org/2000/09/xmldsig#sha1"
        ),
        digest=lambda octets: hashlib.sha1(octets).digest(),
        sign_octets=rsa_signature(hashes.SHA1()),
    )
    return Saml2Response().xml(signed)


def test_sha1_is_refused() -> None:
    assert refusal(sha1_signed()).reason is Reason.ALGORITHM_REFUSED


def test_a_sha1_digest_under_a_good_signature_is_refused() -> None:
    signed = signed_by_hand(
        alter=lambda info: info.replace(SHA256, "http://www.w3.org/2000/09/xmldsig#sha1"),
        digest=lambda octets: hashlib.sha1(octets).digest(),
    )
    assert refusal(Saml2Response().xml(signed)).reason is Reason.ALGORITHM_REFUSED


def test_sha1_passes_by_the_exception_for_one_provider() -> None:
    verified = verify_response(saml_form(sha1_signed()), expectation(allow_sha1=True), NOW)
    assert verified.identity.user == "alice@example.test"


def test_the_exception_for_sha1_opens_nothing_else() -> None:
    signed = signed_by_hand(
        alter=lambda info: info.replace(RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#rsa-md5")
    )
    assert refusal(Saml2Response().xml(signed), allow_sha1=True).reason is Reason.ALGORITHM_REFUSED


@pytest.mark.parametrize("what", ["assertion", "response", "both"])
def test_a_key_that_only_key_info_knows_is_not_believed(what: str) -> None:
    attacker = rsa_key("attacker")
    forged = sign(
        Saml2Response().xml(Saml2Assertion(user="admin").xml()),
        what,
        attacker,
        certificate=certificate_der(attacker),
    )
    assert refusal(forged).reason is Reason.SIGNATURE_INVALID


def test_the_attackers_response_around_a_signed_assertion_is_refused() -> None:
    inner = sign(Saml2Assertion().xml(), "response").decode()
    forged = sign(Saml2Response().xml(inner), "response", rsa_key("attacker"))
    assert refusal(forged).reason is Reason.SIGNATURE_INVALID


def test_an_ecdsa_signature_of_another_key_is_refused() -> None:
    forged = sign(Saml2Response().xml(Saml2Assertion().xml()), "assertion", ec_key("attacker"))
    keys = (ec_key().public_key(),)
    assert refusal(forged, signing_keys=keys).reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(
    "value", ["", "AAAA", base64.b64encode(bytes(64)).decode()], ids=["empty", "short", "zero"]
)
def test_an_ecdsa_signature_without_content_is_refused(value: str) -> None:
    signed = signed_by_hand(
        alter=lambda info: info.replace("#rsa-sha256", "#ecdsa-sha256"),
        sign_octets=lambda _: base64.b64decode(value),
    )
    keys = (ec_key().public_key(),)
    assert refusal(Saml2Response().xml(signed), signing_keys=keys).reason is Reason.SIGNATURE_INVALID


def test_a_provider_without_keys_verifies_nothing() -> None:
    assert refusal(response(), signing_keys=()).reason is Reason.SIGNATURE_INVALID


def test_an_endless_signature_value_is_refused() -> None:
    signed = signed_by_hand(sign_octets=lambda _: bytes(2000))
    assert refusal(Saml2Response().xml(signed)).reason is Reason.TOO_LARGE


def test_a_response_that_canonicalizes_to_nothing_is_refused() -> None:
    # Void canonicalization: libraries that ignore the failure compare the digest of no bytes at all.
    nothing = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    signed = signed_by_hand(
        Saml2Assertion(extra='<x xmlns="relative"/>').xml().replace('<x xmlns="relative"/>', ""),
        alter=lambda info: (
            info[: info.index("<ds:DigestValue>")]
            + f"<ds:DigestValue>{nothing}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
        ),
    ).replace("</saml:Assertion>", '<x xmlns="relative"/></saml:Assertion>')
    assert refusal(Saml2Response().xml(signed)).reason is Reason.MALFORMED
