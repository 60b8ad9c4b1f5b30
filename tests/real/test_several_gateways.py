"""Two gateways on one PostgreSQL with a synchronous standby: used once means once, revoked means revoked, at
both, whatever becomes of the cables and servers between them. The tests follow one another in one fleet."""

import time
from collections.abc import Iterator
from copy import deepcopy

import psycopg
import pytest
from support.fleet import Fleet, eventually, is_closed, revoke, running_fleet, session_connection, workers
from support.pki import CredentialFiles
from support.processes import http_get
from support.two_apps import WIKI

pytestmark = [pytest.mark.real]

ALL_WORKERS = {("one", 1), ("one", 2), ("two", 1), ("two", 2)}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.fixture(scope="module")
def laptop(fleet: Fleet) -> CredentialFiles:
    """A device that stays trusted."""
    return fleet.certificate("laptop")[0]


def test_a_sign_on_begun_at_one_gateway_is_finished_at_the_other(
    fleet: Fleet, laptop: CredentialFiles
) -> None:
    for first, second in (fleet.gateways, fleet.gateways[::-1]):
        fleet.send_to(first)
        browser = fleet.browser(laptop)
        begun_at_first = browser.follow(fleet.message(WIKI), until=lambda step: "/challenge" in step.url)
        fleet.send_to(second)
        challenge = browser.next_step(begun_at_first.last)
        assert challenge is not None
        visit = browser.follow(challenge)
        assert visit.status == 200, visit


def test_a_message_is_refused_at_the_other_gateway_when_it_was_used_at_one(
    fleet: Fleet, laptop: CredentialFiles
) -> None:
    fleet.send_to(fleet.one)
    message, browser = fleet.message(WIKI), fleet.browser(laptop)
    before = browser.follow(message, until=lambda step: "dt_ticket=" in step.url)
    with_ticket = browser.next_step(before.last)
    assert with_ticket is not None
    again = fleet.browser(laptop)
    again.cookies = deepcopy(browser.cookies)
    assert browser.send(with_ticket).status == 200
    fleet.send_to(fleet.two)
    assert again.send(with_ticket).header("X-Device-Trust-Reason") == "TICKET_REPLAYED"
    assert fleet.browser(laptop).follow(message).device_trust_reason == "REPLAYED"
    fleet.send_to(fleet.one)
    assert fleet.browser(laptop).follow(message).device_trust_reason == "REPLAYED"


def test_what_is_revoked_at_one_gateway_ends_connections_at_both_and_the_answer_names_every_worker(
    fleet: Fleet,
) -> None:
    credential, _ = fleet.certificate("stolen")
    connections = [session_connection(fleet, gateway, credential) for gateway in fleet.gateways]
    answer = revoke(fleet.one, "stolen")
    assert workers(answer, "workers") == ALL_WORKERS
    assert workers(answer, "missing") == set()
    assert all(map(is_closed, connections))
    for gateway in fleet.gateways:
        visit = fleet.sign_on(credential, WIKI, gateway)
        assert (visit.status, visit.device_trust_reason) == (403, "REVOKED")


def test_the_command_line_says_the_same(fleet: Fleet) -> None:
    credential, thumbprint = fleet.certificate("lost")
    connections = [session_connection(fleet, gateway, credential) for gateway in fleet.gateways]
    answer = fleet.two.command("ca", "revoke", "--certificate", thumbprint)
    assert answer["applied"]["missing"] == []
    assert answer["applied"]["workers"] == len(ALL_WORKERS)
    assert all(map(is_closed, connections))


def test_a_gateway_that_is_cut_off_is_named_and_catches_up_by_itself(
    fleet: Fleet, laptop: CredentialFiles
) -> None:
    """Meanwhile it goes on with what it knew."""
    credential, _ = fleet.certificate("cut-off")
    connection = session_connection(fleet, fleet.one, credential)
    fleet.one.cut()
    try:
        answer = revoke(fleet.two, "cut-off")
        assert workers(answer, "missing") == {("one", 1), ("one", 2)}
        assert workers(answer, "workers") == {("two", 1), ("two", 2)}
        assert fleet.sign_on(credential, WIKI, fleet.one).status == 200
        assert fleet.sign_on(credential, WIKI, fleet.two).device_trust_reason == "REVOKED"
    finally:
        fleet.one.heal()
    assert is_closed(connection)
    visit = fleet.sign_on(credential, WIKI, fleet.one)
    assert (visit.status, visit.device_trust_reason) == (403, "REVOKED")
    assert fleet.sign_on(laptop, WIKI, fleet.one).status == 200


def sign_on_rows(fleet: Fleet) -> list[str]:
    """Of each sign-on that was let through, as the System Log has it."""
    url = fleet.primary.url("org")
    with psycopg.connect(url) as connection:
        query = "SELECT uuid FROM log WHERE event_type = 'user.authentication.sso'"
        return [row[0] for row in connection.execute(query).fetchall()]


def settled_rows(fleet: Fleet) -> int:
    """Their number, when no more come."""
    rows: list[str] = []
    while len(rows) != len(rows := sign_on_rows(fleet)) or not rows:
        time.sleep(1.0)
    assert len(rows) == len(set(rows))
    return len(rows)


def test_without_the_store_each_gateway_does_what_it_is_set_to_and_loses_no_event(
    fleet: Fleet, laptop: CredentialFiles
) -> None:
    before = settled_rows(fleet)
    fleet.let_through = 0
    fleet.primary.kill()
    try:
        assert [fleet.sign_on(laptop, WIKI, fleet.one).status for _ in range(3)] == [200] * 3
        refused = fleet.sign_on(laptop, WIKI, fleet.two)
        assert (refused.status, refused.device_trust_reason) == (503, "STORE_UNAVAILABLE")
        for gateway in fleet.gateways:
            eventually(
                lambda gateway=gateway: gateway.process.metric("devicetrust_store_reachable") == 0,  # type: ignore[misc]
                "metrics say that the store is gone",
            )
            status, said = http_get(gateway.process.metrics_port, "/readyz")
            assert status == 200, "it still judges sign-ons"
            assert b"org: not following" in said
        assert (
            fleet.one.process.metric("devicetrust_one_use_claims_total", where="local", result="first") >= 3
        )
        assert fleet.two.process.metric("devicetrust_one_use_claims_total", result="refused") >= 1
    finally:
        fleet.primary.start()
    for gateway in fleet.gateways:
        gateway.process.wait_for_metric("devicetrust_store_reachable", 1)
    eventually(lambda: fleet.sign_on(laptop, WIKI, fleet.two).status == 200, "two lets people in again")
    after = before + fleet.let_through
    eventually(lambda: len(sign_on_rows(fleet)) >= after, "what was spooled is in the log")
    assert settled_rows(fleet) == after
    verified = fleet.one.command("log", "verify")
    assert verified["findings"] == [], verified


def test_nothing_acknowledged_is_lost_with_the_primary_and_gateways_find_the_standby(
    fleet: Fleet, laptop: CredentialFiles
) -> None:
    used = fleet.message(WIKI)
    fleet.send_to(fleet.one)
    assert fleet.browser(laptop).follow(used).status == 200
    devices = [fleet.certificate(f"failing-{number}")[0] for number in range(3)]
    for number in range(2):
        assert workers(revoke(fleet.one, f"failing-{number}"), "missing") == set()
    fleet.primary.kill()
    fleet.standby.promote()
    for gateway in fleet.gateways:
        gateway.process.wait_for_metric("devicetrust_store_reachable", 1)
    eventually(lambda: fleet.sign_on(laptop, WIKI, fleet.two).status == 200, "two lets people in again")
    fleet.send_to(fleet.two)

    def is_replayed() -> bool:
        """Each worker finds the standby for itself, and lets nobody in before."""
        visit = fleet.browser(laptop).follow(used)
        assert visit.status != 200
        return visit.device_trust_reason == "REPLAYED"

    eventually(is_replayed, "the assertion that was used before is known at the standby")
    for gateway in fleet.gateways:
        statuses = [fleet.sign_on(device, WIKI, gateway).status for device in devices]
        assert statuses == [403, 403, 200]
    answer = revoke(fleet.two, "failing-2")
    assert workers(answer, "workers") == ALL_WORKERS
    assert [fleet.sign_on(devices[2], WIKI, gateway).status for gateway in fleet.gateways] == [403, 403]
    assert fleet.one.command("log", "verify")["findings"] == []
