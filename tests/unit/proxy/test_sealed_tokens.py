"""Tokens: sealed for one purpose and time, unreadable and unchangeable outside, gone when the keys are."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.model.device import CertificateId, NotTrusted, VerifiedDevice
from gateway.model.reasons import TrustReason
from gateway.proxy.sealing import (
    MAX_DERIVED_KEYS,
    MAX_TOKEN_CHARACTERS,
    ROTATION_SECONDS,
    Sealer,
    TokenRefused,
)
from gateway.proxy.tokens import (
    FLOW_PURPOSE,
    SESSION_PURPOSE,
    TICKET_PURPOSE,
    Flow,
    Session,
    Ticket,
    open_flow,
    open_session,
    open_ticket,
    seal_flow,
    seal_session,
    seal_ticket,
)

NOW = 1_800_000_000.0
NONCE = bytes(range(12))
SEALER = Sealer(b"k" * 32)

FLOW = Flow(
    flow_id="f-1",
    app="wiki",
    label="n00ff",
    method="POST",
    return_target='/saml/acs?a="b"&c=%20',
    body_digest="ab" * 32,
    user_digest="cd" * 32,
    cookie_digest="ef" * 32,
    origin="https://idp.example.test",
    expires_at=int(NOW) + 300,
    reference_id="r-1",
)
TRUSTED = VerifiedDevice(
    authority="corp",
    device="urn:uuid:ünïcode",
    user="álice@example.test",
    user_binding_required=True,
    certificate_thumbprint="x5t",
    certification_path=(CertificateId(bytes(32), 2**159 - 1), CertificateId(b"\xff" * 32, 0)),
    not_after=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
)
WITH_HARDWARE_KEY = replace(TRUSTED, hardware_key=True)
UNTRUSTED = NotTrusted(TrustReason.REVOKED, "on the CRL", "urn:device:1", "x5t")
SESSION = Session(
    session_id="s-1",
    app="wiki",
    user="álice@example.test",
    groups=("admins", "staff, all"),
    identity_provider="okta",
    authn_context_class_ref=None,
    authn_instant=1_799_999_000,
    verdict=TRUSTED,
    expires_at=int(NOW) + 28_800,
)


def seal(purpose: str = "flow", text: bytes = b"secret", *, now: float = NOW, sealer: Sealer = SEALER) -> str:
    return sealer.seal(purpose, text, now_seconds=now, nonce=NONCE)


def refused(token: str, purpose: str = "flow", *, now: float = NOW, sealer: Sealer = SEALER) -> bool:
    try:
        sealer.open(purpose, token, now_seconds=now)
    except TokenRefused:
        return True
    return False


def test_what_was_sealed_opens_again_and_shows_nothing() -> None:
    token = seal()
    assert SEALER.open("flow", token, now_seconds=NOW) == b"secret"
    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum()
    assert b"secret" not in base64.urlsafe_b64decode(token + "==")


def test_another_worker_with_the_same_secret_opens_it() -> None:
    assert not refused(seal(), sealer=Sealer(b"k" * 32))
    assert refused(seal(), sealer=Sealer(b"k" * 31 + b"K"))


@pytest.mark.parametrize("purpose", [TICKET_PURPOSE, SESSION_PURPOSE, "", "flow ", "Flow"])
def test_no_other_purpose_opens_it(purpose: str) -> None:
    assert refused(seal("flow"), purpose)


def test_a_change_of_any_bit_is_noticed() -> None:
    raw = base64.urlsafe_b64decode(seal() + "=" * (-len(seal()) % 4))
    for position in range(len(raw)):
        for bit in (0x01, 0x80):
            changed = bytearray(raw)
            changed[position] ^= bit
            assert refused(base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()), position


def test_a_token_that_was_cut_or_lengthened_is_refused() -> None:
    token = seal()
    for size in range(len(token)):
        assert refused(token[:size])
    for more in ("A", "AA", "=", "==", "\n", " ", ".", "é"):
        assert refused(token + more) or more == "=" * (-len(token) % 4)
        assert refused(more + token)


def test_keys_rotate_and_their_neighbours_still_open() -> None:
    begins = (int(NOW) // ROTATION_SECONDS) * ROTATION_SECONDS
    token = seal(now=begins)

    for seconds, open_then in (
        (-ROTATION_SECONDS - 1, False),  # a clock more than a whole period behind
        (-1, True),
        (0, True),
        (ROTATION_SECONDS, True),
        (2 * ROTATION_SECONDS - 1, True),
        (2 * ROTATION_SECONDS, False),
    ):
        assert refused(token, now=begins + seconds) is not open_then, seconds


def test_the_period_of_a_token_cannot_be_changed() -> None:
    """An old token does not become young by another period in its clear part."""
    later = NOW + 2 * ROTATION_SECONDS
    old, young = seal(), seal(now=later)
    assert old[:5] != young[:5] or old[5:] != young[5:]
    raw_old = base64.urlsafe_b64decode(old + "=" * (-len(old) % 4))
    raw_young = base64.urlsafe_b64decode(young + "=" * (-len(young) % 4))
    mixed = base64.urlsafe_b64encode(raw_young[:4] + raw_old[4:]).rstrip(b"=").decode()
    assert refused(mixed, now=later)


def test_keys_of_past_periods_are_forgotten() -> None:
    sealer = Sealer(b"k" * 32)
    for day in range(MAX_DERIVED_KEYS):
        seal(now=NOW + day * ROTATION_SECONDS, sealer=sealer)
        token = seal(TICKET_PURPOSE, now=NOW + day * ROTATION_SECONDS, sealer=sealer)
    assert len(sealer._keys) <= MAX_DERIVED_KEYS
    assert not refused(token, TICKET_PURPOSE, now=NOW + day * ROTATION_SECONDS, sealer=sealer)


def test_a_stranger_makes_no_keys() -> None:
    sealer = Sealer(b"k" * 32)
    for period in range(0, 2**32, 2**28):
        raw = period.to_bytes(4) + bytes(60)
        assert refused(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), sealer=sealer)
    assert sealer._keys == {}


@pytest.mark.parametrize(
    "token",
    ["", "A", "A" * 16, "A" * (MAX_TOKEN_CHARACTERS + 1), "not base64!", "é" * 50, "\x00" * 50, "=" * 50],
    ids=["empty", "one", "short", "too long", "blank", "not ASCII", "NUL", "padding"],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert refused(token)


def test_weak_secrets_and_nonces_are_programming_errors() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"k" * 31)
    with pytest.raises(ValueError, match="12 bytes"):
        SEALER.seal("flow", b"", now_seconds=NOW, nonce=bytes(11))


# What the three tokens hold.


@pytest.mark.parametrize(
    "flow", [FLOW, replace(FLOW, method="GET", body_digest="", origin=None)], ids=["POST", "GET"]
)
def test_a_flow_comes_back_as_it_was(flow: Flow) -> None:
    token = seal_flow(SEALER, flow, now_seconds=NOW, nonce=NONCE)
    assert open_flow(SEALER, token, now_seconds=NOW) == flow


@pytest.mark.parametrize(
    "verdict", [TRUSTED, WITH_HARDWARE_KEY, UNTRUSTED], ids=["trusted", "with a hardware key", "not trusted"]
)
def test_a_ticket_comes_back_as_it_was(verdict: VerifiedDevice | NotTrusted) -> None:
    ticket = Ticket("t-1", FLOW, verdict, int(NOW) + 60)
    token = seal_ticket(SEALER, ticket, now_seconds=NOW, nonce=NONCE)
    assert open_ticket(SEALER, token, now_seconds=NOW) == ticket


@pytest.mark.parametrize(
    "verdict",
    [
        TRUSTED,
        WITH_HARDWARE_KEY,
        replace(TRUSTED, user=None),
        UNTRUSTED,
        NotTrusted(TrustReason.NO_CERTIFICATE),
    ],
    ids=["trusted", "with a hardware key", "nobody's device", "not trusted", "no certificate"],
)
def test_a_session_comes_back_as_it_was(verdict: VerifiedDevice | NotTrusted) -> None:
    session = replace(SESSION, verdict=verdict)
    token = seal_session(SEALER, session, now_seconds=NOW, nonce=NONCE)
    assert open_session(SEALER, token, now_seconds=NOW) == session


def test_no_token_opens_as_another_kind() -> None:
    flow = seal_flow(SEALER, FLOW, now_seconds=NOW, nonce=NONCE)
    ticket = seal_ticket(SEALER, Ticket("t-1", FLOW, TRUSTED, 0), now_seconds=NOW, nonce=NONCE)
    session = seal_session(SEALER, SESSION, now_seconds=NOW, nonce=NONCE)
    openers = {flow: open_flow, ticket: open_ticket, session: open_session}
    for token in openers:
        for of_other_kind, opener in openers.items():
            if of_other_kind != token:
                with pytest.raises(TokenRefused):
                    opener(SEALER, token, now_seconds=NOW)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"i": 1}',
        '{"flow_id": "f-1"}',
        '{"i": "t", "f": [], "v": {}, "e": 0}',
        '{"i": "t", "f": {"flow_id": "f-1", "new": 1}, "v": {}, "e": 0}',
        "[" * 5_000,
    ],
    ids=[
        "nothing",
        "half",
        "a list",
        "null",
        "empty",
        "one field",
        "few fields",
        "a list inside",
        "a new field",
        "deep",
    ],
)
@pytest.mark.parametrize(
    ("purpose", "opener"),
    [(FLOW_PURPOSE, open_flow), (TICKET_PURPOSE, open_ticket), (SESSION_PURPOSE, open_session)],
    ids=["flow", "ticket", "session"],
)
def test_a_token_of_another_version_is_refused(purpose: str, opener: object, content: str) -> None:
    sealed = Sealer(b"k" * 32).seal(purpose, content.encode(), now_seconds=NOW, nonce=NONCE)
    assert callable(opener)
    with pytest.raises(TokenRefused):
        opener(SEALER, sealed, now_seconds=NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 5},
        {"v": {"r": "NEW_REASON", "m": "", "d": None, "x": None}},
        {"v": {"r": "REVOKED"}},
        {"v": {"a": "corp", "d": "d", "u": None, "b": True, "x": "x", "p": [["zz", "1"]], "n": 0}},
        {"v": {"a": "corp", "d": "d", "u": None, "b": True, "x": "x", "p": [[1, 2, 3]], "n": 0}},
        {"v": {"a": "corp", "d": "d", "u": None, "b": True, "x": "x", "p": [], "n": 1e300}},
        {"v": {"a": "corp", "d": "d", "u": None, "b": True, "x": "x", "p": [], "n": "soon"}},
        {"v": {"a": "corp", "d": "d", "u": None, "b": True, "x": "x", "p": [], "n": 0}},
        {"f": None},
    ],
    ids=[
        "a number",
        "a new reason",
        "half a reason",
        "no hex",
        "a triple",
        "year 1e300",
        "no number",
        "nothing of the key",
        "no flow",
    ],
)
def test_a_ticket_with_contents_of_another_version_is_refused(change: dict[str, object]) -> None:
    ticket = seal_ticket(SEALER, Ticket("t-1", FLOW, TRUSTED, 0), now_seconds=NOW, nonce=NONCE)
    content = json.loads(SEALER.open(TICKET_PURPOSE, ticket, now_seconds=NOW)) | change
    sealed = SEALER.seal(TICKET_PURPOSE, json.dumps(content).encode(), now_seconds=NOW, nonce=NONCE)
    with pytest.raises(TokenRefused, match="another version"):
        open_ticket(SEALER, sealed, now_seconds=NOW)


@pytest.mark.parametrize(
    "change",
    [
        lambda flow: [flow[0] + 1, *flow[1:]],
        lambda flow: flow[:-1],
        lambda flow: [*flow, None],
        lambda flow: dict(zip(Flow.__dataclass_fields__, flow[1:], strict=True)),
    ],
    ids=["another format", "a field less", "a field more", "fields by name"],
)
def test_a_flow_with_other_fields_is_of_another_version(change: Callable[[list[object]], object]) -> None:
    flow = json.loads(
        SEALER.open(FLOW_PURPOSE, seal_flow(SEALER, FLOW, now_seconds=NOW, nonce=NONCE), now_seconds=NOW)
    )
    sealed = SEALER.seal(FLOW_PURPOSE, json.dumps(change(flow)).encode(), now_seconds=NOW, nonce=NONCE)
    with pytest.raises(TokenRefused, match="another version"):
        open_flow(SEALER, sealed, now_seconds=NOW)
