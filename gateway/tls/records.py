"""Moving bytes in and out of OpenSSL: by pyOpenSSL's public methods, or a level lower where that is cheaper.

Each public read allocates a buffer of the size asked for and ends with an exception when there is nothing
more; a request pays for both twice. `NativeRecords` calls the same OpenSSL functions through the binding
that pyOpenSSL itself uses, into one buffer that all sessions of a thread share, and sees from the result
that there is nothing more. Errors are still raised by pyOpenSSL's own method, so they are the same
exceptions.

What `NativeRecords` relies on is not public. So nobody uses it before it has passed a trial (see
`gateway.adapters.tls_records`), and everything works without it.
"""

from typing import Any, Final, Protocol

from OpenSSL import SSL, crypto
from OpenSSL._util import ffi, lib

# One TLS record carries at most 16 KiB (RFC 8446 §5.1), and OpenSSL gives one record per read.
RECORD_BYTES: Final = 16_384
# Ciphertext is taken out of OpenSSL's buffer in pieces of this size.
OUTPUT_BYTES: Final = 65_536
# An event loop's read of 256 KiB holds 16 full records. Empty ones would be 50,000.
_MAX_COUNTED_RECORDS: Final = 256
# Ciphertext is put into OpenSSL's buffer in pieces of this size: four full records.
FEED_BYTES: Final = 65_536
_HEADER_BYTES: Final = 5  # type, version, length (RFC 8446 §5.1)


def bytes_missing(missing: int, ciphertext: bytes) -> int:
    """How many bytes of the last record begun are still to come after these; 0 at a record's end.

    ``missing`` is what the last call said, 0 at the beginning. -1 means lost, and stays: a piece ended inside
    a record's header, or held more records than are worth counting. Nothing of the records is checked.
    """
    if missing < 0:
        return missing
    at, size = missing, len(ciphertext)
    for _ in range(_MAX_COUNTED_RECORDS):
        if at >= size:
            return at - size
        if size - at < _HEADER_BYTES:
            return -1
        at += _HEADER_BYTES + (ciphertext[at + 3] << 8) + ciphertext[at + 4]
    return -1


class Records(Protocol):
    """What is done with a connection for each record, and once with its peer's certificates. All methods
    raise SSL.Error where the session is broken."""

    def put(self, connection: SSL.Connection, ciphertext: bytes) -> None:
        """Take bytes from the wire; `read` then has their plaintext."""
        ...

    def read(self, connection: SSL.Connection) -> tuple[bytes, bool]:
        """(all plaintext there is, whether the peer said close_notify)."""
        ...

    def write(self, connection: SSL.Connection, plaintext: bytes) -> None:
        """Encrypt; `take` then has the ciphertext."""
        ...

    def take(self, connection: SSL.Connection) -> bytes:
        """All ciphertext that waits to be written to the wire."""
        ...

    def open(
        self, connection: SSL.Connection, ciphertext: bytes, *, is_one_record: bool
    ) -> tuple[bytes, bool]:
        """`put` and `read` in one. ``is_one_record``: nothing waits from before, and this is one record
        from its first byte to its last."""
        ...

    def seal(self, connection: SSL.Connection, plaintext: bytes) -> bytes:
        """`write` and `take` in one."""
        ...

    def presented(self, connection: SSL.Connection, limit: int) -> tuple[bytes, ...]:
        """The DER of the certificates that the peer presented, its own first, at most ``limit``; none
        where it presented none."""
        ...


class PublicRecords:
    """By pyOpenSSL's documented methods. Holds nothing; one serves everybody."""

    def put(self, connection: SSL.Connection, ciphertext: bytes) -> None:
        connection.bio_write(ciphertext)

    def read(self, connection: SSL.Connection) -> tuple[bytes, bool]:
        pieces: list[bytes] = []
        while True:
            try:
                pieces.append(connection.recv(RECORD_BYTES))
            except SSL.WantReadError:
                return b"".join(pieces), False
            except SSL.ZeroReturnError:
                return b"".join(pieces), True

    def write(self, connection: SSL.Connection, plaintext: bytes) -> None:
        connection.sendall(plaintext)

    def take(self, connection: SSL.Connection) -> bytes:
        pieces: list[bytes] = []
        while True:
            try:
                pieces.append(connection.bio_read(OUTPUT_BYTES))
            except SSL.WantReadError:
                return b"".join(pieces)

    def open(
        self, connection: SSL.Connection, ciphertext: bytes, *, is_one_record: bool
    ) -> tuple[bytes, bool]:
        self.put(connection, ciphertext)
        return self.read(connection)

    def seal(self, connection: SSL.Connection, plaintext: bytes) -> bytes:
        self.write(connection, plaintext)
        return self.take(connection)

    def presented(self, connection: SSL.Connection, limit: int) -> tuple[bytes, ...]:
        leaf = connection.get_peer_certificate()
        if leaf is None:
            return ()
        # On the server side OpenSSL's list of the presented chain leaves out the end entity.
        chain = [leaf, *(connection.get_peer_cert_chain() or ())][:limit]
        return tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, c) for c in chain)


class NativeRecords:
    """By the binding's functions. Its sessions must all be used in one thread: they share one buffer."""

    __slots__ = ("_buffer", "_view")

    def __init__(self) -> None:
        self._buffer = ffi.new("char[]", OUTPUT_BYTES)
        self._view = ffi.buffer(self._buffer)

    def open(
        self, connection: SSL.Connection, ciphertext: bytes, *, is_one_record: bool
    ) -> tuple[bytes, bool]:
        size = len(ciphertext)
        if size > FEED_BYTES:
            return self._open_long(connection, ciphertext)
        if lib.BIO_write(connection._into_ssl, ciphertext, size) != size:
            raise SSL.Error("the memory buffer did not take all bytes")
        if not is_one_record:
            return self.read(connection)
        # One read gives all of it; the second, which would only learn that there is no more, is left out.
        lib.ERR_clear_error()
        size = lib.SSL_read(connection._ssl, self._buffer, RECORD_BYTES)
        if size <= 0:
            return b"", self._ended(connection, size)
        return self._view[:size], False

    def seal(self, connection: SSL.Connection, plaintext: bytes) -> bytes:
        size = len(plaintext)
        if not 0 < size <= RECORD_BYTES:
            return self._seal_long(connection, plaintext)
        lib.ERR_clear_error()
        if lib.SSL_write(connection._ssl, plaintext, size) != size:
            raise SSL.Error("OpenSSL did not take a whole record")
        size = lib.BIO_read(connection._from_ssl, self._buffer, OUTPUT_BYTES)
        return self._view[:size] if size > 0 else b""

    # OpenSSL's memory buffers never shrink: filled once with all that an upload's read brings, each would
    # hold 340 KB for as long as its connection lives. Fed by the piece they stay small.

    def _open_long(self, connection: SSL.Connection, ciphertext: bytes) -> tuple[bytes, bool]:
        start = ffi.from_buffer("char[]", ciphertext)
        pieces: list[bytes] = []
        for at in range(0, len(ciphertext), FEED_BYTES):
            size = min(FEED_BYTES, len(ciphertext) - at)
            if lib.BIO_write(connection._into_ssl, start + at, size) != size:
                raise SSL.Error("the memory buffer did not take all bytes")
            plaintext, closed = self.read(connection)
            pieces.append(plaintext)
            if closed:  # what comes behind the peer's last word is nothing (RFC 8446 §6.1)
                return b"".join(pieces), True
        return b"".join(pieces), False

    def _seal_long(self, connection: SSL.Connection, plaintext: bytes) -> bytes:
        start = ffi.from_buffer("char[]", plaintext)
        pieces = [self.take(connection)]
        for at in range(0, len(plaintext), RECORD_BYTES):
            size = min(RECORD_BYTES, len(plaintext) - at)
            lib.ERR_clear_error()
            if lib.SSL_write(connection._ssl, start + at, size) != size:
                raise SSL.Error("OpenSSL did not take a whole record")
            pieces.append(self.take(connection))
        return b"".join(pieces)

    def put(self, connection: SSL.Connection, ciphertext: bytes) -> None:
        if lib.BIO_write(connection._into_ssl, ciphertext, len(ciphertext)) != len(ciphertext):
            raise SSL.Error("the memory buffer did not take all bytes")

    def read(self, connection: SSL.Connection) -> tuple[bytes, bool]:
        ssl, buffer, view = connection._ssl, self._buffer, self._view
        # SSL_get_error looks at the thread's error queue too (SSL_get_error(3)): it must hold nothing older.
        lib.ERR_clear_error()
        size = lib.SSL_read(ssl, buffer, RECORD_BYTES)
        if size <= 0:
            return b"", self._ended(connection, size)
        plaintext: bytes = view[:size]
        size = lib.SSL_read(ssl, buffer, RECORD_BYTES)
        if size <= 0:
            return plaintext, self._ended(connection, size)
        pieces = [plaintext]
        while size > 0:
            pieces.append(view[:size])
            size = lib.SSL_read(ssl, buffer, RECORD_BYTES)
        return b"".join(pieces), self._ended(connection, size)

    def write(self, connection: SSL.Connection, plaintext: bytes) -> None:
        lib.ERR_clear_error()
        start = ffi.from_buffer("char[]", plaintext)
        written = 0
        # pyOpenSSL's contexts write one record a call (SSL_MODE_ENABLE_PARTIAL_WRITE).
        while written < len(plaintext):
            size = lib.SSL_write(connection._ssl, start + written, len(plaintext) - written)
            if size <= 0:
                connection._raise_ssl_error(connection._ssl, size)
                raise SSL.Error("OpenSSL failed without a reason")
            written += size

    def presented(self, connection: SSL.Connection, limit: int) -> tuple[bytes, ...]:
        ssl = connection._ssl
        leaf = lib.SSL_get_peer_certificate(ssl)
        if leaf == ffi.NULL:
            return ()
        try:
            ders = [self._der(leaf)]
        finally:
            lib.X509_free(leaf)  # it was given with a reference of its own; the chain below is lent
        chain = lib.SSL_get_peer_cert_chain(ssl)
        if chain != ffi.NULL:
            count = min(lib.sk_X509_num(chain), limit - 1)
            ders += [self._der(lib.sk_X509_value(chain, index)) for index in range(count)]
        return tuple(ders)

    def _der(self, certificate: Any) -> bytes:
        bio = lib.BIO_new(lib.BIO_s_mem())
        try:
            if bio == ffi.NULL or lib.i2d_X509_bio(bio, certificate) != 1:
                raise SSL.Error("OpenSSL cannot encode a certificate that it has read")
            start = ffi.new("char**")
            size = lib.BIO_get_mem_data(bio, start)
            return bytes(ffi.buffer(start[0], size))
        finally:
            lib.BIO_free(bio)

    def take(self, connection: SSL.Connection) -> bytes:
        size = lib.BIO_read(connection._from_ssl, self._buffer, OUTPUT_BYTES)
        if size <= 0:
            return b""
        ciphertext: bytes = self._view[:size]
        if size < OUTPUT_BYTES:
            return ciphertext
        pieces = [ciphertext]
        while (size := lib.BIO_read(connection._from_ssl, self._buffer, OUTPUT_BYTES)) > 0:
            pieces.append(self._view[:size])
        return b"".join(pieces)

    def _ended(self, connection: SSL.Connection, size: int) -> bool:
        """Why a read gave nothing: False, nothing more is there; True, the peer said close_notify."""
        error = lib.SSL_get_error(connection._ssl, size)
        if error == lib.SSL_ERROR_WANT_READ:
            return False
        if error == lib.SSL_ERROR_ZERO_RETURN:
            return True
        connection._raise_ssl_error(connection._ssl, size)
        raise SSL.Error("OpenSSL failed without a reason")


PUBLIC_RECORDS: Final = PublicRecords()
