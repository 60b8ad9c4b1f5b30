"""One request, as a handler of the org sees it, and the checks that every handler needs of what it reads."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from gateway.adapters.store import Store, View, Work
from gateway.model import log_event
from gateway.model.ids import MIN_RANDOM_BYTES, IdKind, new_id
from gateway.model.log_event import Transaction
from gateway.model.org import ApiToken, TokenScope
from gateway.server.org.enforcement import Enforcement
from gateway.server.org.errors import ApiError, not_well_formed, unsupported_media_type, validation_failed
from gateway.server.org.strict_json import JsonRefused, is_storable, parse_json
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.ports import Clock, Randomness
from gateway.system_log.catalog import Occasion
from gateway.system_log.targets import token_actor

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_QUERY_FIELDS: Final = 100
MAX_PAGE: Final = 200
MAX_TEXT_CHARACTERS: Final = 1_024
_ANYBODY: Final = log_event.Actor("unknown", "PublicClientApp", "unknown", "unknown")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who calls: an API token. ``okta_scopes`` narrow it further (`okta.logs.read`); None: they do not."""

    token: ApiToken
    okta_scopes: frozenset[str] | None = None

    def may(self, scope: TokenScope, okta_scope: str | None) -> bool:
        if self.okta_scopes is not None and okta_scope not in self.okta_scopes:
            return False
        return self.token.scope.covers(scope)


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from. ``ip`` is empty where that is not known."""

    ip: str
    user_agent: str


class StoreDoor(Protocol):
    """The store, from the event loop: what is given runs in a thread.

    All raise StoreUnavailable, which is answered with 503, and whatever the function raises.
    """

    async def change(self, use_case: Callable[[Work], _T]) -> _T:
        """The function gets the work of one transaction, which is committed when it returns."""
        ...

    async def change_numbered(self, use_case: Callable[[Work], _T]) -> tuple[_T, int]:
        """The same, and the number of the newest change in the feed by then: who has applied that one has
        applied what the function recorded."""
        ...

    async def read(self, query: Callable[[View], _T]) -> _T:
        """The function gets a consistent, read-only view."""
        ...

    async def run(self, function: Callable[[Store], _T]) -> _T:
        """The function gets the store itself, for what needs several transactions."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """``parameters`` are those of the path, ``query`` is as it was sent. ``headers`` have lower-case names;
    of several of one name the last counts. ``base_url`` is what the org is reached by: `https://host[:port]`,
    without a slash at its end. ``configuration`` is what gateway.yaml says now.
    """

    method: str
    path: str
    parameters: Mapping[str, str]
    query: str
    headers: Mapping[str, str]
    body: bytes
    actor: Actor | None
    client: Client
    store: StoreDoor
    enforcement: Enforcement
    clock: Clock
    randomness: Randomness
    base_url: str
    reference_id: str
    configuration: OrgConfiguration = field(default_factory=OrgConfiguration)

    # What was sent.

    def json(self) -> Any:
        """The body. Raises ApiError: 415 for one that does not say that it is JSON, 400 for one that is
        not."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise unsupported_media_type("Content-Type must be application/json")
        try:
            return parse_json(self.body)
        except JsonRefused as refused:
            raise not_well_formed(str(refused)) from None

    def json_object(self, known: Collection[str] | None = None) -> dict[str, Any]:
        """The body, which must be an object; of names other than ``known`` none may be in it."""
        value = self.json()
        if not isinstance(value, dict):
            raise not_well_formed("not an object")
        if known is not None:
            unknown = sorted(set(value) - set(known))
            if unknown:
                raise validation_failed(unknown[0], f"{unknown[0]}: is not known here")
        return value

    def fields(self) -> dict[str, str]:
        """The query's fields. Raises ApiError for a name that is there twice."""
        try:
            pairs = parse_qsl(
                self.query,
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        except ValueError:
            raise ApiError(400, "E0000053", "Invalid query parameters") from None
        values = dict(pairs)
        if len(values) != len(pairs):
            raise ApiError(400, "E0000053", "Invalid query parameters", ("a name is there twice",))
        for name, value in pairs:
            if not is_storable(name + value):
                raise ApiError(400, "E0000053", "Invalid query parameters", ("no text",))
        return values

    def text(self, name: str, default: str | None = None, limit: int = MAX_TEXT_CHARACTERS) -> str | None:
        """A field of the query."""
        value = self.fields().get(name, default)
        if value is not None and len(value) > limit:
            raise validation_failed(name, f"{name}: longer than {limit} characters")
        return value

    def flag(self, name: str) -> bool:
        """A field of the query that is `true` or `false`; false where it is left out."""
        match self.text(name, "false"):
            case "true":
                return True
            case "false":
                return False
            case _:
                raise validation_failed(name, f"{name}: must be true or false")

    def limit(self, default: int = MAX_PAGE, maximum: int = MAX_PAGE) -> int:
        """How many things one page is to have, at least 1."""
        text = self.text("limit", str(default)) or ""
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise validation_failed("limit", f"limit: must be a number between 1 and {maximum}")
        return max(1, min(int(text), maximum))

    # For the System Log.

    def occasion(self) -> Occasion:
        """Who does what now comes of this request, and from where."""
        actor, ip = self.actor, self.client.ip
        return Occasion(
            at=self.clock.now(),
            new_uuid=self._new_uuid,
            transaction=Transaction(
                self.reference_id, detail=None if actor is None else {"requestApiTokenId": actor.token.id}
            ),
            actor=_ANYBODY if actor is None else token_actor(actor.token),
            client=log_event.Client(
                ip=ip or None, user_agent=self.client.user_agent or None, ip_chain=(ip,) if ip else ()
            ),
        )

    @property
    def acting_as(self) -> str:
        """For whom the caller's token was made; empty where that was not said."""
        return "" if self.actor is None else self.actor.token.user

    def new_id(self, kind: IdKind) -> str:
        return new_id(kind, self.randomness.bytes(MIN_RANDOM_BYTES))

    def _new_uuid(self) -> str:
        return str(UUID(bytes=self.randomness.bytes(16), version=4))
