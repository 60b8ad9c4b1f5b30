"""What this gateway is called among those that share a store."""

import hashlib
import socket

from gateway.model.settings import GatewaySettings


def gateway_id(settings: GatewaySettings) -> str:
    """The same at each start of a gateway, another one for each gateway of a fleet: of the machine's name,
    the configuration file and the addresses that it listens on."""
    addresses = [f"{address.host}:{address.port}" for address in settings.listen_https]
    named = "\n".join([socket.gethostname(), settings.source, *addresses])
    return "gw" + hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:18]


def gateway_name(settings: GatewaySettings) -> str:
    return settings.fleet.name or socket.gethostname()
