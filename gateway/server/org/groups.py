"""`/api/v1/groups`: groups and who is in them. Everybody is in Everyone, and nobody is listed there."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.adapters.store import View, Work
from gateway.model.ids import IdKind
from gateway.model.org import Group, TokenScope, User
from gateway.server.org import members
from gateway.server.org.call import Call
from gateway.server.org.listing import PAGE_PARAMETERS, list_of, page_answer, page_begin
from gateway.server.org.openapi import answers, query_parameter, reference, takes
from gateway.server.org.route import NO_CONTENT, Answer, Route
from gateway.server.org.user_shape import group_json, user_json
from gateway.services import people

_GROUP_MEMBERS: Final = frozenset(
    {
        "id",
        "created",
        "lastUpdated",
        "lastMembershipUpdated",
        "objectClass",
        "type",
        "profile",
        "_links",
        "_embedded",
    }
)


async def list_groups(call: Call) -> Answer:
    limit, begin, q = call.limit(), page_begin(call), call.text("q")
    groups = await call.store.read(lambda view: view.groups.page(after=begin, limit=limit + 1, q=q))
    return page_answer(call, groups, limit, group_json)


async def create_group(call: Call) -> Answer:
    name, description = _profile(call)
    group_id, occasion = call.new_id(IdKind.GROUP), call.occasion()
    group = await call.store.change(
        lambda work: people.create_group(work, occasion, group_id, name, description)
    )
    return Answer(json=group_json(group, call.base_url))


async def get_group(call: Call) -> Answer:
    group_id = call.parameters["groupId"]
    group = await call.store.read(lambda view: people.find_group(view.groups, group_id))
    return Answer(json=group_json(group, call.base_url))


async def replace_group(call: Call) -> Answer:
    name, description = _profile(call)
    group_id, occasion = call.parameters["groupId"], call.occasion()

    def use_case(work: Work) -> Group:
        group = people.find_group(work.groups, group_id, lock=True)
        return people.update_group(work, occasion, group, name, description)

    return Answer(json=group_json(await call.store.change(use_case), call.base_url))


async def delete_group(call: Call) -> Answer:
    group_id, occasion = call.parameters["groupId"], call.occasion()
    await call.store.change(
        lambda work: people.delete_group(work, occasion, people.find_group(work.groups, group_id, lock=True))
    )
    return NO_CONTENT


async def list_members(call: Call) -> Answer:
    group_id, limit, begin = call.parameters["groupId"], call.limit(), page_begin(call)

    def query(view: View) -> Sequence[User]:
        group = people.find_group(view.groups, group_id)
        return view.groups.members(group.id, after=begin, limit=limit + 1)

    return page_answer(call, await call.store.read(query), limit, user_json)


async def add_member(call: Call) -> Answer:
    group_id, user_id, occasion = call.parameters["groupId"], call.parameters["userId"], call.occasion()
    await call.store.change(lambda work: people.add_member(work, occasion, group_id, user_id))
    return NO_CONTENT


async def remove_member(call: Call) -> Answer:
    group_id, user_id, occasion = call.parameters["groupId"], call.parameters["userId"], call.occasion()
    await call.store.change(lambda work: people.remove_member(work, occasion, group_id, user_id))
    return NO_CONTENT


def _profile(call: Call) -> tuple[str, str]:
    """Name and description."""
    profile = members.an_object(call.json_object(known=_GROUP_MEMBERS), "profile")
    return (
        members.text(profile, "name", "profile."),
        members.text(profile, "description", "profile.", ""),
    )


def _operation(summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "tags": ["Groups"], "responses": responses, **more}


_ONE: Final = answers("The group.", reference("Group"))
_DONE: Final = {"204": {"description": "Done."}}
_BODY: Final = takes(
    {
        "type": "object",
        "required": ["profile"],
        "properties": {
            "profile": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 255},
                    "description": {"type": ["string", "null"], "maxLength": 1024},
                },
            }
        },
    }
)

ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        "/api/v1/groups",
        TokenScope.READ,
        list_groups,
        _operation(
            "List groups",
            answers("Groups, in the order of their ids.", list_of(reference("Group"))),
            parameters=[query_parameter("q", "Begins the name."), *PAGE_PARAMETERS],
        ),
    ),
    Route(
        "POST",
        "/api/v1/groups",
        TokenScope.OPERATE,
        create_group,
        _operation("Create a group", _ONE, requestBody=_BODY),
    ),
    Route("GET", "/api/v1/groups/{groupId}", TokenScope.READ, get_group, _operation("A group", _ONE)),
    Route(
        "PUT",
        "/api/v1/groups/{groupId}",
        TokenScope.OPERATE,
        replace_group,
        _operation("Replace name and description of a group", _ONE, requestBody=_BODY),
    ),
    Route(
        "DELETE",
        "/api/v1/groups/{groupId}",
        TokenScope.OPERATE,
        delete_group,
        _operation("Delete a group", _DONE),
    ),
    Route(
        "GET",
        "/api/v1/groups/{groupId}/users",
        TokenScope.READ,
        list_members,
        _operation(
            "Users of a group",
            answers("Users, in the order of their ids.", list_of(reference("User"))),
            parameters=list(PAGE_PARAMETERS),
        ),
    ),
    Route(
        "PUT",
        "/api/v1/groups/{groupId}/users/{userId}",
        TokenScope.OPERATE,
        add_member,
        _operation("Add a user to a group", _DONE),
    ),
    Route(
        "DELETE",
        "/api/v1/groups/{groupId}/users/{userId}",
        TokenScope.OPERATE,
        remove_member,
        _operation("Remove a user from a group", _DONE),
    ),
)
