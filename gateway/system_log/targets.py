"""What events are about, in the words of Okta's catalog: a target or an actor of each kind of thing."""

import base64
import binascii

from gateway.model.issued import AuthorityRecord, IssuedCertificate
from gateway.model.log_event import Actor, LoggedDevice, Target
from gateway.model.org import ApiToken, Device, Group, StoredPolicy, StoredZone, User


def user_target(user: User) -> Target:
    return Target(user.id, "User", user.login, _full_name(user))


def user_actor(user: User) -> Actor:
    return Actor(user.id, "User", user.login, _full_name(user))


def token_actor(token: ApiToken) -> Actor:
    """Whoever uses an API token acts as the person for whom it was made."""
    return Actor(token.id, "ApiToken", token.user, token.name)


def token_target(token: ApiToken) -> Target:
    return Target(token.id, "ApiToken", token.user, token.name, {"scope": token.scope.value})


def group_target(group: Group) -> Target:
    return Target(group.id, "UserGroup", group.name, group.name)


def device_target(device: Device) -> Target:
    return Target(device.id, "Device", device.certificate_name, device.name)


def logged_device(device: Device) -> LoggedDevice:
    return LoggedDevice(device.id, device.name, device.platform, None, managed=True, registered=True)


def certificate_target(certificate: IssuedCertificate) -> Target:
    detail: dict[str, object] = {"serialNumber": certificate.serial_hex, "profile": certificate.profile}
    if certificate.thumbprint is not None:
        detail.update(fingerprint(certificate.thumbprint))
    return Target(
        certificate.serial_hex,
        "PublicKeyCertificate",
        certificate.thumbprint or certificate.serial_hex,
        f"Certificate {certificate.serial_hex}",
        detail,
    )


def authority_target(authority: AuthorityRecord) -> Target:
    return Target(
        authority.id,
        "CertificateAuthority",
        authority.name,
        authority.name,
        {"kind": authority.kind.value, "generation": authority.generation, "notAfter": authority.not_after},
    )


def app_target(name: str, label: str, protocol: str | None = None) -> Target:
    mode = {"saml2": "SAML_2_0", "ws-fed": "WS_FEDERATION"}.get(protocol or "")
    return Target(name, "AppInstance", name, label, None if mode is None else {"signOnModeType": mode})


def policy_target(policy: StoredPolicy) -> Target:
    return named_policy_target(policy.id, policy.name)


def named_policy_target(policy_id: str, name: str) -> Target:
    return Target(policy_id, "PolicyEntity", policy_id, name, {"policyType": "AppSignOn"})


def rule_target(rule_id: str, rule_name: str, policy_id: str) -> Target:
    """As the catalog has it, a rule's alternateId is the policy that it stands in."""
    return Target(rule_id, "PolicyRule", policy_id, rule_name)


def zone_target(zone: StoredZone) -> Target:
    return Target(zone.id, "NetworkZone", zone.name, zone.name)


def fingerprint(thumbprint: str) -> dict[str, object]:
    """The details of a certificate by its x5t#S256 (base64url without padding); none for what is no such."""
    try:
        digest = base64.b64decode(thumbprint + "=" * (-len(thumbprint) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return {}
    return {"fingerprintAlgorithm": "SHA256", "fingerprint": digest.hex()}


def _full_name(user: User) -> str:
    return f"{user.first_name} {user.last_name}".strip() or user.login
