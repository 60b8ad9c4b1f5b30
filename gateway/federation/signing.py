"""Sign an assertion, a response or metadata: enveloped, exclusive canonicalization, SHA-256.

The counterpart of `gateway.federation.signature`. Used by the embedded identity provider and by everything
else of ours that speaks as one.
"""

import base64

from cryptography.hazmat.primitives import hashes
from lxml import etree

from gateway.federation import names
from gateway.federation.algorithms import SHA256, SigningPrivateKey, sign_octets, signing_method
from gateway.federation.structure import Element

_ISSUER_FIRST = frozenset({names.SAML2, names.SAMLP2})  # their schemas want the Signature after Issuer
_ID_ATTRIBUTES = ("ID", "AssertionID")


def sign_document(
    xml: bytes,
    key: SigningPrivateKey,
    *,
    element_id: str | None = None,
    certificate_der: bytes | None = None,
    inclusive_prefixes: tuple[str, ...] = (),
) -> bytes:
    """Sign the root, or the one element whose ID is ``element_id``, and return the document in UTF-8.

    ``certificate_der`` is put into KeyInfo as a hint to receivers. ``inclusive_prefixes`` names prefixes
    that are used in attribute values only (``xs`` of ``xsi:type="xs:string"``). To sign both an assertion
    and its response, sign the assertion first. ``xml`` is our own: the checks for a peer's are left out.
    Raises ValueError when there is no such element.
    """
    root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True))
    element = root if element_id is None else _by_id(root, element_id)
    sign_element(element, key, certificate_der=certificate_der, inclusive_prefixes=inclusive_prefixes)
    return etree.tostring(root, encoding="utf-8", xml_declaration=False)


def sign_element(
    element: Element,
    key: SigningPrivateKey,
    *,
    certificate_der: bytes | None = None,
    inclusive_prefixes: tuple[str, ...] = (),
) -> None:
    """Sign an element in place and put the Signature where the element's schema wants it."""
    reference_id = next((value for name in _ID_ATTRIBUTES if (value := element.get(name))), None)
    if reference_id is None:
        raise ValueError(f"{element.tag} has no ID to sign")
    covered = etree.tostring(
        element,
        method="c14n",
        exclusive=True,
        with_comments=False,
        inclusive_ns_prefixes=list(inclusive_prefixes) or None,
    )
    context = hashes.Hash(hashes.SHA256())
    context.update(covered)
    signature = signature_xml(reference_id, context.finalize(), key, certificate_der, inclusive_prefixes)
    _insert(element, etree.fromstring(signature))


def signature_xml(
    reference_id: str,
    digest_value: bytes,
    key: SigningPrivateKey,
    certificate_der: bytes | None = None,
    inclusive_prefixes: tuple[str, ...] = (),
) -> bytes:
    """The Signature element for a digest. SignedInfo is written in canonical form, so it is signed as is."""
    method = signing_method(key)
    prefix_list = (
        f'<ec:InclusiveNamespaces xmlns:ec="{names.EXC_C14N}" PrefixList="{" ".join(inclusive_prefixes)}">'
        "</ec:InclusiveNamespaces>"
        if inclusive_prefixes
        else ""
    )
    signed_info = (
        f'<ds:SignedInfo xmlns:ds="{names.DS}">'
        f'<ds:CanonicalizationMethod Algorithm="{names.EXC_C14N}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{method}"></ds:SignatureMethod>'
        f'<ds:Reference URI="#{reference_id}"><ds:Transforms>'
        f'<ds:Transform Algorithm="{names.ENVELOPED}"></ds:Transform>'
        f'<ds:Transform Algorithm="{names.EXC_C14N}">{prefix_list}</ds:Transform></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod>'
        f"<ds:DigestValue>{_base64(digest_value)}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
    value = sign_octets(key, signed_info.encode())
    key_info = (
        f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{_base64(certificate_der)}</ds:X509Certificate>"
        "</ds:X509Data></ds:KeyInfo>"
        if certificate_der is not None
        else ""
    )
    return (
        f'<ds:Signature xmlns:ds="{names.DS}">{signed_info}'
        f"<ds:SignatureValue>{_base64(value)}</ds:SignatureValue>{key_info}</ds:Signature>"
    ).encode()


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _by_id(root: Element, element_id: str) -> Element:
    for element in root.iter(etree.Element):
        if any(element.get(name) == element_id for name in _ID_ATTRIBUTES):
            return element
    raise ValueError(f"there is no element with the ID {element_id!r}")


def _insert(element: Element, signature: Element) -> None:
    namespace = names.namespace_of(element.tag)
    if namespace == names.SAML1:
        element.append(signature)
    elif namespace in _ISSUER_FIRST and len(element) and names.local_name(element[0].tag) == "Issuer":
        element.insert(1, signature)
    else:
        element.insert(0, signature)
