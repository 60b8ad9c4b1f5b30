"""Runs of the agent, as dialogues with a computer, an org and an IWA web app."""

import errno
import fcntl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.agent_world import BRANCH, HQ, IDENTITY, STORE, AgentWorld, Effects, Killed, refusal

from gateway.agent.plan import Standing
from gateway.agent.platform import Credential, EventLevel
from gateway.agent.refusal import LocalRefusal
from gateway.agent.schedule import Ending
from gateway.agent.settings import Settings
from gateway.agent.vault import AlreadyRunning, Vault, VaultFailed
from gateway.enrollment.refusals import EnrollmentRefusal as R


@pytest.fixture
def world(tmp_path: Path) -> AgentWorld:
    return AgentWorld(tmp_path)


def test_a_computer_without_a_certificate_gets_one_by_kerberos(world: AgentWorld) -> None:
    outcome = world.run()
    assert outcome.ending is Ending.FINE, outcome
    assert world.steps == [f"device token at {HQ.url}", f"user token at {HQ.url}"]
    assert world.installed() == world.org.issued
    assert len(world.keys) == 1
    assert world.org.wanted[0].replaces is None
    assert world.computer.policies[0].mtls_domain == "mtls.example.test"
    [(level, message)] = world.computer.events
    assert level is EventLevel.INFORMATION
    assert "is installed, good until 2027-11-26" in message
    state = world.vault.state()
    assert (state.login, state.device, state.device_id) == (IDENTITY.user, IDENTITY.device, "dev1")


def test_the_next_day_nothing_is_changed_and_nothing_logged(world: AgentWorld) -> None:
    world.run()
    world.pass_time(days=1)
    before = list(world.effects.done)
    outcome = world.run()
    assert outcome.sentence.endswith("is good until 2027-11-26, and is renewed from 2027-10-27 on")
    assert world.effects.done[len(before) :] == [f"install in {STORE}", "save the state"]
    assert len(world.computer.events) == 1
    assert world.org.asked.count("certificate") == 1


def test_a_new_profile_of_a_browser_gets_the_certificate_at_the_next_run(world: AgentWorld) -> None:
    world.run()
    world.computer.stores["/home/alice/.mozilla/firefox/x.default"] = {}
    world.run()
    assert world.installed("/home/alice/.mozilla/firefox/x.default") == world.org.issued


def test_what_is_due_is_renewed_by_kerberos_and_the_old_one_removed(world: AgentWorld) -> None:
    world.run()
    [old] = world.org.issued
    world.pass_time(days=340)
    assert world.run().got_one
    assert world.org.wanted[1].replaces == old.thumbprint
    assert world.installed() == [world.org.issued[1]]
    assert len(world.keys) == 1
    assert len(world.vault.names()) == 1


def test_away_from_the_company_network_it_is_renewed_with_the_certificate_itself(world: AgentWorld) -> None:
    world.run()
    world.pass_time(days=340)
    world.devices_refused[HQ.url] = refusal(LocalRefusal.UNREACHABLE)
    assert world.run().got_one
    assert world.org.asked[-1] == "tls"
    assert world.org.forced == [False]
    assert world.installed() == [world.org.issued[1]]


def test_where_tls_is_opened_on_the_way_a_proof_renews_it(world: AgentWorld) -> None:
    world.run()
    world.pass_time(days=340)
    world.no_kerberos = refusal(LocalRefusal.NO_KERBEROS, transient=False)
    world.org.refusing["tls"] = refusal(LocalRefusal.TLS_FAILED)
    assert world.run().got_one
    assert world.org.asked[-2:] == ["tls", "proof"]


def test_where_renewal_is_for_the_company_network_only_it_waits_for_that(world: AgentWorld) -> None:
    world.run()
    world.pass_time(days=340)
    world.org.renew_anywhere = False
    world.devices_refused[HQ.url] = refusal(LocalRefusal.UNREACHABLE)
    outcome = world.run()
    assert outcome.ending is Ending.PASSES
    assert world.installed() == [world.org.issued[0]]
    assert len(world.keys) == 1


@pytest.mark.parametrize("code", [R.ACCOUNT_DISABLED, R.ACCOUNT_EXPIRED, R.NOT_IN_GROUP, R.NOT_A_USER])
def test_who_is_disabled_in_the_directory_is_not_renewed_by_the_back_door(world: AgentWorld, code: R) -> None:
    world.run()
    world.pass_time(days=340)
    world.org.iwas = (HQ, BRANCH)
    world.users_refused[HQ.url] = refusal(code)
    outcome = world.run()
    assert outcome.refusal is not None
    assert (outcome.refusal.code, outcome.refusal.step) == (code.value, 3)
    assert outcome.ending is Ending.NEEDS_SOMEBODY
    assert "tls" not in world.org.asked
    assert world.steps[-1] == f"user token at {HQ.url}"


def test_what_the_org_refuses_is_not_tried_another_way(world: AgentWorld) -> None:
    world.run()
    world.pass_time(days=340)
    world.org.refusing["certificate"] = refusal(R.USER_INACTIVE)
    outcome = world.run()
    assert outcome.refusal is not None
    assert (outcome.refusal.code, outcome.refusal.step) == ("USER_INACTIVE", 4)
    assert "tls" not in world.org.asked
    assert world.installed() == world.org.issued


def test_a_renewal_can_be_forced(world: AgentWorld) -> None:
    world.run()
    world.pass_time(minutes=1)
    world.devices_refused[HQ.url] = refusal(LocalRefusal.UNREACHABLE)
    assert world.run(force=True).got_one
    assert world.org.forced == [True]
    assert world.installed() == [world.org.issued[1]]


def test_the_next_iwa_web_app_is_tried_where_one_is_down(world: AgentWorld) -> None:
    world.org.iwas = (HQ, BRANCH)
    world.devices_refused[HQ.url] = refusal(LocalRefusal.UNREACHABLE)
    assert world.run().got_one
    assert world.steps[-2:] == [f"device token at {BRANCH.url}", f"user token at {BRANCH.url}"]
    assert any("hq-1" in said and "the next one is tried" in said for said in world.said)


def test_of_several_refusals_that_is_told_which_says_most(world: AgentWorld) -> None:
    world.org.iwas = (HQ, BRANCH)
    world.devices_refused = {
        HQ.url: refusal(LocalRefusal.UNREACHABLE),
        BRANCH.url: refusal(R.REALM_NOT_TRUSTED),
    }
    outcome = world.run()
    assert outcome.refusal is not None
    assert outcome.refusal.code == "REALM_NOT_TRUSTED"


def test_a_revoked_certificate_is_replaced_and_removed(world: AgentWorld) -> None:
    world.run()
    [old] = world.org.issued
    world.org.revoked[old.thumbprint] = Standing.REVOKED
    assert world.run().got_one
    assert world.installed() == [world.org.issued[1]]
    assert world.org.wanted[1].replaces is None
    assert f"certificate {old.serial_number:x} was revoked: a new one is needed" in world.said
    assert f"certificate {old.serial_number:x} was revoked, and is removed" in world.said


def test_a_revoked_certificate_is_no_help_to_get_a_new_one(world: AgentWorld) -> None:
    world.run()
    world.org.revoked[world.org.issued[0].thumbprint] = Standing.REVOKED
    world.no_kerberos = refusal(LocalRefusal.NO_TICKET)
    outcome = world.run(force=True)
    assert outcome.refusal is not None
    assert outcome.refusal.code == "NO_TICKET"
    assert "tls" not in world.org.asked
    assert world.installed() == world.org.issued  # it stays, so that the page says why


def test_a_certificate_on_hold_is_left_to_whoever_put_it_on_hold(world: AgentWorld) -> None:
    world.run()
    world.org.revoked[world.org.issued[0].thumbprint] = Standing.ON_HOLD
    outcome = world.run(force=True)
    assert outcome.refusal is not None
    assert outcome.refusal.code == "ON_HOLD"
    assert len(world.org.issued) == 1


def test_a_certificate_whose_key_was_lost_is_replaced(world: AgentWorld) -> None:
    world.run()
    [name] = world.keys
    (world.computer.data_directory / "keys" / f"{name}.key").unlink()
    thumbprint = world.org.issued[0].thumbprint
    der, _ = world.computer.stores[STORE][thumbprint]
    world.computer.stores[STORE][thumbprint] = (der, False)
    assert world.run().got_one
    assert set(world.computer.stores[STORE]) == {world.org.issued[1].thumbprint}
    assert len(world.vault.names()) == 1


def test_a_key_file_that_is_open_to_others_is_not_used_again(world: AgentWorld) -> None:
    """Somebody else may have it: but the browser's copy is good, and is renewed by Kerberos when due."""
    world.run()
    [name] = world.keys
    (world.computer.data_directory / "keys" / f"{name}.key").chmod(0o644)
    outcome = world.run(force=True)
    assert outcome.got_one
    assert any("is open to others; run: chmod 600" in said for said in world.said)
    assert "tls" not in world.org.asked


def test_a_key_that_cannot_be_read_for_a_while_costs_no_certificate(world: AgentWorld) -> None:
    """A smart card that is out, a library that is not there after an upgrade: off the company network there
    is no new certificate, and the key may be well."""
    world.run()
    [name] = world.keys
    key = world.computer.data_directory / "keys" / f"{name}.key"
    thumbprint = world.org.issued[0].thumbprint
    der, _ = world.computer.stores[STORE][thumbprint]
    world.computer.stores[STORE][thumbprint] = (der, False)
    key.chmod(0o644)
    world.no_kerberos = refusal(LocalRefusal.NO_TICKET)
    assert world.run().refusal is not None
    assert world.vault.names() == (name,)
    key.chmod(0o600)
    world.computer.stores[STORE][thumbprint] = (der, True)
    world.said.clear()
    assert world.run().refusal is None
    assert world.installed() == world.org.issued


def test_a_certificate_that_was_deleted_in_the_browser_is_put_back(world: AgentWorld) -> None:
    world.run()
    world.computer.stores[STORE].clear()
    world.run()
    assert world.installed() == world.org.issued


def test_a_duplicate_is_removed(world: AgentWorld) -> None:
    world.run()
    world.pass_time(days=-1)
    older = world.org.authority.issue(IDENTITY)
    world.pass_time(days=1)
    world.org.issued.insert(0, older)
    world.computer.stores[STORE][older.thumbprint] = (older.der, True)
    world.run()
    assert world.installed() == [world.org.issued[1]]
    assert f"certificate {older.serial_number:x} is one too many, and is removed" in world.said


def test_the_issuer_in_a_store_is_no_certificate_that_lost_its_key(world: AgentWorld) -> None:
    world.run()
    issuing = world.org.authority.issuing
    world.computer.stores[STORE][issuing.thumbprint] = (issuing.der, False)
    world.run()
    assert issuing.thumbprint in world.computer.stores[STORE]
    assert [said for said in world.said if "private key" in said] == []


def test_a_certificate_of_an_earlier_org_is_replaced(world: AgentWorld, tmp_path: Path) -> None:
    world.run()
    other = AgentWorld(tmp_path)
    other.computer.stores = world.computer.stores
    assert other.run().got_one
    assert set(other.computer.stores[STORE]) == {other.org.issued[0].thumbprint}


def test_another_persons_ticket_does_not_take_the_certificate_away(world: AgentWorld, monkeypatch) -> None:
    world.run()
    world.pass_time(days=340)
    monkeypatch.setattr("gateway.agent.steps.decoded_token", lambda _: {"claims": {"user": {"sid": "S-1-5-9", "login": "admin@example.test"}}})  # fmt: skip  # noqa: E501
    assert world.run().got_one
    assert world.org.asked[-1] == "tls"
    assert any("the Kerberos ticket is admin@example.test's" in said for said in world.said)


def test_who_was_renamed_in_the_directory_is_still_the_same_person(world: AgentWorld, monkeypatch) -> None:
    claims = {"sid": "S-1-5-7", "login": IDENTITY.user}
    monkeypatch.setattr("gateway.agent.steps.decoded_token", lambda _: {"claims": {"user": claims}})
    world.run()
    world.pass_time(days=340)
    claims["login"] = "alice.smith@example.test"
    world.org.identity = replace(IDENTITY, user="alice.smith@example.test")
    assert world.run().got_one
    assert world.org.asked[-1] == "certificate"
    assert world.vault.state().login == "alice.smith@example.test"


def test_an_enrollment_code_takes_the_place_of_kerberos(world: AgentWorld) -> None:
    world.no_kerberos = refusal(LocalRefusal.NO_KERBEROS, transient=False)
    assert world.run(code="dte_good").got_one
    assert world.steps == []
    assert world.installed() == world.org.issued


def test_off_the_network_with_a_good_certificate_nothing_is_wrong(world: AgentWorld) -> None:
    world.run()
    world.org.refusing["discovery"] = refusal(LocalRefusal.UNREACHABLE)
    world.pass_time(days=1)
    outcome = world.run()
    assert (outcome.ending, outcome.refusal) == (Ending.PASSES, None)
    assert "the certificate is good until 2027-11-26" in outcome.sentence
    assert len(world.computer.events) == 1


def test_off_the_network_without_a_certificate_it_is_tried_again_soon(world: AgentWorld) -> None:
    world.org.refusing["discovery"] = refusal(LocalRefusal.UNREACHABLE)
    waits = []
    for _ in range(4):
        outcome = world.run()
        assert outcome.refusal is not None
        assert outcome.refusal.step == 1
        state = world.vault.state()
        assert state.next_run is not None
        waits.append(round((state.next_run - world.org.authority.now).total_seconds() / 60))
    assert waits == [17, 33, 50, 50]
    assert [level for level, _ in world.computer.events] == [EventLevel.WARNING]  # once, not four times


def test_it_is_logged_when_all_is_well_again(world: AgentWorld) -> None:
    world.run()
    world.org.revoked[world.org.issued[0].thumbprint] = Standing.ON_HOLD
    world.run()
    world.run()
    world.org.revoked.clear()
    world.run()
    levels = [level for level, _ in world.computer.events]
    assert levels == [EventLevel.INFORMATION, EventLevel.ERROR, EventLevel.INFORMATION]


def test_a_store_that_takes_nothing_costs_no_certificate(world: AgentWorld) -> None:
    world.run()
    world.pass_time(days=340)
    world.computer.full = True
    outcome = world.run()
    assert outcome.refusal is not None
    assert (outcome.refusal.code, outcome.refusal.step) == ("STORE_FAILED", 5)
    assert world.installed() == [world.org.issued[0]]
    world.computer.full = False
    assert world.run().ending is Ending.FINE
    assert world.installed() == [world.org.issued[1]]
    assert len(world.org.issued) == 2  # what was received is installed, not asked for again


def test_a_disk_that_is_full_for_a_moment_is_an_outcome_and_costs_nothing(
    world: AgentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(credential: Credential) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/run/user/1000/bundle.p12")

    with monkeypatch.context() as patched:
        patched.setattr(world.computer, "install", full)
        outcome = world.run()
    assert outcome.refusal is not None
    assert outcome.refusal.message == "/run/user/1000/bundle.p12: No space left on device"
    assert (outcome.ending, world.vault.state().failures) == (Ending.PASSES, 1)
    assert world.run().ending is Ending.FINE
    assert world.installed() == world.org.issued
    assert len(world.org.issued) == 1


def test_browsers_are_left_alone_where_that_is_set(tmp_path: Path) -> None:
    world = AgentWorld(tmp_path, settings=Settings("https://sso.example.test", skip_browser_setup=True))
    assert world.run().got_one
    assert world.computer.policies == []


def test_their_stores_are_left_alone_where_that_is_set(tmp_path: Path) -> None:
    settings = Settings("https://sso.example.test", skip_browser_stores=True)
    world = AgentWorld(tmp_path, settings=settings)
    world.computer.full = True
    assert world.run().got_one
    assert world.installed() == []
    assert world.run().ending is Ending.FINE  # it is kept, and not asked for again
    assert len(world.org.issued) == 1


def test_a_clock_that_is_wrong_is_told(world: AgentWorld) -> None:
    world.org.clock_ahead = -timedelta(minutes=7)
    world.run()
    assert "the clock of this computer is 420 seconds ahead of the organization's" in world.said


def test_a_key_that_somebody_else_made_in_the_same_place_is_left_alone(world: AgentWorld) -> None:
    """As in a token that several persons share."""
    (theirs := world.computer.data_directory / "keys").mkdir(parents=True, mode=0o700)
    world.computer.data_directory.chmod(0o700)
    (theirs / "file-theirs.key").touch(0o600)
    world.run()
    world.run(force=True)
    assert len(world.keys) == 2
    assert "file-theirs" in world.keys


def test_two_runs_never_work_at_once(world: AgentWorld) -> None:
    world.run()
    with world.vault.locked(), pytest.raises(AlreadyRunning), Vault(world.vault.directory).locked():
        pass
    assert world.run().ending is Ending.FINE


def test_a_file_system_that_knows_no_locks_is_no_run_at_work(
    world: AgentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS without its lock daemon: exit code 4 would be taken for good for ever."""

    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(VaultFailed, match="lock: cannot be locked: No locks available"):
        world.run()


def _first_enrollment(world: AgentWorld) -> None:
    pass


def _renewal(world: AgentWorld) -> None:
    world.run()
    world.pass_time(days=340)


def _renewal_elsewhere(world: AgentWorld) -> None:
    world.run()
    world.pass_time(days=340)
    world.no_kerberos = refusal(LocalRefusal.NO_TICKET)


def _revocation(world: AgentWorld) -> None:
    world.run()
    world.pass_time(minutes=1)
    world.org.revoked[world.org.issued[0].thumbprint] = Standing.REVOKED


def _keyless_duplicate(world: AgentWorld) -> None:
    world.run()
    other = world.org.authority.issue(IDENTITY)
    world.computer.stores[STORE][other.thumbprint] = (other.der, False)


@pytest.mark.parametrize(
    ("begin", "working_before"),
    [
        (_first_enrollment, False),
        (_renewal, True),
        (_renewal_elsewhere, True),
        (_revocation, False),
        (_keyless_duplicate, True),
    ],
)
@pytest.mark.parametrize("afterwards", [False, True])
def test_a_run_that_is_killed_anywhere_leaves_what_worked_and_is_finished_by_the_next(
    tmp_path: Path, begin, working_before: bool, afterwards: bool
) -> None:
    uninterrupted = AgentWorld(tmp_path / "whole")
    begin(uninterrupted)
    first = len(uninterrupted.effects.done)
    uninterrupted.run()
    effects = uninterrupted.effects.done[first:]
    assert len(effects) >= 2
    for number, what in enumerate(effects):
        world = AgentWorld(tmp_path / f"killed-{number}", Effects())
        begin(world)
        world.effects.kill_at = len(world.effects.done) + number
        world.effects.afterwards = afterwards
        with pytest.raises(Killed, match=what.split(" (")[0]):
            world.run()
        if working_before:
            assert _works(world), f"killed at {what}: nothing works any more"
        world.effects.kill_at = None
        outcome = world.run()
        assert outcome.ending is Ending.FINE, (what, outcome)
        assert _works(world), what
        [kept] = world.installed()
        assert kept.thumbprint == world.vault.state().thumbprint
        assert len(world.vault.names()) == len(world.keys) == 1, f"killed at {what}: something was left over"
        assert len(world.computer.stores[STORE]) == 1
        assert world.vault.begun() == ()


def _works(world: AgentWorld) -> bool:
    """Whether the browser has one that is good."""
    return any(
        each.not_after > world.org.authority.now and world.org.revoked.get(each.thumbprint) is None
        for each in world.installed()
    )
