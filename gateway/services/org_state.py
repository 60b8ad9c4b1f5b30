"""What the store says, as the data plane needs it: the state document (read by `gateway.model.org_state`),
and the revoked serial numbers of our own issuers."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from gateway.model.issued import AuthorityKind, AuthorityRecord, AuthorityStatus
from gateway.model.org import Lifecycle, NameKind, PolicySource, SettingName, StoredPolicy
from gateway.pki.serials import SerialSet

# Issuers whose certificates are trusted: all but those that were retired.
_TRUSTED: Final = (AuthorityStatus.ACTIVE, AuthorityStatus.RETIRING)


class _Feed(Protocol):
    def head(self) -> int: ...


class _Users(Protocol):
    def inactive_login_keys(self) -> Iterator[str]: ...


class _Devices(Protocol):
    def inactive_names(self) -> Iterator[str]: ...


class _DeletedNames(Protocol):
    def of(self, kind: NameKind) -> Iterator[str]: ...


class _Authorities(Protocol):
    def all(self, kind: AuthorityKind | None = None) -> Sequence[AuthorityRecord]: ...


class _Certificates(Protocol):
    def revoked_serials(self, issuer_hash: bytes, *, valid_from: datetime | None = None) -> Iterator[int]: ...


class _Policies(Protocol):
    def all(self) -> Sequence[StoredPolicy]: ...


class _Settings(Protocol):
    def get(self, name: SettingName) -> object: ...


class StateView(Protocol):
    @property
    def feed(self) -> _Feed: ...
    @property
    def users(self) -> _Users: ...
    @property
    def devices(self) -> _Devices: ...
    @property
    def deleted_names(self) -> _DeletedNames: ...
    @property
    def authorities(self) -> _Authorities: ...
    @property
    def certificates(self) -> _Certificates: ...
    @property
    def policies(self) -> _Policies: ...
    @property
    def settings(self) -> _Settings: ...


@dataclass(frozen=True, slots=True)
class OrgStateSent:
    """The whole truth at change ``number``. ``revoked``: issuer hash → serial numbers. ``lasting`` is the
    document without those who are shut out: what may count when nobody can say who is."""

    number: int
    document: bytes
    lasting: bytes
    revoked: Mapping[bytes, SerialSet]


def org_state(
    view: StateView, zones: Callable[[], Mapping[str, Sequence[str]]], hash_key: bytes
) -> OrgStateSent:
    """``zones`` gives the active ones of the store; ``hash_key`` (20 random bytes) spreads the serial
    numbers, which whoever asks for certificates must not be able to crowd into one bucket.

    Certificates that expired stay in the sets: a clock that is behind must not bring them back.
    """
    number = view.feed.head()
    issuing = [each for each in view.authorities.all(AuthorityKind.ISSUING) if each.status in _TRUSTED]
    lasting = {
        "number": number,
        "device_trust_enabled": view.settings.get(SettingName.DEVICE_TRUST_ENABLED),
        "learn_more_url": view.settings.get(SettingName.LEARN_MORE_URL),
        "authorities": [
            {"name": "builtin", "certificates": [_pem(each.certificate_der) for each in issuing]}
        ],
        "policies": {
            policy.app: policy.document
            for policy in view.policies.all()
            if policy.source is PolicySource.EDITED and policy.status is Lifecycle.ACTIVE
        },
        "zones": zones(),
    }
    shut_out = {
        "inactive_devices": [*view.devices.inactive_names(), *view.deleted_names.of(NameKind.DEVICE)],
        "inactive_users": [*view.users.inactive_login_keys(), *view.deleted_names.of(NameKind.USER)],
    }
    revoked = {
        each.issuer_hash: SerialSet.of(
            [
                serial.to_bytes(max(1, (serial.bit_length() + 7) // 8))
                for serial in view.certificates.revoked_serials(each.issuer_hash)
            ],
            hash_key,
        )
        for each in issuing
    }
    return OrgStateSent(number, _json({**lasting, **shut_out}), _json(lasting), revoked)


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _pem(certificate_der: bytes) -> str:
    body = base64.encodebytes(certificate_der).decode("ascii")
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"
