"""Gateways of one fleet need the same keys, and are told so before they start."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.adapters.fleet_keys import OtherKeys, check_fleet_keys
from gateway.adapters.store import Store
from gateway.model.org import GatewayRecord

MINE, OTHERS = "0" * 32, "f" * 32


@pytest.mark.parametrize(
    ("gateway_id", "fingerprint", "seconds_ago", "is_refused"),
    [
        pytest.param("gwother", OTHERS, 1, True, id="another gateway that runs with other keys"),
        pytest.param("gwother", MINE, 1, False, id="another gateway with the same keys"),
        pytest.param("gwother", OTHERS, 60, False, id="one that has gone"),
        pytest.param("gwmine", OTHERS, 1, False, id="this one, before it got its new keys"),
    ],
)
def test_a_gateway_with_other_keys_than_those_that_run_does_not_start(
    postgres_url: str, gateway_id: str, fingerprint: str, seconds_ago: int, is_refused: bool
) -> None:
    store = Store.open(postgres_url)
    seen_at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    with store.begin() as work:
        work.gateways.report(GatewayRecord(gateway_id, gateway_id, "1", seen_at, seen_at, fingerprint))
    store.close()
    if not is_refused:
        check_fleet_keys(postgres_url, "gwmine", MINE, "/var/keys")
        return
    with pytest.raises(OtherKeys, match="devicetrust keys export") as refused:
        check_fleet_keys(postgres_url, "gwmine", MINE, "/var/keys")
    assert str(refused.value).startswith(f"/var/keys: has other keys ({MINE}) than gateway gw")


@pytest.mark.parametrize("database", ["a store without tables", "no server at all"])
def test_without_an_answer_it_starts(empty_postgres_url: str, database: str) -> None:
    url = empty_postgres_url if database == "a store without tables" else "postgresql://x@127.0.0.1:1/x"
    check_fleet_keys(url, "gwmine", MINE, "/var/keys")
