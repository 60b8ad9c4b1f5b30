"""Probes side by side, each with an end: a server that does not answer holds nobody up."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from typing import Final

from gateway.model.checkup import Check, Subject

# A little more than the longest of the waits in a probe, which can tell more of what did not answer.
PROBE_SECONDS: Final = 12.0


@dataclass(frozen=True, slots=True)
class Probe:
    """``look`` finds out something of the world and says what it makes of it. ``subject`` is what is said of
    one that does not come to an end."""

    subject: Subject
    look: Callable[[], Iterable[Check]]


def run_probes(probes: Sequence[Probe], seconds: float = PROBE_SECONDS) -> list[Check]:
    """All at once; the checks in the order of the probes. What a probe raises is a defect and passes."""
    futures = [(probe, _begun(probe)) for probe in probes]
    deadline = time.monotonic() + seconds
    found: list[Check] = []
    for probe, future in futures:
        try:
            found += future.result(max(0.0, deadline - time.monotonic()))
        except NotInTime:
            found.append(
                probe.subject.failed(
                    f"no answer within {seconds:g} s", "see whether a firewall drops packets on the way"
                )
            )
    return found


def _begun(probe: Probe) -> "Future[list[Check]]":
    """In a thread that nobody waits for at the end: some calls, as those of Kerberos, cannot be bounded."""
    future: Future[list[Check]] = Future()

    def work() -> None:
        try:
            future.set_result(list(probe.look()))
        except BaseException as problem:  # noqa: BLE001 - handed on to the one who waits
            future.set_exception(problem)

    threading.Thread(target=work, name=probe.subject.name, daemon=True).start()
    return future
