"""The TLS of the IWA web app: a certificate that can be replaced while connections are open, each of which
stays known by the certificate that it began with."""

import ssl
from typing import Final
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.adapters.held_files import read_file
from gateway.adapters.key_files import read_key_file
from gateway.enrollment.channel_bindings import tls_server_end_point
from gateway.tls.contexts import ServerCertificateRefused

_MAX_CERTIFICATE_BYTES: Final = 256 * 1024


def _no_password() -> str:
    """Else OpenSSL would ask on the terminal."""
    return ""


class ServerCertificate:
    """Raises ServerCertificateRefused and KeyFileRefused for files that cannot be used, also in `reload`,
    after which the former certificate stays. ``must_bind`` refuses one that no ticket could name (RFC 5929
    §4.1)."""

    def __init__(self, certificate: str, private_key: str, *, must_bind: bool) -> None:
        self._certificate = certificate
        self._private_key = private_key
        # By the context that a connection's TLS has ended up with.
        self._bindings: WeakKeyDictionary[ssl.SSLContext, bytes | None] = WeakKeyDictionary()
        self._current = self._context(must_bind)
        # What listens has one context for ever; each handshake goes over to the current one.
        self.context = self._loaded()
        self.context.sni_callback = self._choose

    def reload(self, *, must_bind: bool) -> None:
        self._current = self._context(must_bind)

    def bindings_of(self, connection: ssl.SSLObject) -> bytes | None:
        """What the connection is known by in Kerberos."""
        return self._bindings.get(connection.context)

    def _choose(self, connection: ssl.SSLObject, _server_name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake, also where the client names no server."""
        connection.context = self._current

    def _context(self, must_bind: bool) -> ssl.SSLContext:
        content = self._content()
        try:
            leaf = x509.load_pem_x509_certificates(content)[0]
        except ValueError as error:
            raise ServerCertificateRefused(f"{self._certificate}: holds no certificate: {error}") from None
        bindings = tls_server_end_point(leaf.public_bytes(Encoding.DER))
        if must_bind and bindings is None:
            raise ServerCertificateRefused(
                f"{self._certificate}: no hash by which Kerberos could name it; take one that "
                "is signed by RSA or ECDSA, or set kerberos.channel_bindings to off"
            )
        context = self._loaded()
        self._bindings[context] = bindings
        self.not_after = leaf.not_valid_after_utc
        return context

    def _content(self) -> bytes:
        try:
            return read_file(self._certificate, _MAX_CERTIFICATE_BYTES)[:_MAX_CERTIFICATE_BYTES]
        except OSError as error:
            raise ServerCertificateRefused(f"{self._certificate}: {error.strerror}") from None

    def _loaded(self) -> ssl.SSLContext:
        read_key_file(self._private_key)  # for its owner and mode
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._certificate, self._private_key, _no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ServerCertificateRefused(
                f"{self._certificate}: does not go with {self._private_key}: {error}"
            ) from None
        context.set_alpn_protocols(["http/1.1"])
        return context
