"""Use cases for API tokens. The secret is made by the caller, who shows it once; here is only its hash."""

from datetime import datetime
from typing import Final, Protocol

from gateway.model.log_event import LogEvent
from gateway.model.org import ApiToken, TokenScope
from gateway.services.refusals import InvalidValue, NotAllowedNow, NotFound
from gateway.system_log.administration import api_token_created, api_token_revoked
from gateway.system_log.catalog import Occasion

MAX_NAME_CHARACTERS: Final = 255


class Tokens(Protocol):
    def add(self, token: ApiToken) -> None: ...
    def get(self, token_id: str) -> ApiToken | None: ...
    def revoke(self, token_id: str, at: datetime) -> bool: ...


class TokenWork(Protocol):
    @property
    def tokens(self) -> Tokens: ...
    def log_event(self, event: LogEvent) -> None: ...


def create_token(
    work: TokenWork,
    occasion: Occasion,
    token_id: str,
    secret_sha256: bytes,
    *,
    name: str,
    scope: TokenScope,
    user: str,
    expires: datetime | None,
) -> ApiToken:
    """Raises InvalidValue."""
    for field, value in (("name", name), ("user", user)):
        if len(value) > MAX_NAME_CHARACTERS or not value.isprintable():
            raise InvalidValue(field, f"must have at most {MAX_NAME_CHARACTERS} printable characters")
    if not name.strip():
        raise InvalidValue("name", "must not be empty")
    if expires is not None and expires <= occasion.at:
        raise InvalidValue("expires", "must be in the future")
    token = ApiToken(token_id, name, scope, secret_sha256, user, occasion.at, expires)
    work.tokens.add(token)
    work.log_event(api_token_created(occasion, token))
    return token


def revoke_token(work: TokenWork, occasion: Occasion, token_id: str) -> None:
    """Raises NotFound, and NotAllowedNow for one that is revoked already."""
    token = work.tokens.get(token_id)
    if token is None:
        raise NotFound("ApiToken", token_id)
    if not work.tokens.revoke(token_id, occasion.at):
        raise NotAllowedNow("the token is revoked already")
    work.log_event(api_token_revoked(occasion, token))
