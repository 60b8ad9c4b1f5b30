"""Issuing keys in an HSM, by PKCS#11: the key never leaves it, and is named by a URI (RFC 7512).

The library is the optional ``python-pkcs11`` (``pip install python-pkcs11``).
"""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gateway.adapters.key_files import KeyFileRefused, read_key_file
from gateway.pki import der_writing as write
from gateway.pki.signature import PublicKey
from gateway.pki.signer import SigningFailed, algorithm_for

if TYPE_CHECKING:
    from pkcs11 import Session, Token

PKCS11_PREFIX: Final = "pkcs11:"
_MAX_URI_CHARACTERS: Final = 1_024
_KNOWN: Final = frozenset(("token", "serial", "manufacturer", "model", "object", "id", "type"))


@dataclass(frozen=True, slots=True)
class Pkcs11Login:
    """The library of the HSM, and the file with its PIN; None where the token wants none."""

    module: str
    pin_file: str | None


def read_uri(uri: str) -> Mapping[str, bytes]:
    """The attributes of the path, decoded. Raises SigningFailed.

    Not taken: a query, which could name a PIN or a library: both are for gateway.yaml to say.
    """
    path = uri.removeprefix(PKCS11_PREFIX)
    if path == uri or len(uri) > _MAX_URI_CHARACTERS or "?" in uri:
        raise SigningFailed("a key in an HSM is named pkcs11:token=…;object=…, without a query")
    found: dict[str, bytes] = {}
    for part in path.split(";"):
        name, equals, value = part.partition("=")
        if not equals or name in found or name not in _KNOWN:
            raise SigningFailed(
                f"pkcs11 URI: {name or 'an attribute'} is unknown, or there twice, or has no value"
            )
        found[name] = unquote_to_bytes(value)
    if "token" not in found or not ("object" in found or "id" in found):
        raise SigningFailed("pkcs11 URI: names no token, or neither object nor id of the key")
    return found


def open_pkcs11_key(uri: str, login: Pkcs11Login) -> "Pkcs11Signer":
    """Log in and find the key. Raises SigningFailed."""
    signer = Pkcs11Signer(uri, login)
    signer.connect()
    return signer


class Pkcs11Signer:
    """A private key in an HSM. One thread signs at a time; a session that broke is opened anew, once."""

    public_key: PublicKey
    algorithm_der: bytes

    def __init__(self, uri: str, login: Pkcs11Login) -> None:
        """Call `connect` before anything else."""
        self._wanted = read_uri(uri)
        self._login = login
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._key: Any = None  # what it can do depends on its kind

    def connect(self) -> None:
        with self._lock, _translated(self._login.module):
            self._open()

    def sign(self, signed: bytes) -> bytes:
        from pkcs11.exceptions import PKCS11Error

        with self._lock, _translated(self._login.module):
            try:
                return self._sign(signed)
            except PKCS11Error:
                self._open()
                return self._sign(signed)

    def _open(self) -> None:
        import pkcs11
        from pkcs11.exceptions import UserAlreadyLoggedIn
        from pkcs11.util.ec import encode_ec_public_key
        from pkcs11.util.rsa import encode_rsa_public_key

        if self._session is not None:
            with suppress(pkcs11.PKCS11Error):  # it is broken, or else nobody would open another one
                self._session.close()
            self._session = None
        token = self._token()
        try:
            self._session = session = token.open(user_pin=self._pin())
        except UserAlreadyLoggedIn:  # by another key of this process: a login is the whole process's
            self._session = session = token.open()
        wanted: dict[Any, Any] = {}
        if "object" in self._wanted:
            wanted[pkcs11.Attribute.LABEL] = self._wanted["object"].decode(errors="replace")
        if "id" in self._wanted:
            wanted[pkcs11.Attribute.ID] = self._wanted["id"]
        private = {**wanted, pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}
        public = {**wanted, pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY}
        keys = list(session.get_objects(private))
        public_keys: list[Any] = list(session.get_objects(public))
        if len(keys) != 1 or len(public_keys) != 1:
            raise SigningFailed(
                f"the HSM has {len(keys)} private and {len(public_keys)} public keys of that name; "
                "one of each is needed"
            )
        kind = public_keys[0].key_type
        encode = encode_ec_public_key if kind is pkcs11.KeyType.EC else encode_rsa_public_key
        loaded = load_der_public_key(encode(public_keys[0]))
        if not isinstance(loaded, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise SigningFailed("the key in the HSM is neither ECDSA nor RSA")
        self.public_key = loaded
        self.algorithm_der = algorithm_for(loaded)
        self._key = keys[0]

    def _token(self) -> "Token":
        import pkcs11

        library = pkcs11.lib(self._login.module)
        label = self._wanted["token"].decode(errors="replace")
        serial = self._wanted.get("serial")
        tokens = [
            token
            for token in library.get_tokens(token_label=label)
            if serial is None or token.serial.rstrip(b" \0") == serial
        ]
        if len(tokens) != 1:
            raise SigningFailed(f"{self._login.module}: has {len(tokens)} tokens of that name, one is needed")
        return tokens[0]

    def _pin(self) -> str | None:
        if self._login.pin_file is None:
            return None
        try:
            return read_key_file(self._login.pin_file).strip().decode()
        except KeyFileRefused as refused:
            raise SigningFailed(str(refused)) from None
        except UnicodeDecodeError:
            raise SigningFailed(f"{self._login.pin_file}: is no text") from None

    def _sign(self, signed: bytes) -> bytes:
        import pkcs11

        assert self._key is not None
        if isinstance(self.public_key, rsa.RSAPublicKey):
            return bytes(self._key.sign(signed, mechanism=pkcs11.Mechanism.SHA256_RSA_PKCS))
        assert isinstance(self.public_key, ec.EllipticCurvePublicKey)
        digest = hashlib.sha384 if self.public_key.curve.name == "secp384r1" else hashlib.sha256
        raw = bytes(self._key.sign(digest(signed).digest(), mechanism=pkcs11.Mechanism.ECDSA))
        half = len(raw) // 2
        # PKCS#11 gives r and s side by side, X.509 wants a SEQUENCE of two INTEGERs (RFC 3279 §2.2.3).
        return write.sequence(
            write.integer(int.from_bytes(raw[:half])), write.integer(int.from_bytes(raw[half:]))
        )


@contextmanager
def _translated(module: str) -> Iterator[None]:
    """What the optional library raises becomes the one exception of signing."""
    try:
        import pkcs11
    except ImportError:
        raise SigningFailed("keys in an HSM need python-pkcs11: pip install python-pkcs11") from None
    try:
        yield
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        detail = str(error) or type(error).__name__
        raise SigningFailed(f"{module}: {detail}") from None
