"""An organization in a SQLite store of its own, with a certification authority, people and devices."""

import os
import secrets
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from support.own_authority import KeyInMemory, new_request

from gateway.adapters.store.store import Store
from gateway.model.ids import IdKind, new_id
from gateway.model.issued import AuthorityRecord, CertificateStatus, IssuedCertificate
from gateway.model.org import (
    Device,
    DeviceStatus,
    User,
    UserSource,
    UserStatus,
    default_certificate_name,
)
from gateway.model.settings import CaSettings
from gateway.pki.certificate import Certificate
from gateway.pki.signer import Signer, SigningFailed
from gateway.services.authorities import AuthorityNames, NewKey, initialise, roll_over
from gateway.services.issuing import Issued, certificate_of, issue
from gateway.services.renewing import renew
from gateway.system_log.catalog import Occasion, job

NAMES = AuthorityNames("acme", "http://sso.example.test", crl_shards=4)


class SystemRandomness:
    def bytes(self, count: int) -> bytes:
        return os.urandom(count)


@dataclass(slots=True)
class KeysInMemory:
    """By what is signed for: the public key in an authority's certificate."""

    keys: list[KeyInMemory] = field(default_factory=list)
    gone: bool = False

    def signer(self, authority: AuthorityRecord) -> Signer:
        wanted = certificate_of(authority.certificate_der).public_key
        if self.gone:
            raise SigningFailed("the HSM is gone")
        return next(key for key in self.keys if key.public_key == wanted)


@dataclass(slots=True)
class AuthoritySite:
    store: Store
    rules: CaSettings = field(default_factory=CaSettings)
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    keys: KeysInMemory = field(default_factory=KeysInMemory)
    root_key: KeyInMemory = field(default_factory=KeyInMemory)
    randomness: SystemRandomness = field(default_factory=SystemRandomness)

    @classmethod
    def create(cls, directory: Path) -> "AuthoritySite":
        """A store and an authority of its own, copied from one that was made once: that takes a while."""
        content, first = _made_once()
        (directory / "devicetrust.db").write_bytes(content)
        store = Store.open(f"sqlite:///{directory}/devicetrust.db")
        return cls(store, now=first.now, keys=KeysInMemory(list(first.keys.keys)), root_key=first.root_key)

    def occasion(self) -> Occasion:
        return job(self.now, lambda: str(uuid.uuid4()), "test")

    def later(self, by: timedelta) -> None:
        self.now += by

    def initialise(self) -> None:
        self.keys.keys.append(KeyInMemory())
        with self.store.begin() as work:
            initialise(
                work,
                NAMES,
                NewKey(self.root_key),
                NewKey(self.keys.keys[-1], pem=b"encrypted"),
                self.occasion(),
                self.randomness,
            )

    def roll_over(self) -> AuthorityRecord:
        self.keys.keys.append(KeyInMemory())
        key = NewKey(self.keys.keys[-1], pem=b"encrypted")
        with self.store.begin() as work:
            return roll_over(work, NAMES, self.root_key, key, self.occasion(), self.randomness).record

    def user(self, login: str = "alice@example.test") -> User:
        user = User(
            new_id(IdKind.USER, secrets.token_bytes(13)),
            login,
            login,
            "",
            "",
            UserStatus.ACTIVE,
            UserSource.LOCAL,
            self.now,
            self.now,
        )
        with self.store.begin() as work:
            work.users.add(user)
        return user

    def device(self, name: str = "ws-42") -> Device:
        device_id = new_id(IdKind.DEVICE, secrets.token_bytes(13))
        device = Device(
            device_id,
            name,
            default_certificate_name(device_id),
            "WINDOWS",
            DeviceStatus.ACTIVE,
            self.now,
            self.now,
        )
        with self.store.begin() as work:
            work.devices.add(device)
        return device

    def issue(self, device: Device, user: User | None) -> Issued:
        return issue(
            self.store,
            self.keys,
            new_request(),
            device.id,
            None if user is None else user.id,
            self.rules,
            self.occasion(),
            self.randomness,
        )

    def renew(self, former: IssuedCertificate, *, force: bool = False) -> Issued:
        return renew(
            self.store,
            self.keys,
            new_request(),
            former,
            self.rules,
            self.occasion(),
            self.randomness,
            force=force,
        )

    def status(self, issued: Issued | IssuedCertificate) -> CertificateStatus:
        row = issued.row if isinstance(issued, Issued) else issued
        with self.store.read() as view:
            found = view.certificates.get(row.issuer_hash, row.serial_number)
        assert found is not None
        return found.status

    def authorities(self) -> list[AuthorityRecord]:
        with self.store.read() as view:
            return list(view.authorities.all())

    def issuing(self) -> Certificate:
        return certificate_of(self.authorities()[-1].certificate_der)

    def with_rules(self, **rules: object) -> None:
        self.rules = replace(self.rules, **rules)  # type: ignore[arg-type]


@cache
def _made_once() -> tuple[bytes, AuthoritySite]:
    with TemporaryDirectory() as directory:
        site = AuthoritySite(Store.open(f"sqlite:///{directory}/devicetrust.db"))
        site.initialise()
        site.store.close()
        return Path(directory, "devicetrust.db").read_bytes(), site
