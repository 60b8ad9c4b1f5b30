"""Large CRLs are parsed by a child process: with the same result, and never waiting for one that hangs."""

import asyncio
import sys
from pathlib import Path

import pytest
from cryptography import x509
from support.crl_world import CA, IMPOSTOR, OTHER, World, authority
from support.forge import Extension, crl_entry, forge_authority, forge_crl

from gateway.adapters import crl_parsing
from gateway.adapters.crl_files import CrlFileUnusable
from gateway.adapters.crl_parsing import CrlResult, parse_crls
from gateway.pki.crl import MAX_CRL_NUMBER, CrlRejected

FORGED = forge_authority("Forged CA")
POINTS = [x509.UniformResourceIdentifier(f"http://ca.test/{name}.crl") for name in ("a", "b")]
PARTITION: Extension = (x509.IssuingDistributionPoint(POINTS, None, True, False, None, False, False), True)
REMOVED: Extension = (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)
CONTENTS = {
    "a CRL": CA.crl([1, 2**159 - 1], number=7),
    "a CRL without entries": CA.crl([], number=7),
    "a partition with the largest number": forge_crl(FORGED, [3], number=MAX_CRL_NUMBER, extra=[PARTITION]),
    "a delta CRL that removes": forge_crl(FORGED, [3, crl_entry(4, REMOVED)], number=9, base_number=8),
    "a forged CRL": IMPOSTOR.crl([1], number=7),
    "several, good and bad": CA.crl([1], number=1) + OTHER.crl([2], number=1) + CA.crl([3], number=2),
    "something else": b"\x30\x82hello",
    "nothing": b"",
}
ISSUERS = (*authority(ca=CA).certificates, FORGED.parsed)


def comparable(results: list[CrlResult]) -> list[object]:
    return [(r.reason, r.detail) if isinstance(r, CrlRejected) else r for r in results]


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crl_parsing, "MAX_BYTES_IN_PROCESS", -1)


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_child_process_finds_the_same(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    here = comparable(parse_crls(content, ISSUERS))
    assert here
    monkeypatch.setattr(crl_parsing, "MAX_BYTES_IN_PROCESS", -1)
    monkeypatch.setattr(crl_parsing, "parse_crl", None)  # so nothing but the child can have parsed it
    assert comparable(parse_crls(content, ISSUERS)) == here


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("#!/bin/sh\nexit 3\n", "the process that parses it ended with 3"),
        ("#!/bin/sh\nkill -KILL $$\n", "the process that parses it ended with -9"),
        ("#!/bin/sh\nexec sleep 60\n", "takes longer than 0.2 s to parse"),
        ("not a program", "no process to parse it: Exec format error"),
    ],
    ids=["fails", "is killed, as when memory runs out", "hangs", "cannot be started"],
)
@pytest.mark.usefixtures("everything_is_large")
def test_a_child_process_that_does_not_do_its_work_is_a_refusal(
    program: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "python"
    path.write_text(program)
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))
    monkeypatch.setattr(crl_parsing, "CHILD_SECONDS", 0.2)
    with pytest.raises(CrlFileUnusable) as refused:
        parse_crls(CONTENTS["a CRL"], ISSUERS)
    assert refused.value.detail == detail


async def test_the_event_loop_goes_on_while_a_large_crl_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "corp.crl").write_bytes(CA.crl(range(1, 12_000), number=1))
    assert (tmp_path / "corp.crl").stat().st_size > crl_parsing.MAX_BYTES_IN_PROCESS
    world = World(authority(tmp_path / "corp.crl"))
    loading = asyncio.create_task(world.store.load())
    turns = 0
    while not loading.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 20
    assert (world.status(11_999), world.status(12_000)) == ("revoked", "good")
    assert world.report.lines == [("loaded", "corp.crl", 1, 11_999)]
