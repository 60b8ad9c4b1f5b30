"""The part of the walk in which computers get their certificates by themselves: by the agent, with a code or
by Kerberos; and who gets none."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.cli.demo_parts.agents import Agent, AgentRun
from gateway.cli.demo_parts.domain import Domain
from gateway.cli.demo_parts.processes import DEVICETRUST, ended
from gateway.cli.demo_parts.running import Demo, Seen
from gateway.cli.demo_parts.signing_on import Case, opens
from gateway.cli.demo_parts.site import ALICE, MTLS_DOMAIN, WIKI

_COMMAND_SECONDS: Final = 60.0
_LET_IN: Final = Seen("forwarded", f"as {ALICE.user}, device trusted")
_THIEF: Final = (sys.executable, "-P", "-m", "gateway.cli.demo_parts.stolen_token")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def by_code(*, kerberos: bool) -> list[Case]:
    cases = [
        Case("new computer, enrolls with a one-time code", _LET_IN, _enrolls_with_code),
        Case("its agent renews, over mTLS", _LET_IN, _renews_over_tls),
    ]
    if not kerberos:
        no_way = Seen("refused", "NO_IWA")
        cases.append(Case("revoked: no way back without the domain", no_way, _revoked(_laptop)))
    return cases


def by_kerberos() -> list[Case]:
    elsewhere = _revoked(_computer("alice"), lambda domain: domain.elsewhere)
    return [
        Case("domain-joined computer, by Kerberos", _LET_IN, _signs_on(_computer("alice"))),
        Case("its renewal, forced", _LET_IN, _signs_on(_computer("alice"), "--force-renewal")),
        Case("stolen user token, the thief's key", Seen("refused", "KEY_MISMATCH"), _stolen_token),
        Case("a person's ticket as a computer's", Seen("refused", "NOT_A_COMPUTER"), _impostor),
        Case("revoked, and off the company network", Seen("refused", "NO_TICKET"), elsewhere),
        Case("back on it: the agent heals by itself", _LET_IN, _signs_on(_computer("alice"))),
    ]


def suspended_person() -> list[Case]:
    """While Bob is suspended."""

    async def attempt(demo: Demo) -> Seen:
        return _refusal(await _computer("bob")(demo).run("--user"))

    return [Case("user suspended: gets no certificate", Seen("refused", "USER_INACTIVE"), attempt)]


async def devicetrust(demo: Demo, *words: str) -> tuple[int, str]:
    """A command at the gateway's machine: its status, and what it said."""
    command = [*DEVICETRUST, *words, "-c", str(demo.configuration)]
    return await ended(command, os.environ, _COMMAND_SECONDS)


def _laptop(demo: Demo) -> Agent:
    return demo.laptop


def _computer(person: str) -> Callable[[Demo], Agent]:
    return lambda demo: _domain(demo).computers[person]


def _domain(demo: Demo) -> Domain:
    assert demo.domain is not None, "these cases are for those who have one"
    return demo.domain


async def _enrolls_with_code(demo: Demo) -> Seen:
    return await _signs_on(_laptop, "--code", demo.org.enrollment_code)(demo)


async def _renews_over_tls(demo: Demo) -> Seen:
    agent = demo.laptop
    before = agent.vault.state().thumbprint
    run = await agent.run("--user", "--force-renewal", "--debug")
    if f"POST https://est.{MTLS_DOMAIN}" not in run.said:
        return Seen("broken", f"it was not asked over mTLS: {run.last_line[:200]}")
    if agent.vault.state().thumbprint == before:
        return Seen("broken", f"there is no other certificate: {run.last_line[:200]}")
    return await _sign_on_after(demo, agent, run)


def _signs_on(computer: Callable[[Demo], Agent], *arguments: str) -> Callable[[Demo], Awaitable[Seen]]:
    """The agent runs; then the person signs on with the certificate that it got."""

    async def attempt(demo: Demo) -> Seen:
        agent = computer(demo)
        before = agent.vault.state().thumbprint
        run = await agent.run("--user", *arguments)
        if run.status == 0 and agent.vault.state().thumbprint == before:
            return Seen("broken", f"there is no other certificate: {run.last_line[:200]}")
        return await _sign_on_after(demo, agent, run)

    return attempt


async def _sign_on_after(demo: Demo, agent: Agent, run: AgentRun) -> Seen:
    if run.status != 0:
        return _refusal(run)
    agent.write_bundle()
    return await opens(WIKI, agent.name)(demo)


def _revoked(
    computer: Callable[[Demo], Agent], environment: Callable[[Domain], Mapping[str, str]] | None = None
) -> Callable[[Demo], Awaitable[Seen]]:
    """Its certificate is revoked; no sign-on gets through, and the agent says why it gets no other one.
    ``environment``: where it is."""

    async def attempt(demo: Demo) -> Seen:
        agent = computer(demo)
        await demo.api.post(f"/certificates/{agent.vault.state().thumbprint}/lifecycle/revoke")
        locked = await opens(WIKI, agent.name)(demo)
        if locked.outcome != "locked":
            return locked
        there = _NOTHING if environment is None else environment(_domain(demo))
        return _refusal(await agent.run("--user", environment=there))

    return attempt


async def _stolen_token(demo: Demo) -> Seen:
    """A user token is good for one key only; whoever gets hold of it has another one."""
    return _refusal(await _computer("alice")(demo).run_command(_THIEF, _NOTHING))


async def _impostor(demo: Demo) -> Seen:
    return _refusal(await _domain(demo).impostor.run("--user"))


def _refusal(run: AgentRun) -> Seen:
    """What the agent was told; `broken` where it was not refused."""
    if run.refusal is None:
        return Seen("broken", f"status {run.status}: {run.last_line[:200]}")
    code, sentence = run.refusal
    return Seen("refused", code, sentence.rstrip("."))
