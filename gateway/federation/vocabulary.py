"""The names that federation messages are made of.

libxml2 keeps every name it has ever parsed for the life of the thread (lxml shares one dictionary
among all documents), so a peer could fill the memory with a new name in each tag. Names of this
vocabulary cost nothing, since they are kept once; what else a message brings along is on a budget.
"""

import re
from functools import lru_cache

from gateway.federation import names
from gateway.federation.errors import MessageRejected
from gateway.model.reasons import MessageReason

# Bytes that one message may add to the dictionary for good, counting 40 for each entry. A real message
# of an unknown vendor needs some hundred; 100,000 refused messages a day leave at most 400 MB here.
MAX_NEW_NAME_BYTES = 4096
_ENTRY_BYTES = 40

_ELEMENTS = """
Response Status StatusCode StatusMessage StatusDetail Extensions LogoutRequest LogoutResponse SessionIndex
AuthnRequest NameIDPolicy RequestedAuthnContext Scoping
Assertion EncryptedAssertion Issuer Subject NameID EncryptedID SubjectConfirmation SubjectConfirmationData
Conditions AudienceRestriction Audience OneTimeUse ProxyRestriction Condition Advice AuthnStatement
SubjectLocality AuthnContext AuthnContextClassRef AuthnContextDeclRef AuthnContextDecl
AuthenticatingAuthority AttributeStatement Attribute AttributeValue EncryptedAttribute
NameIdentifier ConfirmationMethod AudienceRestrictionCondition DoNotCacheCondition AuthenticationStatement
AuthorityBinding AuthorizationDecisionStatement Action Evidence
Signature SignedInfo CanonicalizationMethod SignatureMethod Reference Transforms Transform DigestMethod
DigestValue SignatureValue KeyInfo KeyName KeyValue RSAKeyValue ECKeyValue Modulus Exponent X509Data
X509Certificate X509IssuerSerial X509IssuerName X509SerialNumber X509SKI X509SubjectName X509Digest
InclusiveNamespaces NamedCurve PublicKey
EncryptedData EncryptedKey EncryptionMethod CipherData CipherValue CarriedKeyName ReferenceList
DataReference MGF OAEPparams
RequestSecurityTokenResponse RequestSecurityTokenResponseCollection RequestedSecurityToken TokenType
RequestType KeyType Lifetime Created Expires AppliesTo EndpointReference Address
RequestedAttachedReference RequestedUnattachedReference SecurityTokenReference KeyIdentifier
"""
_ATTRIBUTES = """
ID Id Version IssueInstant Destination InResponseTo Consent Value Format NameQualifier SPNameQualifier
SPProvidedID Method Recipient NotBefore NotOnOrAfter Address AuthnInstant SessionIndex
SessionNotOnOrAfter Name NameFormat FriendlyName OriginalName OriginalIssuer type nil
AssertionID MajorVersion MinorVersion Issuer AuthenticationMethod AuthenticationInstant AttributeName
AttributeNamespace IPAddress DNSAddress Algorithm URI Type PrefixList TokenType ValueType EncodingType
Context ProtocolBinding AssertionConsumerServiceURL Recipient ForceAuthn IsPassive AllowCreate
encoding version xmlns lang
"""
_PREFIXES = """
saml saml1 saml2 samlp saml2p ds dsig ec xs xsd xsi xml xenc xenc11 e t trust wst wsp wsa wsu wsse a b c d
k o p s x md fed ns0 ns1 ns2 ns3 ns4 ns5 ns6 x500 x500ac auth
"""
_URIS = (
    *names.WS_TRUST,
    *names.WSP,
    names.SAML1,
    names.SAML2,
    names.SAMLP2,
    names.DS,
    names.DS11,
    names.XENC,
    names.XENC11,
    names.EXC_C14N,
    names.WSA,
    names.WSA_2004,
    names.WSU,
    names.WSSE,
    names.WSSE11,
    names.XSI,
    "http://www.w3.org/2001/XMLSchema",
    "http://schemas.xmlsoap.org/ws/2009/09/identity/claims",
    "urn:oasis:names:tc:SAML:2.0:profiles:attribute:X500",
    "urn:oasis:names:tc:SAML:2.0:attribute:ext",
)
VOCABULARY = frozenset(
    word.encode() for word in (*_ELEMENTS.split(), *_ATTRIBUTES.split(), *_PREFIXES.split(), *_URIS)
)

_VALUE = re.compile(rb""""[^"]*+"|'[^']*+'""")
_ELEMENT_NAME = re.compile(rb"<([^\s<>/!?=\"']++)")
_ATTRIBUTE_NAME = re.compile(rb"\s([^\s<>/=\"']++)\s*+=\s*+[\"']")
_BLANK_RUN = re.compile(rb">([ \t\r\n]{16,59})<")  # the dictionary also keeps white space of these lengths
# The messages of one provider are alike in all but their values: a handful of shapes, of a kilobyte each.
_CACHED_SHAPES = 256
_MAX_CACHED_SHAPE_BYTES = 4096


def check_new_names(xml: bytes, markup: bytes, namespace_uris: frozenset[bytes]) -> None:
    """Refuse a message that brings more new names than MAX_NEW_NAME_BYTES, before it is parsed.

    ``markup`` is every tag of ``xml``, each of which must be well-formed. Raises MessageRejected (TOO_LARGE).
    It never counts less than the parser would keep.
    """
    shape = _VALUE.sub(b'""', markup)
    names_of = _cached_new_names if len(shape) <= _MAX_CACHED_SHAPE_BYTES else _new_names
    new = names_of(shape) | (namespace_uris - VOCABULARY) | set(_BLANK_RUN.findall(xml))
    if sum(map(len, new)) + _ENTRY_BYTES * len(new) > MAX_NEW_NAME_BYTES:
        raise MessageRejected(MessageReason.TOO_LARGE, "the message brings too many names of its own")


def _new_names(shape: bytes) -> frozenset[bytes]:
    """The parts of element and attribute names that the vocabulary does not have."""
    qualified = b":".join(_ELEMENT_NAME.findall(shape) + _ATTRIBUTE_NAME.findall(shape))
    return frozenset(qualified.split(b":")) - VOCABULARY


_cached_new_names = lru_cache(maxsize=_CACHED_SHAPES)(_new_names)
