"""One evaluation of a proxy auto-configuration file, in this process.

The engine's limits stop a loop and a hunger for memory. They do **not** stop everything: a regular expression
that backtracks, `Array(1e9).indexOf(1)`, or the `toString` of what is thrown run for as long as they like. So
only `pac_child`, which can be killed, calls this for a file from the network.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.agent.proxies.routes import MAX_RESULT_CHARACTERS, ProxyRefused

# What Chromium reads of such a file, too.
MAX_SCRIPT_BYTES: Final = 1_048_576
MAX_CPU_SECONDS: Final = 0.5
MAX_MEMORY_BYTES: Final = 32 * 1_048_576
# Of the engine's own stack; deeper, it answers with an exception.
MAX_STACK_BYTES: Final = 262_144
MAX_NAMES: Final = 16
MAX_NAME_CHARACTERS: Final = 253

_PLACE: Final = re.compile(r" \(?<input>(?::([0-9]+))?\)?")

# Addresses of a name, as texts; () where it has none.
Resolve = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a script can learn. ``now`` None: the clock of this computer."""

    resolve: Resolve
    own_addresses: tuple[str, ...] = ()
    now: datetime | None = None


def find_proxy(script: str, url: str, surroundings: Surroundings) -> str:
    """What FindProxyForURL answers: "" means DIRECT. Of an https URL it gets no path and no query, as in
    browsers. Raises ProxyRefused with the script's own error and its line."""
    told, host = told_of(url)
    addresses: dict[str, tuple[str, ...]] = {}
    for _ in range(MAX_NAMES + 1):
        outcome = _evaluate(script, told, host, addresses, surroundings)
        if isinstance(outcome, str):
            return outcome
        name = outcome.name
        addresses[name] = surroundings.resolve(name) if 0 < len(name) <= MAX_NAME_CHARACTERS else ()
    raise ProxyRefused(f"the proxy auto-configuration file looks up more than {MAX_NAMES} names")


def told_of(url: str) -> tuple[str, str]:
    """URL and host as the script gets them."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        authority = parts.netloc.rpartition("@")[2]
        url = f"https://{authority}/"
    return url, parts.hostname or ""


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str


def _evaluate(
    script: str,
    url: str,
    host: str,
    addresses: Mapping[str, tuple[str, ...]],
    surroundings: Surroundings,
) -> str | _Wanted:
    import quickjs  # the agent works without it where no such file is set

    context = quickjs.Context()
    context.set_memory_limit(MAX_MEMORY_BYTES)
    context.set_max_stack_size(MAX_STACK_BYTES)
    now = surroundings.now
    given = {
        "addresses": addresses,
        "own": surroundings.own_addresses,
        "now": None if now is None else int(now.timestamp() * 1000),
    }
    wanted = context.eval(_functions())(json.dumps(given))
    context.set_time_limit(MAX_CPU_SECONDS)
    failure = ""
    result: Any = None
    try:
        context.eval(script)
        result = context.eval(f"FindProxyForURL({json.dumps(url)}, {json.dumps(host)})")
    except (quickjs.JSException, ValueError) as error:  # a NUL, half a surrogate pair
        failure = _first_lines(error)
    # Whether or not it failed: a script may catch the exception that a missing address raises.
    context.set_memory_limit(-1)
    name = wanted()
    if isinstance(name, str):
        return _Wanted(name)
    if failure:
        raise ProxyRefused(f"the proxy auto-configuration file fails: {failure}")
    if result is None:
        return ""
    if not isinstance(result, str):
        raise ProxyRefused("the proxy auto-configuration file did not answer with a text")
    if len(result) > MAX_RESULT_CHARACTERS:
        raise ProxyRefused(f"the proxy auto-configuration file answered with {len(result)} characters")
    return result


def _first_lines(error: Exception) -> str:
    """The engine's message and the innermost place: `ReferenceError: x is not defined, at f (line 3)`."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines or lines[0] == "null" or "out of memory" in lines[0]:
        return "it needs more memory than it may have"
    if "interrupted" in lines[0]:
        return f"it takes longer than {MAX_CPU_SECONDS:g} s"
    text = ", ".join(_PLACE.sub(_line, line) for line in lines[:2])[:200]
    # The script chooses its words, and they go to a terminal.
    return "".join(c if c.isprintable() else "?" for c in text)


def _line(place: re.Match[str]) -> str:
    return "" if place[1] is None else f" (line {place[1]})"


@cache
def _functions() -> str:
    return files(__package__).joinpath("pac_functions.js").read_text(encoding="utf-8")
