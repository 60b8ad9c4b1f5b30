"""Whatever a client sends to the IWA web app: a value, or a refusal."""

import base64
import json
from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.enrollment.negotiate import Mechanism, mechanism_of, read_authorization
from gateway.enrollment.principals import read_principal
from gateway.enrollment.refusals import EnrollmentRefused
from gateway.enrollment.ticket_accounts import ticket_account
from gateway.server.iwa.body import asked

# NegTokenInit with Kerberos and a message, to be broken.
TOKEN = bytes.fromhex("602506062b0601050502a01b3019a00d300b06092a864886f712010202a2080406") + b"AP-REQ"


@settings(max_examples=500)
@given(st.binary(max_size=200))
@example(TOKEN)
def test_every_token_is_of_some_mechanism(token):
    assert mechanism_of(token) in Mechanism


@settings(max_examples=500)
@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 255), st.integers(0, len(TOKEN)))
def test_a_broken_token_is_of_some_mechanism(at, octet, length):
    assert mechanism_of(TOKEN) is Mechanism.KERBEROS
    broken = TOKEN[:at] + bytes([octet]) + TOKEN[at + 1 :]
    assert mechanism_of(broken[:length]) in Mechanism


@given(st.one_of(st.text(), st.binary().map(lambda b: "Negotiate " + base64.b64encode(b).decode())))
def test_a_field_is_a_kerberos_token_or_refused(field):
    with suppress(EnrollmentRefused):
        token = read_authorization(field)
        assert token is None or mechanism_of(token) is Mechanism.KERBEROS


@settings(max_examples=300)
@given(st.text(alphabet="a$/\\@.\n\0ß", max_size=40))
def test_a_principal_is_written_as_it_was_read_or_refused(text):
    with suppress(EnrollmentRefused):
        principal = read_principal(text)
        assert str(principal) == text
        assert principal.components


@given(st.text(max_size=20), st.binary(max_size=600), st.binary(max_size=200), st.booleans())
def test_a_ticket_is_somebodys_or_refused(name, logon, upn, dollar_sign):
    with suppress(EnrollmentRefused):
        ticket_account(f"{name}@R", logon, upn, dollar_sign=dollar_sign)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)


@given(
    st.one_of(
        st.binary(),
        st.fixed_dictionaries({}, optional={"nonce": JSON, "key_thumbprint": JSON, "device_token": JSON}).map(
            lambda value: json.dumps(value).encode()
        ),
    ),
    st.booleans(),
)
def test_a_body_asks_for_something_or_is_refused(body, with_device_token):
    with suppress(EnrollmentRefused):
        read = asked(body, with_device_token=with_device_token)
        assert len(read.binding.key_thumbprint) == 43
        assert 1 <= len(read.binding.nonce) <= 256
        assert bool(read.device_token) is with_device_token
