"""`/api/v1/users`: people and their lifecycle."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from gateway.adapters.store import View, Work
from gateway.model.ids import IdKind
from gateway.model.org import TokenScope, User, UserSource, UserStatus
from gateway.server.org import members
from gateway.server.org.call import Call
from gateway.server.org.enforced import enforced
from gateway.server.org.errors import invalid_filter, validation_failed
from gateway.server.org.listing import PAGE_PARAMETERS, list_of, page_answer, page_begin
from gateway.server.org.openapi import answers, query_parameter, reference, takes
from gateway.server.org.route import NO_CONTENT, Answer, Route
from gateway.server.org.search import equalities
from gateway.server.org.user_shape import PROVIDER_TYPES, TEXT_ATTRIBUTES, group_json, user_json
from gateway.services import directory_accounts, people, revoking
from gateway.services.people import Profile
from gateway.services.refusals import NotAllowedNow
from gateway.system_log.catalog import EventType

_NAMED: Final = ("login", "email", "firstName", "lastName")
_SEARCHED: Final = ("id", "status", "profile.login")


async def list_users(call: Call) -> Answer:
    limit, begin, q = call.limit(), page_begin(call), call.text("q")
    wanted = equalities(call.text("search") or call.text("filter"), _SEARCHED)
    status = _status(wanted.get("status"))

    def query(view: View) -> Sequence[User]:
        if "id" in wanted or "profile.login" in wanted:
            user_id, login = wanted.get("id"), wanted.get("profile.login")
            user = view.users.by_login(login or "") if user_id is None else view.users.get(user_id)
            return [user] if user is not None and _is_meant(user, login, status) else []
        return view.users.page(after=begin, limit=limit + 1, q=q, status=status)

    return page_answer(call, await call.store.read(query), limit, user_json)


async def create_user(call: Call) -> Answer:
    body = call.json_object(known={"profile", "groupIds", "type", "credentials"})
    source = _source(body) or UserSource.LOCAL
    profile = _profile(members.an_object(body, "profile"), None)
    group_ids = members.texts(body, "groupIds", limit=100)
    active = call.text("activate", "true") != "false"
    user_id, occasion = call.new_id(IdKind.USER), call.occasion()
    user, _ = await enforced(
        call,
        lambda work: people.create_user(
            work, occasion, user_id, profile, active=active, group_ids=group_ids, source=source
        ),
    )
    return Answer(json=user_json(user, call.base_url))


async def get_user(call: Call) -> Answer:
    identifier = call.parameters["userId"]
    user = await call.store.read(lambda view: people.find_user(view.users, identifier))
    return Answer(json=user_json(user, call.base_url))


async def replace_user(call: Call) -> Answer:
    """PUT: what is left out of the profile is gone."""
    return await _updated(call, keep=False)


async def update_user(call: Call) -> Answer:
    """POST: what is left out of the profile stays."""
    return await _updated(call, keep=True)


async def _updated(call: Call, *, keep: bool) -> Answer:
    body = call.json_object(known=_READ_ONLY | {"profile", "credentials"})
    source = _source(body)
    given = members.an_object(body, "profile")
    identifier, occasion = call.parameters["userId"], call.occasion()

    def use_case(work: Work) -> User:
        user = people.find_user(work.users, identifier, lock=True)
        profile = _profile(given, people.profile_of(user) if keep else None)
        return people.update_user(work, occasion, user, profile, source)

    user, _ = await enforced(call, use_case)
    return Answer(json=user_json(user, call.base_url))


async def delete_user(call: Call) -> Answer:
    """Okta's way: the first call deactivates, the second one deletes."""
    identifier, occasion = call.parameters["userId"], call.occasion()

    def use_case(work: Work) -> None:
        user = people.find_user(work.users, identifier, lock=True)
        if user.status is UserStatus.DEPROVISIONED:
            people.delete_user(work, occasion, user)
        else:
            revoking.deactivate_user(work, user, occasion)

    await enforced(call, use_case)
    return NO_CONTENT


async def deactivate_user(call: Call) -> Answer:
    identifier, occasion = call.parameters["userId"], call.occasion()

    def use_case(work: Work) -> int:
        user = people.find_user(work.users, identifier, lock=True)
        if user.status is UserStatus.DEPROVISIONED:
            raise NotAllowedNow("the user is DEPROVISIONED")
        return len(revoking.deactivate_user(work, user, occasion).revoked)

    revoked, applied = await enforced(call, use_case)
    return Answer(json={"revokedCertificates": revoked, "enforcement": applied.json()})


def _lifecycle(event: EventType) -> Callable[[Call], Awaitable[Answer]]:
    async def change_status(call: Call) -> Answer:
        identifier, occasion = call.parameters["userId"], call.occasion()

        def use_case(work: Work) -> User:
            user = people.find_user(work.users, identifier, lock=True)
            return people.change_user_status(work, occasion, user, event)

        _, applied = await enforced(call, use_case)
        return Answer(json={"enforcement": applied.json()})

    return change_status


async def list_groups_of_user(call: Call) -> Answer:
    identifier = call.parameters["userId"]
    groups = await call.store.read(
        lambda view: view.groups.of_user(people.find_user(view.users, identifier).id)
    )
    return Answer(json=[group_json(group, call.base_url) for group in groups])


# What a user that was read has beside its profile: tools send it back as it came.
_READ_ONLY: Final = frozenset(
    {
        "id",
        "status",
        "created",
        "activated",
        "statusChanged",
        "lastLogin",
        "lastUpdated",
        "passwordChanged",
        "type",
        "realmId",
        "transitioningToStatus",
        "directoryAccount",
        "_links",
        "_embedded",
    }
)


def _profile(given: Mapping[str, Any], before: Profile | None) -> Profile:
    """``before``: what stays where it is left out."""
    more = members.attributes(given, _NAMED, "profile.")
    for name, limit in TEXT_ATTRIBUTES.items():
        members.optional_text(given, name, "profile.", limit)
    return Profile(
        login=members.text(given, "login", "profile.", None if before is None else before.login),
        email=members.text(given, "email", "profile.", "" if before is None else before.email),
        first_name=members.text(given, "firstName", "profile.", "" if before is None else before.first_name),
        last_name=members.text(given, "lastName", "profile.", "" if before is None else before.last_name),
        more=more if before is None else {**before.more, **more},
    )


def _source(body: Mapping[str, Any]) -> UserSource | None:
    """Where the person's account comes from; None: it is not said. People sign on at their identity provider:
    who sends a password here must hear that it is not kept."""
    credentials = body.get("credentials")
    if credentials is None:
        return None
    if not isinstance(credentials, dict) or set(credentials) - {"provider"}:
        raise validation_failed(
            "credentials", "credentials: passwords are kept by the identity provider, none are here"
        )
    if credentials.get("provider") is None:
        return None
    provider = members.an_object(credentials, "provider", "credentials.")
    kind = members.word(provider, "type", "credentials.provider.", PROVIDER_TYPES)
    return PROVIDER_TYPES[kind]


async def forget_directory_account(call: Call) -> Answer:
    identifier, occasion = call.parameters["userId"], call.occasion()

    def use_case(work: Work) -> User:
        return directory_accounts.forget_directory_account(
            work, occasion, people.find_user(work.users, identifier, lock=True)
        )

    user = await call.store.change(use_case)
    return Answer(json=user_json(user, call.base_url))


def _status(text: str | None) -> UserStatus | None:
    if text is None:
        return None
    try:
        return UserStatus(text)
    except ValueError:
        raise invalid_filter("status: there is no such status") from None


def _is_meant(user: User, login: str | None, status: UserStatus | None) -> bool:
    return (login is None or user.login_key == login.strip().casefold()) and status in (None, user.status)


_CREDENTIALS: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "provider": {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {
                    "enum": sorted(PROVIDER_TYPES),
                    "description": "ACTIVE_DIRECTORY: the person may enroll by Kerberos.",
                }
            },
        }
    },
}
_BODY: Final = {
    "type": "object",
    "required": ["profile"],
    "properties": {"profile": reference("UserProfile"), "credentials": _CREDENTIALS},
}
_NEW: Final = {
    "type": "object",
    "required": ["profile"],
    "additionalProperties": False,
    "properties": {
        "profile": reference("UserProfile"),
        "groupIds": {"type": "array", "items": {"type": "string"}, "maxItems": 100},
        "type": {"type": "object"},
        "credentials": _CREDENTIALS,
    },
}
_ENFORCED: Final = answers("Done, and in force.", reference("EnforcedChange"))


def _step(name: str, summary: str, handler: Callable[[Call], Awaitable[Answer]]) -> Route:
    return Route(
        "POST",
        f"/api/v1/users/{{userId}}/lifecycle/{name}",
        TokenScope.OPERATE,
        handler,
        {"summary": summary, "tags": ["Users"], "responses": _ENFORCED},
    )


def _operation(summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "tags": ["Users"], "responses": responses, **more}


_ONE: Final = answers("The user.", reference("User"))
ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        "/api/v1/users",
        TokenScope.READ,
        list_users,
        _operation(
            "List users",
            answers("Users, in the order of their ids.", list_of(reference("User"))),
            parameters=[
                query_parameter("q", "Begins a login, an email address, a first or a last name."),
                query_parameter("search", 'Such as `profile.login eq "ann@example.test"`, or by `status`.'),
                query_parameter("filter", "The same as `search`."),
                *PAGE_PARAMETERS,
            ],
        ),
    ),
    Route(
        "POST",
        "/api/v1/users",
        TokenScope.OPERATE,
        create_user,
        _operation(
            "Create a user",
            _ONE,
            requestBody=takes(_NEW),
            parameters=[
                query_parameter(
                    "activate", "`false`: the user is STAGED and cannot sign on.", {"enum": ["true", "false"]}
                )
            ],
        ),
    ),
    Route(
        "GET",
        "/api/v1/users/{userId}",
        TokenScope.READ,
        get_user,
        _operation("A user, by id or login", _ONE),
    ),
    Route(
        "PUT",
        "/api/v1/users/{userId}",
        TokenScope.OPERATE,
        replace_user,
        _operation("Replace the profile of a user", _ONE, requestBody=takes(_BODY)),
    ),
    Route(
        "POST",
        "/api/v1/users/{userId}",
        TokenScope.OPERATE,
        update_user,
        _operation("Change a part of the profile of a user", _ONE, requestBody=takes(_BODY)),
    ),
    Route(
        "DELETE",
        "/api/v1/users/{userId}",
        TokenScope.OPERATE,
        delete_user,
        _operation("Deactivate a user; delete one that is deactivated", {"204": {"description": "Done."}}),
    ),
    Route(
        "GET",
        "/api/v1/users/{userId}/groups",
        TokenScope.READ,
        list_groups_of_user,
        _operation("Groups of a user", answers("Groups.", list_of(reference("Group")))),
    ),
    _step("activate", "Activate a user", _lifecycle(EventType.USER_ACTIVATED)),
    _step("reactivate", "Activate a deactivated user", _lifecycle(EventType.USER_REACTIVATED)),
    _step("suspend", "Suspend a user; certificates stay", _lifecycle(EventType.USER_SUSPENDED)),
    _step("unsuspend", "End the suspension of a user", _lifecycle(EventType.USER_UNSUSPENDED)),
    _step("deactivate", "Deactivate a user, and revoke all their certificates", deactivate_user),
    Route(
        "POST",
        "/api/v1/users/{userId}/lifecycle/forget_directory_account",
        TokenScope.OPERATE,
        forget_directory_account,
        _operation("Let the next enrollment be with another account of the directory", _ONE),
    ),
)
