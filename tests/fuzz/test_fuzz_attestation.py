"""Structures of a TPM from anybody: a value or the declared exception; and nothing but the truth passes."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import software_tpm as tpm
from support.forge import NOW
from support.software_tpm import SoftwareTpm

from gateway.enrollment.attestation import Evidence, challenge, qualifying_data, verify_attestation
from gateway.enrollment.attestation_messages import read_request, read_shown
from gateway.enrollment.endorsement import VendorAuthorities, verify_endorsement
from gateway.enrollment.refusals import EnrollmentRefused
from gateway.enrollment.tpm_structures import (
    TpmStructureInvalid,
    read_certified,
    read_public,
    read_signature,
)

TPM = SoftwareTpm()
VENDORS = VendorAuthorities((tpm.VENDOR.parsed,))
INFO, SIGNATURE = TPM.certify(qualifying_data("nonce", bytes(32)))
GOOD = Evidence(bytes(32), TPM.ak_public, INFO, SIGNATURE, TPM.key_public)
SEEDS = [TPM.ak_public, tpm.public_area(tpm.rsa_key(0), tpm.DEVICE_KEY), INFO, SIGNATURE, b""]


def mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """A seed with some bytes changed, cut or put in."""
    edits = st.lists(
        st.tuples(st.integers(0, max(len(seed), 1)), st.binary(max_size=4), st.integers(0, 4)), max_size=3
    )

    def apply(changes: list[tuple[int, bytes, int]]) -> bytes:
        data = seed
        for at, put, cut in changes:
            data = data[:at] + put + data[at + cut :]
        return data

    return edits.map(apply)


ANY = st.sampled_from(SEEDS).flatmap(mutated) | st.binary(max_size=2_100)


@pytest.mark.parametrize("read", [read_public, read_certified, read_signature])
@settings(max_examples=300, deadline=None)
@given(ANY)
def test_any_bytes_are_a_structure_or_refused(read: Callable[[bytes], object], data: bytes) -> None:
    said = ""
    try:
        read(data)
    except TpmStructureInvalid as invalid:
        said = str(invalid)
    assert said.isprintable()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_evidence_with_any_byte_changed_is_refused(data: st.DataObject) -> None:
    endorsement = verify_endorsement(TPM.ek_certificate, (), VENDORS, NOW)
    asked, _ = challenge(endorsement, TPM.ak_public, "nonce", bytes(32), bytes(64))
    said = {"nonce": "nonce", "request_sha256": bytes(32), "request_spki_der": TPM.key_spki}
    verify_attestation(asked, GOOD, **said)
    part = data.draw(st.sampled_from([field.name for field in fields(Evidence)]))
    value = data.draw(mutated(getattr(GOOD, part)) | st.sampled_from(SEEDS))
    changed = replace(GOOD, **{part: value})
    if changed == GOOD:
        return
    if part == "signature" and len(value) >= 4 and _is_the_same_signature(value):
        return
    with pytest.raises(EnrollmentRefused):
        verify_attestation(asked, changed, **said)


def _is_the_same_signature(data: bytes) -> bool:
    """Numbers with zeros in front are the same numbers."""
    try:
        return read_signature(data) == read_signature(SIGNATURE)
    except TpmStructureInvalid:
        return False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["AAAA", "a-_b", "="]),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    *("ek_certificate", "ek_chain", "ak_public", "nonce"),
    *("session", "secret", "certify_info", "signature", "key_public"),
]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_json_is_a_message_or_refused(body: dict[str, Any]) -> None:
    for read in (read_request, read_shown):
        said = ""
        try:
            read(body)
        except EnrollmentRefused as refused:
            said = refused.detail
        assert said.isprintable()
