"""What a run has to do, from what was found on this computer: keep, renew, enroll, remove. Pure.

    good, with its key          keep; renew when it is due, or when that is forced
    revoked, expired            enroll, and remove it when the new one is installed
    without its key             remove it at once, since no browser offers it; enroll if there is no other
    its key cannot be read now  enroll, and remove it when the new one is installed: a card may be out, a
                                library not be there, and the key be well
    several good ones           keep the one that browsers pick, the latest to end; remove the others
    on hold                     nothing: an administrator stopped this computer, and may let it go on
    another person's or         replace it if this agent made it, else leave it and say so
      another computer's
    by another authority        the same: the agent may have been set to another org meanwhile

Each verdict comes with a sentence for people. What is removed is always an own certificate: one that an
authority of the org signed, or that this agent made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.pki.certificate import Certificate


class Standing(StrEnum):
    """What the org says of a certificate of its own (RFC 6960)."""

    GOOD = "good"
    REVOKED = "revoked"
    ON_HOLD = "on hold"
    UNKNOWN = "unknown"  # it did not answer, or does not know it


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate that is on this computer.

    ``own``: an authority of the org signed it (verified). ``key_name``: the agent's own key of it, which can
    be used; None where there is none. ``key_in_doubt``: there may be one, which cannot be read now.
    ``stores`` have it with its key, ``keyless_stores`` without.
    """

    certificate: Certificate
    own: bool
    key_name: str | None
    stores: frozenset[str] = frozenset()
    keyless_stores: frozenset[str] = frozenset()
    standing: Standing = Standing.UNKNOWN
    login: str | None = None
    device: str | None = None
    key_in_doubt: bool = False

    @property
    def has_key(self) -> bool:
        return self.key_name is not None or bool(self.stores)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """``login`` and ``device`` are whose certificate this agent got last, None before. ``force``: somebody
    asked for a new certificate. ``hardware_needed``: the org takes only keys in a TPM, and the setting is
    such that a new key is in one; ``hardware_keys`` are the names of the agent's keys that are."""

    now: datetime
    renew_before: timedelta
    login: str | None = None
    device: str | None = None
    force: bool = False
    hardware_needed: bool = False
    hardware_keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Keep:
    held: Held
    sentence: str


@dataclass(frozen=True, slots=True)
class Renew:
    """Get a new certificate while the old one works. ``forced``: before it is due."""

    held: Held
    sentence: str
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Enroll:
    """Get a certificate by Kerberos, or by a code: none that is here would do."""

    sentence: str
    replaces: Held | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done here."""

    held: Held
    sentence: str


@dataclass(frozen=True, slots=True)
class Remove:
    """``at_once``, or when the run has installed something better."""

    held: Held
    sentence: str
    at_once: bool


@dataclass(frozen=True, slots=True)
class Plan:
    action: Keep | Renew | Enroll | Wait
    removals: tuple[Remove, ...] = ()
    remarks: tuple[str, ...] = field(default=())


class _Fault(StrEnum):
    """Why a certificate of this person on this computer is not good; the order is that of the telling."""

    REVOKED = "was revoked"
    EXPIRED = "has expired"
    KEYLESS = "has lost its private key"
    STRANGE = "is another person's or another computer's"
    OTHER_AUTHORITY = "is by an authority that the organization does not have"
    NOT_IN_HARDWARE = "has a key outside of a TPM, which the organization asks for"


def decide(found: Sequence[Held], about: Circumstances) -> Plan:
    remarks: list[str] = []
    good: list[Held] = []
    faulty: list[tuple[Held, _Fault]] = []
    waiting: list[Held] = []
    for held in found:
        if not held.own and held.key_name is None:
            remarks.append(
                f"{_name(held)} is by another authority of the same name, and is left alone; "
                "browsers may pick it"
            )
        elif _is_strange(held, about) and held.key_name is None and held.has_key:
            remarks.append(f"{_name(held)} is {held.login or held.device}'s, and is left alone")
        elif (fault := _fault(held, about)) is not None:
            faulty.append((held, fault))
        elif held.standing is Standing.ON_HOLD:
            waiting.append(held)
        else:
            good.append(held)
    best = max(good, key=_preference, default=None)
    action = _action(best, waiting, faulty, about)
    keeps = isinstance(action, Keep)
    removals = [_removal(held, fault, at_once=keeps) for held, fault in faulty]
    removals += [
        Remove(held, f"{_name(held)} is one too many, and is removed", at_once=keeps)
        for held in good
        if held is not best
    ]
    if best is not None and about.now < best.certificate.not_before:
        remarks.append(f"{_name(best)} is not valid yet: the clock of this computer is behind")
    return Plan(action, tuple(removals), tuple(remarks))


def renew_from(certificate: Certificate, renew_before: timedelta) -> datetime:
    """When it is due: ``renew_before`` its end, but never in the first half of its life, which a certificate
    for some days would never leave otherwise."""
    lifetime = certificate.not_after - certificate.not_before
    return certificate.not_after - min(renew_before, lifetime / 2)


def _action(
    best: Held | None,
    waiting: Sequence[Held],
    faulty: Sequence[tuple[Held, _Fault]],
    about: Circumstances,
) -> Keep | Renew | Enroll | Wait:
    if best is not None:
        return _with_a_good_one(best, about)
    if waiting:
        held = max(waiting, key=_preference)
        return Wait(held, f"{_name(held)} is on hold: an administrator has to release it")
    if faulty:
        order = list(_Fault)
        held, fault = min(faulty, key=lambda each: order.index(each[1]))
        replaces = held if fault is _Fault.NOT_IN_HARDWARE else None
        return Enroll(f"{_name(held)} {fault.value}: a new one is needed", replaces)
    return Enroll("there is no certificate yet")


def _with_a_good_one(best: Held, about: Circumstances) -> Keep | Renew:
    due = renew_from(best.certificate, about.renew_before)
    if about.now >= due:
        return Renew(best, f"{_name(best)} ends on {_day(best.certificate.not_after)}: it is renewed")
    if about.force:
        return Renew(best, f"{_name(best)} is renewed before it is due, as was asked for", forced=True)
    until = _day(best.certificate.not_after)
    return Keep(best, f"{_name(best)} is good until {until}, and is renewed from {_day(due)} on")


def _fault(held: Held, about: Circumstances) -> _Fault | None:
    if held.standing is Standing.REVOKED:
        return _Fault.REVOKED
    if about.now >= held.certificate.not_after:
        return _Fault.EXPIRED
    if not held.has_key:
        return _Fault.KEYLESS
    if not held.own:
        return _Fault.OTHER_AUTHORITY
    if _is_strange(held, about):
        return _Fault.STRANGE
    if about.hardware_needed and held.key_name not in about.hardware_keys:
        return _Fault.NOT_IN_HARDWARE
    return None


def _is_strange(held: Held, about: Circumstances) -> bool:
    other_person = None not in (about.login, held.login) and held.login != about.login
    other_device = None not in (about.device, held.device) and held.device != about.device
    return other_person or other_device


def _removal(held: Held, fault: _Fault, *, at_once: bool) -> Remove:
    sentence = f"{_name(held)} {fault.value}, and is removed"
    # Nobody can use it; all others at least tell a person why the sign-on fails, until there is a new one.
    return Remove(held, sentence, at_once or (fault is _Fault.KEYLESS and not held.key_in_doubt))


def _preference(held: Held) -> tuple[bool, datetime, datetime, str]:
    certificate = held.certificate
    return held.key_name is not None, certificate.not_after, certificate.not_before, certificate.thumbprint


def _name(held: Held) -> str:
    return f"certificate {held.certificate.serial_number:x}"


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
