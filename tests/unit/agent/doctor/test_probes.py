"""Probes side by side, and what is printed of their checks."""

import threading
from collections.abc import Iterator

import pytest

from gateway.agent.doctor.probes import Probe, run_probes
from gateway.model.checkup import Check, CheckGroup, CheckState, Subject, as_json, exit_code, report

IWA = Subject(CheckGroup.IWA, "iwa")
LOG = Subject(CheckGroup.SYSTEM_LOG, "log")


def test_a_probe_that_hangs_is_a_failed_check_and_holds_up_nobody() -> None:
    forever, met = threading.Event(), threading.Barrier(2)

    def both() -> Iterator[Check]:
        met.wait(10)  # the other one runs, too
        yield LOG.ok("fine")

    probes = [Probe(IWA, lambda: [IWA.ok(str(forever.wait(60)))]), Probe(LOG, both), Probe(LOG, both)]
    checks = run_probes(probes, seconds=1.0)
    forever.set()
    assert [check.state for check in checks] == [CheckState.FAILED, CheckState.OK, CheckState.OK]
    assert checks[0].seen == "no answer within 1 s"


def test_a_defect_in_a_probe_is_not_swallowed() -> None:
    def broken() -> Iterator[Check]:
        yield IWA.ok("so far")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_probes([Probe(IWA, broken)])


def test_checks_are_printed_by_group_on_lines_of_their_own_without_control_characters() -> None:
    checks = [LOG.warning("odd\x1b[31m\nthing", "look"), IWA.ok("fine"), IWA.skipped("why")]
    assert list(report(checks)) == [
        "IWA web app",
        "  ok      iwa: fine",
        "  skipped iwa: why",
        "",
        "System Log",
        "  warning log: odd [31m thing",
        "          → look",
        "",
        "1 ok, 1 warning, 1 skipped",
    ]
    assert exit_code(checks) == 0
    assert exit_code([*checks, IWA.failed("x" * 1_000, "y")]) == 1
    assert as_json(checks)["result"] == "ok"
    assert list(report([])) == ["", "nothing was checked"]
