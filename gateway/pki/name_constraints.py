"""Name constraints: which names a certification authority may put into certificates below it
(RFC 5280 §4.2.1.10, §6.1.3 b-c, §6.1.4 g).

Everything that cannot be judged is refused: a malformed constraint or name of a constrained kind, a
wildcard that might cover an excluded host, and constraints on kinds of names that nobody defined a
comparison for, as far as the certificate bears such a name (``otherName``, with it the UPN;
``registeredID``). Names that are only text in a common name are constrained as part of the
``directoryName``, never as host names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from cryptography import x509

from gateway.model.reasons import TrustReason
from gateway.pki.certificate import Certificate, CertificateRejected
from gateway.pki.names import EMAIL_ADDRESS, NameKey, is_within, read_name

# Names times constraints, for one end entity. A constrained device CA needs a few dozen; the bound keeps the
# product of two attacker-chosen numbers at a few milliseconds. (Go stops at 250,000.)
MAX_COMPARISONS = 8_192


@dataclass(frozen=True, slots=True)
class _Directory:
    """A directoryName, comparable."""

    path: NameKey


_Name = x509.GeneralName | _Directory


class ComparisonBudget:
    """How many comparisons one end entity may still cost, over all paths that are tried."""

    def __init__(self, comparisons: int = MAX_COMPARISONS) -> None:
        self._left = comparisons

    def take(self, comparisons: int) -> None:
        self._left -= comparisons
        if self._left < 0:
            raise _refused("too many names and name constraints to compare")


def check_name_constraints(path: tuple[Certificate, ...], budget: ComparisonBudget) -> None:
    """Check every certificate of a path (end entity first) against the constraints of those above it.

    Self-issued certificates are exempt unless they are the end entity. The trust anchor's constraints
    count like those of any authority (RFC 5937). Raises `CertificateRejected` (``INVALID_CHAIN``).
    """
    for position, authority in enumerate(path):
        constraints = authority.extensions.name_constraints
        if constraints is None:
            continue
        if position == 0:
            raise _refused("an end entity certificate bears name constraints")
        permitted = tuple(_comparable(subtree) for subtree in constraints.permitted_subtrees or ())
        excluded = tuple(_comparable(subtree) for subtree in constraints.excluded_subtrees or ())
        for subtree in (*permitted, *excluded):
            _require_sound(subtree)
        for below, certificate in enumerate(path[:position]):
            if below == 0 or not certificate.is_self_issued:
                _check_certificate(certificate, permitted, excluded, budget)


def _check_certificate(
    certificate: Certificate,
    permitted: tuple[_Name, ...],
    excluded: tuple[_Name, ...],
    budget: ComparisonBudget,
) -> None:
    for name in _names(certificate):
        allowed = [subtree for subtree in permitted if _same_kind(name, subtree)]
        forbidden = [subtree for subtree in excluded if _same_kind(name, subtree)]
        budget.take(len(permitted) + len(excluded))
        if allowed and not any(_matches(name, subtree, excluding=False) for subtree in allowed):
            raise _refused("a name is outside the permitted subtrees")
        if any(_matches(name, subtree, excluding=True) for subtree in forbidden):
            raise _refused("a name is within an excluded subtree")


def _names(certificate: Certificate) -> Iterator[_Name]:
    """All names: the subject, its e-mail addresses, and subjectAltName."""
    if certificate.subject:
        yield _Directory(certificate.subject)
    for kind, value in certificate.subject_attributes:
        if kind == EMAIL_ADDRESS:
            try:
                yield x509.RFC822Name(str(value))
            except ValueError:
                raise _refused("an e-mail address in the subject is malformed") from None
    for name in certificate.extensions.subject_alt_names:
        yield _comparable(name)


def _comparable(name: x509.GeneralName) -> _Name:
    if not isinstance(name, x509.DirectoryName):
        return name
    try:
        return _Directory(read_name(name.value.public_bytes())[0])
    except ValueError:
        raise _refused("a directory name is malformed") from None


def _same_kind(name: _Name, subtree: _Name) -> bool:
    if isinstance(name, x509.OtherName) and isinstance(subtree, x509.OtherName):
        return name.type_id == subtree.type_id
    return type(name) is type(subtree)


def _matches(name: _Name, subtree: _Name, *, excluding: bool) -> bool:
    """Whether a name lies in a subtree of its kind. Raises `CertificateRejected` where that has no answer."""
    match name, subtree:
        case x509.DNSName(), x509.DNSName():
            return _dns_matches(name.value, subtree.value, excluding=excluding)
        case x509.RFC822Name(), x509.RFC822Name():
            return _email_matches(name.value, subtree.value)
        case x509.UniformResourceIdentifier(), x509.UniformResourceIdentifier():
            return _uri_matches(name.value, subtree.value)
        case x509.IPAddress(), x509.IPAddress():
            return _address_matches(name.value, subtree.value)
        case _Directory(), _Directory():
            return is_within(name.path, subtree.path)
        case _:
            raise _refused("a constraint on a kind of name that cannot be compared")


def _dns_matches(name: str, subtree: str, *, excluding: bool) -> bool:
    wildcard = name.startswith("*.")
    host = name[2:] if wildcard else name
    if not _is_host(host):
        raise _refused("a DNS name is malformed")
    if _in_domain(host, subtree):
        return True
    # A wildcard stands for hosts below `host`: one of them may be the excluded one or lie in it.
    return excluding and wildcard and _in_domain(subtree, host)


def _email_matches(name: str, subtree: str) -> bool:
    local_part, _, host = name.rpartition("@")
    if not local_part or "@" in local_part or not _is_host(host):
        raise _refused("an e-mail address is malformed")
    if "@" in subtree:
        wanted_local_part, _, wanted_host = subtree.rpartition("@")
        return local_part == wanted_local_part and host.lower() == wanted_host.lower()
    return _host_matches(host, subtree)


def _uri_matches(name: str, subtree: str) -> bool:
    try:
        host = urlsplit(name).hostname
    except ValueError:
        host = None
    # Without a host name no such constraint can be met (RFC 5280 §4.2.1.10), nor with an IP address.
    if not host or not _is_host(host) or host.rpartition(".")[2].isdigit():
        raise _refused("a URI without a host name under a URI constraint")
    return _host_matches(host, subtree)


def _host_matches(host: str, subtree: str) -> bool:
    """E-mail and URI constraints: a host is itself only, ``.domain`` is all hosts below it."""
    if subtree.startswith("."):
        return host.lower().endswith(subtree.lower())
    return host.lower() == subtree.lower()


def _address_matches(name: object, subtree: object) -> bool:
    match name, subtree:
        case IPv4Address(), IPv4Network():
            return name in subtree
        case IPv6Address(), IPv6Network():
            return name in subtree
        case ((IPv4Address() | IPv6Address()), (IPv4Network() | IPv6Network())):
            return False
        case _:
            raise _refused("an IP address is malformed")


def _in_domain(host: str, domain: str) -> bool:
    host, domain = host.lower(), domain.lower()
    return not domain or host == domain or host.endswith("." + domain)


def _is_host(host: str) -> bool:
    """Labels divided by single dots. Underscores pass: Windows device names have them."""
    return len(host) <= 253 and all(
        0 < len(label) <= 63 and all(c.isascii() and (c.isalnum() or c in "-_") for c in label)
        for label in host.split(".")
    )


def _require_sound(subtree: _Name) -> None:
    """Refuse constraints that no reading of RFC 5280 allows, even if no name meets them."""
    match subtree:
        case x509.DNSName(value=value):
            sound = not value or _is_host(value)
        case x509.RFC822Name(value=value):
            local_part, at, host = value.rpartition("@")
            sound = _is_host(host.removeprefix(".") if not at else host) and "@" not in local_part
            sound = sound and (not at or bool(local_part))
        case x509.UniformResourceIdentifier(value=value):
            sound = _is_host(value.removeprefix("."))
        case _:
            sound = True
    if not sound:
        raise _refused("a name constraint is malformed")


def _refused(detail: str) -> CertificateRejected:
    return CertificateRejected(TrustReason.INVALID_CHAIN, detail, chained=True)
