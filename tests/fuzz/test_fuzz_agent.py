"""What reaches the agent from outside: a value, or the one declared exception."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st
from support.own_authority import OwnAuthority

from gateway.agent.device_part import read_request
from gateway.agent.discovery import DiscoveryInvalid, is_service_url, parse_discovery
from gateway.agent.enrolled import AnswerInvalid, certificates_of_est, enrolled_of_json
from gateway.agent.keytab import KeytabInvalid, computer_principal, read_keytab
from gateway.agent.negotiate import negotiate_token
from gateway.agent.ocsp import OcspInvalid, standing_of
from gateway.agent.platform import Setting
from gateway.agent.refusal import Refused, refusal_of_answer
from gateway.agent.settings import SettingsRefused, settings_of
from gateway.agent.state import read_state, write_state
from gateway.agent.trace import decoded_token, masked_header, shown_body

AUTHORITY = OwnAuthority()
LEAF = AUTHORITY.issue()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
DISCOVERY = {
    "org": "acme",
    "audience": "a",
    "nonce": "n",
    "iwas": [{"id": "i", "name": "n", "url": "https://iwa.example.com"}],
    "mtls_domain": "mtls.example.com",
    "est_url": "https://est.mtls.example.com",
    "issuers": [],
}


def documents(members: dict[str, object]) -> st.SearchStrategy[bytes]:
    """JSON with one member replaced by anything, or any bytes."""
    spoilt = st.tuples(st.sampled_from(sorted(members)), JSON).map(lambda each: members | {each[0]: each[1]})
    return spoilt.map(lambda each: json.dumps(each).encode()) | st.binary(max_size=200)


@given(documents(DISCOVERY))
def test_discovery(body: bytes) -> None:
    try:
        found = parse_discovery(body)
    except DiscoveryInvalid:
        return
    assert all(is_service_url(each.url) for each in found.iwas)


@given(st.text(max_size=80) | st.builds("https://{}".format, st.text(max_size=40)))
def test_addresses(url: str) -> None:
    if is_service_url(url):
        assert url.startswith(("http://", "https://"))


@given(documents({"iwa_url": "https://iwa.example.com", "nonce": "n", "key_thumbprint": "k" * 43}))
def test_requests_for_device_tokens(line: bytes) -> None:
    try:
        request = read_request(line)
    except Refused:
        return
    assert len(request.asked.key_thumbprint) == 43


@given(st.integers(100, 599), documents({"code": "X", "message": "m", "transient": True}))
def test_refusals(status: int, body: bytes) -> None:
    refusal = refusal_of_answer(status, body, "the org")
    assert refusal.code
    assert refusal.message
    assert refusal.message.isprintable()


@given(documents({"certificate": "c", "chain": [], "device": {}, "renew_from": "x"}))
def test_answers_of_enrollment(body: bytes) -> None:
    try:
        enrolled_of_json(body, LEAF.public_key)
    except AnswerInvalid:
        return
    raise AssertionError("nothing here is a certificate")


@given(st.binary(max_size=300))
def test_answers_of_est(body: bytes) -> None:
    with contextlib.suppress(AnswerInvalid):
        certificates_of_est(body)


@given(st.binary(max_size=300))
def test_ocsp_answers(body: bytes) -> None:
    try:
        standing_of(body, LEAF, AUTHORITY.issuing, bytes(32), AUTHORITY.now)
    except OcspInvalid:
        return
    raise AssertionError("nobody signed this")


@given(st.binary(max_size=200).map(lambda rest: b"\x05\x02" + rest) | st.binary(max_size=60))
def test_keytabs(content: bytes) -> None:
    with contextlib.suppress(KeytabInvalid):
        computer_principal(read_keytab(content))


@given(st.text(max_size=120) | st.builds("Negotiate {}".format, st.text(max_size=20)))
def test_www_authenticate(header: str) -> None:
    with contextlib.suppress(Refused):
        negotiate_token(header)


@given(documents({"version": 1, "key_name": "k", "next_run": "x", "failures": 1, "refusal": {}}))
def test_state(content: bytes) -> None:
    state = read_state(content)
    assert read_state(write_state(state)) == state


@given(st.lists(st.tuples(st.sampled_from(["OrgUrl", "HttpProxy", "KeyStorage", "x"]), st.text(max_size=30))))
def test_settings(lines: list[tuple[str, str]]) -> None:
    try:
        settings = settings_of([Setting(name, value, f"f:{n}") for n, (name, value) in enumerate(lines)])
    except SettingsRefused:
        return
    assert settings.org_url.startswith("https://")


@given(st.text(max_size=60), st.binary(max_size=200), st.text(max_size=60))
def test_what_debug_shows(content_type: str, body: bytes, header: str) -> None:
    shown_body(content_type, body)
    shown_body("application/json", body)
    masked_header("authorization", header)
    decoded_token(header)
