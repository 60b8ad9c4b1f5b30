"""What the policy of each app says of one person at one computer now: for whoever wants to know why."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.model.decision import Access, Client, DeviceTrust, IPAddress, Platform, SignOnRequest
from gateway.model.org import User
from gateway.model.reasons import POLICY_ERROR
from gateway.policy.engine import evaluate
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.policies import compiled
from gateway.services.policy_work import PolicyRefused, PolicyView

# What a browser on the device says it runs on. Others, which no certificate is asked from: other desktops.
_PLATFORMS: Final = {
    "ANDROID": Platform.ANDROID,
    "IOS": Platform.IOS,
    "LINUX": Platform.LINUX,
    "MACOS": Platform.MACOS,
    "WINDOWS": Platform.WINDOWS,
}


@dataclass(frozen=True, slots=True)
class AppAnswer:
    """``access``: of a sign-on with a web browser; ``reason`` as in the log."""

    app: str
    label: str
    access: Access
    reason: str
    rule: str | None
    asks_for_factor: bool


def what_applies(
    view: PolicyView,
    configuration: OrgConfiguration,
    user: User,
    ip: IPAddress,
    platform: str,
    *,
    trusted: bool,
    hardware_key: bool,
) -> Iterator[AppAnswer]:
    """``platform`` is the device's, ``trusted`` what a challenge would find out. By the name of the app."""
    groups = frozenset(group.name for group in view.groups.of_user(user.id))
    for name, app in sorted(configuration.apps.items()):
        stored = view.policies.of_app(name)
        if stored is None:
            continue
        try:
            policy = compiled(view, configuration, stored)
        except PolicyRefused:
            yield AppAnswer(name, app.label, Access.DENY, POLICY_ERROR, None, asks_for_factor=False)
            continue
        is_trusted = trusted and policy.device_trust_enabled
        request = SignOnRequest(
            user.login,
            groups,
            ip,
            Client.WEB_BROWSER,
            _PLATFORMS.get(platform, Platform.OTHER_DESKTOP),
            DeviceTrust.TRUSTED if is_trusted else DeviceTrust.NOT_TRUSTED,
            hardware_key and is_trusted,
        )
        decision = evaluate(policy.policy, request, policy.zones)
        yield AppAnswer(
            name,
            app.label,
            decision.access,
            decision.reason,
            decision.rule,
            asks_for_factor=decision.prompt_for_factor is not None,
        )
