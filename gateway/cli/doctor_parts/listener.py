"""What clients see at the gateway's own listener: is it there, are the certificates ours, does the mTLS host
ask for one of our authorities' certificates."""

import secrets
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.agent.doctor.tls_look import Connect, LookFailed, TlsSeen, connect_to, tls_look
from gateway.cli.checks.finding import EXPIRING_WITHIN, when
from gateway.model.checkup import Check, CheckGroup, Subject
from gateway.model.settings import Address, GatewaySettings
from gateway.proxy.proxy_protocol import SIGNATURE
from gateway.tls.contexts import ServerCertificate

NAMES: Final = Subject(CheckGroup.HANDSHAKE, "names in DNS")
CLIENT_CERTIFICATE: Final = Subject(CheckGroup.HANDSHAKE, "asks for a device's certificate")
# The PROXY protocol, version 2, command LOCAL, and no address.
_LOCAL_HEADER: Final = SIGNATURE + b"\x20\x00\x00\x00"
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}  # noqa: S104 - where to connect instead


def hosts_to_try(settings: GatewaySettings) -> tuple[str, ...]:
    """The org's, one like those of challenges, and that of renewals."""
    return (
        settings.org_host,
        f"n{secrets.token_hex(8)}.{settings.mtls_domain}",
        f"est.{settings.mtls_domain}",
    )


def look_at(settings: GatewaySettings, host: str) -> TlsSeen:
    """At this machine's first listener. Raises LookFailed."""
    place = own_place(settings)
    return tls_look(
        _for_itself(place) if settings.proxy_protocol else connect_to(place.host, place.port), host
    )


def _for_itself(place: Address) -> Connect:
    """As a load balancer connects for itself, to see whether somebody is there."""

    def connect() -> socket.socket:
        wire = connect_to(place.host, place.port)()
        wire.sendall(_LOCAL_HEADER)
        return wire

    return connect


def own_place(settings: GatewaySettings) -> Address:
    first = settings.listen_https[0]
    return Address(_ANY.get(first.host, first.host), first.port)


def unresolved(settings: GatewaySettings) -> list[str]:
    """Of the hosts that clients go to, those that have no address here."""
    missing = []
    for host in hosts_to_try(settings):
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            missing.append(host)
    return missing


def judge_names(missing: Sequence[str]) -> Check:
    """A warning only: clients may ask another DNS than this machine."""
    if missing:
        return NAMES.warning(
            f"{', '.join(missing)}: no address here",
            "see that clients have one: the org host, and a wildcard for the mTLS domain",
        )
    return NAMES.ok("org host, mTLS hosts and the host of renewals have addresses")


def judge_host(
    host: str, seen: TlsSeen | LookFailed, ours: Sequence[ServerCertificate], now: datetime
) -> Check:
    subject = Subject(CheckGroup.HANDSHAKE, f"certificate of {host}")
    if isinstance(seen, LookFailed):
        return subject.failed(str(seen), "see that the gateway runs, and its log: devicetrust serve")
    own = next((each for each in ours if _der(each.chain[0]) == seen.chain[0]), None)
    if own is None:
        return subject.failed(
            f"another one than those of tls.certificates is shown, issued by {seen.issuer}",
            "see what else listens there, and in the gateway's log whether it took the files over",
        )
    if not own.covers(host):
        return subject.failed(
            f"it is for {', '.join(own.names)}", f"add a certificate for {host} under tls.certificates"
        )
    end = own.chain[0].not_valid_after_utc
    if end <= now:
        return subject.failed(f"expired on {when(end)}", "replace it")
    if end - now <= EXPIRING_WITHIN:
        return subject.warning(f"expires on {when(end)}", "replace it")
    return subject.ok(f"ours, until {when(end)}")


def judge_client_authorities(seen: TlsSeen | LookFailed, expected: Sequence[str]) -> Check:
    """``expected`` are the common names of our authorities."""
    if isinstance(seen, LookFailed):
        return CLIENT_CERTIFICATE.skipped("there was no handshake")
    if not seen.client_authorities:
        return CLIENT_CERTIFICATE.failed(
            "no, or without naming an authority: browsers then offer none, or ask the person",
            "see device_trust.authorities, and that one is there: devicetrust ca list",
        )
    missing = [name for name in expected if name not in seen.client_authorities]
    told = ", ".join(seen.client_authorities)
    if missing:
        return CLIENT_CERTIFICATE.failed(
            f"of {told}, but not of {', '.join(missing)}",
            "reload the gateway (kill -HUP); its log says whether the authority was taken over",
        )
    return CLIENT_CERTIFICATE.ok(f"of {told}")


def judge_listener(
    settings: GatewaySettings, ours: Sequence[ServerCertificate], expected: Sequence[str]
) -> Iterator[Check]:
    """All three hosts, one after the other: they are this machine."""
    seen: TlsSeen | LookFailed
    for number, host in enumerate(hosts_to_try(settings)):
        try:
            seen = look_at(settings, host)
        except LookFailed as failed:
            seen = failed
        if settings.proxy_protocol and isinstance(seen, LookFailed):
            yield Subject(CheckGroup.HANDSHAKE, f"certificate of {host}").skipped(
                f"{seen}; the listener is for the load balancer (proxy_protocol)",
                "look from outside: devicetrust-agent doctor",
            )
            continue
        yield judge_host(host, seen, ours, datetime.now(UTC))
        if number == 1:
            yield judge_client_authorities(seen, expected)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
