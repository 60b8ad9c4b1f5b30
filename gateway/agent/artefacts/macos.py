"""macOS: the configuration profile that an MDM distributes, and the jobs of launchd.

In the profile: Chrome and Edge pick the certificate, Firefox answers with the one that fits, and the issuers
are known, so that the keychain can build the chain. Safari follows identity preferences, which only the
person's own keychain can hold (`platforms/macos.py`).
"""

import plistlib
import uuid
from collections.abc import Sequence
from typing import Any, Final

from gateway.agent.artefacts.auto_select import POLICY_NAME, auto_select_item
from gateway.agent.platform import BrowserPolicy, Schedule
from gateway.agent.stores.firefox_prefs import PREFERENCE, VALUE

LOGIN_LABEL: Final = "org.devicetrust.login"
USER_LABEL: Final = "org.devicetrust.agent"
DEVICE_LABEL: Final = "org.devicetrust.device"
_IN_A_SESSION: Final = {"LimitLoadToSessionType": "Aqua"}
# Names the payloads of this program, so that a new version of a profile replaces the old one.
_NAMESPACE: Final = uuid.UUID("6f5b0d0e-3c55-5d0a-9d7c-0d3c2b8a4f10")


def configuration_profile(policy: BrowserPolicy, issuers_der: Sequence[bytes] = ()) -> str:
    """``issuers_der``: certificates of the issuing authorities, of which none becomes trusted for servers."""
    item = auto_select_item(policy)
    payloads = [
        _payload(policy, "com.google.Chrome", "Google Chrome", {POLICY_NAME: [item]}),
        _payload(policy, "com.microsoft.Edge", "Microsoft Edge", {POLICY_NAME: [item]}),
        _payload(
            policy,
            "org.mozilla.firefox",
            "Firefox",
            {
                "EnterprisePoliciesEnabled": True,
                "Preferences": {PREFERENCE: {"Value": VALUE, "Status": "locked"}},
            },
        ),
    ]
    for number, der in enumerate(issuers_der, 1):
        content = {"PayloadCertificateFileName": f"device-trust-{number}.cer", "PayloadContent": der}
        payloads.append(
            _payload(policy, "com.apple.security.pkcs1", f"Device Trust authority {number}", content, number)
        )
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{USER_LABEL}.{policy.mtls_domain}",
        "PayloadUUID": _uuid(policy, "profile"),
        "PayloadDisplayName": "Device Trust",
        "PayloadDescription": f"Browsers present the Device Trust certificate to {policy.mtls_domain}.",
        "PayloadScope": "System",
        "PayloadContent": payloads,
    }
    return plistlib.dumps(profile, sort_keys=False).decode()


def login_job(schedule: Schedule) -> str:
    """For LaunchAgents: when the person logs in."""
    return _job(LOGIN_LABEL, [str(schedule.executable), "--user"], {"RunAtLoad": True, **_IN_A_SESSION})


def user_job(schedule: Schedule) -> str:
    """For LaunchAgents: every ``schedule.every``. launchd knows no random delay."""
    arguments = [str(schedule.executable), "--user", "--scheduled"]
    return _job(
        USER_LABEL, arguments, {"StartInterval": int(schedule.every.total_seconds()), **_IN_A_SESSION}
    )


def device_job(schedule: Schedule, socket_path: str) -> str:
    """For LaunchDaemons: root, all the time."""
    arguments = [str(schedule.executable), "--device", "--socket", socket_path]
    return _job(DEVICE_LABEL, arguments, {"RunAtLoad": True, "KeepAlive": True})


def _job(label: str, arguments: list[str], when: dict[str, Any]) -> str:
    job = {"Label": label, "ProgramArguments": arguments, **when, "ProcessType": "Background", "Umask": 0o077}
    return plistlib.dumps(job, sort_keys=False).decode()


def _payload(
    policy: BrowserPolicy, kind: str, name: str, content: dict[str, Any], number: int = 0
) -> dict[str, Any]:
    suffix = f".{number}" if number else ""
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{USER_LABEL}.{policy.mtls_domain}.{kind}{suffix}",
        "PayloadUUID": _uuid(policy, kind + suffix),
        "PayloadDisplayName": name,
        **content,
    }


def _uuid(policy: BrowserPolicy, what: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{policy.mtls_domain}/{what}")).upper()
