"""What every connection to PostgreSQL is told, whoever opens it."""

from typing import Final

import psycopg

# libpq takes no less for one host.
_SHORTEST_CONNECT_SECONDS: Final = 2


def connection_parameters(conninfo: str, connect_seconds: float) -> dict[str, str | int]:
    """What libpq is told beyond the URL, which has the last word."""
    parameters: dict[str, str | int] = {
        "application_name": "devicetrust",
        "connect_timeout": max(_SHORTEST_CONNECT_SECONDS, round(connect_seconds)),
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
    }
    given = psycopg.conninfo.conninfo_to_dict(conninfo)
    return {name: value for name, value in parameters.items() if name not in given}


# Expressions of the SELECT that begins a session. A server that was told to acknowledge commits before they
# are on its disk is told otherwise; stricter settings than that stay as they are. And it is to find out
# itself that a gateway was cut off: that gateway has given the connection up and makes others, while the
# server's system would keep the old one for hours.
SESSION_SETTINGS: Final = (
    "set_config('timezone', 'UTC', false),"
    " CASE WHEN current_setting('synchronous_commit') = 'off'"
    " THEN set_config('synchronous_commit', 'on', false) END,"
    " set_config('tcp_keepalives_idle', '10', false),"
    " set_config('tcp_keepalives_interval', '5', false),"
    " set_config('tcp_keepalives_count', '3', false)"
)
