"""Large CRLs are parsed by a child process: with the same result, and never waiting for one that hangs."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from cryptography import x509
from support.crl_world import CA, IMPOSTOR, OTHER, World, authority, memory_with, replace
from support.forge import Extension, crl_entry, forge_authority, forge_crl
from support.large_crl import crl_of

from gateway.adapters import crl_child, crl_parsing
from gateway.adapters.crl_child import CrlResult
from gateway.adapters.crl_files import CrlFileUnusable
from gateway.adapters.crl_parsing import parse_crls
from gateway.pki.crl import MAX_CRL_NUMBER, CrlRejected, CrlSnapshot

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
}
ISSUERS = (*authority(ca=CA).certificates, FORGED.parsed)


def comparable(results: list[CrlResult]) -> list[object]:
    return [(r.reason, r.detail) if isinstance(r, CrlRejected) else r for r in results]


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_child_process_finds_the_same(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    here = comparable(parse_crls(memory_with(content), ISSUERS, apart=False))
    assert here
    monkeypatch.setattr(crl_parsing, "parse_each", None)  # so nothing but the child can have parsed it
    assert comparable(parse_crls(memory_with(content), ISSUERS, apart=True)) == here


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("#!/bin/sh\nexit 3\n", "the process that parses it ended with 3"),
        ("#!/bin/sh\nkill -KILL $$\n", "the process that parses it ended with -9"),
        (
            f"#!/bin/sh\nulimit -v 60000\nexec {sys.executable} $@\n",
            "the process that parses it ended with 1",
        ),
        ("#!/bin/sh\nexec sleep 60\n", "takes longer than 0.2 s to parse"),
        ("not a program", "no process to parse it: Exec format error"),
        ("#!/bin/sh\nexit 0\n", "the process that parses it gave an answer that means nothing"),
        (
            "#!/bin/sh\necho '[{\"issuer\": 7}]'\n",
            "the process that parses it gave an answer that means nothing",
        ),
    ],
    ids=[
        "fails",
        "is killed, as when memory runs out",
        "may not have the memory",
        "hangs",
        "cannot be started",
        "says nothing",
        "says what is no CRL",
    ],
)
def test_a_child_process_that_does_not_do_its_work_is_a_refusal(
    program: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "python"
    path.write_text(program)
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))
    monkeypatch.setattr(crl_parsing, "CHILD_SECONDS", 0.2 if "sleep" in program else 30.0)
    with pytest.raises(CrlFileUnusable) as refused:
        parse_crls(memory_with(CONTENTS["a CRL"]), ISSUERS, apart=True)
    assert refused.value.detail == detail


BOUNDED = """#!{python}
import atexit, os, resource, runpy, sys
def write_limits():
    names = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_CORE")
    limits = [resource.getrlimit(getattr(resource, name)) for name in names]
    with open({output!r}, "w") as file:
        print(limits, os.nice(0), file=file)
atexit.register(write_limits)
sys.argv = sys.argv[3:]
runpy.run_module("gateway.adapters.crl_child", run_name="__main__")
"""


def test_the_child_process_bounds_its_memory_and_time_and_lets_others_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, limits = tmp_path / "python", tmp_path / "limits"
    path.write_text(BOUNDED.format(python=sys.executable, output=str(limits)))
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))
    content = memory_with(CONTENTS["a CRL"])
    (result,) = parse_crls(content, ISSUERS, apart=True)
    assert isinstance(result, CrlSnapshot)
    memory = 512 * 1024 * 1024 + 12 * len(content)
    expected = [(memory, memory), (crl_child.CPU_SECONDS, crl_child.CPU_SECONDS), (0, 0)]
    assert limits.read_text() == f"{expected} {os.nice(0) + 5}\n"


def test_nothing_stays_open_once_the_results_are_gone() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - nothing but the count
    results = parse_crls(memory_with(CONTENTS["several, good and bad"]), ISSUERS, apart=True)
    assert len(os.listdir("/proc/self/fd")) == before + 2  # noqa: PTH208
    del results
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def test_the_event_loop_goes_on_while_a_large_crl_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "corp.crl").write_bytes(crl_of(CA, 40_000, [7]))
    assert (tmp_path / "corp.crl").stat().st_size > crl_parsing.MAX_BYTES_IN_PROCESS_AT_START
    world = World(authority(tmp_path / "corp.crl"))
    loading = asyncio.create_task(world.store.load())
    turns = 0
    while not loading.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 20
    assert (world.status(7), world.status(8)) == ("revoked", "good")
    assert world.report.lines == [("loaded", "corp.crl", CA.crl_number, 40_001)]


async def test_a_small_crl_does_not_wait_for_a_large_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sends large ones keeps the process that parses them busy for most of a minute."""
    large, small = tmp_path / "large.crl", tmp_path / "small.crl"
    large.write_bytes(CA.crl([], number=1))
    small.write_bytes(OTHER.crl([], number=1))
    world = World(authority(large), authority(small, name="other", ca=OTHER))
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o700)
    async with world.running():
        monkeypatch.setattr(sys, "executable", str(hanging))
        monkeypatch.setattr(crl_parsing, "CHILD_SECONDS", 3.0)
        replace(large, CA.crl(range(1, 3_000), number=2))
        await asyncio.sleep(0.3)
        replace(small, OTHER.crl([7], number=2))
        await world.until(lambda: world.status(7, OTHER) == "revoked", seconds=2.5)
        assert world.report.failures() == []
        await world.until(lambda: world.report.failures() == ["takes longer than 3 s to parse"])
