"""Policies and sign-on requests, as short as a test wants to write them."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from gateway.adapters.plugins import load_condition_parsers
from gateway.model.decision import Client, DeviceTrust, Platform, SignOnRequest
from gateway.model.settings import Zone
from gateway.policy.conditions import ConditionParsers
from gateway.policy.rules import Policy, compile_policy

PARSERS: ConditionParsers = load_condition_parsers()
BROWSERS = ["web_browser", "modern_auth"]
LEGACY = "exchange_activesync_or_legacy_auth"


def rule(name: str, access: object = "allow", **conditions: object) -> dict[str, Any]:
    return {"name": name, "access": access, **conditions}


def policy(
    *rules: object,
    default: str = "deny",
    client_conditions: bool | None = None,
    parsers: ConditionParsers = PARSERS,
) -> Policy:
    raw = {"name": "a policy", "default": default, "rules": list(rules)}
    return compile_policy(raw, parsers, client_conditions=client_conditions)


def request(
    *,
    user: str = "ana@example.test",
    groups: Iterable[str] = (),
    ip: str = "203.0.113.7",
    client: Client = Client.WEB_BROWSER,
    platform: Platform = Platform.WINDOWS,
    trust: DeviceTrust = DeviceTrust.NOT_TRUSTED,
    hardware_key: bool = False,
) -> SignOnRequest:
    return SignOnRequest(user, frozenset(groups), ip_address(ip), client, platform, trust, hardware_key)


def zones(**cidrs: list[str]) -> Mapping[str, Zone]:
    return {name: Zone(name, tuple(map(ip_network, listed))) for name, listed in cidrs.items()}
