"""Certificate policies: an authority that demands one gets one, or the path does not hold."""

import pytest
from cryptography import x509
from support.forge import NOW, Extension, forge_authority, forge_device

from gateway.model.reasons import TrustReason
from gateway.pki.certificate import CertificateRejected
from gateway.pki.path import build_path

GOLD, SILVER, ANY = "1.2.3.1", "1.2.3.2", "2.5.29.32.0"
DEMANDED: Extension = (x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None), True)
DEMANDED_BELOW: Extension = (
    x509.PolicyConstraints(require_explicit_policy=1, inhibit_policy_mapping=None),
    True,
)
DEMANDED_FAR_BELOW: Extension = (
    x509.PolicyConstraints(require_explicit_policy=5, inhibit_policy_mapping=None),
    True,
)
NOT_CRITICAL: Extension = (DEMANDED[0], False)
NO_ANY: Extension = (x509.InhibitAnyPolicy(0), True)
# 1.2.3.1 is equivalent to 1.2.3.2 (RFC 5280 §4.2.1.5)
MAPPING: Extension = (
    x509.UnrecognizedExtension(
        x509.ObjectIdentifier("2.5.29.33"), bytes.fromhex("300c300a06032a030106032a0302")
    ),
    True,
)


def policies(*identifiers: str) -> Extension:
    return (
        x509.CertificatePolicies(
            [x509.PolicyInformation(x509.ObjectIdentifier(i), None) for i in identifiers]
        ),
        False,
    )


@pytest.mark.parametrize(
    ("issuing", "device", "holds"),
    [
        pytest.param([], [], True, id="nobody demands a policy"),
        pytest.param([policies(GOLD)], [], True, id="a policy that nobody demands may get lost"),
        pytest.param([policies(GOLD), DEMANDED], [policies(GOLD)], True, id="demanded and there"),
        pytest.param([policies(GOLD), DEMANDED], [policies(SILVER)], False, id="demanded, another one there"),
        pytest.param([policies(GOLD), DEMANDED], [], False, id="demanded and not there"),
        pytest.param([policies(GOLD), DEMANDED_BELOW], [], False, id="demanded from the next on"),
        pytest.param([policies(GOLD), DEMANDED_FAR_BELOW], [], True, id="demanded only further below"),
        pytest.param([policies(ANY), DEMANDED], [policies(SILVER)], True, id="any policy above"),
        pytest.param([policies(GOLD), DEMANDED], [policies(ANY)], True, id="any policy in the device's"),
        pytest.param([policies(GOLD), DEMANDED, NO_ANY], [policies(ANY)], False, id="any policy, inhibited"),
        pytest.param(
            [policies(GOLD), DEMANDED, MAPPING], [policies(SILVER)], False, id="a mapping is not followed"
        ),
        pytest.param(
            [policies(GOLD), DEMANDED, MAPPING], [policies(GOLD)], False, id="a mapping ends all policies"
        ),
        pytest.param([policies(GOLD), MAPPING], [policies(SILVER)], True, id="a mapping that nobody needs"),
        pytest.param([], [DEMANDED], False, id="the device's own certificate demands one"),
        pytest.param(
            [policies(GOLD), NOT_CRITICAL], [policies(GOLD)], False, id="constraints that are not critical"
        ),
    ],
)
def test_a_demanded_policy(issuing: list[Extension], device: list[Extension], holds: bool) -> None:
    root = forge_authority("Root")
    authority = forge_authority("Issuing", root, extra=issuing)
    certificate = forge_device("device", authority, extra=device)
    try:
        build_path(certificate.parsed, [root.parsed], [authority.parsed], [], NOW)
        refused = None
    except CertificateRejected as rejected:
        refused = rejected.reason
    assert refused is (None if holds else TrustReason.INVALID_CHAIN)


def test_a_device_of_its_issuers_name_needs_the_demanded_policy_all_the_same() -> None:
    root = forge_authority("Root")
    authority = forge_authority("One name", root, extra=[policies(GOLD), DEMANDED_BELOW])
    with pytest.raises(CertificateRejected, match="policy is missing"):
        build_path(forge_device("One name", authority).parsed, [root.parsed], [authority.parsed], [], NOW)
