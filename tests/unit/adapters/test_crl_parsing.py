"""Large CRLs are parsed by a child process: with the same result, and never waiting for one that hangs."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from cryptography import x509
from support.crl_world import CA, IMPOSTOR, OTHER, World, authority, memory_with
from support.forge import Extension, crl_entry, forge_authority, forge_crl

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


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crl_parsing, "MAX_BYTES_IN_PROCESS", -1)


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_child_process_finds_the_same(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    here = comparable(parse_crls(memory_with(content), ISSUERS))
    assert here
    monkeypatch.setattr(crl_parsing, "MAX_BYTES_IN_PROCESS", -1)
    monkeypatch.setattr(crl_parsing, "parse_each", None)  # so nothing but the child can have parsed it
    assert comparable(parse_crls(memory_with(content), ISSUERS)) == here


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
@pytest.mark.usefixtures("everything_is_large")
def test_a_child_process_that_does_not_do_its_work_is_a_refusal(
    program: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "python"
    path.write_text(program)
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))
    monkeypatch.setattr(crl_parsing, "CHILD_SECONDS", 0.2 if "sleep" in program else 30.0)
    with pytest.raises(CrlFileUnusable) as refused:
        parse_crls(memory_with(CONTENTS["a CRL"]), ISSUERS)
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


@pytest.mark.usefixtures("everything_is_large")
def test_the_child_process_bounds_its_memory_and_time_and_lets_others_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, limits = tmp_path / "python", tmp_path / "limits"
    path.write_text(BOUNDED.format(python=sys.executable, output=str(limits)))
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))
    content = memory_with(CONTENTS["a CRL"])
    (result,) = parse_crls(content, ISSUERS)
    assert isinstance(result, CrlSnapshot)
    memory = 512 * 1024 * 1024 + 12 * len(content)
    expected = [(memory, memory), (crl_child.CPU_SECONDS, crl_child.CPU_SECONDS), (0, 0)]
    assert limits.read_text() == f"{expected} {os.nice(0) + 5}\n"


@pytest.mark.usefixtures("everything_is_large")
def test_nothing_stays_open_once_the_results_are_gone() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - nothing but the count
    results = parse_crls(memory_with(CONTENTS["several, good and bad"]), ISSUERS)
    assert len(os.listdir("/proc/self/fd")) == before + 2  # noqa: PTH208
    del results
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


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
