"""`/api/v1/api-tokens`: the keys to this API. A secret is in the answer to its creation, and never again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.model.ids import IdKind
from gateway.model.org import ApiToken, TokenScope
from gateway.server.org import members
from gateway.server.org.authentication import TOKEN_BYTES, new_token, token_sha256
from gateway.server.org.call import Call
from gateway.server.org.errors import resource_not_found
from gateway.server.org.listing import list_of
from gateway.server.org.openapi import answers, reference, takes
from gateway.server.org.route import NO_CONTENT, Answer, Route
from gateway.services import api_tokens
from gateway.system_log.wire import timestamp

_SCOPES: Final = tuple(scope.value for scope in TokenScope)
_MOMENT: Final = {"type": "string", "format": "date-time"}
_MOMENT_OR_NULL: Final = {"type": ["string", "null"], "format": "date-time"}

_PROPERTIES: Final = {
    "id": {"type": "string"},
    "name": {"type": "string"},
    "scope": {"enum": _SCOPES},
    "user": {"type": "string", "description": "For whom it was made."},
    "created": _MOMENT,
    "expires": _MOMENT_OR_NULL,
    "lastUsed": _MOMENT_OR_NULL,
    "revoked": _MOMENT_OR_NULL,
    "_links": {"type": "object"},
}
_REQUIRED: Final = ["id", "name", "scope", "created", "_links"]
SCHEMAS: Final[dict[str, Any]] = {
    "ApiToken": {"type": "object", "required": _REQUIRED, "properties": _PROPERTIES},
    "NewApiToken": {
        "type": "object",
        "required": [*_REQUIRED, "token"],
        "properties": {**_PROPERTIES, "token": {"type": "string", "description": "Shown this once."}},
    },
}


async def list_tokens(call: Call) -> Answer:
    tokens = await call.store.read(lambda view: view.tokens.all())
    return Answer(json=[token_json(token, call.base_url) for token in tokens])


async def create_token(call: Call) -> Answer:
    body = call.json_object(known={"name", "scope", "user", "expires"})
    name = members.text(body, "name", "")
    scope = TokenScope(members.word(body, "scope", "", _SCOPES))
    user = members.text(body, "user", "", call.acting_as)
    expires = members.moment(body, "expires")
    secret = new_token(call.randomness.bytes(TOKEN_BYTES))
    token_id, occasion = call.new_id(IdKind.API_TOKEN), call.occasion()
    token = await call.store.change(
        lambda work: api_tokens.create_token(
            work,
            occasion,
            token_id,
            token_sha256(secret),
            name=name,
            scope=scope,
            user=user,
            expires=expires,
        )
    )
    return Answer(201, json={**token_json(token, call.base_url), "token": secret})


async def get_token(call: Call) -> Answer:
    token_id = call.parameters["tokenId"]
    token = await call.store.read(lambda view: view.tokens.get(token_id))
    if token is None:
        raise resource_not_found(token_id, "ApiToken")
    return Answer(json=token_json(token, call.base_url))


async def revoke_token(call: Call) -> Answer:
    token_id, occasion = call.parameters["tokenId"], call.occasion()
    await call.store.change(lambda work: api_tokens.revoke_token(work, occasion, token_id))
    return NO_CONTENT


def token_json(token: ApiToken, base_url: str) -> dict[str, Any]:
    links = {"self": {"href": f"{base_url}/api/v1/api-tokens/{token.id}"}}
    return {**token_values(token), "_links": links}


def token_values(token: ApiToken) -> dict[str, Any]:
    """All that may be told of a token."""

    def moment(at: datetime | None) -> str | None:
        return None if at is None else timestamp(at)

    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope.value,
        "user": token.user,
        "created": timestamp(token.created),
        "expires": moment(token.expires),
        "lastUsed": moment(token.last_used),
        "revoked": moment(token.revoked),
    }


def _operation(summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "tags": ["API tokens"], "responses": responses, **more}


_NEW: Final = {
    "type": "object",
    "required": ["name", "scope"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
        "scope": {"enum": _SCOPES},
        "user": {"type": ["string", "null"], "maxLength": 255},
        "expires": _MOMENT_OR_NULL,
    },
}
ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        "/api/v1/api-tokens",
        TokenScope.ADMIN,
        list_tokens,
        _operation(
            "List API tokens", answers("Tokens, without their secrets.", list_of(reference("ApiToken")))
        ),
    ),
    Route(
        "POST",
        "/api/v1/api-tokens",
        TokenScope.ADMIN,
        create_token,
        _operation(
            "Create an API token",
            answers("The token, with its secret.", reference("NewApiToken"), 201),
            requestBody=takes(_NEW),
        ),
    ),
    Route(
        "GET",
        "/api/v1/api-tokens/{tokenId}",
        TokenScope.ADMIN,
        get_token,
        _operation("An API token", answers("The token, without its secret.", reference("ApiToken"))),
    ),
    Route(
        "DELETE",
        "/api/v1/api-tokens/{tokenId}",
        TokenScope.ADMIN,
        revoke_token,
        _operation("Revoke an API token", {"204": {"description": "It is good for nothing from now on."}}),
    ),
)
