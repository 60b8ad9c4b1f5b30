"""One OpenSSL context per role of a host and server certificate.

* **App and org hosts** never ask for a certificate and may resume sessions. Their ticket keys are their own,
  which no mTLS host shares; those of one certificate are the same in all workers.
* **mTLS hosts** ask for a certificate and let every one finish the handshake: that proves possession of the
  key, the verdict is made in memory afterwards and can be told to the user. A resumed session would skip the
  proof, so there is none: no session cache, no ticket, no renegotiation, in TLS 1.3 and 1.2 alike.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from OpenSSL import SSL

from gateway.tls.groups import restrict_groups

if TYPE_CHECKING:
    from OpenSSL.SSL import _NoOverlappingProtocols

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# Makes a context send no TLS 1.3 tickets; True if it now does.
SendNoTickets = Callable[[SSL.Context], bool]
# Gives a context the keys that its tickets are sealed with (name, HMAC key, AES key); True if it has them
# now.
SetTicketKeys = Callable[[SSL.Context, bytes], bool]
TICKET_KEY_BYTES = 80

# Makes a context take the peer's certificate as it is, whatever it is.
LeaveUnverified = Callable[[SSL.Context], None]

# TLS 1.2 suites with forward secrecy and AEAD only (RFC 9325 §4.2). TLS 1.3 suites are OpenSSL's own.
_TLS12_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"

_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


class ServerCertificateRefused(Exception):
    """A certificate and key that cannot serve: they do not belong together, or OpenSSL refuses them."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A server's chain, end entity first, with its key. ``names`` are the DNS names of the end entity."""

    chain: tuple[x509.Certificate, ...]
    private_key: PrivateKey

    @property
    def names(self) -> tuple[str, ...]:
        try:
            san = self.chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return ()
        return tuple(name.lower() for name in san.value.get_values_for_type(x509.DNSName))

    def covers(self, host: str) -> bool:
        """True if a browser would accept this certificate for the host (RFC 6125 §6.4.3, DNS names only)."""
        wildcard = "*." + host.partition(".")[2]
        return any(name in (host, wildcard) for name in self.names)


def select_certificate(certificates: Sequence[ServerCertificate], host: str) -> ServerCertificate | None:
    """The first configured certificate that covers the host, exact names before wildcards."""
    exact = next((c for c in certificates if host in c.names), None)
    return exact or next((c for c in certificates if c.covers(host)), None)


def app_context(certificate: ServerCertificate, *, http2: bool = True) -> SSL.Context:
    """For app and org hosts: TLS 1.2+, resumption, no certificate request; HTTP/2 for who asks for it."""
    context = _context(certificate, "1.2")
    context.set_session_id(b"app")
    if http2:
        context.set_alpn_select_callback(_select_http2)
    context.set_verify(SSL.VERIFY_NONE)
    return context


def mtls_context(
    certificate: ServerCertificate,
    minimum_version: str,
    authorities: Iterable[x509.Certificate],
    send_no_tickets: SendNoTickets | None,
    leave_unverified: LeaveUnverified | None = None,
) -> SSL.Context:
    """For ``*.mtls_domain``: asks for a certificate of these authorities, accepts any, never resumes.

    The subject names of ``authorities`` go into the CertificateRequest (RFC 8446 §4.2.4): they are what lets
    a browser offer only the right certificates, or none without asking.

    The option and the cache mode make that no session is kept and, in TLS 1.2, no ticket sent. In TLS 1.3
    OpenSSL then sends tickets all the same, mere numbers of sessions that nobody keeps. ``send_no_tickets``
    makes it send none; without it (None) they are sent, and who shows one gets a full handshake.

    ``leave_unverified`` spares OpenSSL the verification whose result is not used; without it (None) that is
    done, and overruled.
    """
    context = _context(certificate, minimum_version)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if send_no_tickets is not None:
        send_no_tickets(context)
    # Left to itself, OpenSSL verifies what was presented before it asks anybody. A made-up chain of 100 KB
    # costs it up to 120 ms, for a verdict that nobody hears.
    if leave_unverified is None:
        context.set_verify(SSL.VERIFY_PEER, _accept_for_later_judgement)
        context.set_verify_depth(0)  # then it looks at the end entity only
    else:
        context.set_verify(SSL.VERIFY_PEER)
        leave_unverified(context)
    for authority in authorities:
        context.add_client_ca(authority)
    return context


def _context(certificate: ServerCertificate, minimum_version: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_VERSIONS[minimum_version])
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_cipher_list(_TLS12_CIPHERS)
    restrict_groups(context)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_alpn_select_callback(_select_http1)
    try:
        context.use_certificate(certificate.chain[0])
        for intermediate in certificate.chain[1:]:
            context.add_extra_chain_cert(intermediate)
        context.use_privatekey(certificate.private_key)
        context.check_privatekey()
    except SSL.Error as error:
        raise ServerCertificateRefused(
            f"OpenSSL refuses the certificate or its key: {_reasons(error)}"
        ) from error
    return context


def _reasons(error: SSL.Error) -> str:
    """OpenSSL's reasons, without its names for the parts of itself."""
    return ", ".join(reason for _library, _function, reason in error.args[0])


def _select_http2(connection: SSL.Connection, offered: list[bytes]) -> "bytes | _NoOverlappingProtocols":
    return b"h2" if b"h2" in offered else _select_http1(connection, offered)


def _select_http1(_connection: SSL.Connection, offered: list[bytes]) -> "bytes | _NoOverlappingProtocols":
    return b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _accept_for_later_judgement(*_unused: object) -> bool:
    return True
