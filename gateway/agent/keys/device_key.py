"""What a key of this computer can do, wherever it is kept.

A key has a name, by which its keeper finds it again at a later run: the agent chooses it (`new_key_name`)
and keeps it beside the certificate. Keys are ECDSA P-256, because that is what the platforms' hardware and
proofs (ES256) share.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from gateway.agent.platform import KeyPlace

# No two keys of one person ever share a name, also not with one of a run that was interrupted.
_NAME_BYTES: Final = 8


class KeyFailed(Exception):
    """A key could not be made, found or used: what and why, as one sentence. ``remedy`` is what to do about
    it, or ""."""

    def __init__(self, sentence: str, remedy: str = "") -> None:
        super().__init__(sentence)
        self.remedy = remedy


class DeviceKey(Protocol):
    """A key that can sign. All calls may raise KeyFailed."""

    @property
    def name(self) -> str: ...

    @property
    def storage(self) -> str:
        """`file`, `tpm`, `pkcs11` or `platform`: for people, and for the org's log."""
        ...

    @property
    def place(self) -> KeyPlace | None:
        """Where browsers find it; None where they cannot use it."""
        ...

    def public_key(self) -> EllipticCurvePublicKey: ...

    def sign(self, data: bytes) -> bytes:
        """ECDSA with SHA-256 over ``data``, as DER of r and s (RFC 3279 §2.2.3)."""
        ...

    def certification_request(self) -> bytes:
        """DER of a PKCS #10 (RFC 2986) by this key. Its subject does not matter: the org names devices."""
        ...


@runtime_checkable
class AttestableKey(Protocol):
    """A key whose chip can say that it has it. What goes into and comes out of both is JSON as the org's
    `/enroll/attestation` and `/enroll/certificate` have it."""

    def attestation_request(self, nonce: str) -> dict[str, Any]:
        """The body of `POST /enroll/attestation`."""
        ...

    def attest(self, nonce: str, request_der: bytes, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The member `attestation` of `POST /enroll/certificate`, after the answer to the former."""
        ...


@runtime_checkable
class TokenKey(Protocol):
    """A key beside which its certificate has to stand before a browser's own database can know of it."""

    def keep_certificate(self, certificate_der: bytes) -> None:
        """In the place of one that is there already. Raises KeyFailed."""
        ...


class KeyKeeper(Protocol):
    """Makes keys and finds them again. All calls may raise KeyFailed."""

    @property
    def storage(self) -> str: ...

    def create(self, name: str) -> DeviceKey:
        """A new key under a new name. When this returns, the key survives a power cut."""
        ...

    def open(self, name: str) -> DeviceKey | None:
        """None where there is no such key. KeyFailed where there is one that cannot be used."""
        ...

    def delete(self, name: str) -> None:
        """A key that is not there is no error."""
        ...

    def names(self) -> frozenset[str]:
        """Of all keys of agents that are kept there: in a token that several share, also of others."""
        ...


def new_key_name(storage: str) -> str:
    """It begins with where the key is kept, so that it is found also when the setting was changed."""
    return f"{storage}-{secrets.token_hex(_NAME_BYTES)}"


def storage_of(name: str) -> str:
    return name.partition("-")[0]
