"""Whether this gateway has the keys of the others that share its store, asked before it starts.

With other keys, a sign-on that one of them began could not be finished here, nor the other way round. Where
the store does not answer, nobody is asked: gateways start without it.
"""

from typing import Any, Final

import psycopg

from gateway.adapters.postgresql import connection_parameters

_CONNECT_SECONDS: Final = 2.0
# As for whoever waits for other gateways: they report every few seconds.
_LIVE: Final = """\
SELECT name, keys_fingerprint FROM gateways
WHERE id <> %s AND keys_fingerprint <> %s AND seen_at > now() - interval '15 seconds' ORDER BY name LIMIT 1"""


class OtherKeys(Exception):
    """A gateway runs that shares the store and has other keys; the text says what to do."""


def check_fleet_keys(url: str, gateway_id: str, fingerprint: str, keys_directory: str) -> None:
    """Raises OtherKeys. Blocks for a few seconds at most."""
    parameters: dict[str, Any] = dict(connection_parameters(url, _CONNECT_SECONDS))
    try:
        with psycopg.connect(url, autocommit=True, **parameters) as connection:
            connection.execute("SET statement_timeout = '2s'")
            other = connection.execute(_LIVE, (gateway_id, fingerprint)).fetchone()
    except psycopg.Error:
        return
    if other is not None:
        name, theirs = other
        raise OtherKeys(
            f"{keys_directory}: has other keys ({fingerprint}) than gateway {name} ({theirs}), which shares "
            "the store\non one: devicetrust keys export -c gateway.yaml FILE; "
            "on the other: devicetrust keys import -c gateway.yaml --replace FILE"
        )
