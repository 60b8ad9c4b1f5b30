"""What the org says: read as a whole or refused as a whole, with one declared exception."""

import json
from ipaddress import ip_network
from typing import Any

import pytest

from gateway.model.device import CertificateId
from gateway.model.org_state import (
    MAX_CHANGES,
    MAX_CHANGES_BYTES,
    OrgChange,
    OrgState,
    OrgStateInvalid,
    batches,
    read_changes,
    read_state,
)
from gateway.model.settings import Zone

ISSUER = "ab" * 32


def test_a_document_with_everything_in_it() -> None:
    document = {
        "number": 7,
        "device_trust_enabled": False,
        "learn_more_url": "https://help.example.test/",
        "authorities": [{"name": "builtin", "certificates": ["one", "two"], "hinted": [True, False]}],
        "inactive_devices": ["urn:device:1"],
        "inactive_users": ["alice@example.test"],
        "policies": {"wiki": {"name": "p", "rules": []}},
        "zones": {"office": ["10.0.0.0/8", "2001:db8::/32"]},
        "what a later version says": 1,
    }
    assert read_state(json.dumps(document).encode()) == OrgState(
        number=7,
        device_trust_enabled=False,
        learn_more_url="https://help.example.test/",
        certificates_pem=("one", "two"),
        inactive_devices=frozenset(("urn:device:1",)),
        inactive_users=frozenset(("alice@example.test",)),
        policies={"wiki": {"name": "p", "rules": []}},
        zones=(Zone("office", (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))),),
    )


def test_a_document_with_nothing_but_its_number() -> None:
    assert read_state(b'{"number": 0}') == OrgState(0)


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "number"),
        (b'{"number": -1}', "number"),
        (b'{"number": true}', "number"),
        (b'{"number": 1, "device_trust_enabled": "no"}', "device_trust_enabled"),
        (b'{"number": 1, "learn_more_url": 5}', "learn_more_url"),
        (b'{"number": 1, "authorities": {}}', "authorities"),
        (b'{"number": 1, "authorities": [{"name": "builtin"}]}', "authorities.certificates"),
        (b'{"number": 1, "authorities": [{"certificates": [1]}]}', "authorities.certificates"),
        (b'{"number": 1, "inactive_devices": [null]}', "inactive_devices"),
        (b'{"number": 1, "inactive_users": "alice"}', "inactive_users"),
        (b'{"number": 1, "policies": []}', "policies"),
        (b'{"number": 1, "zones": {"office": ["10.0.0.1/8"]}}', "zones"),
        (b'{"number": 1, "zones": {"office": "10.0.0.0/8"}}', "zones"),
    ],
)
def test_what_is_not_a_document_is_refused_with_the_place(document: bytes, where: str) -> None:
    with pytest.raises(OrgStateInvalid, match=where):
        read_state(document)


def change(number: int, kind: str, **payload: Any) -> dict[str, Any]:
    return {"number": number, "kind": kind, "payload": payload}


def test_changes_of_every_kind() -> None:
    changes = [
        change(
            1, "certificate.revoked", issuer=ISSUER, serial="0f", device="d", user="u", reason="superseded"
        ),
        change(2, "certificate.released", issuer=ISSUER, serial="0F"),
        change(3, "device.deactivated", device="d"),
        change(4, "device.activated", device="d"),
        change(5, "user.deactivated", user="u"),
        change(6, "user.activated", user="u"),
        change(7, "state.changed", what="settings"),
    ]
    certificate = CertificateId(bytes.fromhex(ISSUER), 15)
    assert read_changes(changes) == (
        OrgChange(1, certificate=certificate, revoked=True),
        OrgChange(2, certificate=certificate),
        OrgChange(3, device=("d", False)),
        OrgChange(4, device=("d", True)),
        OrgChange(5, user=("u", False)),
        OrgChange(6, user=("u", True)),
        OrgChange(7),
    )


@pytest.mark.parametrize(
    "changes",
    [
        None,
        [1],
        [change(1, "certificate.suspended", issuer=ISSUER, serial="0f")],
        [change(1, "certificate.revoked", issuer=ISSUER)],
        [change(1, "certificate.revoked", issuer="ab", serial="0f")],
        [change(1, "certificate.revoked", issuer=ISSUER, serial="-1")],
        [change(1, "certificate.revoked", issuer=ISSUER, serial="f" * 41)],
        [change(1, "certificate.revoked", issuer="xy" * 32, serial="0f")],
        [change(1, "device.deactivated")],
        [change(1, "user.deactivated", user=5)],
        [change(1, "device.deactivated", device="d"), change(3, "device.deactivated", device="d")],
        [change(number, "state.changed") for number in range(MAX_CHANGES + 1)],
    ],
)
def test_changes_that_cannot_be_understood_are_refused_all_together(changes: Any) -> None:
    with pytest.raises(OrgStateInvalid):
        read_changes(changes)


@pytest.mark.parametrize("name", ["d", "d" * 1_000], ids=["bounded by number", "bounded by size"])
def test_many_changes_go_in_messages_that_can_be_sent_and_read(name: str) -> None:
    changes = [change(number, "device.deactivated", device=name) for number in range(1_000)]
    sent = list(batches(changes))
    assert [one for batch in sent for one in batch] == changes
    assert all(len(json.dumps(batch)) < MAX_CHANGES_BYTES + 1_000 for batch in sent)
    assert sum(len(read_changes(batch)) for batch in sent) == 1_000
    assert list(batches([])) == []
