"""The two steps of the IWA web app, with tickets and a directory that say what a test needs."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.iwa_world import ALICE, BINDING, BOB, ENTRIES, KEY, LOOKED_UP, NOW, REGISTRATION, WS1, World

from gateway.enrollment.pac import AccountKind
from gateway.enrollment.refusals import EnrollmentRefused
from gateway.enrollment.ticket_accounts import TicketAccount
from gateway.enrollment.tokens import DomainAccount, verify_user_token
from gateway.model.iwa_settings import ChannelBindings
from gateway.services.iwa import Binding


async def code_of(step: Any) -> str:
    with pytest.raises(EnrollmentRefused) as refused:
        await step
    return refused.value.reason.value


async def test_both_steps_end_in_a_token_for_the_org() -> None:
    world = World()
    vouched = await world.iwa.user(ALICE, BINDING, await world.device_token())
    token = verify_user_token(
        vouched.token, KEY.public_key(), issuer=REGISTRATION.issuer, audience=REGISTRATION.audience, now=NOW
    )
    assert token.device == DomainAccount("WS1$@CORP", "CORP", "ws1.corp.example", WS1.sid)
    assert token.user == DomainAccount("alice@CORP", "CORP", "alice@corp.example", ALICE.sid)
    assert (token.key_thumbprint, token.nonce) == ("k" * 43, "nonce-1")


async def test_the_audience_of_the_file_counts_more_than_that_of_the_registration() -> None:
    world = World(audience="urn:other")
    vouched = await world.iwa.user(ALICE, BINDING, await world.device_token())
    verify_user_token(
        vouched.token, KEY.public_key(), issuer=REGISTRATION.issuer, audience="urn:other", now=NOW
    )


async def test_a_person_of_another_forest_may_use_the_computer() -> None:
    world = World()
    vouched = await world.iwa.user(BOB, BINDING, await world.device_token())
    assert vouched.account == DomainAccount("bob@PARTNER", "PARTNER", "bob@PARTNER")


async def test_each_step_is_for_its_own_kind_of_account() -> None:
    world = World()
    assert await code_of(world.iwa.device(ALICE, BINDING)) == "NOT_A_COMPUTER"
    token = await world.device_token()
    assert await code_of(world.iwa.user(WS1, BINDING, token)) == "NOT_A_USER"
    other = replace(ALICE, kind=AccountKind.OTHER)
    assert await code_of(world.iwa.user(other, BINDING, token)) == "NOT_A_USER"
    assert await code_of(world.iwa.device(other, BINDING)) == "NOT_A_COMPUTER"


@pytest.mark.parametrize(
    "binding", [Binding("x" * 43, "nonce-1"), Binding("k" * 43, "nonce-2")], ids=["key", "nonce"]
)
async def test_a_device_token_is_for_one_key_and_one_nonce(binding: Binding) -> None:
    world = World()
    assert await code_of(world.iwa.user(ALICE, binding, await world.device_token())) == "KEY_MISMATCH"


async def test_a_device_token_counts_once_and_for_minutes() -> None:
    world = World()
    token = await world.device_token()
    await world.iwa.user(ALICE, BINDING, token)
    assert await code_of(world.iwa.user(ALICE, BINDING, token)) == "DEVICE_TOKEN_REPLAYED"
    late = await world.device_token()
    world.clock.at += timedelta(minutes=7)
    assert await code_of(world.iwa.user(ALICE, BINDING, late)) == "DEVICE_TOKEN_EXPIRED"
    assert await code_of(world.iwa.user(ALICE, BINDING, "no token")) == "DEVICE_TOKEN_INVALID"


async def test_a_user_token_is_no_device_token() -> None:
    world = World()
    user_token = (await world.iwa.user(ALICE, BINDING, await world.device_token())).token
    assert await code_of(world.iwa.user(ALICE, BINDING, user_token)) == "DEVICE_TOKEN_INVALID"


async def test_a_refusal_does_not_use_the_device_token_up() -> None:
    world = World(directories=(LOOKED_UP,))
    token = await world.device_token()
    world.directory.is_down = True
    assert await code_of(world.iwa.user(ALICE, BINDING, token)) == "DIRECTORY_UNAVAILABLE"
    world.directory.is_down = False
    await world.iwa.user(ALICE, BINDING, token)


async def test_nothing_is_signed_before_the_org_knows_us() -> None:
    world = World()
    token = await world.device_token()
    world.registration = None
    assert await code_of(world.iwa.device(WS1, BINDING)) == "IWA_NOT_REGISTERED"
    assert await code_of(world.iwa.user(ALICE, BINDING, token)) == "IWA_NOT_REGISTERED"


async def test_the_directory_adds_what_it_knows() -> None:
    world = World(directories=(LOOKED_UP,))
    vouched = await world.iwa.user(ALICE, BINDING, await world.device_token())
    assert vouched.account == DomainAccount("alice@CORP", "CORP", "a.liddell@corp.example", ALICE.sid, "g-2")


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ({"is_disabled": True}, "ACCOUNT_DISABLED"),
        ({"expires": NOW}, "ACCOUNT_EXPIRED"),
        ({"expires": NOW + timedelta(seconds=1)}, None),
        ({"is_computer": True}, "NOT_A_USER"),
        ({"sid": "S-1-5-21-1-1-1-9"}, "ACCOUNT_NOT_FOUND"),
        ({"groups": frozenset({"others"})}, "NOT_IN_GROUP"),
        ({"groups": frozenset({"vips"})}, None),
    ],
)
async def test_what_the_directory_says_of_a_person_counts(what: dict[str, Any], code: str | None) -> None:
    world = World(directories=(LOOKED_UP,))
    world.directory.entries["alice"] = replace(ENTRIES["alice"], **what)
    step = world.iwa.user(ALICE, BINDING, await world.device_token())
    if code is None:
        await step
    else:
        assert await code_of(step) == code


async def test_an_account_that_is_not_in_the_directory_is_refused() -> None:
    world = World(directories=(LOOKED_UP,))
    del world.directory.entries["WS1$"]
    assert await code_of(world.iwa.device(WS1, BINDING)) == "ACCOUNT_NOT_FOUND"
    world.directory.entries["WS1$"] = replace(ENTRIES["alice"], sid=WS1.sid)
    assert await code_of(world.iwa.device(WS1, BINDING)) == "NOT_A_COMPUTER"


async def test_without_a_pac_the_sid_is_the_directorys() -> None:
    world = World(directories=(LOOKED_UP,))
    plain = TicketAccount("WS1$", "CORP", AccountKind.COMPUTER, "name")
    assert (await world.iwa.device(plain, BINDING)).account.sid == WS1.sid


async def test_no_directory_gives_accounts_the_sids_of_another_realm() -> None:
    world = World(directories=(LOOKED_UP, replace(LOOKED_UP, realm="PARTNER", user_groups=())))
    token = await world.device_token()  # shows which SIDs CORP has
    world.directory.entries["bob"] = replace(ENTRIES["alice"], name="bob")
    assert await code_of(world.iwa.user(BOB, BINDING, token)) == "REALM_NOT_TRUSTED"


@pytest.mark.parametrize(
    ("wanted", "over_tls", "is_bound", "code"),
    [
        (ChannelBindings.REQUIRED, True, True, None),
        (ChannelBindings.REQUIRED, True, False, "CHANNEL_BINDING_MISSING"),
        (ChannelBindings.REQUIRED, False, False, None),
        (ChannelBindings.WHEN_OFFERED, True, False, None),
        (ChannelBindings.OFF, True, False, None),
    ],
)
def test_a_ticket_names_its_connection_where_that_is_required(
    wanted: ChannelBindings, over_tls: bool, is_bound: bool, code: str | None
) -> None:
    world = World(channel_bindings=wanted, is_bound=is_bound)
    bindings = b"tls-server-end-point:hash" if over_tls else None
    if code is None:
        assert world.iwa.ticket(b"alice@CORP", bindings).answer == b"answer"
    else:
        with pytest.raises(EnrollmentRefused, match=code):
            world.iwa.ticket(b"alice@CORP", bindings)
        world.iwa.ticket(b"alice@CORP", bindings, must_be_bound=False)
    looked_at = None if wanted is ChannelBindings.OFF else bindings
    assert world.tickets.shown[0] == looked_at


async def test_looking_says_what_a_step_would() -> None:
    world = World(directories=(LOOKED_UP,))
    looked = await world.iwa.look(ALICE)
    assert looked.domain_account is not None
    assert (looked.domain_account.login, looked.refusal) == ("a.liddell@corp.example", None)
    world.directory.is_down = True
    assert (await world.iwa.look(WS1)).refusal is not None
