"""Keys behind a PKCS #11 module: a smart card, an HSM. They are made there, and never come out.

Browsers load the same module and find the key beside its certificate, so these keys are for sign-ons as well.
NSS pairs the two by CKA_ID, for which it takes the SHA-1 of the public key's point: so do we, that NSS finds
the key whoever writes the certificate.

The library is the optional python-pkcs11. One module can be used in a process.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from gateway.agent.keys.device_key import KeyFailed
from gateway.agent.keys.requests import certification_request
from gateway.agent.platform import ModuleKey
from gateway.agent.private_files import FileRefused, read_private

if TYPE_CHECKING:
    import pkcs11

STORAGE: Final = "pkcs11"
_COORDINATE_BYTES: Final = 32


class Pkcs11Keys:
    """All keys of one token. ``token`` None: the only one that the module has; ``pin_file`` None: the token
    wants no PIN, or an empty one."""

    storage: Final = STORAGE

    def __init__(self, module: str, token: str | None = None, pin_file: str | None = None) -> None:
        self.module = module
        self._token = token
        self.pin_file = pin_file

    def create(self, name: str) -> "Pkcs11Key":
        with self.session(write=True) as session:
            import pkcs11
            from pkcs11.util.ec import encode_named_curve_parameters

            curve = encode_named_curve_parameters("secp256r1")
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
            )
            public, private = parameters.generate_keypair(
                store=True,
                label=name,
                id=name.encode(),
                private_template={
                    pkcs11.Attribute.SENSITIVE: True,
                    pkcs11.Attribute.EXTRACTABLE: False,
                    pkcs11.Attribute.SIGN: True,
                },
            )
            try:
                made = self._key(name, public, session.token.label)
                for part in (public, private):
                    part[pkcs11.Attribute.ID] = made.place.key_id
            except BaseException:
                public.destroy()
                private.destroy()
                raise
        return made

    def open(self, name: str) -> "Pkcs11Key | None":
        with self.session() as session:
            import pkcs11

            found = _objects(session, name, pkcs11.ObjectClass.PUBLIC_KEY)
            private = _objects(session, name, pkcs11.ObjectClass.PRIVATE_KEY)
            if not private:
                return None
            if len(found) != 1 or len(private) != 1:
                raise KeyFailed(
                    f"{self.module}: has {len(private)} private and {len(found)} public keys {name}",
                    "One of each is needed; without them the agent makes new ones.",
                )
            return self._key(name, found[0], session.token.label)

    def delete(self, name: str) -> None:
        with self.session(write=True) as session:
            import pkcs11

            for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY):
                for found in _objects(session, name, kind):
                    found.destroy()

    def names(self) -> frozenset[str]:
        with self.session() as session:
            import pkcs11

            keys = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY})
            labels = [str(key[pkcs11.Attribute.LABEL]) for key in keys]
        return frozenset(label for label in labels if label.startswith(f"{STORAGE}-"))

    @contextlib.contextmanager
    def session(self, *, write: bool = False) -> Iterator["pkcs11.Session"]:
        """Logged in, for one thread. Raises KeyFailed, also for what goes wrong inside."""
        try:
            import pkcs11
        except ImportError as error:
            raise KeyFailed(
                f"keys behind PKCS #11 need python-pkcs11, which cannot be loaded ({error})",
                "pip install 'devicetrust-agent[pkcs11]', or set KeyStorage to file.",
            ) from None
        try:
            token = self._found(pkcs11.lib(self.module))
            needs_pin = pkcs11.TokenFlag.LOGIN_REQUIRED in token.flags
            with token.open(rw=write, user_pin=self._pin() if needs_pin else None) as session:
                yield session
        except pkcs11.exceptions.PinIncorrect:
            raise KeyFailed(
                f"{self.module}: the token does not take the PIN",
                f"See {self.pin_file}." if self.pin_file else "Set Pkcs11PinFile.",
            ) from None
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            raise KeyFailed(f"{self.module}: {str(error) or type(error).__name__}") from error

    def _found(self, library: Any) -> "pkcs11.Token":
        tokens = [token for token in library.get_tokens() if self._token in (None, token.label)]
        if len(tokens) == 1:
            return tokens[0]  # type: ignore[no-any-return]
        what = "no token" if not tokens else f"{len(tokens)} tokens"
        named = "" if self._token is None else f" named {self._token}"
        remedy = "Put it in." if not tokens else "Set Pkcs11Token to the label of one of them."
        raise KeyFailed(f"{self.module}: has {what}{named}", remedy)

    def _pin(self) -> str:
        if self.pin_file is None:
            return ""
        path = Path(self.pin_file)
        try:
            content = read_private(path)
        except FileRefused as refused:
            raise KeyFailed(str(refused)) from None
        except OSError as error:
            raise KeyFailed(f"{path}: cannot be read: {error.strerror}") from None
        if content is None:
            raise KeyFailed(
                f"{path}: the file with the PIN is not there", "Write the PIN into it, mode 0600."
            )
        try:
            return content.decode().strip("\r\n")
        except UnicodeDecodeError:
            raise KeyFailed(f"{path}: is no text") from None

    def _key(self, name: str, public: Any, token_label: str) -> "Pkcs11Key":
        from pkcs11.util.ec import encode_ec_public_key

        key = load_der_public_key(encode_ec_public_key(public))
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
            raise KeyFailed(f"{self.module}: the key {name} is not on P-256")
        pin = self._pin() if self.pin_file else ""
        return Pkcs11Key(name, self, key, ModuleKey(Path(self.module), token_label, key_id_of(key), pin))


class Pkcs11Key:
    """A `DeviceKey`. Each signature is a session of its own: the agent signs seldom, and a card may be taken
    out."""

    def __init__(
        self, name: str, keys: Pkcs11Keys, public_key: EllipticCurvePublicKey, place: ModuleKey
    ) -> None:
        self.name = name
        self._keys = keys
        self._public_key = public_key
        self._place = place

    @property
    def storage(self) -> str:
        return STORAGE

    @property
    def place(self) -> ModuleKey:
        return self._place

    def public_key(self) -> EllipticCurvePublicKey:
        return self._public_key

    def sign(self, data: bytes) -> bytes:
        with self._keys.session() as session:
            import pkcs11

            found = _objects(session, self.name, pkcs11.ObjectClass.PRIVATE_KEY)
            if len(found) != 1:
                raise KeyFailed(f"{self._keys.module}: the key {self.name} is not in the token any more")
            digest = hashlib.sha256(data).digest()
            raw = bytes(found[0].sign(digest, mechanism=pkcs11.Mechanism.ECDSA))
        # PKCS #11 gives r and s side by side.
        r, s = raw[:_COORDINATE_BYTES], raw[_COORDINATE_BYTES:]
        return encode_dss_signature(int.from_bytes(r), int.from_bytes(s))

    def certification_request(self) -> bytes:
        return certification_request(self)


def key_id_of(key: EllipticCurvePublicKey) -> bytes:
    """The CKA_ID by which NSS finds a key for its certificate: SHA-1 over the point. A short name of which no
    security hangs."""
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return hashlib.sha1(point, usedforsecurity=False).digest()


def _objects(session: "pkcs11.Session", label: str, kind: "pkcs11.ObjectClass") -> list[Any]:
    import pkcs11

    wanted = {pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.LABEL: label}
    return list(session.get_objects(wanted))
