"""Who calls: the `Authorization` field, and the API tokens.

A token is `dtk_` and 43 characters of base64url, 256 random bits. The store holds its SHA-256, by which it is
looked up: comparing hashes tells nothing about the token, and no hash needs to be slow for 256 bits.
"""

import base64
import hashlib
import re
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.model.org import ApiToken
from gateway.server.org.call import Actor, StoreDoor
from gateway.server.org.errors import invalid_token
from gateway.services.ports import Clock

TOKEN_BYTES: Final = 32
_PRESENTED: Final = re.compile(r"(?i:ssws|bearer) *(dtk_[A-Za-z0-9_-]{43}) *")
# When a token was used last is for people to read.
_LAST_USED_STEP: Final = timedelta(minutes=1)
# Tokens that were good lately; of more, those that came first are forgotten.
_MAX_KNOWN: Final = 1_000


def presented_token(authorization: str) -> str | None:
    """The token of `SSWS <token>` or `Bearer <token>`; None where there is nothing that may be one. The okta
    SDK (3.4.6) leaves the space out."""
    presented = _PRESENTED.fullmatch(authorization)
    return None if presented is None else presented[1]


def new_token(random: bytes) -> str:
    """A token made of `TOKEN_BYTES` random bytes."""
    return "dtk_" + base64.urlsafe_b64encode(random).decode().rstrip("=")


def token_sha256(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


class Tokens:
    """Looks tokens up, and keeps when each was used last."""

    def __init__(self, store: StoreDoor, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._used: dict[str, datetime] = {}
        self._written: dict[str, datetime] = {}
        self._known: dict[bytes, None] = {}

    def is_known(self, token: str) -> bool:
        """Whether it was good when it was used last. It may not be any more."""
        return token_sha256(token) in self._known

    async def actor(self, token: str) -> Actor:
        """Raises ApiError for a token that is unknown, expired or revoked; they look the same to whoever
        tries. Raises StoreUnavailable."""
        digest = token_sha256(token)
        found: ApiToken | None = await self._store.read(lambda view: view.tokens.by_secret_sha256(digest))
        now = self._clock.now()
        if found is None or not found.usable(now):
            self._known.pop(digest, None)
            raise invalid_token()
        if len(self._known) >= _MAX_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[digest] = None
        self._used[found.id] = now
        return Actor(found)

    async def write_last_used(self) -> None:
        """Raises StoreUnavailable; what was to be written is then written the next time."""
        due = {
            token_id: at
            for token_id, at in self._used.items()
            if at - self._written.get(token_id, datetime.min.replace(tzinfo=at.tzinfo)) >= _LAST_USED_STEP
        }
        if not due:
            return

        def write(work: Any) -> None:
            for token_id, at in due.items():
                work.tokens.mark_used(token_id, at)

        await self._store.change(write)
        self._written.update(due)
        self._used.clear()
