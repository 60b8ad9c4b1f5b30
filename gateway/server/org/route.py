"""What a resource of the org exports: its routes. A handler takes a `Call` and gives an `Answer`, and knows
neither aiohttp nor sockets."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.model.org import TokenScope
from gateway.server.org.call import MAX_BODY_BYTES, Call
from gateway.server.org.errors import ApiError

TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """``json`` is any value of JSON; where there is none, ``body`` is sent as it is, with a Content-Type
    among ``headers``. A name may be there several times (Link)."""

    status: int = 200
    json: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


NO_CONTENT: Final = Answer(204)


@dataclass(frozen=True, slots=True)
class Budget:
    """How many requests a minute one caller may make of all routes that share this budget. The caller is the
    token; where there is none, the address."""

    name: str
    requests_per_minute: int


API: Final = Budget("api", 6_000)
# CRLs, OCSP and the like: a whole office may come from one address.
PUBLIC: Final = Budget("public", 12_000)
# Where a secret could be guessed, and for whoever shows a token that is none.
GUARDED: Final = Budget("guarded", 60)


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` has parameters as ``{name}``, each one segment of the path; ``{name*}`` at its end takes all
    the rest. ``scope`` None: open to everybody, and ``call.actor`` is None there.

    ``operation`` is an OpenAPI 3.1 Operation Object without ``parameters`` of the path, security and errors,
    which are added. HEAD goes where GET goes. ``okta_scope`` is what an OAuth bearer needs on top.
    ``error_answer``: errors in another shape than Okta's, with the reference id.
    """

    method: str
    path: str
    scope: TokenScope | None
    handler: Callable[[Call], Awaitable[Answer]]
    operation: Mapping[str, Any] = field(default_factory=dict)
    okta_scope: str | None = None
    budget: Budget = API
    max_body_bytes: int = MAX_BODY_BYTES
    timeout_seconds: float = TIMEOUT_SECONDS
    error_answer: Callable[[ApiError, str], Answer] | None = None
