"""Looking accounts up in a real Active Directory (Samba): who is disabled, expired or in which group, also
when servers are away, silent or not who they should be."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gssapi
import pytest
from support.needed_parts import needs
from support.pki import Authority
from support.processes import free_port
from support.samba import BASE, IWA_HOST, REALM, SERVICE_ACCOUNT, SambaDomain, missing_parts, password

from gateway.adapters.directory import LdapDirectory
from gateway.enrollment.pac import parse_logon_info
from gateway.model.directory import DirectoryAccount, DirectoryUnavailable
from gateway.model.iwa_settings import DirectorySettings, PasswordBind, SaslBind

pytestmark = [pytest.mark.real, needs("Samba", missing_parts)]


def with_keytab(samba: SambaDomain, principal: str = SERVICE_ACCOUNT) -> SaslBind:
    return SaslBind(str(samba.iwa_keytab), principal)


def with_password(samba: SambaDomain, said: str | None = None) -> PasswordBind:
    file = samba.new_file("password")
    file.write_text(f"{said or password(SERVICE_ACCOUNT)}\n")
    file.chmod(0o600)
    return PasswordBind(f"{SERVICE_ACCOUNT}@{REALM.lower()}", str(file))


def settings(
    samba: SambaDomain,
    *urls: str,
    bind: SaslBind | PasswordBind | None = None,
    ca_file: Path | None = None,
    seconds: float = 5,
    base: str = BASE,
) -> DirectorySettings:
    return DirectorySettings(
        realm=REALM,
        urls=urls or (samba.ldap_url,),
        base=base,
        ca_file=str(ca_file or samba.ca_file),
        bind=bind or with_keytab(samba),
        computer_groups=(),
        user_groups=(),
        timeout=timedelta(seconds=seconds),
    )


@asynccontextmanager
async def directory(chosen: DirectorySettings) -> AsyncIterator[LdapDirectory]:
    opened = LdapDirectory([chosen])
    try:
        yield opened
    finally:
        await opened.close()


async def looked_up(samba: SambaDomain, name: str) -> DirectoryAccount | None:
    async with directory(settings(samba)) as opened:
        return await opened.account(REALM, name, None)


def sid_in_ticket(samba: SambaDomain, cache: str) -> str:
    credentials = gssapi.Credentials(usage="accept", store={"keytab": str(samba.iwa_keytab)})
    context = gssapi.SecurityContext(creds=credentials, usage="accept")
    context.step(samba.negotiate(cache, IWA_HOST))
    (logon_info,) = context.initiator_name.attributes[b"urn:mspac:logon-info"].values
    return parse_logon_info(logon_info).user_sid


WAYS: list[tuple[str, Callable[[SambaDomain], DirectorySettings]]] = [
    ("by keytab, sealed by Kerberos", lambda samba: settings(samba, samba.ldap_url)),
    (
        "by keytab, of a principal with its realm",
        lambda samba: settings(samba, bind=with_keytab(samba, f"{SERVICE_ACCOUNT}@{REALM}")),
    ),
    ("by password over TLS", lambda samba: settings(samba, samba.ldaps_url, bind=with_password(samba))),
    ("by password after StartTLS", lambda samba: settings(samba, samba.ldap_url, bind=with_password(samba))),
]


@pytest.mark.parametrize(("way", "chosen"), WAYS, ids=[way for way, _ in WAYS])
async def test_an_account_is_found_by_the_sid_in_its_ticket(
    samba: SambaDomain, way: str, chosen: Callable[[SambaDomain], DirectorySettings]
) -> None:
    sid = sid_in_ticket(samba, samba.log_in("alice"))
    async with directory(chosen(samba)) as opened:
        await opened.check(REALM)
        account = await opened.account(REALM, "what the ticket says does not matter", sid)
        assert account is not None
        assert (account.name, account.login, account.sid) == ("alice", "alice@example.com", sid)
        assert (account.is_computer, account.is_disabled, account.expires) == (False, False, None)
        assert await opened.account(REALM, "alice", None) == account
        assert await opened.account(REALM, "alice", f"{sid}9") is None


async def test_a_computer_is_one_by_its_account_and_called_by_its_dns_name(samba: SambaDomain) -> None:
    computer = await looked_up(samba, "ws1$")
    assert computer is not None
    assert (computer.name, computer.is_computer, computer.login) == ("WS1$", True, "ws1.ad.example.test")
    assert computer.sid == sid_in_ticket(samba, samba.log_in_computer("ws1"))


@pytest.mark.parametrize(
    ("name", "groups", "no_groups"),
    [
        # Engineers are Staff, Staff may use the Printers (of a domain-local group)
        ("alice", {"engineers", "staff", "printers", f"cn=staff,cn=users,{BASE.lower()}"}, {"managed"}),
        ("ws1$", {"laptops", "managed", "domain computers"}, {"staff"}),
        ("bob", {"domain users"}, {"engineers", "staff", "printers", "managed"}),
    ],
)
async def test_groups_count_by_way_of_others_too(
    samba: SambaDomain, name: str, groups: set[str], no_groups: set[str]
) -> None:
    account = await looked_up(samba, name)
    assert account is not None
    assert groups <= account.groups
    assert not no_groups & account.groups


async def test_who_is_disabled_with_a_ticket_that_is_still_good_is_known_to_be(samba: SambaDomain) -> None:
    cache = samba.log_in("bob")
    sid = sid_in_ticket(samba, cache)
    async with directory(settings(samba)) as opened:
        with samba.changed("bob", userAccountControl="514"):
            assert sid_in_ticket(samba, cache) == sid, "the service accepts it all the same"
            account = await opened.account(REALM, "bob", sid)
            assert account is not None
            assert account.is_disabled
        account = await opened.account(REALM, "bob", sid)
        assert account is not None
        assert not account.is_disabled


async def test_who_has_expired_is_known_to_have(samba: SambaDomain) -> None:
    account = await looked_up(samba, "erin")
    assert account is not None
    assert account.expires == datetime(2012, 12, 14, 23, 6, 40, tzinfo=UTC)
    assert (await looked_up(samba, "carol") or account).is_disabled


async def test_who_is_locked_out_after_wrong_passwords_counts_as_disabled_for_as_long(
    samba: SambaDomain,
) -> None:
    """The domain locks for half an hour; only what the controller computes says whether that is over."""
    for ago, is_disabled in ((timedelta(minutes=5), True), (timedelta(minutes=35), False)):
        since = (datetime.now(UTC) - ago - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10
        with samba.changed("bob", lockoutTime=str(since)):
            account = await looked_up(samba, "bob")
        assert account is not None
        assert account.is_disabled is is_disabled


@pytest.mark.parametrize("name", ["nobody", "*", "alice)(objectClass=*", "Engineers", "ali\x00ce", "é"])
async def test_names_of_no_account_find_none(samba: SambaDomain, name: str) -> None:
    assert await looked_up(samba, name) is None


async def test_a_hundred_at_once_get_their_own_answers(samba: SambaDomain) -> None:
    names = ["alice", "bob", "carol", "WS1$", "nobody"] * 20
    async with directory(settings(samba, seconds=30)) as opened:
        found = await asyncio.gather(*(opened.account(REALM, name, None) for name in names))
    assert [each and each.name for each in found] == [None if name == "nobody" else name for name in names]


async def test_one_who_gives_up_waiting_leaves_no_answer_to_the_next(samba: SambaDomain) -> None:
    async with directory(settings(samba)) as opened:
        await opened.check(REALM)
        for _ in range(5):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.0005):
                    await opened.account(REALM, "alice", None)
            account = await opened.account(REALM, "bob", None)
            assert account is not None
            assert account.name == "bob"


async def test_the_next_server_is_asked_where_one_does_not_answer(samba: SambaDomain) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away, deaf = f"ldap://127.0.0.1:{free_port()}", f"ldap://127.0.0.1:{silent.getsockname()[1]}"
        async with directory(settings(samba, away, deaf, samba.ldap_url, seconds=4)) as opened:
            assert await opened.account(REALM, "alice", None) is not None
            begun = loop.time()
            for _ in range(5):
                assert await opened.account(REALM, "alice", None) is not None
            assert loop.time() - begun < 1, "the one that answered is asked first"


async def test_a_directory_that_is_away_is_unavailable_and_comes_back(samba: SambaDomain) -> None:
    async with directory(settings(samba)) as opened:
        assert await opened.account(REALM, "alice", None) is not None
        with samba.stopped(), pytest.raises(DirectoryUnavailable, match=samba.ldap_url):
            await opened.account(REALM, "alice", None)
        assert await opened.account(REALM, "alice", None) is not None


async def test_a_directory_that_says_nothing_is_given_up_in_time_and_blocks_nobody(
    samba: SambaDomain,
) -> None:
    """The library would wait with the interpreter's lock held, both for Kerberos and for TLS."""
    loop = asyncio.get_running_loop()
    chosen = [
        settings(samba, seconds=1),
        settings(samba, samba.ldaps_url, bind=with_password(samba), seconds=1),
    ]
    with samba.silent():
        for each in chosen:
            async with directory(each) as opened:
                begun = loop.time()
                looking = asyncio.create_task(opened.account(REALM, "alice", None))
                longest = 0.0
                while not looking.done():
                    before = loop.time()
                    await asyncio.sleep(0.01)
                    longest = max(longest, loop.time() - before)
                with pytest.raises(DirectoryUnavailable, match="no answer"):
                    await looking
                assert loop.time() - begun < 5
                assert longest < 0.5
    assert await looked_up(samba, "alice") is not None


async def test_a_search_that_gets_no_answer_ends_the_connection_and_not_the_next_one(
    samba: SambaDomain,
) -> None:
    async with directory(settings(samba, seconds=3)) as opened:
        assert await opened.account(REALM, "alice", None) is not None
        with samba.silent(), pytest.raises(DirectoryUnavailable):
            await opened.account(REALM, "alice", None)
        assert await opened.account(REALM, "alice", None) is not None


def _foreign_ca(samba: SambaDomain) -> DirectorySettings:
    file = samba.new_file("foreign-ca.pem")
    file.write_bytes(Authority.create_root("Somebody").trust_pem)
    return settings(samba, samba.ldaps_url, bind=with_password(samba), ca_file=file)


def _open_file(samba: SambaDomain) -> DirectorySettings:
    bind = with_password(samba)
    Path(bind.password_file).chmod(0o644)
    return settings(samba, samba.ldaps_url, bind=bind)


REFUSALS: list[tuple[str, Callable[[SambaDomain], DirectorySettings], str]] = [
    ("a certificate of another authority", _foreign_ca, "contact"),
    (
        "a certificate for another name",
        lambda samba: settings(
            samba, samba.ldaps_url.replace("127.0.0.1", "localhost"), bind=with_password(samba)
        ),
        "contact",
    ),
    (
        "another password",
        lambda samba: settings(samba, samba.ldaps_url, bind=with_password(samba, "Wrong.Pw.1")),
        "Invalid credentials",
    ),
    (
        "a principal that is not in the keytab",
        lambda samba: settings(samba, bind=with_keytab(samba, "alice")),
        "no suitable keys",
    ),
    (
        "a keytab that is missing",
        lambda samba: settings(samba, bind=SaslBind("/nonexistent.keytab", SERVICE_ACCOUNT)),
        "nonexistent.keytab",
    ),
    ("a password that others may read", _open_file, "chmod 600"),
    ("a base that does not exist", lambda samba: settings(samba, base="DC=other,DC=test"), "base"),
]


@pytest.mark.parametrize(("what", "chosen", "said"), REFUSALS, ids=[what for what, _, _ in REFUSALS])
async def test_a_directory_that_is_not_to_be_trusted_or_not_to_be_asked_is_unavailable(
    samba: SambaDomain, what: str, chosen: Callable[[SambaDomain], DirectorySettings], said: str
) -> None:
    async with directory(chosen(samba)) as opened:
        for ask in (lambda: opened.check(REALM), lambda: opened.account(REALM, "alice", None)):
            with pytest.raises(DirectoryUnavailable, match=said) as refused:
                await ask()
            assert password(SERVICE_ACCOUNT) not in str(refused.value)


async def test_nothing_is_said_in_the_clear(samba: SambaDomain) -> None:
    """Somebody on the way sees neither the password, nor who is asked for."""
    seen = bytearray()
    target_port = int(samba.ldap_url.rpartition(":")[2])

    async def overhear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target_port)

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while octets := await source.read(65_536):
                seen.extend(octets)
                target.write(octets)
            target.close()

        await asyncio.gather(pass_on(reader, there_writer), pass_on(there_reader, writer))

    listener = await asyncio.start_server(overhear, "127.0.0.1", 0)
    url = f"ldap://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        for bind in (with_keytab(samba), with_password(samba)):
            seen.clear()
            async with directory(settings(samba, url, bind=bind)) as opened:
                assert await opened.account(REALM, "alice", None) is not None
            assert seen
            for secret in (b"alice", b"sAMAccountName", password(SERVICE_ACCOUNT).encode()):
                assert secret not in seen
