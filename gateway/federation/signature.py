"""Enveloped XML signatures, in the one form that SAML uses (SAML Core §5.4, XML-DSig §3.2).

The rule of this module: a signature says something about exactly the element that it stands in, and the
only result is the canonical bytes that it covered. Callers parse those bytes again and believe nothing
else. Keys come from the provider's metadata; KeyInfo is never read.
"""

import re
from collections.abc import Sequence

from cryptography.hazmat.primitives import constant_time
from lxml import etree

from gateway.federation import names
from gateway.federation.algorithms import SigningPublicKey, digest, signature_algorithm, verifies
from gateway.federation.errors import MessageRejected, malformed
from gateway.federation.structure import (
    Element,
    decode_base64,
    no_stray_text,
    parse_xml,
    required_attribute,
    text_of,
)
from gateway.model.reasons import MessageReason

MAX_PREFIXES = 16  # of an InclusiveNamespaces PrefixList; real ones have one or two
MAX_SIGNATURE_VALUE_BYTES = 1024  # RSA of 8192 bits

_DS = f"{{{names.DS}}}"
SIGNATURE = _DS + "Signature"
_INCLUSIVE_NAMESPACES = f"{{{names.EXC_C14N}}}InclusiveNamespaces"
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}")
# What KeyInfo may hold: hints for people and for other parsers, and nothing that points out of the message.
_KEY_INFO_PARTS = frozenset(
    _DS + local
    for local in (
        *(
            "KeyInfo",
            "KeyName",
            "KeyValue",
            "RSAKeyValue",
            "Modulus",
            "Exponent",
            "X509Data",
            "X509Certificate",
        ),
        *("X509IssuerSerial", "X509IssuerName", "X509SerialNumber", "X509SKI", "X509SubjectName", "X509CRL"),
    )
) | frozenset(
    f"{{{names.DS11}}}{local}"
    for local in ("ECKeyValue", "NamedCurve", "PublicKey", "X509Digest", "DEREncodedKeyValue")
)


def signature_of(element: Element) -> Element | None:
    """The Signature that stands directly in a SAML message or assertion."""
    return next(element.iterchildren(SIGNATURE), None)


def verify_enveloped(
    signed: Element, id_attribute: str, keys: Sequence[SigningPublicKey], *, allow_sha1: bool
) -> bytes:
    """Verify the Signature in ``signed`` and return the canonical bytes that it covers.

    ``id_attribute`` is ``ID`` or ``AssertionID``. The Signature is taken out of the tree, as the enveloped
    transform does. The tree must come from `structure.parse_message`, which has made sure that there is one
    Signature in this element and that no other element carries its ID.

    Raises MessageRejected (SIGNATURE_MISSING, SIGNATURE_INVALID, ALGORITHM_REFUSED, MALFORMED). Does not
    check certificates: a key in the metadata is trusted for as long as it is there (SAML metadata IOP §2.6).
    """
    signature = signature_of(signed)
    if signature is None:
        raise MessageRejected(
            MessageReason.SIGNATURE_MISSING, f"{names.local_name(signed.tag)} is not signed"
        )
    element_id = required_attribute(signed, id_attribute)
    signed_info, signature_value = _parts(signature)
    canonical_info = _verify_signed_info(signed_info, signature_value, keys, allow_sha1=allow_sha1)
    # From here on, what the signer said is read from the bytes that were signed, not from the document.
    prefixes, digest_uri, expected = _read_reference(parse_xml(canonical_info), element_id)
    _detach(signature)
    covered = _canonical(signed, prefixes)
    if not constant_time.bytes_eq(digest(digest_uri, covered, allow_sha1=allow_sha1), expected):
        raise MessageRejected(
            MessageReason.SIGNATURE_INVALID, f"{names.local_name(signed.tag)} was changed after it was signed"
        )
    return covered


def _parts(signature: Element) -> tuple[Element, bytes]:
    """SignedInfo and the signature value. Object is refused: nothing unsigned may hide in a signature."""
    children = list(signature)
    tags = [child.tag for child in children]
    if tags[:2] != [_DS + "SignedInfo", _DS + "SignatureValue"] or tags[2:] not in ([], [_DS + "KeyInfo"]):
        raise malformed("a Signature has other parts than SignedInfo, SignatureValue and KeyInfo")
    no_stray_text(signature)
    for key_info in children[2:]:
        for element in key_info.iter():
            if element.tag not in _KEY_INFO_PARTS:
                raise malformed(f"KeyInfo of a Signature has {names.local_name(element.tag)[:60]!r} inside")
    value = decode_base64(text_of(children[1]), "a SignatureValue")
    if len(value) > MAX_SIGNATURE_VALUE_BYTES:
        raise MessageRejected(MessageReason.TOO_LARGE, "a SignatureValue is longer than any accepted key")
    return children[0], value


def _verify_signed_info(
    signed_info: Element, value: bytes, keys: Sequence[SigningPublicKey], *, allow_sha1: bool
) -> bytes:
    expected = [_DS + "CanonicalizationMethod", _DS + "SignatureMethod", _DS + "Reference"]
    if [child.tag for child in signed_info] != expected:
        raise malformed("SignedInfo has other parts than a method each and one Reference")
    canonicalization, method, _ = signed_info
    prefixes = _exclusive_c14n_prefixes(canonicalization)
    if len(method):
        raise MessageRejected(MessageReason.ALGORITHM_REFUSED, "SignatureMethod has parameters")
    algorithm = signature_algorithm(required_attribute(method, "Algorithm"), allow_sha1=allow_sha1)
    octets = _canonical(signed_info, prefixes)
    if not any(verifies(algorithm, key, value, octets) for key in keys):
        raise MessageRejected(
            MessageReason.SIGNATURE_INVALID, "no key of the identity provider's metadata made the signature"
        )
    return octets


def _read_reference(signed_info: Element, element_id: str) -> tuple[list[str], str, bytes]:
    """Prefixes of the second transform, digest method and digest value of the one Reference."""
    no_stray_text(signed_info)
    reference = signed_info[2]
    if reference.get("URI") != "#" + element_id:
        raise MessageRejected(
            MessageReason.SIGNATURE_INVALID, "a signature refers to another element than the one it is in"
        )
    if [child.tag for child in reference] != [_DS + "Transforms", _DS + "DigestMethod", _DS + "DigestValue"]:
        raise malformed("a Reference has other parts than Transforms, DigestMethod and DigestValue")
    transforms, method, value = reference
    steps = list(transforms)
    if [step.tag for step in steps] != [_DS + "Transform"] * 2:
        raise MessageRejected(
            MessageReason.ALGORITHM_REFUSED, "a Reference has other transforms than the two of SAML"
        )
    enveloped, canonicalization = steps
    if enveloped.get("Algorithm") != names.ENVELOPED or len(enveloped):
        raise MessageRejected(
            MessageReason.ALGORITHM_REFUSED, "the first transform is not the enveloped-signature transform"
        )
    if len(method):
        raise MessageRejected(MessageReason.ALGORITHM_REFUSED, "DigestMethod has parameters")
    return (
        _exclusive_c14n_prefixes(canonicalization),
        required_attribute(method, "Algorithm"),
        decode_base64(text_of(value), "a DigestValue"),
    )


def _exclusive_c14n_prefixes(method: Element) -> list[str]:
    """The PrefixList of an exclusive canonicalization. Raises MessageRejected for any other method.

    ``#default`` is left out: libxml2 does not honour it through lxml. Where it would have made a
    difference, the digest differs and the message is refused.
    """
    uri = required_attribute(method, "Algorithm")
    if uri != names.EXC_C14N:
        raise MessageRejected(
            MessageReason.ALGORITHM_REFUSED, f"the transform {uri[:100]!r} is not exclusive canonicalization"
        )
    if not len(method):
        return []
    if len(method) > 1 or method[0].tag != _INCLUSIVE_NAMESPACES or len(method[0]):
        raise malformed("a canonicalization method has other parameters than one PrefixList")
    prefixes = method[0].get("PrefixList", "").split()
    if len(prefixes) > MAX_PREFIXES:
        raise MessageRejected(MessageReason.TOO_LARGE, f"a PrefixList has more than {MAX_PREFIXES} prefixes")
    named = [prefix for prefix in prefixes if prefix != "#default"]
    if not all(_PREFIX.fullmatch(prefix) for prefix in named):
        raise malformed("a PrefixList has something that is not a prefix")
    return named


def _canonical(element: Element, prefixes: list[str]) -> bytes:
    """Exclusive canonical form (W3C xml-exc-c14n). A failure is a refusal, never an empty form."""
    try:
        return etree.tostring(
            element,
            method="c14n",
            exclusive=True,
            with_comments=False,
            inclusive_ns_prefixes=prefixes or None,
        )
    except etree.C14NError:
        raise MessageRejected(
            MessageReason.SIGNATURE_INVALID, "the message cannot be canonicalized"
        ) from None


def _detach(signature: Element) -> None:
    """Take the Signature out but keep the text after it, which the digest covers."""
    parent = signature.getparent()
    assert parent is not None, "parse_message accepts no Signature as the root"
    tail = signature.tail or ""
    before = signature.getprevious()
    if before is None:
        parent.text = (parent.text or "") + tail
    else:
        before.tail = (before.tail or "") + tail
    parent.remove(signature)
