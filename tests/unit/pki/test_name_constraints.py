"""Name constraints, kind by kind. The x509-limbo cases add the combinations of several authorities."""

import time
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from support.forge import NOW, common_name, forge_authority, forge_device, upn

from gateway.model.reasons import TrustReason
from gateway.pki.certificate import CertificateRejected
from gateway.pki.path import build_path

DNS = x509.DNSName
URI = x509.UniformResourceIdentifier
MAIL = x509.RFC822Name
IP = x509.IPAddress


def holds(
    *names: x509.GeneralName,
    permitted: list[x509.GeneralName] | None = None,
    excluded: list[x509.GeneralName] | None = None,
    subject: x509.Name | None = None,
) -> bool:
    constraints = x509.NameConstraints(permitted, excluded)
    root = forge_authority("Root", extra=[(constraints, True)])
    device = forge_device(subject or common_name("device"), root, names=names)
    try:
        build_path(device.parsed, [root.parsed], [], [], NOW)
    except CertificateRejected as rejected:
        return rejected.reason is not TrustReason.INVALID_CHAIN
    return True


def directory(**attributes: str) -> x509.Name:
    kinds = {
        "o": NameOID.ORGANIZATION_NAME,
        "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "cn": NameOID.COMMON_NAME,
    }
    return x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in attributes.items()])


@pytest.mark.parametrize(
    ("subtree", "name", "within"),
    [
        pytest.param(DNS("example.test"), DNS("example.test"), True, id="DNS: the domain itself"),
        pytest.param(DNS("example.test"), DNS("PC1.Example.Test"), True, id="DNS: below, in other case"),
        pytest.param(DNS("example.test"), DNS("badexample.test"), False, id="DNS: only the same ending"),
        pytest.param(DNS(""), DNS("anything.test"), True, id="DNS: the empty constraint is all names"),
        pytest.param(MAIL("example.test"), MAIL("a@example.test"), True, id="e-mail: on the host"),
        pytest.param(
            MAIL("example.test"), MAIL("a@sub.example.test"), False, id="e-mail: a host is not its domain"
        ),
        pytest.param(MAIL(".example.test"), MAIL("a@sub.example.test"), True, id="e-mail: a host below"),
        pytest.param(MAIL(".example.test"), MAIL("a@example.test"), False, id="e-mail: below is not itself"),
        pytest.param(MAIL("a@example.test"), MAIL("A@example.test"), False, id="e-mail: mailboxes have case"),
        pytest.param(URI("example.test"), URI("https://example.test/x"), True, id="URI: the host"),
        pytest.param(
            URI("example.test"),
            URI("https://u@example.test:8/x"),
            True,
            id="URI: user and port do not matter",
        ),
        pytest.param(URI(".example.test"), URI("spiffe://a.example.test/x"), True, id="URI: a host below"),
        pytest.param(
            URI("example.test"), URI("https://evil.test/example.test"), False, id="URI: the path is no host"
        ),
        pytest.param(
            IP(ip_network("10.1.0.0/16")), IP(ip_address("10.1.2.3")), True, id="IPv4: in the network"
        ),
        pytest.param(IP(ip_network("10.1.0.0/16")), IP(ip_address("10.2.2.3")), False, id="IPv4: outside"),
        pytest.param(IP(ip_network("10.1.0.0/16")), IP(ip_address("::1")), False, id="IPv6 under IPv4"),
        pytest.param(
            IP(ip_network("2001:db8::/32")), IP(ip_address("2001:db8::9")), True, id="IPv6: in the network"
        ),
    ],
)
def test_a_permitted_subtree_admits_and_an_excluded_one_refuses_the_same_names(
    subtree: x509.GeneralName, name: x509.GeneralName, within: bool
) -> None:
    assert holds(name, permitted=[subtree]) is within
    assert holds(name, excluded=[subtree]) is not within


@pytest.mark.parametrize(
    ("subtree", "subject", "within"),
    [
        (directory(o="Acme"), directory(o="ACME ", cn="device"), True),
        (directory(o="Acme"), directory(o="Acme Ltd", cn="device"), False),
        (directory(o="Acme", ou="PCs"), directory(o="Acme", cn="PCs"), False),
    ],
    ids=["below, in other case and spacing", "another organization", "another kind of attribute"],
)
def test_the_subject_is_under_directory_constraints(
    subtree: x509.Name, subject: x509.Name, within: bool
) -> None:
    assert holds(permitted=[x509.DirectoryName(subtree)], subject=subject) is within
    assert holds(excluded=[x509.DirectoryName(subtree)], subject=subject) is not within


@pytest.mark.parametrize(
    ("name", "constraint"),
    [
        pytest.param(upn("a@example.test"), upn("example.test"), id="a UPN under a UPN constraint"),
        pytest.param(
            x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
            x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
            id="a registered ID",
        ),
        pytest.param(URI("urn:device:1"), URI("example.test"), id="a URI without a host"),
        pytest.param(URI("https://[::1/"), URI("example.test"), id="a URI that cannot be split"),
        pytest.param(URI("https://10.0.0.1/"), URI("example.test"), id="a URI with an address"),
        pytest.param(DNS(".example.test"), DNS("example.test"), id="a DNS name with an empty label"),
        pytest.param(DNS("a*.example.test"), DNS("example.test"), id="a DNS name with a partial wildcard"),
        pytest.param(DNS("a.test"), DNS(".example.test"), id="a DNS constraint with a leading dot"),
        pytest.param(
            MAIL("a@example.test"), URI("https://example.test"), id="a URI constraint that is a URI"
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_permitted_or_excluded(
    name: x509.GeneralName, constraint: x509.GeneralName
) -> None:
    assert not holds(name, permitted=[constraint])
    assert not holds(name, excluded=[constraint])


def test_a_constraint_on_other_kinds_of_names_does_not_matter() -> None:
    assert holds(URI("urn:device:1"), permitted=[DNS("example.test"), upn("example.test")])


def test_a_wildcard_is_refused_where_it_could_stand_for_an_excluded_host() -> None:
    assert not holds(DNS("*.example.test"), excluded=[DNS("host.example.test")])
    assert not holds(DNS("*.example.test"), permitted=[DNS("host.example.test")])
    assert holds(DNS("*.example.test"), permitted=[DNS("example.test")], excluded=[DNS("other.test")])


def test_an_email_address_in_the_subject_is_under_email_constraints() -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@evil.test")])
    assert not holds(permitted=[MAIL("example.test")], subject=subject)
    assert holds(permitted=[MAIL("evil.test")], subject=subject)
    odd = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "A <a@evil.test>")])
    assert not holds(permitted=[MAIL("evil.test")], subject=odd)


def test_a_device_of_its_issuers_name_is_constrained_all_the_same() -> None:
    constraints = x509.NameConstraints([DNS("example.test")], None)
    root = forge_authority("One name", extra=[(constraints, True)])
    device = forge_device("One name", root, names=[DNS("evil.test")])
    with pytest.raises(CertificateRejected, match="outside the permitted subtrees"):
        build_path(device.parsed, [root.parsed], [], [], NOW)


def test_many_names_under_many_constraints_are_refused_in_milliseconds() -> None:
    names = [DNS(f"{number}.a") for number in range(250)]
    constraints: list[x509.GeneralName] = [DNS(f"{number}.b") for number in range(250)]
    began = time.perf_counter()
    assert not holds(*names, excluded=constraints)
    assert time.perf_counter() - began < 0.2
