"""Keys in a TPM 2.0: made there, used there, and worth nothing anywhere else.

A key is kept as a file in the form of the TSS ("TSS2 PRIVATE KEY", with the OID 2.23.133.10.1.3): the TPM has
encrypted it under its storage root key, so that only this TPM can load it. Nothing is kept in the TPM itself,
which has room for little. Its objects are let go of after each use: some TPMs hold three at a time.

Whoever may use the TPM device is in its group (on Debian: tss). The library is the optional tpm2-pytss.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from gateway.agent.keys.device_key import KeyFailed
from gateway.agent.keys.pkcs11 import key_id_of
from gateway.agent.keys.requests import certification_request
from gateway.agent.keys.tpm_token import TpmToken, module_path, place_of
from gateway.agent.platform import KeyPlace
from gateway.agent.private_files import FileRefused, make_directory, read_private, remove_file, write_private
from gateway.enrollment.attestation import qualifying_data
from gateway.enrollment.attestation_messages import binary_of, binary_text

if TYPE_CHECKING:
    from tpm2_pytss import ESAPI, ESYS_TR, TPM2B_PRIVATE, TPM2B_PUBLIC

STORAGE: Final = "tpm"
DEFAULT_TCTI: Final = "device:/dev/tpmrm0"
_DEVICE: Final = "device:"
_SUFFIX: Final = ".tpm"
_MARK_SUFFIX: Final = ".in-token"
_GROUP_REMEDY: Final = (
    "Let the person use it: usermod --append --groups tss NAME, then log in again; or set KeyStorage to file."
)
_NO_TPM_REMEDY: Final = "See that the TPM is switched on in the firmware; or set KeyStorage to file."
# What a TPM's vendor may have put a certificate of the endorsement key for, best first.
_ENDORSEMENT_KINDS: Final = ("EK-ECC256", "EK-RSA2048", "EK-HIGH-ECC256", "EK-HIGH-RSA2048", "EK-HIGH-ECC384")
# Certificates between the endorsement key's and its vendor's root, which some TPMs bring along (TCG EK
# Credential Profile §2.2.1.5.2).
_CHAIN_INDEXES: Final = range(0x01C00100, 0x01C00106)


class TpmKeys:
    """All keys of one directory. ``tcti`` says where the TPM is, as the TSS spells it; ``token`` is by what
    browsers find the keys, None where they need not."""

    storage: Final = STORAGE

    def __init__(self, directory: Path, tcti: str = DEFAULT_TCTI, token: TpmToken | None = None) -> None:
        self._directory = directory
        self._tcti = tcti
        self._token = token

    def create(self, name: str) -> "TpmKey":
        with opened(self._tcti) as tpm:
            from tpm2_pytss.tsskey import TSSPrivKey

            content = bytes(TSSPrivKey.create_ecc(tpm).to_pem())
        path = self._path(name)
        try:
            make_directory(self._directory)
            write_private(path, content)
        except FileRefused as refused:
            raise KeyFailed(str(refused)) from None
        except OSError as error:
            raise KeyFailed(f"{path}: cannot be written: {error.strerror}") from None
        key = TpmKey(name, path, content, self._tcti, self._token)
        key.in_token = self._entered(key, path)
        return key

    def open(self, name: str) -> "TpmKey | None":
        path = self._path(name)
        try:
            content = read_private(path)
        except FileRefused as refused:
            raise KeyFailed(str(refused)) from None
        except OSError as error:
            raise KeyFailed(f"{path}: cannot be read: {error.strerror}") from None
        if content is None:
            return None
        key = TpmKey(name, path, content, self._tcti, self._token)
        key.in_token = self._mark(name).exists()
        return key

    def delete(self, name: str) -> None:
        path, mark = self._path(name), self._mark(name)
        if self._token is not None and mark.exists():
            self._token.remove(name)
            mark.unlink(missing_ok=True)
        try:
            remove_file(path)
        except OSError as error:
            raise KeyFailed(f"{path}: cannot be removed: {error.strerror}") from None

    def names(self) -> frozenset[str]:
        return frozenset(path.stem for path in self._directory.glob(f"*{_SUFFIX}"))

    def _entered(self, key: "TpmKey", path: Path) -> bool:
        """Whether browsers find the key. One that they ought to find and do not is none. Raises KeyFailed."""
        if self._token is None:
            return False
        try:
            place = self._token.enter(key.name, path, key_id_of(key.public_key()))
        except KeyFailed:
            path.unlink()
            raise
        if place is None:
            return False
        self._mark(key.name).touch(mode=0o600)
        return True

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"

    def _mark(self, name: str) -> Path:
        """Says that the key is in the token."""
        return self._directory / f"{name}{_MARK_SUFFIX}"


class TpmKey:
    """A `DeviceKey`, an `AttestableKey` and a `TokenKey`. ``in_token``: browsers find it."""

    def __init__(
        self, name: str, path: Path, content: bytes, tcti: str, token: TpmToken | None = None
    ) -> None:
        """``content`` is that of the key's file."""
        self.name = name
        self._path = path
        self._tcti = tcti
        self._token = token
        self.in_token = False
        _library()
        from tpm2_pytss.tsskey import TSSPrivKey

        try:
            self._key = TSSPrivKey.from_pem(content)
            self._public_key = _public_key(self._key.public)
        except (ValueError, TypeError, RuntimeError) as error:
            raise KeyFailed(
                f"{path}: holds no key of a TPM", "Without it the agent makes a new one."
            ) from error
        self._attestation_key: tuple[TPM2B_PRIVATE, TPM2B_PUBLIC] | None = None
        self._endorsement_kind = ""

    @property
    def storage(self) -> str:
        return STORAGE

    @property
    def place(self) -> KeyPlace | None:
        """Browsers find a key of a TPM by PKCS #11 only."""
        module = module_path() if self.in_token else None
        return None if module is None else place_of(module, key_id_of(self._public_key))

    def public_key(self) -> EllipticCurvePublicKey:
        return self._public_key

    def sign(self, data: bytes) -> bytes:
        digest = Hash(SHA256())
        digest.update(data)
        with opened(self._tcti) as tpm, self._loaded(tpm) as key:
            from tpm2_pytss import TPM2_ALG, TPMS_SCHEME_HASH, TPMT_SIG_SCHEME, TPMU_SIG_SCHEME

            scheme = TPMT_SIG_SCHEME(
                scheme=TPM2_ALG.ECDSA,
                details=TPMU_SIG_SCHEME(ecdsa=TPMS_SCHEME_HASH(hashAlg=TPM2_ALG.SHA256)),
            )
            return bytes(tpm.sign(key, digest.finalize(), scheme))

    def certification_request(self) -> bytes:
        return certification_request(self)

    def keep_certificate(self, certificate_der: bytes) -> None:
        if self._token is not None and self.in_token:
            self._token.keep_certificate(self.name, certificate_der)

    def attestation_request(self, nonce: str) -> dict[str, Any]:
        """Shows the TPM's own certificate, and an attestation key that is made for this."""
        with opened(self._tcti) as tpm:
            kind, certificate = _endorsement_certificate(tpm)
            private, public = _made_attestation_key(tpm)
            chain = _endorsement_chain(tpm)
        self._attestation_key = private, public
        self._endorsement_kind = kind
        return {
            "ek_certificate": binary_text(certificate),
            "ek_chain": [binary_text(each) for each in chain],
            "ak_public": binary_text(public.publicArea.marshal()),
            "nonce": nonce,
        }

    def attest(self, nonce: str, request_der: bytes, answer: Mapping[str, Any]) -> dict[str, Any]:
        if self._attestation_key is None:
            raise KeyFailed("an attestation was answered that nobody has begun")
        digest = Hash(SHA256())
        digest.update(request_der)
        said = qualifying_data(nonce, digest.finalize())
        try:
            blob, encrypted = binary_of(answer["credential_blob"]), binary_of(answer["encrypted_secret"])
            session = str(answer["session"])
        except (KeyError, TypeError, ValueError):
            raise KeyFailed("the organization's answer to the attestation cannot be read") from None
        private, public = self._attestation_key
        with opened(self._tcti) as tpm:
            from tpm2_pytss import TPM2_ALG, TPMT_SIG_SCHEME

            with _loaded_under_root(tpm, private, public) as attestation_key:
                secret = _activated(tpm, attestation_key, self._endorsement_kind, blob, encrypted)
                with self._loaded(tpm) as key:
                    scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)  # the attestation key's own
                    info, signature = tpm.certify(key, attestation_key, said, scheme)
        return {
            "session": session,
            "secret": binary_text(secret),
            "ak_public": binary_text(public.publicArea.marshal()),
            "certify_info": binary_text(bytes(info)),
            "signature": binary_text(signature.marshal()),
            "key_public": binary_text(self._key.public.publicArea.marshal()),
        }

    @contextlib.contextmanager
    def _loaded(self, tpm: "ESAPI") -> Iterator["ESYS_TR"]:
        from tpm2_pytss import TSS2_Exception

        try:
            handle = self._key.load(tpm)
        except TSS2_Exception as error:
            raise KeyFailed(
                f"{self._path}: this TPM does not load the key: {error}",
                "The file is another computer's, or the TPM was cleared; the agent makes a new key.",
            ) from error
        with _let_go(tpm, handle):
            yield handle


@contextlib.contextmanager
def opened(tcti: str) -> Iterator["ESAPI"]:
    """A connection to the TPM, for one thread. Raises KeyFailed, also for what goes wrong inside."""
    _library()
    _check_device(tcti)
    from tpm2_pytss import ESAPI, TSS2_Exception

    try:
        tpm = ESAPI(tcti)
    except (TSS2_Exception, RuntimeError) as error:
        raise KeyFailed(f"the TPM cannot be reached ({tcti}): {error}", _NO_TPM_REMEDY) from error
    try:
        with tpm:
            yield tpm
    except TSS2_Exception as error:
        raise KeyFailed(f"the TPM refused: {error}") from error


def _library() -> None:
    # Its C library writes to stderr, whatever becomes of the error.
    os.environ.setdefault("TSS2_LOG", "all+NONE")
    try:
        import tpm2_pytss  # noqa: F401
    except ImportError as error:
        raise KeyFailed(
            f"keys in a TPM need tpm2-pytss, which cannot be loaded ({error})",
            "pip install 'devicetrust-agent[tpm]', or set KeyStorage to file.",
        ) from None


def _check_device(tcti: str) -> None:
    """What the library calls an "IO failure" has two causes that are mended in different ways."""
    if not tcti.startswith(_DEVICE):
        return
    device = tcti.removeprefix(_DEVICE)
    if not Path(device).exists():
        raise KeyFailed(f"{device}: there is no TPM 2.0 in this computer", _NO_TPM_REMEDY)
    if not os.access(device, os.R_OK | os.W_OK):
        raise KeyFailed(f"{device}: this person may not use the TPM", _GROUP_REMEDY)


@contextlib.contextmanager
def _let_go(tpm: "ESAPI", handle: "ESYS_TR") -> Iterator[None]:
    try:
        yield
    finally:
        tpm.flush_context(handle)


def _public_key(public: "TPM2B_PUBLIC") -> EllipticCurvePublicKey:
    key = load_der_public_key(public.to_der())
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise TypeError("not a P-256 key")
    return key


@contextlib.contextmanager
def _storage_root(tpm: "ESAPI") -> Iterator["ESYS_TR"]:
    """A key for storage in the hierarchy of the TPM's owner: it is the same each time that it is made."""
    from tpm2_pytss import ESYS_TR, TPM2B_PUBLIC, TPM2B_SENSITIVE_CREATE, TPMA_OBJECT

    attributes = (
        TPMA_OBJECT.FIXEDTPM
        | TPMA_OBJECT.FIXEDPARENT
        | TPMA_OBJECT.SENSITIVEDATAORIGIN
        | TPMA_OBJECT.USERWITHAUTH
        | TPMA_OBJECT.NODA
        | TPMA_OBJECT.RESTRICTED
        | TPMA_OBJECT.DECRYPT
    )
    template = TPM2B_PUBLIC.parse("ecc256:aes128cfb", objectAttributes=attributes)
    handle, *_ = tpm.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.OWNER)
    with _let_go(tpm, handle):
        yield handle


def _made_attestation_key(tpm: "ESAPI") -> tuple["TPM2B_PRIVATE", "TPM2B_PUBLIC"]:
    """A key that signs only what this TPM says itself (restricted)."""
    from tpm2_pytss import TPM2B_PUBLIC, TPM2B_SENSITIVE_CREATE, TPMA_OBJECT

    attributes = (
        TPMA_OBJECT.FIXEDTPM
        | TPMA_OBJECT.FIXEDPARENT
        | TPMA_OBJECT.SENSITIVEDATAORIGIN
        | TPMA_OBJECT.USERWITHAUTH
        | TPMA_OBJECT.NODA
        | TPMA_OBJECT.RESTRICTED
        | TPMA_OBJECT.SIGN_ENCRYPT
    )
    template = TPM2B_PUBLIC.parse("ecc256:ecdsa-sha256:null", objectAttributes=attributes)
    with _storage_root(tpm) as root:
        private, public, *_ = tpm.create(root, TPM2B_SENSITIVE_CREATE(), template)
    return private, public


@contextlib.contextmanager
def _loaded_under_root(tpm: "ESAPI", private: "TPM2B_PRIVATE", public: "TPM2B_PUBLIC") -> Iterator["ESYS_TR"]:
    with _storage_root(tpm) as root:
        handle = tpm.load(root, private, public)
    with _let_go(tpm, handle):
        yield handle


def _endorsement_certificate(tpm: "ESAPI") -> tuple[str, bytes]:
    """Kind and certificate of the endorsement key, out of the TPM's own memory. Raises KeyFailed."""
    from tpm2_pytss.utils import NVReadEK, create_ek_template

    read = NVReadEK(tpm)
    for kind in _ENDORSEMENT_KINDS:
        try:
            content, _ = create_ek_template(kind, read)
        except ValueError:
            continue
        if content:
            return kind, _certificate(content)
    raise KeyFailed(
        "the TPM brings no certificate of its vendor along",
        "It cannot vouch for keys by itself; where the organization requires that, ask for another computer.",
    )


def _endorsement_chain(tpm: "ESAPI") -> list[bytes]:
    """All that stands there are certificates, one after the other."""
    from tpm2_pytss.utils import NoSuchIndex, NVReadEK

    read = NVReadEK(tpm)
    content = b""
    for index in _CHAIN_INDEXES:
        try:
            content += read(index)
        except NoSuchIndex:
            break
    found: list[bytes] = []
    while content.startswith(b"\x30\x82"):
        size = 4 + int.from_bytes(content[2:4])
        found.append(content[:size])
        content = content[size:]
    return found


def _certificate(content: bytes) -> bytes:
    """The certificate alone: some TPMs have filled the rest of its place up."""
    size = 4 + int.from_bytes(content[2:4]) if content.startswith(b"\x30\x82") else len(content)
    try:
        return x509.load_der_x509_certificate(content[:size]).public_bytes(Encoding.DER)
    except ValueError as error:
        raise KeyFailed(f"the certificate in the TPM cannot be read: {error}") from None


def _activated(tpm: "ESAPI", attestation_key: "ESYS_TR", kind: str, blob: bytes, encrypted: bytes) -> bytes:
    """TPM2_ActivateCredential (Part 3 §12.5): the secret, if it is for this TPM and this key."""
    from tpm2_pytss import (
        ESYS_TR,
        TPM2B_ENCRYPTED_SECRET,
        TPM2B_ID_OBJECT,
        TPM2B_SENSITIVE_CREATE,
        TPMA_OBJECT,
    )
    from tpm2_pytss.utils import NVReadEK, create_ek_template

    _, template = create_ek_template(kind, NVReadEK(tpm))
    endorsement_key, *_ = tpm.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.ENDORSEMENT)
    credential = TPM2B_ID_OBJECT(credential=blob), TPM2B_ENCRYPTED_SECRET(secret=encrypted)
    with _let_go(tpm, endorsement_key):
        if template.publicArea.objectAttributes & TPMA_OBJECT.USERWITHAUTH:
            return bytes(tpm.activate_credential(attestation_key, endorsement_key, *credential))
        with _endorsement_policy(tpm) as session:
            secret = tpm.activate_credential(attestation_key, endorsement_key, *credential, session2=session)
            return bytes(secret)


@contextlib.contextmanager
def _endorsement_policy(tpm: "ESAPI") -> Iterator["ESYS_TR"]:
    """PolicyA of the EK Credential Profile: whoever may use the endorsement hierarchy, whose password is
    empty."""
    from tpm2_pytss import ESYS_TR, TPM2_ALG, TPM2_SE, TPMT_SYM_DEF, TSS2_Exception

    session = tpm.start_auth_session(
        ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL), TPM2_ALG.SHA256
    )
    try:
        tpm.policy_secret(ESYS_TR.ENDORSEMENT, session)
        yield session
    finally:
        with contextlib.suppress(TSS2_Exception):  # it has ended already, where it was used
            tpm.flush_context(session)
