"""Use cases for the settings of the organization: the Device Trust switch, the Learn more link, and whether
it is read-only.

A setting that was never set here is what gateway.yaml says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from urllib.parse import urlsplit

from gateway.model.changes import StatePart, state_changed
from gateway.model.org import SettingName
from gateway.policy.conditions import Zones
from gateway.policy.rules import Policy
from gateway.policy.trust_impact import AppImpact, TrustRule, rules_using_trust, switch_impact
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.policies import compiled, policies
from gateway.services.policy_work import PolicyRefused, PolicyView, PolicyWork, device_trust_enabled
from gateway.services.refusals import InvalidValue, NotAllowedNow
from gateway.services.zone_sets import zones_in_force
from gateway.system_log.administration import setting_changed
from gateway.system_log.catalog import Occasion

MAX_URL_CHARACTERS: Final = 2_048

SettingValue = bool | str | None


class SettingRows(Protocol):
    def get(self, name: SettingName) -> object: ...
    def put(self, name: SettingName, value: object, at: datetime) -> None: ...
    def clear(self, name: SettingName) -> bool: ...


class SettingsWork(PolicyWork, Protocol):
    @property
    def settings(self) -> SettingRows: ...


class TrustStillUsed(Exception):
    """Device Trust was to be switched off while active ``rules`` look at the device."""

    def __init__(self, rules: Sequence[TrustRule]) -> None:
        super().__init__("active rules use Device Trust")
        self.rules = tuple(rules)


@dataclass(frozen=True, slots=True)
class OrgSettingsNow:
    """What counts, and which of it was set here (``edited``) instead of in gateway.yaml."""

    device_trust_enabled: bool
    learn_more_url: str | None
    read_only: bool
    edited: frozenset[SettingName]


@dataclass(frozen=True, slots=True)
class SwitchedPolicies:
    """What `switch_impact` is to be asked of, outside of the transaction: that takes up to seconds."""

    policies: Mapping[str, Policy]
    zones: Zones
    enabled: bool

    def impact(self) -> tuple[AppImpact, ...]:
        return switch_impact(self.policies, self.zones, enabled=self.enabled)


def settings_now(view: PolicyView, configuration: OrgConfiguration) -> OrgSettingsNow:
    values = {name: view.settings.get(name) for name in SettingName}
    url = values[SettingName.LEARN_MORE_URL]
    return OrgSettingsNow(
        device_trust_enabled=device_trust_enabled(view, configuration),
        learn_more_url=configuration.learn_more_url if url is None else str(url),
        read_only=values[SettingName.READ_ONLY] is True,
        edited=frozenset(name for name, value in values.items() if value is not None),
    )


def change_settings(
    work: SettingsWork,
    occasion: Occasion,
    configuration: OrgConfiguration,
    wanted: Mapping[SettingName, SettingValue],
    *,
    force: bool,
) -> SwitchedPolicies | None:
    """Set these; None leaves a setting to gateway.yaml again.

    Raises InvalidValue, and TrustStillUsed where Device Trust would be switched off while active rules use
    it, and NotAllowedNow where a policy cannot be compiled; with ``force`` neither. None: the switch was not
    turned.
    """
    before = device_trust_enabled(work, configuration)
    for name, value in wanted.items():
        _check(name, value)
    former = {name: work.settings.get(name) for name in wanted}
    for name, value in wanted.items():
        if value is None:
            work.settings.clear(name)
        else:
            work.settings.put(name, value, occasion.at)
    after = device_trust_enabled(work, configuration)
    switched = None
    if before != after:
        switched = _switched(work, configuration, enabled=after, force=force)
        rules = rules_using_trust(switched.policies)
        if not after and rules and not force:
            raise TrustStillUsed(rules)
    reason = "forced, although active rules use it" if before and not after and force else None
    changed = [name for name, value in wanted.items() if former[name] != value]
    for name in changed:
        is_switch = name is SettingName.DEVICE_TRUST_ENABLED
        work.log_event(
            setting_changed(
                occasion, name.value, former[name], wanted[name], reason=reason if is_switch else None
            )
        )
    if changed:
        work.record(state_changed(StatePart.SETTINGS))
    return switched


def _switched(
    view: PolicyView, configuration: OrgConfiguration, *, enabled: bool, force: bool
) -> SwitchedPolicies:
    found: dict[str, Policy] = {}
    for stored in policies(view, configuration):
        try:
            found[stored.app] = compiled(view, configuration, stored).policy
        except PolicyRefused as problem:
            if not force:
                raise NotAllowedNow(
                    f"what becomes of app {stored.app} cannot be told, for its policy is refused: {problem}"
                ) from None
    return SwitchedPolicies(found, zones_in_force(view, configuration), enabled)


def _check(name: SettingName, value: SettingValue) -> None:
    if value is None:
        return
    if name is not SettingName.LEARN_MORE_URL:
        if not isinstance(value, bool):
            raise InvalidValue(name.value, "must be true, false or null")
        return
    if not isinstance(value, str) or len(value) > MAX_URL_CHARACTERS or not value.isprintable():
        raise InvalidValue(name.value, "must be an http(s) address, or null")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise InvalidValue(name.value, "must be an http(s) address, or null") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in value:
        raise InvalidValue(name.value, "must be an http(s) address, or null")
