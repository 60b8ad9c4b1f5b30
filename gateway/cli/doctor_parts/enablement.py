"""Whether Device Trust is there at all: configuration, org process, switch, authority and its lists."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from gateway.cli.checks.finding import Finding, Severity, when
from gateway.cli.doctor_parts.store_seen import StoreSeen, issuing
from gateway.model.checkup import Check, CheckGroup, Subject
from gateway.model.settings import GatewaySettings

CONFIGURATION: Final = Subject(CheckGroup.ENABLEMENT, "configuration")
ORG_PROCESS: Final = Subject(CheckGroup.ENABLEMENT, "org process")
STORE: Final = Subject(CheckGroup.ENABLEMENT, "store")
SWITCH: Final = Subject(CheckGroup.ENABLEMENT, "global Device Trust switch")
READ_ONLY: Final = Subject(CheckGroup.ENABLEMENT, "read-only switch")
AUTHORITY: Final = Subject(CheckGroup.CERTIFICATE, "authority that issues")
LISTS: Final = Subject(CheckGroup.CERTIFICATE, "revocation lists")
PEOPLE: Final = Subject(CheckGroup.REGISTRATION_TASK, "people from the directory")

_SHOWN: Final = 3
# A list is made anew at half of its lifetime: one that was not by then is not made any more.
_LATE: Final = timedelta(minutes=10)


def judge_configuration(path: str, findings: Sequence[Finding]) -> Check:
    """Of what `devicetrust check` finds, the worst."""
    grave = [each for each in findings if each.severity in (Severity.UNUSABLE, Severity.PROBLEM)]
    warnings = [each for each in findings if each.severity is Severity.WARNING]
    told = grave or warnings
    if not told:
        return CONFIGURATION.ok(f"{path}: nothing to find")
    shown = "; ".join(f"{each.place}: {each.what}" for each in told[:_SHOWN])
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    do = f"{told[0].do}; all of it: devicetrust check -c {path}"
    return (CONFIGURATION.failed if grave else CONFIGURATION.warning)(shown + more, do)


def judge_org_process(status: int | None, trouble: str, path: str) -> Check:
    """``status`` is its answer over its socket, None where there was none."""
    if status == 200:
        return ORG_PROCESS.ok("answers at its socket")
    seen = f"answers {status}" if status is not None else trouble
    return ORG_PROCESS.failed(
        seen, f"start the gateway: devicetrust serve -c {path}; its log says why the org does not start"
    )


def judge_switch(enabled: bool, path: str) -> Check:
    if enabled:
        return SWITCH.ok("on")
    return SWITCH.failed(
        "off: every device counts as not trusted",
        f"set device_trust.enabled in {path}, or switch it on by PUT /api/v1/settings",
    )


def judge_read_only(seen: StoreSeen) -> Check:
    if seen.read_only:
        return READ_ONLY.failed(
            "on: nobody is enrolled, nothing is renewed or revoked", "switch it off when its reason is gone"
        )
    return READ_ONLY.ok("off")


def judge_authority(seen: StoreSeen, settings: GatewaySettings, now: datetime) -> Iterator[Check]:
    if not any(each.builtin for each in settings.authorities):
        names = ", ".join(each.name for each in settings.authorities) or "none"
        yield AUTHORITY.skipped(f"device certificates come from elsewhere (authorities: {names})")
        return
    found = issuing(seen)
    if found is None:
        yield AUTHORITY.failed("there is none in the store", "run: devicetrust ca init")
        return
    name = f"{found.name}, generation {found.generation}"
    left = found.not_after - now
    if left <= timedelta(0):
        yield AUTHORITY.failed(f"{name}, expired on {when(found.not_after)}", "run: devicetrust ca rollover")
    elif left <= settings.ca.certificate_lifetime:
        yield AUTHORITY.warning(
            f"{name}, expires on {when(found.not_after)}, and what it issues no later",
            "run: devicetrust ca rollover",
        )
    else:
        yield AUTHORITY.ok(f"{name}, until {when(found.not_after)}")
    yield judge_lists(seen, settings, now)


def judge_lists(seen: StoreSeen, settings: GatewaySettings, now: datetime) -> Check:
    if not seen.lists:
        return LISTS.skipped("no authority publishes any")
    missing = [(authority, shard) for authority, shard, crl in seen.lists if crl is None]
    stale = [
        (authority, shard, crl) for authority, shard, crl in seen.lists if crl and crl.next_update <= now
    ]
    late = [
        crl
        for _, _, crl in seen.lists
        if crl and crl.next_update - now < settings.ca.crl_lifetime / 2 - _LATE
    ]
    do = "see that the gateway runs and that the authority's key opens: its log says why none was signed"
    if missing:
        authority, shard = missing[0]
        return LISTS.failed(
            f"{authority.name}, shard {shard}, was never published ({len(missing)} such)",
            do,
        )
    if stale:
        authority, shard, crl = stale[0]
        return LISTS.failed(
            f"{authority.name}, shard {shard}, ran out on {when(crl.next_update)} ({len(stale)} such)", do
        )
    if late:
        return LISTS.warning(f"{len(late)} of {len(seen.lists)} should have been made anew by now", do)
    soonest = min(crl.next_update for _, _, crl in seen.lists if crl is not None)
    return LISTS.ok(f"{len(seen.lists)} published, good until {when(soonest)} or later")


def judge_people(seen: StoreSeen, settings: GatewaySettings) -> Check:
    if not seen.iwas:
        return PEOPLE.skipped("without an IWA web app nobody enrolls by the directory")
    active, known = seen.directory_users
    if active:
        return PEOPLE.ok(f"{active} of {known} are active")
    if settings.enrollment.create_users:
        return PEOPLE.ok("none yet; whoever enrolls is made known (device_trust.enrollment.create_users)")
    seen_text = "there are none" if not known else f"none of {known} is active"
    return PEOPLE.failed(
        seen_text,
        "make them known with credentials.provider.type ACTIVE_DIRECTORY (POST /api/v1/users) and activate "
        "them, or set device_trust.enrollment.create_users",
    )
