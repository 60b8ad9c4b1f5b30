"""Messages that an attacker would send: signatures made by hand, and signed parts wrapped in other parts.

The wrapping attacks are numbered as in the literature ("On Breaking SAML: Be Whoever You Want to Be", 2012).
"""

import base64
import copy
import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree
from support.messages import DS, Saml2Assertion, rsa_key

from gateway.federation.structure import Element

ADMIN = "admin@example.test"
_S = "{urn:oasis:names:tc:SAML:2.0:assertion}"
_P = "{urn:oasis:names:tc:SAML:2.0:protocol}"
_D = f"{{{DS}}}"

Alter = Callable[[str], str]
SignOctets = Callable[[bytes], bytes]


def _unchanged(text: str) -> str:
    return text


def rsa_signature(algorithm: hashes.HashAlgorithm) -> SignOctets:
    return lambda octets: rsa_key().sign(octets, padding.PKCS1v15(), algorithm)


def signed_by_hand(
    assertion: str | None = None,
    alter: Alter = _unchanged,
    *,
    digest: Callable[[bytes], bytes] = lambda octets: hashlib.sha256(octets).digest(),
    sign_octets: SignOctets | None = None,
    alter_signature: Alter = _unchanged,
) -> str:
    """An assertion whose SignedInfo a test has changed before the provider's key signed it.

    ``alter`` changes SignedInfo before, ``alter_signature`` the whole Signature after it was signed. So the
    first is what a careless provider could sign, the second what an attacker can do.
    """
    text = assertion or Saml2Assertion().xml()
    root = etree.fromstring(text)
    covered = etree.tostring(root, method="c14n", exclusive=True)
    identifier = root.get("ID") or root.get("AssertionID")
    info = alter(
        f'<ds:SignedInfo xmlns:ds="{DS}">'
        '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>'
        '<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>'
        f'<ds:Reference URI="#{identifier}"><ds:Transforms>'
        '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>'
        '<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>'
        '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        f"<ds:DigestValue>{base64.b64encode(digest(covered)).decode()}</ds:DigestValue></ds:Reference>"
        "</ds:SignedInfo>"
    )
    octets = etree.tostring(etree.fromstring(info), method="c14n", exclusive=True)
    value = base64.b64encode((sign_octets or rsa_signature(hashes.SHA256()))(octets)).decode()
    signature = alter_signature(
        f'<ds:Signature xmlns:ds="{DS}">{info}<ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature>'
    )
    return text.replace("</saml:Issuer>", "</saml:Issuer>" + signature, 1)


def _evil(assertion: Element) -> Element:
    """A copy about another user, under another ID, without a signature."""
    copied = copy.deepcopy(assertion)
    for signature in copied.findall(_D + "Signature"):
        copied.remove(signature)
    copied.set("ID", "_evil")
    for name_id in copied.iter(_S + "NameID"):
        name_id.text = ADMIN
    return copied


def _without_signature(element: Element) -> Element:
    copied = copy.deepcopy(element)
    for signature in copied.findall(_D + "Signature"):
        copied.remove(signature)
    return copied


def _the(root: Element, path: str) -> Element:
    found = root.find(path)
    assert found is not None
    return found


def _evil_response(response: Element) -> Element:
    evil = copy.deepcopy(response)
    evil.set("ID", "_evil")
    for name_id in evil.iter(_S + "NameID"):
        name_id.text = ADMIN
    return evil


def wrap_1(response: Element) -> Element:
    evil = _evil_response(response)
    _the(evil, _D + "Signature").append(_without_signature(response))
    return evil


def wrap_2(response: Element) -> Element:
    evil = _evil_response(response)
    _the(evil, _D + "Signature").addprevious(_without_signature(response))
    return evil


def wrap_3(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    assertion.addprevious(_evil(assertion))
    return response


def wrap_4(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    evil = _evil(assertion)
    response.replace(assertion, evil)
    evil.append(assertion)
    return response


def wrap_5(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    response.append(_without_signature(assertion))
    assertion.set("ID", "_evil")
    _the(assertion, f".//{_S}NameID").text = ADMIN
    return response


def wrap_6(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    original = _without_signature(assertion)
    assertion.set("ID", "_evil")
    _the(assertion, f".//{_S}NameID").text = ADMIN
    _the(assertion, _D + "Signature").append(original)
    return response


def wrap_7(response: Element) -> Element:
    extensions = etree.Element(_P + "Extensions")
    extensions.append(_evil(_the(response, _S + "Assertion")))
    response.insert(0, extensions)
    return response


def wrap_8(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    original = _without_signature(assertion)
    assertion.set("ID", "_evil")
    _the(assertion, f".//{_S}NameID").text = ADMIN
    container = etree.SubElement(_the(assertion, _D + "Signature"), _D + "Object")
    container.append(original)
    return response


def evil_inside_advice(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    evil = _evil(assertion)
    advice = etree.SubElement(evil, _S + "Advice")
    response.replace(assertion, evil)
    advice.append(assertion)
    return response


def same_id_twice(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    evil = _evil(assertion)
    evil.set("ID", assertion.get("ID", ""))
    assertion.addnext(evil)
    return response


def evil_of_another_namespace(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    evil = _evil(assertion)
    evil.tag = "{urn:oasis:names:tc:SAML:1.0:assertion}Assertion"
    response.append(evil)
    return response


def signature_moved_to_response(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    signature = _the(assertion, _D + "Signature")
    _the(assertion, f".//{_S}NameID").text = ADMIN
    response.insert(1, signature)
    return response


def response_takes_the_signed_id(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    response.set("ID", assertion.get("ID", ""))
    return response


def claims_in_key_info(response: Element) -> Element:
    signature = _the(_the(response, _S + "Assertion"), _D + "Signature")
    key_info = etree.SubElement(signature, _D + "KeyInfo")
    etree.SubElement(key_info, _S + "NameID").text = ADMIN
    return response


def claims_in_status(response: Element) -> Element:
    detail = etree.SubElement(_the(response, _P + "Status"), _P + "StatusDetail")
    etree.SubElement(detail, _S + "NameID").text = ADMIN
    return response


def claims_in_extensions(response: Element) -> Element:
    extensions = etree.Element(_P + "Extensions")
    etree.SubElement(extensions, _S + "NameID").text = ADMIN
    response.insert(1, extensions)
    return response


def two_signatures_in_one(response: Element) -> Element:
    signature = _the(_the(response, _S + "Assertion"), _D + "Signature")
    signature.addnext(copy.deepcopy(signature))
    return response


def signature_removed(response: Element) -> Element:
    assertion = _the(response, _S + "Assertion")
    assertion.remove(_the(assertion, _D + "Signature"))
    return response


def user_changed(response: Element) -> Element:
    _the(response, f".//{_S}NameID").text = ADMIN
    return response


def rearranged(xml: bytes, change: Callable[[Element], Element]) -> bytes:
    return etree.tostring(change(etree.fromstring(xml)))
