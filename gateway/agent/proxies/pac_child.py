"""The process that a proxy auto-configuration file runs in: `python -m gateway.agent.proxies.pac_child`.

It reads {"script", "url"} as JSON from standard input and answers with {"result"} or {"refused"}. It takes
its own time and memory away first; `pac_process` kills it if that was not enough. Names are looked up here,
since a look-up can hang, too.
"""

import contextlib
import json
import socket
import sys
from typing import Final

from gateway.agent.proxies.pac_evaluation import Surroundings, find_proxy
from gateway.agent.proxies.routes import ProxyRefused

CPU_SECONDS: Final = 3
ADDRESS_SPACE_BYTES: Final = 512 * 1_048_576
# Never sent to (RFC 5737, RFC 3849): connecting a UDP socket only asks the routing table.
_SOMEWHERE: Final = ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1"))


def main() -> None:
    _limit_this_process()
    asked = json.load(sys.stdin)
    surroundings = Surroundings(_resolve, _own_addresses())
    answer: dict[str, str]
    try:
        answer = {"result": find_proxy(asked["script"], asked["url"], surroundings)}
    except ProxyRefused as error:
        answer = {"refused": str(error)}
    json.dump(answer, sys.stdout)


def _limit_this_process() -> None:
    if sys.platform == "win32":
        return  # no such limits there: the time limit of the parent remains
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))


def _resolve(name: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _own_addresses() -> tuple[str, ...]:
    addresses = []
    for family, somewhere in _SOMEWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somewhere, 9))
            addresses.append(str(probe.getsockname()[0]))
    return tuple(addresses)


if __name__ == "__main__":
    main()
