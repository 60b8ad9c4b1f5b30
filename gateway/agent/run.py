"""One run of `devicetrust-agent --user`: find, plan, get a certificate, install it, clean up.

Whenever a run is interrupted, what worked before still works, and the next run goes on from there:

    a key was made                  it has no certificate: the next run removes it
    the certificate was received    it is in the agent's directory, with its key: the next run installs it
    it was installed                two certificates work: the next run removes the older one

So a certificate is given up only after a better one is where browsers find it.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, assert_never

from gateway.agent.discovery import AttestationRule, Discovery
from gateway.agent.enrolled import Enrolled, chain_of
from gateway.agent.keys.device_key import DeviceKey, KeyFailed, TokenKey, new_key_name
from gateway.agent.keys.keepers import Keepers
from gateway.agent.outcome import Outcome, RunOptions, failed, told_certificate, told_refusal
from gateway.agent.plan import (
    Circumstances,
    Enroll,
    Held,
    Keep,
    Plan,
    Remove,
    Renew,
    Standing,
    Wait,
    decide,
    renew_from,
)
from gateway.agent.platform import (
    BrowserPolicy,
    Change,
    Credential,
    EventLevel,
    FoundCertificate,
    Platform,
    PlatformFailed,
)
from gateway.agent.refusal import LocalRefusal, Refusal, Refused, refused
from gateway.agent.schedule import Ending, next_look
from gateway.agent.settings import KeyStorage, Settings
from gateway.agent.state import State, without_certificate
from gateway.agent.steps import FINAL, Means, Steps, at_step, client_certificate
from gateway.agent.survey import Survey, survey
from gateway.agent.vault import Vault, VaultFailed
from gateway.pki.certificate import Certificate

# Kerberos allows five minutes (RFC 4120 §3.1.3), our tokens two between their makers.
_NOTABLE_SKEW: Final = timedelta(minutes=2)


class Run:
    """One run. The caller holds the vault's lock. ``chance`` is in [0, 1), for the next run's time."""

    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        vault: Vault,
        keepers: Keepers,
        means: Means,
        chance: float,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._vault = vault
        self._keepers = keepers
        self._means = means
        self._chance = chance
        self._say: Callable[[str], None] = means.say
        self._state = State()

    def run(self, options: RunOptions) -> Outcome:
        """Everything that can fail in a run ends in an Outcome; it is remembered and logged."""
        before = self._vault.state()
        self._state = before
        try:
            outcome = self._find_and_act(options)
        except Refused as error:
            outcome = self._off_the_network(error.refusal) or failed(error.refusal)
        except KeyFailed as error:
            outcome = failed(Refusal(LocalRefusal.KEY_FAILED.value, str(error), error.remedy))
        except PlatformFailed as error:
            outcome = failed(
                Refusal(
                    LocalRefusal.STORE_FAILED.value,
                    str(error),
                    error.remedy,
                    transient=error.transient,
                    step=5,
                )
            )
        except VaultFailed as error:
            outcome = failed(Refusal(LocalRefusal.STORE_FAILED.value, str(error)))
        except OSError as error:  # a full disk, say, where a file is for a moment only
            what = f"{error.filename}: " if error.filename else ""
            outcome = failed(
                Refusal(LocalRefusal.STORE_FAILED.value, f"{what}{error.strerror or error}", transient=True)
            )
        self._remember(outcome)
        self._log(outcome, before)
        return outcome

    def _find_and_act(self, options: RunOptions) -> Outcome:
        self._means.trace.step(1)
        with at_step(1):
            discovery = self._means.org.discovery()
            authorities = self._means.org.authorities()
        self._note_skew(discovery)
        self._remove_keys_without_certificate()
        found = self._survey(authorities)
        for remark in found.remarks:
            self._say(remark)
        plan = decide(found.held, self._circumstances(discovery, options))
        for remark in plan.remarks:
            self._say(remark)
        self._say(plan.action.sentence)
        if not isinstance(plan.action, Keep):
            self._remove([each for each in plan.removals if each.at_once], found)
            plan = replace(plan, removals=tuple(each for each in plan.removals if not each.at_once))
        return self._carry_out(plan, Steps(self._means, discovery, authorities), found, options)

    def _carry_out(self, plan: Plan, steps: Steps, found: Survey, options: RunOptions) -> Outcome:
        match plan.action:
            case Wait(_, sentence):
                refusal = Refusal(
                    LocalRefusal.ON_HOLD.value,
                    sentence,
                    "devicetrust ca release, or POST /api/v1/certificates/ID/lifecycle/release.",
                )
                return Outcome(Ending.NEEDS_SOMEBODY, sentence, refusal)
            case Keep(held, sentence):
                self._keep(held, steps)
                self._remove(plan.removals, found)
                return Outcome(Ending.FINE, sentence)
            case Renew(held, _, forced):
                return self._replace(plan, steps, found, options, held, forced=forced)
            case Enroll(_, replaces):
                return self._replace(plan, steps, found, options, replaces, forced=False)
            case _:
                assert_never(plan.action)

    def _keep(self, held: Held, steps: Steps) -> None:
        """See that it is where browsers look: a profile may be new, a run may have been interrupted."""
        if held.key_name is not None:
            key = self._keepers.of(held.key_name).open(held.key_name)
            if key is not None:
                self._install(key, held.certificate, chain_of(held.certificate, steps.authorities))
            self._state = replace(
                self._state,
                key_name=held.key_name,
                thumbprint=held.certificate.thumbprint,
                not_after=held.certificate.not_after,
                renew_from=renew_from(held.certificate, steps.discovery.renew_before),
                login=held.login or self._state.login,
                device=held.device or self._state.device,
            )
        self._set_up_browsers(steps.discovery)

    def _replace(
        self,
        plan: Plan,
        steps: Steps,
        found: Survey,
        options: RunOptions,
        former: Held | None,
        *,
        forced: bool,
    ) -> Outcome:
        keeper = self._keepers.for_new_keys()
        name = new_key_name(keeper.storage)
        self._vault.begin(name)
        key = keeper.create(name)
        self._means.trace.note(f"a new key, kept in: {key.storage}")
        try:
            enrolled, account = self._got(steps, key, plan, options, former, forced=forced)
        except (Refused, KeyFailed):
            self._forget_key(name)
            self._vault.end(name)
            raise
        self._vault.save_certificate(name, enrolled.certificate, enrolled.chain)
        self._vault.end(name)
        self._state = replace(
            self._state,
            key_name=name,
            thumbprint=enrolled.certificate.thumbprint,
            not_after=enrolled.certificate.not_after,
            renew_from=enrolled.renew_from or renew_from(enrolled.certificate, steps.discovery.renew_before),
            login=enrolled.login,
            device=enrolled.device,
            device_id=enrolled.device_id or self._state.device_id,
            account=account or self._state.account,
            key_storage=key.storage,
        )
        self._vault.save_state(self._state)
        self._means.trace.step(5)
        self._install(key, enrolled.certificate, enrolled.chain)
        self._set_up_browsers(steps.discovery)
        removals = list(plan.removals)
        if former is not None and all(each.held is not former for each in removals):
            removals.append(
                Remove(former, f"certificate {former.certificate.serial_number:x} is replaced", True)
            )
        self._remove(removals, found)
        return Outcome(Ending.FINE, told_certificate(enrolled), got_one=True)

    def _got(
        self,
        steps: Steps,
        key: DeviceKey,
        plan: Plan,
        options: RunOptions,
        former: Held | None,
        *,
        forced: bool,
    ) -> tuple[Enrolled, str | None]:
        if options.code is not None:
            return steps.by_code(key, options.code), None
        try:
            return steps.by_kerberos(key, former, self._state.account)
        except Refused as error:
            away = self._renewable_away(steps.discovery, plan, error.refusal)
            if away is None:
                raise
            held, former_key = away
            self._say(f"Kerberos did not help ({error.refusal.message}): the certificate itself is shown")
            file = self._vault.certificate_file(former_key.name)
            shown = client_certificate(former_key, file)
            return steps.by_certificate(key, held, former_key, shown, force=forced), None

    def _renewable_away(
        self, discovery: Discovery, plan: Plan, refusal: Refusal
    ) -> tuple[Held, DeviceKey] | None:
        """The certificate that may be renewed by itself, and its key. Never around a refusal of the account:
        whoever was disabled in the directory is not renewed by the back door."""
        if not isinstance(plan.action, Renew) or plan.action.held.key_name is None:
            return None
        if not discovery.renew_anywhere or refusal.code in FINAL or (refusal.step or 0) >= 4:
            return None
        if plan.action.held.standing is Standing.REVOKED:
            return None
        key = self._keepers.of(plan.action.held.key_name).open(plan.action.held.key_name)
        return None if key is None else (plan.action.held, key)

    def _off_the_network(self, refusal: Refusal) -> Outcome | None:
        """A laptop that is elsewhere, with a certificate that is good and not due: nothing is wrong."""
        due, name = self._state.renew_from, self._state.key_name
        if refusal.step != 1 or not refusal.transient or due is None or self._means.now() >= due:
            return None
        if name is None or not self._vault.certificate(name):
            return None
        until = f"{self._state.not_after:%Y-%m-%d}" if self._state.not_after else "later"
        return Outcome(Ending.PASSES, f"{refusal.message}; the certificate is good until {until}")

    def _survey(self, authorities: Sequence[Certificate]) -> Survey:
        now = self._means.now()

        def ask(certificate: Certificate, issuer: Certificate) -> Standing:
            return self._means.org.standing(certificate, issuer, now)

        return survey(self._vault, self._keepers, self._platform, authorities, ask, now)

    def _circumstances(self, discovery: Discovery, options: RunOptions) -> Circumstances:
        needed = (
            discovery.attestation is AttestationRule.REQUIRED and self._settings.key_storage is KeyStorage.TPM
        )
        names = frozenset(name for name in self._vault.names() if name.startswith(f"{KeyStorage.TPM.value}-"))
        return Circumstances(
            now=self._means.now(),
            renew_before=discovery.renew_before,
            login=self._state.login,
            device=self._state.device,
            force=options.force or options.code is not None,
            hardware_needed=needed,
            hardware_keys=names,
        )

    def _install(self, key: DeviceKey, certificate: Certificate, chain: Sequence[Certificate]) -> None:
        """Raises Refused where no store took it; PlatformFailed."""
        if self._settings.skip_browser_stores:
            self._means.trace.note("no browser's store is touched: SkipBrowserStores is set")
            return
        if key.place is None:
            self._say("browsers cannot use this key: it is kept where they do not look")
            return
        credential = Credential(certificate.der, tuple(each.der for each in chain), key.place)
        with at_step(5):
            if isinstance(key, TokenKey):
                key.keep_certificate(certificate.der)
            changes = self._platform.install(credential)
            self._tell(changes)
            if changes and not any(each.done for each in changes):
                raise refused(
                    LocalRefusal.STORE_FAILED,
                    f"no store took the certificate: {changes[0].where}: {changes[0].detail}",
                    "Nothing was removed; the next run tries again.",
                    transient=True,
                )

    def _set_up_browsers(self, discovery: Discovery) -> None:
        if self._settings.skip_browser_setup:
            return
        policy = BrowserPolicy(discovery.mtls_domain, discovery.issuer_common_name, discovery.mtls_port)
        self._tell(self._platform.set_up_browsers(policy))

    def _remove(self, removals: Iterable[Remove], found: Survey) -> None:
        for each in removals:
            self._say(each.sentence)
            thumbprint = each.held.certificate.thumbprint
            for entry in found.entries.get(thumbprint, ()):
                self._remove_entry(entry)
            for name in self._vault.names():
                certificates = self._vault.certificate(name)
                if certificates and certificates[0].thumbprint == thumbprint:
                    self._forget_key(name)
                    self._vault.remove_certificate(name)
                    if self._state.key_name == name:
                        self._state = without_certificate(self._state)

    def _remove_entry(self, entry: FoundCertificate) -> None:
        try:
            self._tell([self._platform.remove(entry)])
        except PlatformFailed as error:
            self._say(f"{entry.store}: {entry.handle} was not removed: {error}")

    def _remove_keys_without_certificate(self) -> None:
        """Of runs that were interrupted."""
        for name in self._vault.begun():
            if name not in self._vault.names():
                self._say(f"the key {name} of an interrupted run is removed")
                self._forget_key(name)
            self._vault.end(name)

    def _forget_key(self, name: str) -> None:
        with contextlib.suppress(KeyFailed):  # the token is not there, say: the key is worth nothing anyway
            self._keepers.of(name).delete(name)

    def _note_skew(self, discovery: Discovery) -> None:
        if discovery.time is None:
            return
        skew = self._means.now() - discovery.time
        if abs(skew) > _NOTABLE_SKEW:
            way = "ahead of" if skew > timedelta(0) else "behind"
            seconds = abs(skew).total_seconds()
            self._say(f"the clock of this computer is {seconds:.0f} seconds {way} the organization's")

    def _tell(self, changes: Iterable[Change]) -> None:
        for each in changes:
            told = f"{each.what}: {each.where}" + (f": {each.detail}" if each.detail else "")
            if each.done:
                self._means.trace.note(told)
            else:
                self._say(f"not done: {told}")

    def _remember(self, outcome: Outcome) -> None:
        now = self._means.now()
        fine = outcome.ending is Ending.FINE
        failures = 0 if fine else self._state.failures + 1
        self._state = replace(
            self._state,
            outcome=outcome.sentence,
            last_run=now,
            last_success=now if fine else self._state.last_success,
            next_run=next_look(outcome.ending, failures, now, self._chance),
            failures=failures,
            refusal=outcome.refusal,
        )
        with contextlib.suppress(VaultFailed):  # what failed before is what is to be told
            self._vault.save_state(self._state)

    def _log(self, outcome: Outcome, before: State) -> None:
        """What is new. That all is well every day, or that the same still fails, is in `status`."""
        if outcome.got_one:
            self._platform.log_event(EventLevel.INFORMATION, outcome.sentence)
        elif outcome.refusal is not None:
            known = before.refusal is not None and before.refusal.code == outcome.refusal.code
            if not known:
                passes = outcome.ending is Ending.PASSES
                level = EventLevel.WARNING if passes else EventLevel.ERROR
                self._platform.log_event(level, told_refusal(outcome.refusal))
        elif before.refusal is not None:
            self._platform.log_event(EventLevel.INFORMATION, outcome.sentence)
