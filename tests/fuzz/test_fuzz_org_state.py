"""What the org says, made of anything: a value, or the one declared exception."""

import json
import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.sealed_memory import memory_file, sealed
from gateway.adapters.shared_revocations import RevokedInvalid, open_revoked
from gateway.model.org_state import OrgStateInvalid, read_changes, read_state
from gateway.services.org_material import org_content

KEYS = (
    *("number", "device_trust_enabled", "learn_more_url", "authorities", "certificates", "inactive_devices"),
    *("inactive_users", "policies", "zones", "kind", "payload", "issuer", "serial", "device", "user"),
)
KINDS = ("certificate.revoked", "certificate.released", "device.deactivated", "user.activated")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from((*KINDS, "ab" * 32, "0f", "10.0.0.0/8", "-----BEGIN CERTIFICATE-----")),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps(value).encode())))
def test_a_document_is_read_or_refused(document: bytes) -> None:
    try:
        org_content(read_state(document))
    except OrgStateInvalid:
        return


@given(st.one_of(VALUES, st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES), max_size=3)))
def test_changes_are_read_or_refused(value: Any) -> None:
    try:
        read_changes(value)
    except OrgStateInvalid:
        return


@given(
    st.one_of(
        st.binary(min_size=1, max_size=200),
        st.tuples(VALUES, st.binary(max_size=100)).map(lambda p: json.dumps(p[0]).encode() + b"\n" + p[1]),
    )
)
def test_tables_are_read_or_refused(content: bytes) -> None:
    with memory_file("fuzz") as file:
        file.write(content)
        held = sealed(file)
    try:
        open_revoked(os.dup(held.descriptor))
    except RevokedInvalid:
        return
