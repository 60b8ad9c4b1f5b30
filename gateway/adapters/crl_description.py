"""CRLs on their way between processes: what is said of each as JSON values, its serial numbers beside it, as
tables in memory that the receiver maps."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

from gateway.pki.crl import MAX_CRL_NUMBER, Covers, CrlScope, CrlSnapshot
from gateway.pki.serials import SerialSet

# Where a table is: JSON values, whose meaning is between who writes and who reads a description.
Place: TypeAlias = list[int]


class DescriptionInvalid(ValueError):
    """A value that does not describe a CRL. Raised for the whole message that it is in."""


def described(crl: CrlSnapshot, revoked: Place, removed: Place) -> dict[str, Any]:
    return {
        "issuer": crl.issuer.hex(),
        "covers": crl.scope.covers,
        "distribution_points": sorted(crl.scope.distribution_points),
        "number": crl.number,
        "base_number": crl.base_number,
        "this_update": crl.this_update.isoformat(),
        "next_update": crl.next_update.isoformat(),
        "sha256": crl.sha256.hex(),
        "revoked": revoked,
        "removed": removed,
    }


def crl_from(value: Any, table_at: Callable[[Place], SerialSet]) -> CrlSnapshot:
    """The CRL that a JSON value describes. Raises DescriptionInvalid, also for a ``ValueError`` of
    ``table_at``. Not checked: that its numbers and dates belong together."""
    try:
        base_number = value["base_number"]
        return CrlSnapshot(
            issuer=bytes.fromhex(value["issuer"]),
            scope=CrlScope(Covers(value["covers"]), frozenset(map(_text, value["distribution_points"]))),
            number=_number(value["number"]),
            base_number=None if base_number is None else _number(base_number),
            this_update=_date(value["this_update"]),
            next_update=_date(value["next_update"]),
            revoked=table_at(_place(value["revoked"])),
            removed=table_at(_place(value["removed"])),
            sha256=bytes.fromhex(value["sha256"]),
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise DescriptionInvalid(f"does not describe a CRL: {problem}") from problem


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DescriptionInvalid("not a text")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_CRL_NUMBER:
        raise DescriptionInvalid("not a number")
    return value


def _place(value: Any) -> Place:
    if not isinstance(value, list):
        raise DescriptionInvalid("not a place")
    return [_number(each) for each in value]


def _date(value: Any) -> datetime:
    date = datetime.fromisoformat(value)
    if date.tzinfo is None:
        raise DescriptionInvalid("not a date with a time zone")
    return date
