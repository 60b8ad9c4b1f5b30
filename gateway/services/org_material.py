"""What the org says, laid over what the files say: the material that a worker's snapshot is made of.

Its CA becomes an authority, at the place that the configuration gives it. Settings, zones and policies that
were edited in the store come before those of the files. Whom it has revoked is no part of it: that changes
with every word of the org (`gateway.pki.own_revocations`), and nothing is made anew for it.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from gateway.model.decision import Access, Decision, Match, SignOnRequest
from gateway.model.org_state import OrgState, OrgStateInvalid
from gateway.model.quoting import printable
from gateway.model.reasons import POLICY_ERROR
from gateway.pki.authority import Authority, authority_from
from gateway.pki.certificate import Certificate, CertificateRejected, parse_certificate
from gateway.policy.conditions import ConditionParsers, Zones
from gateway.policy.errors import PolicyInvalid
from gateway.policy.rules import Policy, Rule, Status, compile_policy
from gateway.services.material import Material

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----", re.ASCII)


class _NotKnown:
    """A condition of which nobody can say whether it is met. A decision that meets it denies."""

    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        return Match.UNDEFINED

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        return "the policy in the store cannot be used"


# Of an app whose edited policy cannot be used, and never could since this process began: the policy file may
# let in whom the edited one keeps out.
UNUSABLE_POLICY: Final = Policy(
    name="Unusable policy",
    default=Access.DENY,
    rules=(
        Rule(
            "Unusable policy",
            Status.ACTIVE,
            (("policy", _NotKnown()),),
            Decision(Access.DENY, POLICY_ERROR, "Unusable policy"),
        ),
    ),
    client_conditions=False,
)


@dataclass(frozen=True, slots=True)
class OrgContent:
    """A state with its certificates parsed. Made once, and laid over each configuration that comes."""

    state: OrgState
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class OrgMaterial:
    """``policies`` are those of the store that are in force; ``refused`` says which of them are not the
    newest, and why."""

    material: Material
    policies: Mapping[str, Policy]
    refused: tuple[str, ...]


def org_content(state: OrgState) -> OrgContent:
    """Raises OrgStateInvalid for a certificate that cannot be read."""
    certificates = []
    for pem in state.certificates_pem:
        try:
            (found,) = _PEM.findall(pem)
            certificates.append(parse_certificate(base64.b64decode("".join(found.split()), validate=True)))
        except CertificateRejected as rejected:
            raise OrgStateInvalid(f"authorities.certificates: {rejected.detail}") from rejected
        except (ValueError, binascii.Error):
            raise OrgStateInvalid("authorities.certificates: not one certificate in PEM form") from None
    return OrgContent(state, tuple(certificates))


def with_org(
    material: Material,
    org: OrgContent | None,
    parsers: ConditionParsers,
    former: Mapping[str, Policy] = MappingProxyType({}),
) -> OrgMaterial:
    """Lay ``org`` over the files. A policy that cannot be used leaves the one of ``former`` in force, which
    was used before; without one, the app denies every sign-on."""
    if org is None:
        return OrgMaterial(material, {}, ())
    state, settings = org.state, material.settings
    own_zones = {zone.name for zone in state.zones}
    zones = (*(zone for zone in settings.zones if zone.name not in own_zones), *state.zones)
    zone_names = {zone.name for zone in zones}
    policies: dict[str, Policy] = {}
    refused: list[str] = []
    for app in settings.apps:
        document = state.policies.get(app.name)
        if document is None:
            continue
        try:
            policies[app.name] = compile_policy(
                document, parsers, client_conditions=app.client_conditions, zone_names=zone_names
            )
        except PolicyInvalid as problem:
            policies[app.name] = former.get(app.name, UNUSABLE_POLICY)
            rule = "" if problem.rule is None else f"rule {printable(problem.rule)}: "
            refused.append(f"policy of app {printable(app.name)} in the store: {rule}{problem.detail}")
    enabled, url = state.device_trust_enabled, state.learn_more_url
    changed = replace(
        settings,
        device_trust_enabled=settings.device_trust_enabled if enabled is None else enabled,
        learn_more_url=settings.learn_more_url if url is None else url,
        zones=zones,
    )
    return OrgMaterial(
        replace(
            material,
            settings=changed,
            authorities=_authorities(material, org.certificates),
            policies={**material.policies, **policies},
        ),
        policies,
        tuple(refused),
    )


def _authorities(material: Material, own: tuple[Certificate, ...]) -> tuple[Authority, ...]:
    """In the order of the configuration. Without a certificate the CA in the store is no authority yet."""
    read = {authority.name: authority for authority in material.authorities}
    found: list[Authority] = []
    for settings in material.settings.authorities:
        if not settings.builtin:
            found.append(read[settings.name])
        elif own:
            found.append(authority_from(settings, own))
    return tuple(found)
