"""The IWA web app with tickets and a directory that say what a test needs: no Kerberos, no LDAP."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.adapters.memory import MemoryOneUseKeys
from gateway.enrollment.iwa_keys import key_id_of
from gateway.enrollment.iwa_registration import Registration
from gateway.enrollment.pac import AccountKind
from gateway.enrollment.ticket_accounts import TicketAccount
from gateway.enrollment.tickets import AcceptedTicket
from gateway.model.directory import DirectoryAccount, DirectoryUnavailable
from gateway.model.iwa_settings import (
    ChannelBindings,
    ComputerRule,
    DirectorySettings,
    IwaLimits,
    IwaSettings,
    PasswordBind,
    RealmSettings,
)
from gateway.services.directory import NoDirectory
from gateway.services.iwa import Binding, Iwa

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
REGISTRATION = Registration("iwa1", "urn:devicetrust:org:acme", KEY, key_id_of(KEY.public_key()))
BINDING = Binding("k" * 43, "nonce-1")
WS1 = TicketAccount(
    "WS1$", "CORP", AccountKind.COMPUTER, "flags", sid="S-1-5-21-1-1-1-1107", domain_sid="S-1-5-21-1-1-1",
    dns_domain="corp.example",
)  # fmt: skip
ALICE = TicketAccount(
    "alice", "CORP", AccountKind.USER, "flags", sid="S-1-5-21-1-1-1-1102", domain_sid="S-1-5-21-1-1-1",
    upn="alice@corp.example",
)  # fmt: skip
BOB = TicketAccount("bob", "PARTNER", AccountKind.USER, "flags")
SETTINGS = IwaSettings(
    source="/etc/iwa.yaml",
    name="hq-1",
    org_url="https://sso.example.test",
    audience=None,
    org_ca_file=None,
    http=(),
    https=(),
    certificate=None,
    private_key=None,
    metrics=None,
    url="https://iwa.corp.example/iwa",
    path="/iwa",
    keytab="/etc/iwa.keytab",
    service="HTTP",
    channel_bindings=ChannelBindings.REQUIRED,
    computers=ComputerRule.PAC,
    realms=(RealmSettings("CORP", "upn"), RealmSettings("PARTNER", "principal")),
    directories=(),
    keys="/var/iwa",
    trusted_proxies=(),
    limits=IwaLimits(30, 600, 1000),
)
LOOKED_UP = DirectorySettings(
    realm="CORP",
    urls=("ldaps://dc1",),
    base="DC=corp",
    ca_file=None,
    bind=PasswordBind("svc", "/etc/password"),
    computer_groups=(),
    user_groups=("CN=Enrollers,DC=corp", "vips"),
    timeout=timedelta(seconds=5),
)
ENTRIES = {
    "WS1$": DirectoryAccount(
        "WS1$", "CN=WS1,DC=corp", True, False, login="ws1.corp.example", sid=WS1.sid, guid="g-1"
    ),
    "alice": DirectoryAccount(
        "alice",
        "CN=Alice,DC=corp",
        False,
        False,
        login="a.liddell@corp.example",
        sid=ALICE.sid,
        guid="g-2",
        groups=frozenset({"cn=enrollers,dc=corp", "enrollers"}),
    ),
}


class StandingClock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


class Counted:
    def __init__(self) -> None:
        self.number = 0

    def bytes(self, count: int) -> bytes:
        self.number += 1
        return self.number.to_bytes(count)


class MadeUpTickets:
    """What GSS-API would say; ``shown`` is what it was asked with."""

    def __init__(self, *, is_bound: bool) -> None:
        self.is_bound = is_bound
        self.shown: list[bytes | None] = []

    def accept(self, token: bytes, channel_bindings: bytes | None) -> AcceptedTicket:
        self.shown.append(channel_bindings)
        return AcceptedTicket(token.decode(), None, None, b"answer", self.is_bound)


class MadeUpDirectory(NoDirectory):
    def __init__(self, entries: Mapping[str, DirectoryAccount]) -> None:
        self.entries = dict(entries)
        self.is_down = False

    async def account(self, realm: str, name: str, sid: str | None) -> DirectoryAccount | None:
        if self.is_down:
            raise DirectoryUnavailable("dc1: no answer")
        return self.entries.get(name)


class World:
    def __init__(self, *, is_bound: bool = True, **settings: Any) -> None:
        self.clock = StandingClock()
        self.directory = MadeUpDirectory(ENTRIES)
        self.tickets = MadeUpTickets(is_bound=is_bound)
        self.registration: Registration | None = REGISTRATION
        self.iwa = Iwa(
            replace(SETTINGS, **settings),
            lambda: self.registration,
            self.tickets,
            self.directory,
            MemoryOneUseKeys(),
            self.clock,
            Counted(),
        )

    async def device_token(self) -> str:
        return (await self.iwa.device(WS1, BINDING)).token
