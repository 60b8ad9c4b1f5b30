"""Certificates that were issued, from the reserved serial number to the end of their lives.

A million of them are usual for a large site: everything that may give many rows streams them.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, insert, select, tuple_, update

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.issued import (
    CertificateQuery,
    CertificateStatus,
    IssuedCertificate,
    RevocationReason,
    RevokedEntry,
)

_CERTIFICATES = Record(schema.certificates, IssuedCertificate)
_TABLE = schema.certificates
_COLUMN = schema.certificates.c


class Certificates:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def reserve(self, certificate: IssuedCertificate) -> None:
        """Take the serial number. Raises AlreadyExists where the issuer has used it before."""
        self._statements.insert(_TABLE, _CERTIFICATES.values(certificate))

    def add_many(self, certificates: Iterable[IssuedCertificate]) -> None:
        """In whatever state they are; rows are taken from the iterable as they are written."""
        self._statements.change_many(insert(_TABLE), map(_CERTIFICATES.values, certificates))

    def complete(
        self, issuer_hash: bytes, serial_number: int, *, certificate_der: bytes, thumbprint: str
    ) -> bool:
        """It was signed. False: nothing was reserved under this number, or it was revoked meanwhile; the
        certificate must then not be given out."""
        change = (
            update(_TABLE)
            .where(_named(issuer_hash, serial_number), _COLUMN.status == CertificateStatus.RESERVED)
            .values(status=CertificateStatus.ISSUED, certificate_der=certificate_der, thumbprint=thumbprint)
        )
        return self._statements.change(change) == 1

    def get(self, issuer_hash: bytes, serial_number: int, *, lock: bool = False) -> IssuedCertificate | None:
        """``lock``: nobody else changes it before this transaction ends."""
        return self._one(_named(issuer_hash, serial_number), lock)

    def some(self, issuer_hash: bytes, serial_numbers: Iterable[int]) -> Sequence[IssuedCertificate]:
        """Those of the issuer that there are, by one query, in no useful order."""
        return self._some(
            _CERTIFICATES.select().where(
                _COLUMN.issuer_hash == issuer_hash, _COLUMN.serial_number.in_(tuple(serial_numbers))
            )
        )

    def by_thumbprint(self, thumbprint: str, *, lock: bool = False) -> IssuedCertificate | None:
        return self._one(_COLUMN.thumbprint == thumbprint, lock)

    def by_serial_number(self, serial_number: int) -> Sequence[IssuedCertificate]:
        """Of every issuer: for people, who know a certificate by its number."""
        return self._some(_CERTIFICATES.select().where(_COLUMN.serial_number == serial_number))

    def of_device(self, device_id: str) -> Sequence[IssuedCertificate]:
        """All that it ever had, oldest first."""
        return self._some(_CERTIFICATES.select().where(_COLUMN.device_id == device_id).order_by(*_ORDER))

    def usable_of_device(self, device_id: str, after: datetime) -> Sequence[IssuedCertificate]:
        """Those that are not revoked and end after ``after``, oldest first. They are few, however many a
        device has had."""
        wanted = _CERTIFICATES.select().where(
            _COLUMN.device_id == device_id,
            _COLUMN.status != CertificateStatus.REVOKED,
            _COLUMN.not_after > after,
        )
        return self._some(wanted.order_by(*_ORDER))

    def of_user(self, user_id: str) -> Sequence[IssuedCertificate]:
        """All that they ever had, oldest first."""
        return self._some(_CERTIFICATES.select().where(_COLUMN.user_id == user_id).order_by(*_ORDER))

    def page(
        self,
        query: CertificateQuery | None = None,
        *,
        after: IssuedCertificate | None = None,
        limit: int = 200,
    ) -> Sequence[IssuedCertificate]:
        """Oldest first, those after the last one of the page before."""
        wanted = _CERTIFICATES.select().where(*_conditions(query)).order_by(*_ORDER).limit(limit)
        if after is not None:
            place = tuple_(after.created, after.issuer_hash, after.serial_number, types=_ORDER_TYPES)
            wanted = wanted.where(tuple_(*_ORDER) > place)
        return self._some(wanted)

    def stream(self, query: CertificateQuery | None = None) -> Iterator[IssuedCertificate]:
        """Oldest first; within the transaction."""
        wanted = _CERTIFICATES.select().where(*_conditions(query)).order_by(*_ORDER)
        return map(_CERTIFICATES.read, self._statements.stream(wanted))

    def count(self, query: CertificateQuery | None = None) -> int:
        wanted = select(func.count()).select_from(_TABLE).where(*_conditions(query))
        return int(self._statements.scalar(wanted))

    def made_since(self, at: datetime, *, device_id: str | None = None, user_id: str | None = None) -> int:
        """How many of this device, or user, were made after this time, whatever became of them."""
        wanted = select(func.count()).select_from(_TABLE).where(_COLUMN.created > at)
        if device_id is not None:
            wanted = wanted.where(_COLUMN.device_id == device_id)
        if user_id is not None:
            wanted = wanted.where(_COLUMN.user_id == user_id)
        return int(self._statements.scalar(wanted))

    def count_by_status(self) -> dict[tuple[str, CertificateStatus], int]:
        """By authority id and status."""
        counted = select(_COLUMN.authority_id, _COLUMN.status, func.count()).group_by(
            _COLUMN.authority_id, _COLUMN.status
        )
        return {(row[0], row[1]): row[2] for row in self._statements.all(counted)}

    def revoke(
        self, issuer_hash: bytes, serial_number: int, at: datetime, reason: RevocationReason
    ) -> IssuedCertificate | None:
        """Put it on hold with `CERTIFICATE_HOLD`, else revoke it for good, also while it is on hold. The row
        as it is now; None: there is none, or it is so already."""
        held = reason is RevocationReason.CERTIFICATE_HOLD
        over = (CertificateStatus.REVOKED, CertificateStatus.HELD) if held else (CertificateStatus.REVOKED,)
        change = (
            update(_TABLE)
            .where(_named(issuer_hash, serial_number), _COLUMN.status.not_in(over))
            .values(
                status=CertificateStatus.HELD if held else CertificateStatus.REVOKED,
                revoked_at=at,
                revocation_reason=reason,
            )
        )
        return self.get(issuer_hash, serial_number) if self._statements.change(change) else None

    def release(self, issuer_hash: bytes, serial_number: int) -> IssuedCertificate | None:
        """Take the hold back. None: it is not on hold."""
        change = (
            update(_TABLE)
            .where(
                _named(issuer_hash, serial_number),
                _COLUMN.status == CertificateStatus.HELD,
                _COLUMN.certificate_der.is_not(None),
            )
            .values(status=CertificateStatus.ISSUED, revoked_at=None, revocation_reason=None)
        )
        return self.get(issuer_hash, serial_number) if self._statements.change(change) else None

    def mark_seen(self, thumbprint: str, at: datetime) -> IssuedCertificate | None:
        """A gateway saw it in use. The row; None: it was seen before, or there is none."""
        change = (
            update(_TABLE)
            .where(_COLUMN.thumbprint == thumbprint, _COLUMN.first_seen.is_(None))
            .values(first_seen=at)
        )
        return self.by_thumbprint(thumbprint) if self._statements.change(change) else None

    def revoked_serials(self, issuer_hash: bytes, *, valid_from: datetime | None = None) -> Iterator[int]:
        """Of all certificates that are revoked or on hold, in no useful order, streamed. ``valid_from``:
        without those that had expired at this time."""
        wanted = select(_COLUMN.serial_number).where(_COLUMN.issuer_hash == issuer_hash, schema.WITHDRAWN)
        if valid_from is not None:
            wanted = wanted.where(_COLUMN.not_after >= valid_from)
        return (row[0] for row in self._statements.stream(wanted))

    def revoked_entries(
        self, issuer_hash: bytes, *, shard: int | None = None, valid_from: datetime | None = None
    ) -> Iterator[RevokedEntry]:
        """What a CRL has to list, streamed. ``valid_from``: without what had expired at this time."""
        wanted = select(_COLUMN.serial_number, _COLUMN.revoked_at, _COLUMN.revocation_reason).where(
            _COLUMN.issuer_hash == issuer_hash, schema.WITHDRAWN
        )
        if shard is not None:
            wanted = wanted.where(_COLUMN.crl_shard == shard)
        if valid_from is not None:
            wanted = wanted.where(_COLUMN.not_after >= valid_from)
        return (RevokedEntry(*row) for row in self._statements.stream(wanted))

    def revoked_since(self, at: datetime) -> Iterator[IssuedCertificate]:
        """Revoked or put on hold at this time or later, and still so; the earliest first, streamed."""
        wanted = (
            _CERTIFICATES.select()
            .where(schema.WITHDRAWN, _COLUMN.revoked_at >= at)
            .order_by(_COLUMN.revoked_at)
        )
        return map(_CERTIFICATES.read, self._statements.stream(wanted))

    def expiring(self, since: datetime, until: datetime) -> Iterator[IssuedCertificate]:
        """Issued ones whose validity ends in this span of time, the earliest first, streamed."""
        wanted = (
            _CERTIFICATES.select()
            .where(
                _COLUMN.status == CertificateStatus.ISSUED,
                _COLUMN.not_after >= since,
                _COLUMN.not_after < until,
            )
            .order_by(_COLUMN.not_after)
        )
        return map(_CERTIFICATES.read, self._statements.stream(wanted))

    def reserved_before(self, at: datetime) -> Sequence[IssuedCertificate]:
        """Serial numbers that were reserved before this time, and of whose signing nobody knows."""
        wanted = _CERTIFICATES.select().where(schema.RESERVED, _COLUMN.created < at)
        return self._some(wanted.order_by(*_ORDER))

    def _one(self, condition: ColumnElement[bool], lock: bool) -> IssuedCertificate | None:
        wanted = _CERTIFICATES.select().where(condition)
        row = self._statements.first(wanted.with_for_update() if lock else wanted)
        return None if row is None else _CERTIFICATES.read(row)

    def _some(self, wanted: Select[Any]) -> Sequence[IssuedCertificate]:
        return [_CERTIFICATES.read(row) for row in self._statements.all(wanted)]


_ORDER = (_COLUMN.created, _COLUMN.issuer_hash, _COLUMN.serial_number)
_ORDER_TYPES = tuple(column.type for column in _ORDER)


def _named(issuer_hash: bytes, serial_number: int) -> ColumnElement[bool]:
    return and_(_COLUMN.issuer_hash == issuer_hash, _COLUMN.serial_number == serial_number)


def _conditions(query: CertificateQuery | None) -> Iterator[ColumnElement[bool]]:
    if query is None:
        return
    if query.device_id is not None:
        yield _COLUMN.device_id == query.device_id
    if query.user_id is not None:
        yield _COLUMN.user_id == query.user_id
    if query.authority_id is not None:
        yield _COLUMN.authority_id == query.authority_id
    if query.statuses:
        yield _COLUMN.status.in_(query.statuses)
    if query.valid_at is not None:
        yield and_(_COLUMN.not_before <= query.valid_at, _COLUMN.not_after > query.valid_at)
    if query.expires_from is not None:
        yield _COLUMN.not_after >= query.expires_from
    if query.expires_before is not None:
        yield _COLUMN.not_after < query.expires_before
