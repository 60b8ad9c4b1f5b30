"""Nonces that nobody keeps: made here, good for ten minutes, and never anybody else's."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from gateway.enrollment.nonces import NonceInvalid, check_nonce, new_nonce, nonce_key

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEY = nonce_key(b"m" * 32)
NONCE = new_nonce(KEY, NOW, b"r" * 16)


@pytest.mark.parametrize("seconds", [0, 1, 599])
def test_one_is_good_for_ten_minutes(seconds):
    check_nonce(KEY, NONCE, NOW + timedelta(seconds=seconds))


def test_gateways_of_a_fleet_know_those_of_one_another():
    check_nonce(nonce_key(b"m" * 32), NONCE, NOW)


@pytest.mark.parametrize(
    ("what", "key", "nonce", "now"),
    [
        ("too old", KEY, NONCE, NOW + timedelta(seconds=600)),
        ("of another org", nonce_key(b"n" * 32), NONCE, NOW),
        ("with a later end", KEY, base64.urlsafe_b64encode(b"\xff" * 6).decode() + NONCE[8:], NOW),
        ("cut", KEY, NONCE[:-1], NOW),
        ("with more", KEY, NONCE + "A", NOW),
        ("with much more", KEY, NONCE * 9, NOW),
        ("empty", KEY, "", NOW),
        ("no base64", KEY, "!" * 51, NOW),
        ("no ASCII", KEY, "ü" * 51, NOW),
    ],
)
def test_nothing_else_passes_for_one(what, key, nonce, now):
    with pytest.raises(NonceInvalid):
        check_nonce(key, nonce, now)
