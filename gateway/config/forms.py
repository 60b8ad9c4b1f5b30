"""The small languages inside gateway.yaml: durations, addresses, host names, URLs, paths on a host.

Each reader takes the text of one value and returns what it means, or raises ValueError with a plain
sentence that fits behind the key's name. Nothing here opens a file or resolves a name.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from gateway.model.quoting import printable
from gateway.model.settings import Address, IPNetwork, Upstream

# RFC 1035 §2.3.4: 255 octets on the wire are 253 characters of text.
MAX_HOST_NAME_CHARACTERS: Final = 253
# Challenges run on one random label of up to 63 characters and a dot in front of this domain.
MAX_MTLS_DOMAIN_CHARACTERS: Final = MAX_HOST_NAME_CHARACTERS - 64
# Longer ones are cut by logs and proxies; real assertion endpoints have fewer than 100 characters.
MAX_ENDPOINT_CHARACTERS: Final = 1024
MAX_URL_CHARACTERS: Final = 2048

# What stands for no store at all.
NO_STORE: Final = "none"

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])\Z")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_UPSTREAM_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
# RFC 3986 §3.3 pchar without "%" (two spellings of one path) and ";" (some servers cut there).
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,=:@/-]*\Z")


@dataclass(frozen=True, slots=True, eq=False)  # typing hashes annotations, and the schema is a dict
class TextForm:
    """Makes a pydantic field out of a reader: the value must be text, and the reader says the rest."""

    read: Callable[[str], Any]
    json_schema: dict[str, Any]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", **self.json_schema}

    def _validate(self, value: object) -> Any:
        if not isinstance(value, str):
            raise ValueError("must be text (put it in quotes)")  # noqa: TRY004 - pydantic lets TypeError through
        return self.read(value)


def read_duration(text: str) -> timedelta:
    """``30s``, ``5m``, ``6h`` or ``30d``: one whole number and one unit."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"must be a duration such as 30s, 5m, 6h or 30d, not {printable(text)}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def duration_text(duration: timedelta) -> str:
    """The shortest way to write a duration of whole seconds: 8 hours are ``8h``."""
    for unit, name in reversed(_UNITS.items()):
        amount, rest = divmod(duration, timedelta(**{name: 1}))
        if not rest and amount:
            return f"{amount}{unit}"
    return "0s"


def duration_between(shortest: str, longest: str) -> TextForm:
    """A duration within bounds, both included."""
    lower, upper = read_duration(shortest), read_duration(longest)

    def read(text: str) -> timedelta:
        duration = read_duration(text)
        if not lower <= duration <= upper:
            raise ValueError(f"must be between {shortest} and {longest}, not {text}")
        return duration

    return TextForm(read, {"pattern": "^[0-9]{1,9}[smhd]$", "examples": [shortest, longest]})


def read_name(text: str) -> str:
    """A name that logs, metric labels and tokens carry unquoted."""
    if not _NAME.match(text):
        raise ValueError(
            "must be 1 to 64 letters, digits, dots, hyphens or underscores, beginning with a letter or digit,"
            f" not {printable(text)}"
        )
    return text


def read_label(text: str) -> str:
    """Text for people, on pages."""
    if not 1 <= len(text) <= 100 or not text.isprintable() or text.isspace():
        raise ValueError("must be 1 to 100 printable characters")
    return text


def read_host_name(text: str) -> str:
    """A DNS name in lower case, as TLS server names carry it (RFC 6066 §3): A-labels, no port, no
    trailing dot, no IP address. Not checked: that an ``xn--`` label decodes to something allowed."""
    if not text.isascii():
        raise ValueError(f"must be written in ASCII: give the xn-- form of {printable(text)}")
    host = text.lower()
    if ":" in host or "/" in host:
        raise ValueError(f"must be a host name without scheme, port or path, not {printable(text)}")
    if host.endswith("."):
        raise ValueError("must be written without the dot at its end")
    if len(host) > MAX_HOST_NAME_CHARACTERS:
        raise ValueError(f"must not be longer than {MAX_HOST_NAME_CHARACTERS} characters")
    labels = host.split(".")
    if not all(_LABEL.match(label) for label in labels):
        raise ValueError(
            f"must be a host name of letters, digits, hyphens and dots (no wildcard), not {printable(text)}"
        )
    # Browsers read a name whose last label is a number as an IPv4 address (URL Standard, "ends in a number").
    if labels[-1].isdecimal() or re.match(r"0x[0-9a-f]*\Z", labels[-1]):
        raise ValueError("must be a host name, not an IP address: TLS server names carry names only")
    return host


def read_mtls_domain(text: str) -> str:
    """The domain under which the random challenge hosts live."""
    domain = read_host_name(text)
    if "." not in domain:
        raise ValueError("must have at least two labels, such as mtls.example.test")
    if len(domain) > MAX_MTLS_DOMAIN_CHARACTERS:
        raise ValueError(f"must not be longer than {MAX_MTLS_DOMAIN_CHARACTERS} characters")
    return domain


def read_address(text: str) -> Address:
    """``127.0.0.1:8443``, ``[::1]:8443``, ``0.0.0.0:443``. Names are refused: what they resolve to can
    change between two starts, and with it who can reach the listener."""
    host, colon, port_text = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        ip = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        ip = None
    if not colon or ip is None or bracketed != (ip.version == 6):
        raise ValueError(
            f"must be an IP address and a port such as 127.0.0.1:8443 or [::1]:8443, not {printable(text)}"
        )
    return Address(str(ip), _read_port(port_text))


def read_network(text: str) -> IPNetwork:
    """``10.0.0.0/8``, ``2001:db8::/32``, or one address."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"must be a network such as 10.0.0.0/8 or 2001:db8::/32, not {printable(text)}"
        ) from None
    raise ValueError(f"names a host inside the network; write {meant}")


def read_trusted_proxy(text: str) -> IPNetwork:
    """A network whose X-Forwarded-For is believed. The whole internet is refused: every client could
    then choose the address by which zones judge it."""
    network = read_network(text)
    if network.prefixlen == 0:
        raise ValueError("would let every client choose its own address; name the proxies' networks")
    return network


def read_upstream(text: str) -> Upstream:
    """``http://host:port``, ``https://host:port`` or ``unix:/path``. The request's own path is
    forwarded unchanged, so an upstream has none."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path or path.endswith("/"):
            raise ValueError("must be unix: and an absolute path to a socket, such as unix:/run/wiki.sock")
        return Upstream(scheme="unix", path=path)
    url = _split_url(text, schemes=("http", "https"))
    if url.path not in ("", "/") or url.query or "?" in text:
        raise ValueError("must not have a path or a query: requests keep their own")
    host = url.hostname or ""
    if "[" not in url.netloc and not _UPSTREAM_HOST.match(host):
        raise ValueError(f"must name a host, not {printable(host)}")
    port = url.port
    if port is None:
        port = 443 if url.scheme == "https" else 80
    return Upstream(scheme=url.scheme, host=host, port=port)


def read_web_address(text: str) -> str:
    """An absolute http(s) URL that a page may link to."""
    _split_url(text, schemes=("https", "http"))
    return text


def read_crl_location(text: str) -> str:
    """A file, or an http(s) URL. CRLs are signed, so plain http is how most authorities publish them."""
    if "://" in text:
        if text.lower().startswith("ldap"):
            raise ValueError("must be a file or an http(s) URL; LDAP is not read")
        _split_url(text, schemes=("http", "https"))
        return text
    return read_file_path(text)


def read_store(text: str) -> str:
    """``none``, ``sqlite:///path``, or the URI of a PostgreSQL database as libpq takes it: one host or
    several, or a socket's directory in ``?host=``. A password may stand in it, so no error shows the text."""
    url = _store_url(text)
    if text == NO_STORE or (
        url is not None
        and len(url.path) > 1
        and (
            (url.scheme == "sqlite" and not url.netloc and not url.query)
            or (url.scheme == "postgresql" and (url.netloc.rpartition("@")[2] or "host=/" in url.query))
        )
    ):
        return text
    raise ValueError("must be none, sqlite:///path or postgresql://user@host/database")


def _store_url(text: str) -> SplitResult | None:
    if len(text) > MAX_URL_CHARACTERS or not text.isprintable() or "#" in text:
        return None
    try:
        return urlsplit(text)
    except ValueError:
        return None


def read_file_path(text: str) -> str:
    """A path as written; `gateway.config.load` makes it absolute."""
    if not text or "\0" in text or len(text) > 4096:
        raise ValueError("must be the path of a file")
    return text


def read_assertion_endpoint(text: str) -> str:
    """A path that takes assertions, in the one spelling under which it is compared: absolute and
    normalised (RFC 3986 §6.2.2), unreserved characters, no percent-encoding, no query."""
    if not text.startswith("/"):
        raise ValueError("must be an absolute path such as /saml/acs")
    if len(text) > MAX_ENDPOINT_CHARACTERS:
        raise ValueError(f"must not be longer than {MAX_ENDPOINT_CHARACTERS} characters")
    if "?" in text or "#" in text:
        raise ValueError("must be a path without query or fragment")
    if not _PATH.match(text):
        raise ValueError(
            "must be written without percent-encoding, backslashes, semicolons and spaces,"
            f" not {printable(text)}"
        )
    segments = text[1:].split("/")
    if "" in segments[:-1] or "." in segments or ".." in segments:
        raise ValueError(f"must be normalised: no //, /./ or /../ as in {printable(text)}")
    if segments[0].lower() == ".devicetrust":
        raise ValueError("must not be under /.devicetrust/: the gateway keeps those paths for itself")
    return text


def read_entity_id(text: str) -> str:
    """An entity ID or realm (SAML Core §8.3.6: at most 1024 characters)."""
    if not 1 <= len(text) <= 1024 or not text.isprintable() or " " in text:
        raise ValueError("must be 1 to 1024 characters without spaces, as the identity provider knows it")
    return text


def read_claim_name(text: str) -> str:
    """The name of a SAML attribute or claim, or an authentication context class, compared as it is."""
    if not 1 <= len(text) <= 1024 or not text.isprintable():
        raise ValueError("must be 1 to 1024 printable characters")
    return text


def _read_port(text: str) -> int:
    if not re.match(r"[0-9]{1,5}\Z", text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"must have a port between 1 and 65535, not {printable(text)}")
    return int(text)


def _split_url(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """An absolute URL with a host, without user and fragment. urlsplit drops tabs and line ends
    silently and lets spaces and backslashes pass, so they are refused before it sees the text."""
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    if len(text) > MAX_URL_CHARACTERS or not re.match(r"[!-~]+\Z", text) or "\\" in text:
        raise ValueError(
            f"must be an absolute URL in ASCII without spaces or backslashes, beginning with {wanted}"
        )
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"is not a URL: {printable(text)}") from None
    if url.scheme not in schemes or not url.hostname:
        raise ValueError(f"must be an absolute URL beginning with {wanted}, not {printable(text)}")
    if "@" in url.netloc:
        raise ValueError("must not carry a user name or password")
    if "#" in text:
        raise ValueError("must not have a fragment")
    if port == 0 or url.netloc.endswith(":"):
        raise ValueError("must have a port between 1 and 65535, or none")
    return url
