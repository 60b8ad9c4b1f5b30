"""The IWA web app: it vouches for a computer, and then for a person at that computer, by their Kerberos
tickets.

    device   a computer's ticket                          → device token, for the second step here
    user     a person's ticket and that device token      → user token, for the org

Both name the key to be certified and the org's nonce. Each account is looked up in its directory first, where
iwa.yaml has one: a ticket stays good for hours after the account was disabled.
"""

import base64
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.enrollment.iwa_registration import Registration
from gateway.enrollment.pac import AccountKind
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.ticket_accounts import TicketAccount, ticket_account
from gateway.enrollment.tokens import (
    ALLOWED_SKEW,
    DEVICE_TOKEN_LIFETIME,
    USER_TOKEN_LIFETIME,
    DeviceToken,
    DomainAccount,
    TokenExpired,
    TokenInvalid,
    UserToken,
    sign_device_token,
    sign_user_token,
    verify_device_token,
)
from gateway.model.iwa_settings import ChannelBindings, ComputerRule, IwaSettings, RealmSettings
from gateway.model.one_use import OneUseKeysFull
from gateway.services.directory import Directory, DirectoryAccount, DirectoryUnavailable
from gateway.services.ports import Clock, OneUseKeys, Randomness
from gateway.services.realm_rules import RealmRules, computer_name, login_of
from gateway.services.tickets import AcceptedTicket, Tickets

_TOKEN_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Binding:
    """What a token is to be bound to: `thumbprints.key_thumbprint` of the key, and the org's nonce."""

    key_thumbprint: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Vouched:
    token: str
    expires: datetime
    account: DomainAccount


@dataclass(frozen=True, slots=True)
class Looked:
    """What an account would be answered, without a token: for the page that people open to try it.
    ``refusal`` is None where the step would succeed."""

    account: TicketAccount
    domain_account: DomainAccount | None
    refusal: EnrollmentRefused | None


class Iwa:
    """``registration`` gives the present one, None before the first. ``directory`` serves the realms that
    ``settings`` has a directory for. All methods raise EnrollmentRefused, nothing else."""

    def __init__(
        self,
        settings: IwaSettings,
        registration: Callable[[], Registration | None],
        tickets: Tickets,
        directory: Directory,
        one_use_keys: OneUseKeys,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self.settings = settings
        self._registration = registration
        self._tickets = tickets
        self._directory = directory
        self._one_use_keys = one_use_keys
        self._clock = clock
        self._randomness = randomness
        self._realms = RealmRules(settings.realms)

    def ticket(
        self, token: bytes, channel_bindings: bytes | None, *, must_be_bound: bool = True
    ) -> AcceptedTicket:
        """``channel_bindings`` is what the ticket may be bound to (see
        `gateway.enrollment.channel_bindings`), None where that is not known. One that is bound to something
        else is refused; one that is bound to nothing only where iwa.yaml requires it and ``must_be_bound`` is
        true."""
        wanted = self.settings.channel_bindings
        known = None if wanted is ChannelBindings.OFF else channel_bindings
        ticket = self._tickets.accept(token, known)
        is_required = must_be_bound and wanted is ChannelBindings.REQUIRED and known is not None
        if is_required and not ticket.is_bound:
            raise EnrollmentRefused(EnrollmentRefusal.CHANNEL_BINDING_MISSING, ticket.principal)
        return ticket

    def account(self, ticket: AcceptedTicket) -> TicketAccount:
        """Whose ticket it is, of a realm that may enroll."""
        account = ticket_account(
            ticket.principal,
            ticket.logon_info,
            ticket.upn_dns_info,
            dollar_sign=self.settings.computers is ComputerRule.DOLLAR_SIGN,
        )
        self._realms.check(account)
        return account

    async def device(self, account: TicketAccount, binding: Binding) -> Vouched:
        """The first step."""
        registration = self._registered()
        device = await self._computer(account)
        now = self._clock.now()
        token = DeviceToken(
            token_id=self._token_id(),
            issuer=registration.issuer,
            device=device,
            key_thumbprint=binding.key_thumbprint,
            nonce=binding.nonce,
            issued=now,
            expires=now + DEVICE_TOKEN_LIFETIME,
        )
        text = sign_device_token(token, registration.key, registration.key_id)
        return Vouched(text, token.expires, device)

    async def user(self, account: TicketAccount, binding: Binding, device_token: str) -> Vouched:
        """The second step. The device token is used up only where all else is well."""
        registration = self._registered()
        shown = self._shown(registration, device_token)
        _check_bound(shown, binding)
        person = await self._person(account)
        now = self._clock.now()
        await self._claim(shown, now)
        token = UserToken(
            token_id=self._token_id(),
            issuer=registration.issuer,
            audience=self.settings.audience or registration.audience,
            device=shown.device,
            user=person,
            key_thumbprint=binding.key_thumbprint,
            nonce=binding.nonce,
            issued=now,
            expires=now + USER_TOKEN_LIFETIME,
        )
        text = sign_user_token(token, registration.key, registration.key_id)
        return Vouched(text, token.expires, person)

    async def look(self, account: TicketAccount) -> Looked:
        """For a computer the first step, for everybody else the second, as if all else were well."""
        try:
            is_computer = account.kind is AccountKind.COMPUTER
            found = await (self._computer(account) if is_computer else self._person(account))
        except EnrollmentRefused as refused:
            return Looked(account, None, refused)
        return Looked(account, found, None)

    def _registered(self) -> Registration:
        registration = self._registration()
        if registration is None:
            raise EnrollmentRefused(EnrollmentRefusal.IWA_NOT_REGISTERED)
        return registration

    async def _computer(self, account: TicketAccount) -> DomainAccount:
        if account.kind is not AccountKind.COMPUTER:
            raise EnrollmentRefused(EnrollmentRefusal.NOT_A_COMPUTER, _said_of(account))
        self._realms.check(account)
        settings = self.settings.directory_of(account.realm)
        found = await self._found(account, () if settings is None else settings.computer_groups)
        if found is not None and not found.is_computer:
            raise EnrollmentRefused(EnrollmentRefusal.NOT_A_COMPUTER, "the directory says so")
        login = computer_name(account, None if found is None else found.login)
        return _domain_account(account, login, found)

    async def _person(self, account: TicketAccount) -> DomainAccount:
        if account.kind is not AccountKind.USER:
            raise EnrollmentRefused(EnrollmentRefusal.NOT_A_USER, _said_of(account))
        realm: RealmSettings = self._realms.check(account)
        settings = self.settings.directory_of(account.realm)
        found = await self._found(account, () if settings is None else settings.user_groups)
        if found is not None and found.is_computer:
            raise EnrollmentRefused(EnrollmentRefusal.NOT_A_USER, "the directory says so")
        login = login_of(realm, account, None if found is None else found.login)
        return _domain_account(account, login, found)

    async def _found(self, account: TicketAccount, groups: Sequence[str]) -> DirectoryAccount | None:
        """What the directory knows of an account that may enroll; None where iwa.yaml has no directory."""
        if self.settings.directory_of(account.realm) is None:
            return None
        try:
            found = await self._directory.account(account.realm, account.name, account.sid)
        except DirectoryUnavailable as error:
            raise EnrollmentRefused(EnrollmentRefusal.DIRECTORY_UNAVAILABLE, str(error)) from None
        if found is None or (account.sid is not None and found.sid is not None and found.sid != account.sid):
            raise EnrollmentRefused(EnrollmentRefusal.ACCOUNT_NOT_FOUND, _said_of(account))
        if account.sid is None and found.sid is not None:
            self._realms.check_sid(account.realm, found.sid)
        if found.is_disabled:
            raise EnrollmentRefused(EnrollmentRefusal.ACCOUNT_DISABLED, found.distinguished_name)
        if found.expires is not None and found.expires <= self._clock.now():
            raise EnrollmentRefused(EnrollmentRefusal.ACCOUNT_EXPIRED, found.distinguished_name)
        if groups and not found.groups.intersection(group.lower() for group in groups):
            raise EnrollmentRefused(EnrollmentRefusal.NOT_IN_GROUP, f"none of: {'; '.join(groups)}")
        return found

    def _shown(self, registration: Registration, text: str) -> DeviceToken:
        try:
            return verify_device_token(
                text, registration.key.public_key(), issuer=registration.issuer, now=self._clock.now()
            )
        except TokenExpired:
            raise EnrollmentRefused(EnrollmentRefusal.DEVICE_TOKEN_EXPIRED) from None
        except TokenInvalid as error:
            raise EnrollmentRefused(EnrollmentRefusal.DEVICE_TOKEN_INVALID, str(error)) from None

    async def _claim(self, token: DeviceToken, now: datetime) -> None:
        try:
            is_first = await self._one_use_keys.claim(
                f"device-token:{token.token_id}", token.expires + ALLOWED_SKEW, now
            )
        except OneUseKeysFull as error:
            raise EnrollmentRefused(EnrollmentRefusal.TOO_OFTEN, str(error)) from None
        if not is_first:
            raise EnrollmentRefused(EnrollmentRefusal.DEVICE_TOKEN_REPLAYED)

    def _token_id(self) -> str:
        return base64.urlsafe_b64encode(self._randomness.bytes(_TOKEN_ID_BYTES)).rstrip(b"=").decode()


def _check_bound(token: DeviceToken, binding: Binding) -> None:
    """A token that was taken from somebody else is of no use but for that one's key."""
    for what, said, meant in (
        ("key", binding.key_thumbprint, token.key_thumbprint),
        ("nonce", binding.nonce, token.nonce),
    ):
        if not hmac.compare_digest(said.encode(), meant.encode()):
            raise EnrollmentRefused(EnrollmentRefusal.KEY_MISMATCH, f"the device token is for another {what}")


def _domain_account(account: TicketAccount, login: str, found: DirectoryAccount | None) -> DomainAccount:
    return DomainAccount(
        principal=account.principal,
        realm=account.realm,
        login=login,
        sid=account.sid or (None if found is None else found.sid),
        guid=None if found is None else found.guid,
    )


def _said_of(account: TicketAccount) -> str:
    return f"{account.principal}: {account.kind_reason}"
