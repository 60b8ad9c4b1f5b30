"""Use cases for users and groups. Each runs within one transaction: what is changed, what the data plane has
to know of it, and the event in the System Log.

A user who is not active is refused by the data plane, whatever the device. One who is not in the store is
not judged by it: the identity provider vouches for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

from gateway.model.changes import Change, user_activated, user_deactivated
from gateway.model.log_event import LogEvent
from gateway.model.org import Group, GroupType, NameKind, User, UserSource, UserStatus
from gateway.services.refusals import InvalidValue, NotAllowedNow, NotFound
from gateway.system_log.administration import (
    group_event,
    group_member_added,
    group_member_removed,
    user_event,
)
from gateway.system_log.catalog import EventType, Occasion

MAX_LOGIN_CHARACTERS: Final = 254  # as of an address (RFC 5321 §4.5.3.1.3)
MAX_NAME_CHARACTERS: Final = 255
# What programs for the Okta API can read; one user beyond would keep them from reading any.
MAX_PERSON_NAME_CHARACTERS: Final = 50
MIN_EMAIL_CHARACTERS: Final = 5
MAX_EMAIL_CHARACTERS: Final = 100
MAX_DESCRIPTION_CHARACTERS: Final = 1_024


class FindsUsers(Protocol):
    def get(self, user_id: str, *, lock: bool = False) -> User | None: ...
    def by_login(self, login: str, *, lock: bool = False) -> User | None: ...


class Users(FindsUsers, Protocol):
    def add(self, user: User) -> None: ...
    def update(self, user: User) -> bool: ...
    def delete(self, user_id: str) -> bool: ...


class FindsGroups(Protocol):
    def get(self, group_id: str, *, lock: bool = False) -> Group | None: ...


class Groups(FindsGroups, Protocol):
    def add(self, group: Group) -> None: ...
    def update(self, group: Group) -> bool: ...
    def delete(self, group_id: str) -> bool: ...
    def add_member(self, group_id: str, user_id: str) -> bool: ...
    def remove_member(self, group_id: str, user_id: str) -> bool: ...


class DeletedNames(Protocol):
    def keep(self, kind: NameKind, name: str, at: datetime) -> None: ...
    def take_back(self, kind: NameKind, name: str) -> bool: ...


class PeopleWork(Protocol):
    @property
    def users(self) -> Users: ...
    @property
    def deleted_names(self) -> DeletedNames: ...
    @property
    def groups(self) -> Groups: ...
    def record(self, change: Change) -> None: ...
    def log_event(self, event: LogEvent) -> None: ...


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a person. ``more`` are attributes that only whoever wrote them reads."""

    login: str
    email: str
    first_name: str = ""
    last_name: str = ""
    more: Mapping[str, object] = field(default_factory=dict)


_MORE: Final = "profile"  # where `Profile.more` stands in `User.external`


def profile_of(user: User) -> Profile:
    more = user.external.get(_MORE)
    return Profile(
        user.login, user.email, user.first_name, user.last_name, more if isinstance(more, Mapping) else {}
    )


def find_user(users: FindsUsers, identifier: str, *, lock: bool = False) -> User:
    """By id or by login. Raises NotFound."""
    user = users.get(identifier, lock=lock) or users.by_login(identifier, lock=lock)
    if user is None:
        raise NotFound("User", identifier)
    return user


def create_user(
    work: PeopleWork,
    occasion: Occasion,
    user_id: str,
    profile: Profile,
    *,
    active: bool,
    group_ids: Sequence[str] = (),
    source: UserSource = UserSource.LOCAL,
    directory_key: str | None = None,
    external: Mapping[str, object] | None = None,
) -> User:
    """``external`` and ``directory_key`` are what the source says. Raises InvalidValue, NotFound for a group,
    AlreadyExists for a login that is taken."""
    _check(profile)
    user = User(
        id=user_id,
        login=profile.login,
        email=profile.email,
        first_name=profile.first_name,
        last_name=profile.last_name,
        status=UserStatus.ACTIVE if active else UserStatus.STAGED,
        source=source,
        created=occasion.at,
        last_updated=occasion.at,
        status_changed=occasion.at,
        external={**(external or {}), **({_MORE: dict(profile.more)} if profile.more else {})},
        directory_key=directory_key,
    )
    work.users.add(user)
    was_deleted = work.deleted_names.take_back(NameKind.USER, user.login_key)
    if not user.active:
        work.record(user_deactivated(user.login_key))
    elif was_deleted:
        work.record(user_activated(user.login_key))
    work.log_event(user_event(occasion, EventType.USER_CREATED, user))
    for group_id in group_ids:
        add_member(work, occasion, group_id, user.id)
    return user


def update_user(
    work: PeopleWork, occasion: Occasion, user: User, profile: Profile, source: UserSource | None = None
) -> User:
    """``user`` was read with its lock. ``source`` None: it stays. Raises InvalidValue, AlreadyExists."""
    _check(profile)
    updated = replace(
        user,
        login=profile.login,
        email=profile.email,
        first_name=profile.first_name,
        last_name=profile.last_name,
        source=source or user.source,
        last_updated=occasion.at,
        external={**user.external, _MORE: dict(profile.more)},
    )
    work.users.update(updated)
    if updated.login_key != user.login_key:
        was_deleted = work.deleted_names.take_back(NameKind.USER, updated.login_key)
        if not user.active:  # by the old login, too, until somebody else gets it
            work.deleted_names.keep(NameKind.USER, user.login_key, occasion.at)
            work.record(user_deactivated(updated.login_key))
        elif was_deleted:
            work.record(user_activated(updated.login_key))
    before, after = _values(user), _values(updated)
    work.log_event(
        user_event(
            occasion,
            EventType.USER_UPDATED,
            updated,
            changed_from={name: value for name, value in before.items() if after.get(name) != value},
            changed_to={name: value for name, value in after.items() if before.get(name) != value},
        )
    )
    return updated


_FROM: Final[Mapping[EventType, tuple[frozenset[UserStatus], UserStatus]]] = {
    EventType.USER_ACTIVATED: (
        frozenset((UserStatus.STAGED, UserStatus.DEPROVISIONED)),
        UserStatus.ACTIVE,
    ),
    EventType.USER_REACTIVATED: (
        frozenset((UserStatus.STAGED, UserStatus.DEPROVISIONED)),
        UserStatus.ACTIVE,
    ),
    EventType.USER_SUSPENDED: (frozenset((UserStatus.ACTIVE,)), UserStatus.SUSPENDED),
    EventType.USER_UNSUSPENDED: (frozenset((UserStatus.SUSPENDED,)), UserStatus.ACTIVE),
}


def change_user_status(work: PeopleWork, occasion: Occasion, user: User, event: EventType) -> User:
    """Activate, reactivate, suspend or unsuspend. ``user`` was read with its lock. Raises NotAllowedNow.

    Deactivation revokes certificates, too: see `gateway.services.revoking`.
    """
    allowed, status = _FROM[event]
    if user.status not in allowed:
        raise NotAllowedNow(f"the user is {user.status}")
    updated = replace(user, status=status, status_changed=occasion.at, last_updated=occasion.at)
    work.users.update(updated)
    work.record((user_activated if updated.active else user_deactivated)(updated.login_key))
    work.log_event(user_event(occasion, event, updated))
    return updated


def delete_user(work: PeopleWork, occasion: Occasion, user: User) -> None:
    """Forget a user who is deactivated. Their certificates stay revoked, and their login shut out until a
    user is made by it again: the identity provider may still vouch for them. Raises NotAllowedNow.
    """
    if user.status is not UserStatus.DEPROVISIONED:
        raise NotAllowedNow(f"the user is {user.status}: deactivate them first")
    work.users.delete(user.id)
    work.deleted_names.keep(NameKind.USER, user.login_key, occasion.at)
    work.log_event(user_event(occasion, EventType.USER_DELETED, user))


def find_group(groups: FindsGroups, group_id: str, *, lock: bool = False) -> Group:
    """Raises NotFound."""
    group = groups.get(group_id, lock=lock)
    if group is None:
        raise NotFound("UserGroup", group_id)
    return group


def create_group(work: PeopleWork, occasion: Occasion, group_id: str, name: str, description: str) -> Group:
    """Raises InvalidValue, AlreadyExists."""
    _check_group(name, description)
    group = Group(group_id, name, description, GroupType.OKTA_GROUP, occasion.at, occasion.at)
    work.groups.add(group)
    work.log_event(group_event(occasion, EventType.GROUP_CREATED, group))
    return group


def update_group(work: PeopleWork, occasion: Occasion, group: Group, name: str, description: str) -> Group:
    """Raises InvalidValue, AlreadyExists, NotAllowedNow."""
    _check_editable(group)
    _check_group(name, description)
    updated = replace(group, name=name, description=description, last_updated=occasion.at)
    work.groups.update(updated)
    work.log_event(
        group_event(
            occasion,
            EventType.GROUP_UPDATED,
            updated,
            changed_from={"name": group.name, "description": group.description},
            changed_to={"name": name, "description": description},
        )
    )
    return updated


def delete_group(work: PeopleWork, occasion: Occasion, group: Group) -> None:
    """Raises NotAllowedNow."""
    _check_editable(group)
    work.groups.delete(group.id)
    work.log_event(group_event(occasion, EventType.GROUP_DELETED, group))


def add_member(work: PeopleWork, occasion: Occasion, group_id: str, user_id: str) -> None:
    """Nothing happens where the user is in the group. Raises NotFound, NotAllowedNow."""
    group, user = find_group(work.groups, group_id), find_user(work.users, user_id)
    _check_editable(group)
    if work.groups.add_member(group.id, user.id):
        work.log_event(group_member_added(occasion, group, user))


def remove_member(work: PeopleWork, occasion: Occasion, group_id: str, user_id: str) -> None:
    """Nothing happens where the user is not in the group. Raises NotFound, NotAllowedNow."""
    group, user = find_group(work.groups, group_id), find_user(work.users, user_id)
    _check_editable(group)
    if work.groups.remove_member(group.id, user.id):
        work.log_event(group_member_removed(occasion, group, user))


def _check(profile: Profile) -> None:
    if not profile.login.strip() or len(profile.login) > MAX_LOGIN_CHARACTERS:
        raise InvalidValue("profile.login", f"must have 1 to {MAX_LOGIN_CHARACTERS} characters")
    if profile.login != profile.login.strip() or not profile.login.isprintable():
        raise InvalidValue("profile.login", "must be printable, without space at its ends")
    if profile.email and not MIN_EMAIL_CHARACTERS <= len(profile.email) <= MAX_EMAIL_CHARACTERS:
        raise InvalidValue(
            "profile.email", f"must have {MIN_EMAIL_CHARACTERS} to {MAX_EMAIL_CHARACTERS} characters"
        )
    for name, value in (("firstName", profile.first_name), ("lastName", profile.last_name)):
        if len(value) > MAX_PERSON_NAME_CHARACTERS:
            raise InvalidValue(
                f"profile.{name}", f"must have at most {MAX_PERSON_NAME_CHARACTERS} characters"
            )


def _check_group(name: str, description: str) -> None:
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS:
        raise InvalidValue("profile.name", f"must have 1 to {MAX_NAME_CHARACTERS} characters")
    if len(description) > MAX_DESCRIPTION_CHARACTERS:
        raise InvalidValue(
            "profile.description", f"must have at most {MAX_DESCRIPTION_CHARACTERS} characters"
        )


def _check_editable(group: Group) -> None:
    if group.type is not GroupType.OKTA_GROUP:
        raise NotAllowedNow("this group is not edited here")


def _values(user: User) -> dict[str, object]:
    return {
        "login": user.login,
        "email": user.email,
        "firstName": user.first_name,
        "lastName": user.last_name,
        "source": user.source.value,
        **{f"profile.{name}": value for name, value in profile_of(user).more.items()},
    }
