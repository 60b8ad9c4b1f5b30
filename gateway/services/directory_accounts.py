"""Accounts of a directory and the org's users and devices: which is which, and that it stays so.

The first enrollment ties a user, or a device, to the account of the directory for which it was. An account
of the same name that is another one (made anew after it was deleted, or of another forest) is refused. So is
one whose realm is another than it was: an IWA web app that vouches for one forest must not get at people and
computers of another by writing their SIDs into its tokens.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.tokens import DomainAccount
from gateway.model.org import Device, NameKind, User, UserSource, login_key
from gateway.services.attesting import TPM_MEMBER, AttestedKey, with_tpm
from gateway.services.devices import DeviceProfile, register_device
from gateway.services.enrollment_ports import EnrollmentWork
from gateway.services.people import (
    MAX_EMAIL_CHARACTERS,
    MIN_EMAIL_CHARACTERS,
    PeopleWork,
    Profile,
    create_user,
)
from gateway.services.refusals import InvalidValue
from gateway.system_log.administration import user_event
from gateway.system_log.catalog import EventType, Occasion

# Where it stands in `User.external`.
ACCOUNT: Final = "directory"
_REALM: Final = "realm"  # among an account's values
PLATFORMS: Final = (
    "LINUX",
    "MACOS",
    "WINDOWS",
)  # of `gateway.services.devices.PLATFORMS`: those of the agent


def enrolling_device(
    work: EnrollmentWork,
    account: DomainAccount,
    platform: str,
    attested: AttestedKey | None,
    device_id: str,
    occasion: Occasion,
) -> Device:
    """The computer's device, locked; made (``device_id``) where there is none yet. Raises EnrollmentRefused;
    AlreadyExists where another enrollment makes it at this moment."""
    device = work.devices.by_directory_key(account.directory_key, lock=True)
    if device is None:
        more = _account_values(account)
        if attested is not None:
            more[TPM_MEMBER] = attested.endorsement_key
        profile = DeviceProfile(account.login, platform, more=more)
        try:
            return register_device(work, occasion, device_id, profile, account.directory_key)
        except InvalidValue as invalid:
            raise EnrollmentRefused(EnrollmentRefusal.REQUEST_INVALID, str(invalid)) from None
    if not device.active:
        raise EnrollmentRefused(
            EnrollmentRefusal.DEVICE_INACTIVE, f"device {device.id} ({device.name}) is {device.status}"
        )
    known = device.profile.get(_REALM)
    if isinstance(known, str) and known != account.realm:
        raise EnrollmentRefused(
            EnrollmentRefusal.REALM_NOT_TRUSTED,
            f"device {device.id} ({device.name}) is of {known}, its SID now comes from {account.realm}",
        )
    with_its_tpm = None if attested is None else with_tpm(device, attested)
    profile_now = {**(with_its_tpm or device.profile), **_account_values(account)}
    if (device.name, device.profile) != (account.login, profile_now):
        device = replace(device, name=account.login, profile=profile_now, last_updated=occasion.at)
        work.devices.update(device)
    return device


def enrolling_user(
    work: EnrollmentWork, account: DomainAccount, user_id: str, occasion: Occasion, *, create: bool
) -> User:
    """The person's user, locked, tied to this account; made (``user_id``) with ``create``. Raises
    EnrollmentRefused; AlreadyExists where another enrollment makes them at this moment."""
    user = work.users.by_login(account.login, lock=True)
    if user is None:
        return _unknown_user(work, account, user_id, occasion, create=create)
    if not user.active:
        raise EnrollmentRefused(EnrollmentRefusal.USER_INACTIVE, f"user {user.login} is {user.status}")
    if user.source is not UserSource.AD:
        raise EnrollmentRefused(
            EnrollmentRefusal.USER_NOT_FROM_DIRECTORY, f"user {user.login} is of the source {user.source}"
        )
    if user.directory_key is None:
        return _tied(work, user, account, occasion)
    if user.directory_key != account.directory_key:
        raise EnrollmentRefused(
            EnrollmentRefusal.USER_OTHER_ACCOUNT,
            f"user {user.login} enrolled as {user.directory_key}, now it is {account.directory_key}",
        )
    known = (directory_account(user) or {}).get(_REALM)
    if isinstance(known, str) and known != account.realm:
        raise EnrollmentRefused(
            EnrollmentRefusal.USER_OTHER_ACCOUNT,
            f"user {user.login} is of {known}, the SID now comes from {account.realm}",
        )
    return user


def directory_account(user: User) -> Mapping[str, object] | None:
    """What is known of the account that a user is tied to; None: of none yet."""
    account = user.external.get(ACCOUNT)
    return dict(account) if user.directory_key is not None and isinstance(account, Mapping) else None


def forget_directory_account(work: PeopleWork, occasion: Occasion, user: User) -> User:
    """The next enrollment may be with another account. ``user`` was read with its lock."""
    if user.directory_key is None:
        return user
    rest = {name: value for name, value in user.external.items() if name != ACCOUNT}
    free = replace(user, directory_key=None, external=rest, last_updated=occasion.at)
    work.users.update(free)
    work.log_event(
        user_event(
            occasion,
            EventType.USER_UPDATED,
            free,
            changed_from={"directoryAccount": user.directory_key},
            changed_to={"directoryAccount": None},
        )
    )
    return free


def _unknown_user(
    work: EnrollmentWork, account: DomainAccount, user_id: str, occasion: Occasion, *, create: bool
) -> User:
    other = work.users.by_directory_key(account.directory_key)
    if other is not None:
        raise EnrollmentRefused(
            EnrollmentRefusal.USER_UNKNOWN,
            f"login {account.login}; the account enrolled as user {other.login} before: change its login",
        )
    if not create:
        raise EnrollmentRefused(EnrollmentRefusal.USER_UNKNOWN, f"login {account.login}")
    if work.deleted_names.holds(NameKind.USER, login_key(account.login)):
        raise EnrollmentRefused(
            EnrollmentRefusal.USER_INACTIVE, f"user {account.login} was deleted; create the user again"
        )
    made = Profile(account.login, account.login if _is_email(account.login) else "")
    try:
        user = create_user(
            work,
            occasion,
            user_id,
            made,
            active=True,
            source=UserSource.AD,
            directory_key=account.directory_key,
            external={ACCOUNT: _account_values(account)},
        )
    except InvalidValue as invalid:
        raise EnrollmentRefused(EnrollmentRefusal.USER_UNKNOWN, str(invalid)) from None
    return user


def _tied(work: EnrollmentWork, user: User, account: DomainAccount, occasion: Occasion) -> User:
    other = work.users.by_directory_key(account.directory_key)
    if other is not None:
        raise EnrollmentRefused(
            EnrollmentRefusal.USER_OTHER_ACCOUNT, f"the account {account.principal} is that of {other.login}"
        )
    tied = replace(
        user,
        directory_key=account.directory_key,
        external={**user.external, ACCOUNT: _account_values(account)},
        last_updated=occasion.at,
    )
    work.users.update(tied)
    work.log_event(
        user_event(
            occasion,
            EventType.USER_UPDATED,
            tied,
            changed_from={"directoryAccount": None},
            changed_to={"directoryAccount": account.directory_key},
        )
    )
    return tied


def _account_values(account: DomainAccount) -> dict[str, object]:
    values = {
        "principal": account.principal,
        _REALM: account.realm,
        "sid": account.sid,
        "guid": account.guid,
    }
    return {name: value for name, value in values.items() if value is not None}


def _is_email(login: str) -> bool:
    return "@" in login and MIN_EMAIL_CHARACTERS <= len(login) <= MAX_EMAIL_CHARACTERS
