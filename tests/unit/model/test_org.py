"""What the values of the organization say of themselves."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.model.org import ApiToken, Device, DeviceStatus, TokenScope, login_key

_NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("login", "key"),
    [
        ("Alice@Example.test", "alice@example.test"),
        ("bob", "bob"),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
    ],
)
def test_logins_are_compared_without_case(login: str, key: str) -> None:
    assert login_key(login) == key


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (TokenScope.READ, {TokenScope.READ}),
        (TokenScope.OPERATE, {TokenScope.READ, TokenScope.OPERATE}),
        (TokenScope.ADMIN, set(TokenScope)),
    ],
)
def test_a_wider_scope_covers_the_narrower_ones(scope: TokenScope, covered: set[TokenScope]) -> None:
    assert {needed for needed in TokenScope if scope.covers(needed)} == covered


@pytest.mark.parametrize(
    ("expires", "revoked", "usable"),
    [
        (None, None, True),
        (_NOW + timedelta(seconds=1), None, True),
        (_NOW, None, False),
        (None, _NOW - timedelta(days=1), False),
    ],
)
def test_a_token_is_usable_until_it_expires_or_is_revoked(
    expires: datetime | None, revoked: datetime | None, usable: bool
) -> None:
    token = ApiToken("00T", "name", TokenScope.READ, b"hash", "alice", _NOW, expires=expires, revoked=revoked)
    assert token.usable(_NOW) is usable
    assert "hash" not in repr(token)


@pytest.mark.parametrize(
    ("status", "active"),
    [
        (DeviceStatus.CREATED, True),
        (DeviceStatus.ACTIVE, True),
        (DeviceStatus.SUSPENDED, False),
        (DeviceStatus.DEACTIVATED, False),
    ],
)
def test_which_devices_are_in_use(status: DeviceStatus, active: bool) -> None:
    assert Device("guo", "laptop", "urn:x", "WINDOWS", status, _NOW, _NOW).active is active
