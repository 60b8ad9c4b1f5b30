"""Two gateways and their PostgreSQL in network namespaces of their own: what becomes of them where packets
are lost and nobody is told, so that no connection ends by itself. The tests follow one another."""

import re
import subprocess
import time
from collections.abc import Iterator

import pytest
from support.fleet import eventually, is_closed, revoke, session_connection, workers
from support.processes import http_get, program
from support.separated_fleet import SeparatedFleet, separated_fleet
from support.two_apps import WIKI

pytestmark = [pytest.mark.real]

ONE, TWO = {("one", 1)}, {("two", 1), ("two", 2)}

# Several times what is needed on an idle machine.
SIGN_ON_SECONDS = 8.0  # fleet.claim_timeout is 1 s
REVOCATION_SECONDS = 12.0  # it waits 5 s for workers that do not answer
UNAVAILABLE_SECONDS = 12.0  # the API waits 5 s for the store
DEGRADED_SECONDS = 15.0  # of a store that has said nothing for 5 s
CAUGHT_UP_SECONDS = 30.0  # TCP sends again later and later, up to its end after 15 s


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeparatedFleet]:
    with separated_fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running


def degraded(fleet: SeparatedFleet) -> bool:
    """What /readyz of gateway two says; it takes people in all the time."""
    with fleet.two.entered():
        status, said = http_get(fleet.two.process.metrics_port, "/readyz")
    assert status == 200, said
    return b"org: not following" in said


def test_on_a_network_that_is_whole_what_is_used_or_revoked_at_one_gateway_is_so_at_the_other(
    fleet: SeparatedFleet,
) -> None:
    credential, _ = fleet.certificate("stolen")
    fleet.send_to(fleet.one)
    browser, message = fleet.browser(credential), fleet.message(WIKI)
    begun_at_one = browser.follow(message, until=lambda step: "/challenge" in step.url)
    fleet.send_to(fleet.two)
    challenge = browser.next_step(begun_at_one.last)
    assert challenge is not None
    assert browser.follow(challenge).status == 200
    fleet.send_to(fleet.one)
    assert fleet.browser(credential).follow(message).device_trust_reason == "REPLAYED"
    connection = session_connection(fleet, fleet.two, credential)
    answer = revoke(fleet.one, "stolen")
    assert (workers(answer, "workers"), workers(answer, "missing")) == (ONE | TWO, set())
    assert is_closed(connection)


def test_the_server_looks_after_every_connection_of_a_gateway_within_seconds(fleet: SeparatedFleet) -> None:
    """Else those of a gateway that was cut off would stay for two hours, until there are too many."""
    with fleet.network.postgres.entered():
        command = [program("ss") or "ss", "-Htno", "state", "established"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    timers = re.findall(r"timer:\(keepalive,([^,]+),", lines)
    assert timers, lines
    assert not [timer for timer in timers if "min" in timer], lines


def test_a_gateway_whose_packets_to_the_store_are_lost_goes_on_says_so_and_catches_up(
    fleet: SeparatedFleet,
) -> None:
    credential, _ = fleet.certificate("cut-off")
    connection = session_connection(fleet, fleet.two, credential)
    fleet.network.cut_trunk()
    cut = time.monotonic()
    for _ in range(3):
        begun = time.monotonic()
        assert fleet.sign_on(credential, WIKI, fleet.two).status == 200
        assert time.monotonic() - begun < SIGN_ON_SECONDS

    begun = time.monotonic()
    answer = revoke(fleet.one, "cut-off")
    assert time.monotonic() - begun < REVOCATION_SECONDS
    assert (workers(answer, "workers"), workers(answer, "missing")) == (ONE, TWO)
    assert fleet.sign_on(credential, WIKI, fleet.one).device_trust_reason == "REVOKED"

    eventually(lambda: degraded(fleet), "two says that it follows nobody")
    assert time.monotonic() - cut < DEGRADED_SECONDS
    begun = time.monotonic()
    status, _ = fleet.two.api("GET", "/api/v1/devices")
    assert status == 503
    assert time.monotonic() - begun < UNAVAILABLE_SECONDS
    assert fleet.sign_on(credential, WIKI, fleet.two).status == 200, "as far as it knows"

    fleet.network.heal_trunk()
    healed = time.monotonic()
    assert is_closed(connection)
    visit = fleet.sign_on(credential, WIKI, fleet.two)
    assert (visit.status, visit.device_trust_reason) == (403, "REVOKED")
    eventually(lambda: not degraded(fleet), "two follows again")
    assert time.monotonic() - healed < CAUGHT_UP_SECONDS
