"""The cheaper way to OpenSSL is used only where its trial passes."""

from collections.abc import Callable

import pytest
from OpenSSL import SSL

from gateway.adapters.tls_records import choose_records
from gateway.tls.records import PUBLIC_RECORDS, NativeRecords


def test_with_this_binding_the_native_way_passes_its_trial() -> None:
    assert isinstance(choose_records(), NativeRecords)


def fails(*_: object) -> None:
    raise AttributeError("_into_ssl")


def loses_a_byte(records: NativeRecords, connection: SSL.Connection) -> tuple[bytes, bool]:
    plaintext, closed = PUBLIC_RECORDS.read(connection)
    return plaintext[:-1], closed


def never_closed(records: NativeRecords, connection: SSL.Connection) -> tuple[bytes, bool]:
    return PUBLIC_RECORDS.read(connection)[0], False


def takes_nothing(records: NativeRecords, connection: SSL.Connection) -> bytes:
    return b""


BROKEN = [
    ("an attribute that is gone", "put", fails),
    ("a read that loses a byte", "read", loses_a_byte),
    ("a close that is not seen", "read", never_closed),
    ("output that is not taken", "take", takes_nothing),
    ("a write that does nothing", "write", lambda *_: None),
]


@pytest.mark.parametrize(("method", "broken"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_binding_that_has_changed_is_used_by_its_public_methods(
    method: str, broken: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NativeRecords, method, broken)
    assert choose_records() is PUBLIC_RECORDS
