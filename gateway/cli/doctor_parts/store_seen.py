"""What the store says, read at once: the judgements of the doctor are made of it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from gateway.adapters.store import Store, View
from gateway.model.decision import Access
from gateway.model.issued import AuthorityKind, AuthorityRecord, AuthorityStatus, PublishedCrl
from gateway.model.iwa import Iwa
from gateway.model.log_event import LogQuery
from gateway.model.org import SettingName, UserSource
from gateway.model.settings import Zone
from gateway.policy import lint
from gateway.policy.conditions.device_trust import DeviceTrustCondition, RequiredTrust
from gateway.policy.rules import Policy, Rule, Status
from gateway.services.material import Material
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.policies import CompiledPolicy, compiled
from gateway.services.policy_work import PolicyRefused, device_trust_enabled
from gateway.services.publishing import shards_of
from gateway.system_log.catalog import EventType

_MAX_EVENTS: Final = 500
_MAX_USERS: Final = 20_000
LOOKED_BACK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class AppPolicy:
    """``findings`` are what the linter says of trust; ``denying`` the active rules that deny devices that
    are not trusted; ``trouble`` why it cannot be used, "" where it can."""

    app: str
    label: str
    denying: tuple[str, ...] = ()
    findings: tuple[lint.Finding, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class LogSeen:
    """``refusals`` by code, the most frequent first, each with the time of the last one."""

    last_enrollment: datetime | None
    last_authentication: datetime | None
    refusals: tuple[tuple[str, int, datetime], ...]
    since: datetime


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """``lists`` are (authority, shard, the CRL or None), ``directory_users`` (active, all)."""

    device_trust_enabled: bool
    read_only: bool
    authorities: tuple[AuthorityRecord, ...]
    lists: tuple[tuple[AuthorityRecord, int, PublishedCrl | None], ...] = field(repr=False)
    iwas: tuple[Iwa, ...]
    policies: tuple[AppPolicy, ...]
    directory_users: tuple[int, int]
    log: LogSeen


def read_store(store: Store, configuration: OrgConfiguration, now: datetime) -> StoreSeen:
    """In one snapshot. Raises StoreError."""
    with store.read() as view:
        policies = list(_policies(view, configuration))
        authorities = {each.id: each for each in view.authorities.all(AuthorityKind.ISSUING)}
        seen = StoreSeen(
            device_trust_enabled=device_trust_enabled(view, configuration),
            read_only=view.settings.get(SettingName.READ_ONLY) is True,
            authorities=tuple(authorities.values()),
            lists=tuple(
                (
                    authorities[shard.authority_id],
                    shard.number,
                    view.crls.get(shard.authority_id, shard.number),
                )
                for shard in shards_of(view)
            ),
            iwas=tuple(view.iwas.all()),
            policies=(),
            directory_users=_directory_users(view),
            log=_log(view, now),
        )
    return replace(
        seen,
        policies=tuple(
            each
            if isinstance(each, AppPolicy)
            else policy_seen(
                each.stored.app,
                configuration.apps[each.stored.app].label,
                each.policy,
                each.zones,
                each.device_trust_enabled,
            )
            for each in policies
        ),
    )


def issuing(seen: StoreSeen) -> AuthorityRecord | None:
    """The one that issues now."""
    active = [each for each in seen.authorities if each.status is AuthorityStatus.ACTIVE]
    return max(active, key=lambda each: each.generation, default=None)


def policy_seen(app: str, label: str, policy: Policy, zones: Mapping[str, Zone], enabled: bool) -> AppPolicy:
    """What matters of it. Up to a second of work for the largest policies."""
    trust = [(rule, _required(rule)) for rule in policy.rules if rule.status is Status.ACTIVE]
    return AppPolicy(
        app,
        label,
        denying=tuple(
            rule.name
            for rule, required in trust
            if rule.access is Access.DENY and required is not RequiredTrust.TRUSTED
        ),
        findings=lint.lint(policy, zones, enabled),
    )


def policies_of_files(material: Material) -> Iterator[AppPolicy]:
    """Where there is no store, the files are in force."""
    settings = material.settings
    zones = {zone.name: zone for zone in settings.zones}
    for app in settings.apps:
        policy = material.policies[app.name]
        yield policy_seen(app.name, app.label, policy, zones, settings.device_trust_enabled)


def _required(rule: Rule) -> RequiredTrust:
    condition = rule.condition(DeviceTrustCondition)
    return RequiredTrust.ANY if condition is None else condition.required


def _policies(view: View, configuration: OrgConfiguration) -> Iterator[CompiledPolicy | AppPolicy]:
    for name, app in sorted(configuration.apps.items()):
        stored = view.policies.of_app(name)
        if stored is None:
            yield AppPolicy(name, app.label, trouble="the store has no policy of it yet")
            continue
        try:
            yield compiled(view, configuration, stored)
        except PolicyRefused as refused:
            yield AppPolicy(name, app.label, trouble=str(refused))


def _directory_users(view: View) -> tuple[int, int]:
    """Of the first ones: whoever has that many has some of a directory, or none."""
    people = [
        user
        for user in islice(view.users.all(), _MAX_USERS)
        if user.source is UserSource.AD or user.directory_key is not None
    ]
    return sum(user.active for user in people), len(people)


def _log(view: View, now: datetime) -> LogSeen:
    since = now - LOOKED_BACK
    refused: Counter[str] = Counter()
    last: dict[str, datetime] = {}
    query = LogQuery(
        since=since,
        event_types=frozenset({EventType.CERTIFICATE_ISSUED.value, EventType.IWA_AUTHENTICATED.value}),
        descending=True,
        limit=_MAX_EVENTS,
    )
    for row in view.log.rows(query):
        event: dict[str, Any] = json.loads(row.event_json)
        outcome = event.get("outcome") or {}
        if outcome.get("result") != "FAILURE":
            continue
        code = str(outcome.get("reason") or "without a reason")
        refused[code] += 1
        last.setdefault(code, row.published)
    return LogSeen(
        last_enrollment=_newest(view, EventType.CERTIFICATE_ENROLLED, since),
        last_authentication=_newest(view, EventType.DEVICE_AUTHENTICATED, since),
        refusals=tuple((code, count, last[code]) for code, count in refused.most_common()),
        since=since,
    )


def _newest(view: View, kind: EventType, since: datetime) -> datetime | None:
    query = LogQuery(since=since, event_types=frozenset({kind.value}), descending=True, limit=1)
    row = next(iter(view.log.rows(query)), None)
    return None if row is None else row.published
