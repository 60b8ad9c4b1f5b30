"""One index for several processes: the same answers from the same memory, or a refusal."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from cryptography import x509
from support.crl_world import CA, OTHER, authority, memory_with
from support.forge import crl_entry, forge_authority, forge_crl

from gateway.adapters import shared_index
from gateway.adapters.crl_parsing import is_parsed_apart, parse_crls
from gateway.adapters.sealed_memory import SealedMemory, memory_file, sealed
from gateway.adapters.shared_index import DescribedIndex, SharedIndexInvalid, describe, open_index
from gateway.pki.crl import CrlSnapshot
from gateway.pki.revocation import RevocationIndex

FORGED = forge_authority("Forged CA")
REMOVED = (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)
ISSUERS = (*authority(ca=CA).certificates, *authority(ca=OTHER).certificates, FORGED.parsed)
LARGE = range(1, 12_000)


def partition(name: str, serials: Iterable[int], number: int) -> bytes:
    points = [x509.UniformResourceIdentifier(f"http://ca.test/{name}.crl")]
    scope = x509.IssuingDistributionPoint(points, None, True, False, None, False, False)
    return forge_crl(FORGED, list(serials), number=number, extra=[(scope, True)])


def index_of(*contents: bytes, apart: bool = False) -> RevocationIndex:
    """``apart``: all as if they were large."""
    index = RevocationIndex()
    for content in contents:
        memory = memory_with(content)
        for crl in parse_crls(memory, ISSUERS, apart=apart or is_parsed_apart(memory, at_start=False)):
            assert isinstance(crl, CrlSnapshot)
            index = index.with_crl(crl)
    return index


def copies(descriptors: Iterable[int]) -> list[int]:
    """What a receiver gets: descriptors of its own."""
    return [os.dup(each) for each in descriptors]


def opened(sent: DescribedIndex, previous: RevocationIndex | None = None) -> RevocationIndex:
    return open_index(sent.description, copies(sent.descriptors), previous)


def said(index: RevocationIndex) -> list[tuple[object, ...]]:
    return [
        (crl, sorted(crl.revoked), sorted(crl.removed))
        for held in index.all_held()
        for crl in (held.full, held.delta)
        if crl is not None
    ]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - nothing but the count


INDEXES = {
    "nothing": [],
    "small": [CA.crl([1, 2**159 - 1], number=7)],
    "large": [CA.crl(LARGE, number=7)],
    "full and delta": [
        forge_crl(FORGED, [3, 4], number=8),
        forge_crl(FORGED, [5, crl_entry(4, REMOVED)], number=9, base_number=8),
    ],
    "a full one between the delta's base and the delta": [
        forge_crl(FORGED, [3], number=5),
        forge_crl(FORGED, [4], number=9, base_number=5),
        forge_crl(FORGED, [3, 6], number=7),
    ],
    "partitions": [partition("a", [1], 1), partition("b", LARGE, 2), partition("c", [3], 3)],
    "several issuers": [CA.crl(LARGE, number=7), OTHER.crl([1], number=1), forge_crl(FORGED, [2])],
}


@pytest.mark.parametrize("contents", INDEXES.values(), ids=INDEXES.keys())
def test_an_opened_index_says_what_the_described_one_does(contents: list[bytes]) -> None:
    index = index_of(*contents)
    found = opened(describe(index))
    assert said(found) == said(index)
    assert said(opened(describe(found))) == said(index)  # and can be handed on


RECEIVER = """
import array, socket, sys
from gateway.adapters.shared_index import open_index
from gateway.model.device import CertificateId
channel = socket.socket(fileno=0)
description, descriptors, _, _ = socket.recv_fds(channel, 1_000_000, 253)
index = open_index(description, descriptors)
serials = [crl.full.revoked for crl in index.all_held()]
print([[number in each for number in (1, 11_999, 12_000)] for each in serials])
"""


def test_another_process_looks_into_the_same_memory() -> None:
    sent = describe(index_of(CA.crl(LARGE, number=7), OTHER.crl([1], number=1)))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child = subprocess.Popen(
            [sys.executable, "-c", RECEIVER], stdin=theirs, stdout=subprocess.PIPE, text=True
        )
        socket.send_fds(ours, [sent.description], list(sent.descriptors))
        output, _ = child.communicate(timeout=30)
    assert output == "[[True, True, False], [True, False, False]]\n"


def test_a_crl_that_did_not_change_keeps_its_mapping_and_opens_no_descriptor() -> None:
    large, small = CA.crl(LARGE, number=7), OTHER.crl([1], number=1)
    first = opened(describe(index_of(large, small)))
    before = open_descriptors()
    sent = describe(index_of(large, OTHER.crl([1, 2], number=2)))
    second = opened(sent, first)
    held = [{h.full.number: h.full for h in index.all_held()} for index in (first, second)]
    assert held[1][7] is held[0][7]
    assert list(held[1][2].revoked) == [1, 2]
    del sent
    assert open_descriptors() == before + 2  # of the new file of small ones: its own, and the mapping's
    del first, held
    assert open_descriptors() == before


def test_many_large_crls_share_the_last_file(monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(*(partition(f"p{n}", range(n, 2 * n), n) for n in range(1, 5)), apart=True)
    monkeypatch.setattr(shared_index, "MAX_DESCRIPTORS", 2)
    sent = describe(index)
    assert len(sent.descriptors) == 3
    assert said(opened(sent)) == said(index)


def in_value(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def changed(description: bytes) -> bytes:
        values = json.loads(description)
        change(values[0])
        return json.dumps(values).encode()

    return changed


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "not JSON": lambda data: data[:-1],
    "deep": lambda _: b"[" * 100_000,
    "no list": lambda _: b"{}",
    "no CRL": lambda _: b"[7]",
    "too large": lambda data: data + b" " * shared_index.MAX_DESCRIPTION_BYTES,
    "no issuer": in_value(lambda v: v.pop("issuer")),
    "an unknown scope": in_value(lambda v: v.update(covers="some")),
    "a number below zero": in_value(lambda v: v.update(number=-1)),
    "a number that is a text": in_value(lambda v: v.update(number="7")),
    "a distribution point that is none": in_value(lambda v: v.update(distribution_points=[7])),
    "a date without a time zone": in_value(lambda v: v.update(next_update="2030-01-01T00:00:00")),
    "a delta CRL alone": in_value(lambda v: v.update(base_number=1)),
    "a file that was not sent": in_value(lambda v: v.update(revoked=[9, 0, 44])),
    "a place that is none": in_value(lambda v: v.update(revoked=[0, 0])),
    "a place beyond the end": in_value(lambda v: v.update(revoked=[0, 1_000_000, 44])),
    "a place that is no table": in_value(lambda v: v.update(revoked=[0, 0, 44])),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_describes_no_index_is_refused_and_leaves_nothing_open(damage: Callable[[bytes], bytes]) -> None:
    sent = describe(index_of(CA.crl([1], number=7)))
    before = open_descriptors()
    with pytest.raises(SharedIndexInvalid):
        open_index(damage(sent.description), copies(sent.descriptors))
    assert open_descriptors() == before


def unsealed() -> int:
    with memory_file("unsealed") as file:
        file.write(bytes(1_000))
        file.flush()
        return os.dup(file.fileno())


def ordinary_file() -> int:
    return os.open(__file__, os.O_RDONLY)


def pipe() -> int:
    ours, theirs = os.pipe()
    os.close(theirs)
    return ours


@pytest.mark.parametrize("descriptor", [unsealed, ordinary_file, pipe])
def test_memory_that_could_still_change_is_refused(descriptor: Callable[[], int]) -> None:
    sent = describe(index_of(CA.crl([1], number=7)))
    before = open_descriptors()
    with pytest.raises(SharedIndexInvalid, match="cannot be mapped"):
        open_index(sent.description, [descriptor()])
    assert open_descriptors() == before


def test_sealed_memory_can_be_written_by_nobody() -> None:
    with memory_file("sealed") as file:
        file.write(b"content")
        memory = sealed(file)
    assert isinstance(memory, SealedMemory)
    for change in (
        lambda: os.write(memory.descriptor, b"x"),
        lambda: os.truncate(memory.descriptor, 0),
        lambda: os.truncate(memory.descriptor, 100),
    ):
        with pytest.raises(OSError, match="not permitted"):
            change()
    assert memory[:] == b"content"
