"""From bytes to an element tree that has only one reading.

The gateway hands the message on to the app, which parses it again with another library. So everything
that parsers are known to read differently is refused before any cryptography: declarations, comments,
processing instructions, CDATA, ambiguous IDs, relative namespace names, a second assertion, a signature
in an unusual place. Much of it is refused on the bytes themselves, where it can be decided exactly: in
well-formed XML a literal ``<!`` or ``<?`` is never anything else.
"""

import binascii
import re
from typing import cast

from lxml import etree

from gateway.federation import names
from gateway.federation.errors import MessageRejected, malformed
from gateway.federation.vocabulary import check_new_names
from gateway.model.reasons import MessageReason

MAX_XML_BYTES = 1_048_576
MAX_ELEMENTS = 10_000  # a signed message has about 60; 2,000 groups add 2,000
MAX_DEPTH = 32  # a token in a WS-Trust collection, encrypted, with its key information: 14
MAX_ATTRIBUTES = 32  # of one element, namespace declarations counted; a real Response has about 10
MAX_TEXT_CHARS = 262_144  # of one element or attribute; a certificate has 2,000, an encrypted token 100,000

Element = etree._Element

_DECLARATION = re.compile(
    rb"""<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:"1\.0"|'1\.0')"""
    rb"""(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:"utf-8"|'utf-8'|"us-ascii"|'us-ascii'))?"""
    rb"""(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\r\n]*\?>""",
    re.IGNORECASE,
)
_TOO_MANY_ATTRIBUTES = re.compile(
    rb"""<[^<>"']++(?:(?:"[^"<]*+"|'[^'<]*+')[^<>"']*+){%d}""" % (MAX_ATTRIBUTES + 1)
)
# A tag by the letter. The parser would go on collecting names after its first error in a tag of another form.
_TAG = re.compile(
    rb"""<(?:/[^\s<>/="'&]++\s*+|[^\s<>/="'&]++"""
    rb"""(?:\s++[^\s<>/="'&]++\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+')){0,%d}+\s*+/?+)>""" % MAX_ATTRIBUTES
)
_FOREIGN_ENTITY = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_NAMESPACE_DECLARATION = re.compile(rb"""xmlns(?::[^\s=]++)?+\s*+=\s*+("[^"]*+"|'[^']*+')""")
_ABSOLUTE_URI = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*:[!-~]+")
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,255}")  # a leading digit is wrong, but sent
_ID_NAMES = frozenset({"id", "assertionid", "responseid", "requestid"})  # each ends in "id"
_ASSERTIONS = frozenset({"Assertion", "EncryptedAssertion"})
_LIMITED = ("Assertion", "Response", "Signature")  # what any element ends in that may not stand everywhere
_SIGNATURE = f"{{{names.DS}}}Signature"
_SIGNABLE = frozenset(
    {
        f"{{{names.SAMLP2}}}Response",
        f"{{{names.SAMLP2}}}AuthnRequest",
        f"{{{names.SAMLP2}}}LogoutRequest",
        f"{{{names.SAMLP2}}}LogoutResponse",
        f"{{{names.SAML2}}}Assertion",
        f"{{{names.SAML1}}}Assertion",
    }
)
_BLANKS = " \t\r\n"
_SLASH = ord("/")


def decode_base64(text: str, what: str) -> bytes:
    """Decode base64 in which white space may stand anywhere, and nothing else.

    Raises MessageRejected (MALFORMED): lenient decoders skip what they do not know, each in its own way.
    """
    try:
        dense = text.encode("ascii")
        if b"\n" in dense or b" " in dense or b"\r" in dense or b"\t" in dense:
            dense = dense.translate(None, b" \t\r\n")
        if len(dense) % 4 or dense.count(b"=") > 2:  # the strict decoder lets padding after a full group pass
            raise malformed(f"{what} is not base64: its padding is wrong")
        return binascii.a2b_base64(dense, strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise malformed(f"{what} is not base64") from None


def parse_message(xml: bytes) -> Element:
    """Parse a protocol message or a token and check its structure.

    The tree has at most one Assertion (or EncryptedAssertion), Signatures only as children of a SAML
    message or assertion and at most one in each, and IDs that are unique whatever their attribute is called.
    Raises MessageRejected (MALFORMED, TOO_LARGE). Says nothing about who wrote it.
    """
    check_bytes(xml)
    root = parse_xml(xml)
    # No entity that passes stands for more than it is long, so a short message has no long text in it.
    _check_tree(root, texts_may_be_long=len(xml) > MAX_TEXT_CHARS)
    return root


def check_bytes(xml: bytes) -> None:
    """All that can be decided without a parser. Raises MessageRejected (MALFORMED, TOO_LARGE)."""
    if len(xml) > MAX_XML_BYTES:
        raise MessageRejected(MessageReason.TOO_LARGE, f"the message has more than {MAX_XML_BYTES} bytes")
    try:
        xml.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("the message is not UTF-8") from None
    start = 0
    if xml.startswith(b"<?"):
        declaration = _DECLARATION.match(xml)
        if declaration is None:
            raise malformed("the XML declaration is not that of XML 1.0 in UTF-8")
        start = declaration.end()
    if not xml.startswith(b"<"):
        raise malformed("the message is not an XML document in UTF-8")
    if b"<!" in xml:
        raise malformed("the message has a document type, a comment or a CDATA section")
    if xml.find(b"<?", start) >= 0:
        raise malformed("the message has a processing instruction")
    if b"\0" in xml:
        raise malformed("the message has a NUL character")
    if xml.count(b"<") > 2 * MAX_ELEMENTS:
        raise MessageRejected(MessageReason.TOO_LARGE, f"the message has more than {MAX_ELEMENTS} elements")
    if _FOREIGN_ENTITY.search(xml) is not None:
        raise malformed("the message has an entity that XML does not define")
    tags = _TAG.findall(xml, start)
    if len(tags) != xml.count(b"<", start):
        if _TOO_MANY_ATTRIBUTES.search(xml) is not None:
            raise MessageRejected(
                MessageReason.TOO_LARGE, f"an element has more than {MAX_ATTRIBUTES} attributes"
            )
        raise malformed("the message has a tag that is not well-formed")
    _check_depth(tags)
    # Each "<" begins one of these tags, so names stand nowhere else; the rest is mostly base64.
    markup = b"".join(tags)
    if b"xml:id" in markup:
        raise malformed("the message has a namespaced ID")
    namespaces = frozenset(value[1:-1] for value in _NAMESPACE_DECLARATION.findall(markup))
    for uri in namespaces:
        if uri and _ABSOLUTE_URI.fullmatch(uri) is None:
            raise malformed("the message has a namespace name that is not an absolute URI")
    check_new_names(xml, markup, namespaces)


def _check_depth(tags: list[bytes]) -> None:
    depth = 0
    for tag in tags:
        if tag[1] == _SLASH:
            depth -= 1
            continue
        if depth == MAX_DEPTH:
            raise MessageRejected(MessageReason.TOO_LARGE, f"the message is nested deeper than {MAX_DEPTH}")
        if tag[-2] != _SLASH:
            depth += 1


def parse_xml(xml: bytes) -> Element:
    """Parse with everything off that could reach outside of the bytes. Raises MessageRejected (MALFORMED)."""
    try:
        return etree.fromstring(xml, _PARSER)
    except etree.XMLSyntaxError as error:
        raise malformed(f"the message is not well-formed XML: {error.msg!r}") from None


_PARSER = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    attribute_defaults=False,
    huge_tree=False,
    recover=False,
    remove_blank_text=False,
)


def _check_tree(root: Element, *, texts_may_be_long: bool) -> None:
    ids: set[str] = set()
    assertions = 0
    signed: set[Element] = set()
    for element in root.iter():
        tag = element.tag
        if tag.endswith(_LIMITED):
            local = names.local_name(tag)
            if local in _ASSERTIONS:
                assertions += 1
                if assertions > 1:
                    raise malformed("the message has more than one assertion")
            elif local == "Response":
                if element is not root:
                    raise malformed("the message has a Response inside")
            elif local == "Signature":
                parent = element.getparent()
                if parent is None or tag != _SIGNATURE or parent.tag not in _SIGNABLE or parent in signed:
                    raise malformed("the message has a Signature where none belongs")
                signed.add(parent)
        for name, value in _attributes(element):
            if name[-2:].lower() == "id" and names.local_name(name).lower() in _ID_NAMES:
                _check_id(name, value, ids)
        if texts_may_be_long:
            _check_texts(element)


def _check_texts(element: Element) -> None:
    if any(len(value) > MAX_TEXT_CHARS for _, value in _attributes(element)):
        raise MessageRejected(MessageReason.TOO_LARGE, "an attribute has a very long value")
    if max(len(element.text or ""), len(element.tail or "")) > MAX_TEXT_CHARS:
        raise MessageRejected(MessageReason.TOO_LARGE, "the message has a very long text")


def _attributes(element: Element) -> list[tuple[str, str]]:
    # The stubs allow bytes, which lxml for Python 3 never returns.
    return cast("list[tuple[str, str]]", element.items())


def _check_id(name: str, value: str, ids: set[str]) -> None:
    if name.startswith("{"):
        raise malformed("the message has a namespaced ID")
    if _ID.fullmatch(value) is None:
        raise malformed("the message has an ID that is not a plain name")
    if value in ids:
        raise malformed("the message has the same ID twice")
    ids.add(value)


def text_of(element: Element) -> str:
    """The text of an element that has no elements inside, without white space around it.

    Raises MessageRejected (MALFORMED): text that is split by an element is read differently by parsers.
    """
    if len(element):
        raise malformed(f"{names.local_name(element.tag)} has elements inside, where text belongs")
    return (element.text or "").strip(_BLANKS)


def only_child(parent: Element, tag: str) -> Element | None:
    """The one child of that name; None when there is none. Raises MessageRejected (MALFORMED) for two."""
    found = list(parent.iterchildren(tag))
    if len(found) > 1:
        raise malformed(f"{names.local_name(parent.tag)} has more than one {names.local_name(tag)}")
    return found[0] if found else None


def required_child(parent: Element, tag: str) -> Element:
    """The one child of that name. Raises MessageRejected (MALFORMED) for none or two."""
    child = only_child(parent, tag)
    if child is None:
        raise malformed(f"{names.local_name(parent.tag)} has no {names.local_name(tag)}")
    return child


def required_attribute(element: Element, name: str) -> str:
    """A non-empty attribute. Raises MessageRejected (MALFORMED) when it is absent or empty."""
    value = element.get(name)
    if not value:
        raise malformed(f"{names.local_name(element.tag)} has no {name}")
    return value


def no_stray_text(element: Element) -> None:
    """Refuse text between the children of an element (MALFORMED)."""
    if (element.text or "").strip(_BLANKS) or any((child.tail or "").strip(_BLANKS) for child in element):
        raise malformed(f"{names.local_name(element.tag)} has text between its elements")
