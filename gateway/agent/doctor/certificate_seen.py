"""Judgements of the certificate on this computer: there, ours, with its key, in time, not revoked, alone."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.agent.discovery import AttestationRule, Discovery
from gateway.agent.plan import Held, Standing
from gateway.agent.settings import KeyStorage
from gateway.agent.state import State
from gateway.agent.survey import issuer_common_name
from gateway.model.checkup import Check, CheckGroup, Subject

PRESENT: Final = Subject(CheckGroup.CERTIFICATE, "certificate is there")
ISSUER: Final = Subject(CheckGroup.CERTIFICATE, "issuer")
KEY: Final = Subject(CheckGroup.CERTIFICATE, "private key")
DATES: Final = Subject(CheckGroup.CERTIFICATE, "dates")
REVOCATION: Final = Subject(CheckGroup.CERTIFICATE, "revocation")
STORES: Final = Subject(CheckGroup.CERTIFICATE, "in the stores of browsers")
ALONE: Final = Subject(CheckGroup.CERTIFICATE, "no duplicates")
REMARKS: Final = Subject(CheckGroup.CERTIFICATE, "what could not be read")
TRUSTED: Final = Subject(CheckGroup.CERTIFICATE, "what the org says of it")

_ENROLL: Final = "run: devicetrust-agent --user --debug"
_RENEW: Final = "run: devicetrust-agent --user --forceRenewal"
_MAX_APPS: Final = 50


def current(held: Sequence[Held], state: State) -> Held | None:
    """The one that the agent got last, or else the one of ours that ends last."""
    own = [each for each in held if each.own or each.certificate.thumbprint == state.thumbprint]
    last = next((each for each in own if each.certificate.thumbprint == state.thumbprint), None)
    return last or max(own, key=lambda each: each.certificate.not_after, default=None)


def judge_certificate(
    held: Sequence[Held], state: State, told: Discovery | None, now: datetime, *, in_stores: bool = True
) -> Iterator[Check]:
    """``told`` None: the org was not reached, so nobody can say which authorities are its own. ``in_stores``:
    a browser's store has to have it."""
    found = current(held, state)
    if found is None:
        strangers = sorted({issuer_common_name(each.certificate) for each in held})
        if strangers:
            names = ", ".join(name or "nobody" for name in strangers)
            yield PRESENT.failed(f"none by an authority of this org; there are some by {names}", _ENROLL)
        else:
            yield PRESENT.failed("there is none", _ENROLL)
        return
    certificate = found.certificate
    whose = f", for {found.login}" if found.login else ""
    device = f" on {found.device}" if found.device else ""
    yield PRESENT.ok(f"serial number {certificate.serial_number:x}{whose}{device}")
    yield _issuer(found, told)
    yield judge_key(found, state, told)
    yield judge_dates(found, told, now)
    if told is None:
        yield REVOCATION.skipped("the org was not reached")
    else:
        yield judge_revocation(found.standing)
    yield judge_stores(found) if in_stores else STORES.skipped("SkipBrowserStores is set")
    yield judge_alone(held, now)


def judge_key(found: Held, state: State, told: Discovery | None) -> Check:
    if not found.has_key:
        return KEY.failed("it is gone, or not that of the certificate", _RENEW)
    storage = state.key_storage or "a browser's store"
    if told is not None and told.attestation is AttestationRule.REQUIRED and storage == KeyStorage.FILE.value:
        return KEY.failed("in a file, and the org takes keys in a TPM only", "set KeyStorage=tpm; " + _RENEW)
    return KEY.ok(f"there, in: {storage}")


def judge_dates(found: Held, told: Discovery | None, now: datetime) -> Check:
    begin, end = found.certificate.not_before, found.certificate.not_after
    if now >= end:
        return DATES.failed(f"expired on {end:%Y-%m-%d %H:%M} UTC", _ENROLL)
    if now < begin:
        return DATES.failed(
            f"valid from {begin:%Y-%m-%d %H:%M} UTC only", "set the clock of this computer: it is behind"
        )
    before = timedelta(days=30) if told is None else told.renew_before
    seen = f"until {end:%Y-%m-%d %H:%M} UTC"
    if end - now < before / 2:
        return DATES.warning(f"{seen}: it should have been renewed by now", _RENEW)
    return DATES.ok(seen)


def judge_revocation(standing: Standing) -> Check:
    match standing:
        case Standing.GOOD:
            return REVOCATION.ok("not revoked (OCSP)")
        case Standing.REVOKED:
            return REVOCATION.failed("revoked", f"if that was an accident: {_ENROLL.removeprefix('run: ')}")
        case Standing.ON_HOLD:
            return REVOCATION.failed(
                "on hold",
                "an administrator stopped this computer, and can let it go on: devicetrust ca release",
            )
        case _:
            return REVOCATION.warning(
                "the org gave no answer that counts (OCSP)", "see that OrgUrl/ocsp is reached, and the clock"
            )


def judge_stores(found: Held) -> Check:
    if not found.stores:
        without = ", ".join(sorted(found.keyless_stores))
        seen = f"without its key in {without}" if without else "in none"
        return STORES.failed(seen, "run: devicetrust-agent --user (with the browsers closed)")
    if found.keyless_stores:
        return STORES.warning(
            f"without its key in {', '.join(sorted(found.keyless_stores))}", "run: devicetrust-agent --user"
        )
    return STORES.ok(", ".join(sorted(found.stores)))


def judge_alone(held: Sequence[Held], now: datetime) -> Check:
    offered = [each for each in held if each.own and each.stores and now < each.certificate.not_after]
    if len(offered) > 1:
        numbers = ", ".join(f"{each.certificate.serial_number:x}" for each in offered)
        return ALONE.warning(
            f"browsers have {len(offered)} of this org: {numbers}",
            "run: devicetrust-agent --user; it removes all but the best",
        )
    return ALONE.ok("browsers have no other one of this org")


def judge_self(told: Mapping[str, Any]) -> Iterator[Check]:
    """The answer of `/enroll/self`: what the org makes of certificate, device and person, and of each app."""
    yield _trusted(told)
    apps = told.get("apps")
    for app in apps[:_MAX_APPS] if isinstance(apps, list) else []:
        if isinstance(app, dict):
            yield _app(app, trusted=told.get("trusted") is True)


def _trusted(told: Mapping[str, Any]) -> Check:
    if told.get("device_trust_enabled") is False:
        return TRUSTED.failed(
            "Device Trust is switched off: every device counts as not trusted",
            "an administrator switches it on; on the server: devicetrust doctor",
        )
    if told.get("trusted") is True:
        return TRUSTED.ok("trusted")
    said = ", ".join(
        f"{name} {each.get('status', '?')}" if isinstance(each := told.get(name), dict) else f"{name} deleted"
        for name in ("certificate", "device", "user")
    )
    return TRUSTED.failed(
        f"not trusted: {said}",
        "an administrator sees why: devicetrust ca list, and device and user in the API",
    )


def _app(app: Mapping[str, Any], *, trusted: bool) -> Check:
    subject = Subject(CheckGroup.SIGN_ON_POLICY, str(app.get("label") or app.get("name")))
    rule = app.get("rule")
    by = f'by rule "{rule}"' if rule else "by the default"
    if str(app.get("access")).lower() == "allow":
        factor = ", after another factor" if app.get("asks_for_factor") is True else ""
        return subject.ok(f"lets this person in at this computer {by}{factor}")
    seen = f"denies this person at this computer {by} ({app.get('reason')})"
    do = "see above" if not trusted else "if that is not meant: devicetrust policy explain, on the server"
    return subject.warning(seen, do)


def _issuer(found: Held, told: Discovery | None) -> Check:
    name = issuer_common_name(found.certificate)
    if told is None:
        return ISSUER.skipped(f"{name}; whether it is the org's is not known: it was not reached")
    if not found.own:
        return ISSUER.failed(f"{name}, which is no authority of {told.org}", _RENEW)
    if name != told.issuer_common_name:
        return ISSUER.warning(
            f"{name}; new certificates, and the browsers' policy, are of {told.issuer_common_name}", _RENEW
        )
    return ISSUER.ok(name)
