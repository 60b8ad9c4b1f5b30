"""The small languages inside iwa.yaml, beside those of gateway.yaml: realms, services, logins, addresses."""

import re
from typing import Final
from urllib.parse import urlsplit

from gateway.config.forms import MAX_URL_CHARACTERS, read_host_name, read_web_address
from gateway.model.quoting import printable
from gateway.services.realm_rules import NAME_PLACE, PRINCIPAL, UPN

_REALM: Final = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]{0,253}[A-Z0-9])?\Z")
_SERVICE: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,31})(?:@(.+))?\Z")
_PRINCIPAL: Final = re.compile(r"[^\s/@]{1,256}(?:@[A-Z0-9._-]{1,255})?\Z")
_LOGIN: Final = re.compile(r"[^\s{}]*\{name\}[^\s{}]*\Z")
_DOMAIN_SID: Final = re.compile(r"S-1-5-21(?:-[0-9]{1,10}){3}\Z")
_MAX_LOGIN_CHARACTERS: Final = 200


def read_realm(text: str) -> str:
    """As Kerberos compares it: the case counts, and is that of the directory."""
    if not _REALM.match(text):
        hint = f"; write {text.upper()}" if _REALM.match(text.upper()) else ""
        raise ValueError(f"must be a Kerberos realm such as CORP.EXAMPLE.COM, not {printable(text)}{hint}")
    return text


def read_principal(text: str) -> str:
    """Whom a keytab logs on to the directory."""
    if not _PRINCIPAL.match(text) or not text.isprintable():
        raise ValueError(f"must be the name of an account, with @REALM or not, not {printable(text)}")
    return text


def read_service(text: str) -> str:
    match = _SERVICE.match(text)
    if match is None:
        raise ValueError(f"must be HTTP or HTTP@host, not {printable(text)}")
    return match[1] if match[2] is None else f"{match[1]}@{read_host_name(match[2])}"


def read_login(text: str) -> str:
    if text in (UPN, PRINCIPAL):
        return text
    if not _LOGIN.match(text) or len(text) > _MAX_LOGIN_CHARACTERS or not text.isprintable():
        raise ValueError(
            f'must be {UPN}, {PRINCIPAL} or a pattern such as "{NAME_PLACE}@example.com", '
            f"not {printable(text)}"
        )
    return text


def read_domain_sid(text: str) -> str:
    if not _DOMAIN_SID.match(text):
        raise ValueError(f"must be the SID of a domain: S-1-5-21-… with three numbers, not {printable(text)}")
    return text


def read_directory_url(text: str) -> str:
    """``ldaps://dc1.corp.example.com`` or ``ldap://…``, with a port or without."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"is not a URL: {printable(text)}") from None
    if (
        len(text) > MAX_URL_CHARACTERS
        or not re.match(r"[!-~]+\Z", text)
        or url.scheme not in ("ldap", "ldaps")
        or not url.hostname
        or url.path not in ("", "/")
        or url.query
        or url.fragment
        or "@" in url.netloc
        or port == 0
    ):
        raise ValueError(f"must be ldaps://host or ldap://host, with :port or not, not {printable(text)}")
    return text.rstrip("/")


def read_own_url(text: str) -> str:
    """Where agents find the IWA web app; without a slash at its end."""
    read_web_address(text)
    url = urlsplit(text)
    if url.query or "?" in text or not re.match(r"(?:/[A-Za-z0-9._~-]+)*/?\Z", url.path):
        raise ValueError("must be an address with a plain path, such as https://iwa.corp.example.com/iwa")
    return text.rstrip("/")


def read_org_url(text: str) -> str:
    """``https://sso.example.com``. What passes to and fro signs people on, so that TLS is not left out."""
    read_web_address(text)
    url = urlsplit(text)
    if url.scheme != "https" or url.path not in ("", "/") or "?" in text:
        raise ValueError("must be https:// and the host of the organization, with :port or not")
    return text.rstrip("/")


def read_text(text: str) -> str:
    if not 1 <= len(text) <= 1024 or not text.isprintable():
        raise ValueError("must be 1 to 1024 printable characters")
    return text
