"""Namespace names and identifiers of SAML, XML signature, XML encryption, WS-Trust and WS-Federation.

Element names are written in lxml's form, ``{namespace}local``.
"""

SAML2 = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP2 = "urn:oasis:names:tc:SAML:2.0:protocol"
SAML1 = "urn:oasis:names:tc:SAML:1.0:assertion"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"
DS = "http://www.w3.org/2000/09/xmldsig#"
DS11 = "http://www.w3.org/2009/xmldsig11#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
WST_2005 = "http://schemas.xmlsoap.org/ws/2005/02/trust"
WST_13 = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"
# WS-Trust 1.3 wrote its namespace with and without the last slash; both are sent.
WS_TRUST = frozenset({WST_2005, WST_13, WST_13 + "/"})
WSP = frozenset({"http://schemas.xmlsoap.org/ws/2004/09/policy", "http://www.w3.org/ns/ws-policy"})
WSA = "http://www.w3.org/2005/08/addressing"
WSA_2004 = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSSE11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"
FED = "http://docs.oasis-open.org/wsfed/federation/200706"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

STATUS_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER_2 = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
BEARER_1 = "urn:oasis:names:tc:SAML:1.0:cm:bearer"
ENTITY_FORMAT = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

BINDING_REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
BINDING_POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
BINDING_WS_FED = "http://docs.oasis-open.org/wsfed/federation/200706"  # the passive requestor endpoint


def local_name(tag: str) -> str:
    """``{namespace}local`` → ``local``."""
    return tag.rpartition("}")[2]


def namespace_of(tag: str) -> str:
    """``{namespace}local`` → ``namespace``; empty when there is none."""
    return tag[1:].partition("}")[0] if tag.startswith("{") else ""
