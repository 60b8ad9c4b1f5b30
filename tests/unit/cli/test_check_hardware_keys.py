"""`devicetrust check` on policies that ask for hardware keys, and on the certificates of TPM vendors."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.gateway_yaml import POLICY, Installation
from support.pki import Authority

from gateway.cli.check import find
from gateway.cli.checks.finding import Finding
from gateway.config.errors import ConfigError
from gateway.config.load import load_settings
from gateway.config.named_files import read_tpm_vendors

NOW = datetime.now(UTC)
VENDOR = Authority.create_root("TPM vendor")
BUILTIN = "  authorities:\n    - {name: builtin, builtin: true}\n"
ASKING = POLICY.replace("trusted\n    access", "trusted\n    hardware_key: required\n    access")


def found(tmp_path: Path, enrollment: str, *, builtin: bool = True) -> list[Finding]:
    installation = Installation(tmp_path)
    installation.write("policies/wiki.yaml", ASKING.encode())
    installation.write("vendor.pem", VENDOR.pem)
    authorities = BUILTIN if builtin else "  authorities:\n"
    installation.configure(("  authorities:\n", f"  enrollment: {enrollment}\n{authorities}"))
    codes = ("hardware-key-never-shown", "tpm-vendor-unusable", "tpm-vendor-expired")
    return [each for each in find(load_settings(str(installation.configuration)), NOW) if each.code in codes]


@pytest.mark.parametrize(
    ("enrollment", "builtin", "says"),
    [
        ("{tpm_vendor_authorities: [vendor.pem]}", True, None),
        ("{}", True, "no TPM vendor is known"),
        ("{attestation: none, tpm_vendor_authorities: [vendor.pem]}", True, "attestation is none"),
        ("{tpm_vendor_authorities: [vendor.pem]}", False, "only the built-in authority verifies them"),
    ],
    ids=["all there", "no vendor", "attestation switched off", "no built-in authority"],
)
def test_a_policy_whose_hardware_keys_nobody_can_have_is_found(
    tmp_path: Path, enrollment: str, builtin: bool, says: str | None
) -> None:
    findings = found(tmp_path, enrollment, builtin=builtin)
    assert [each.code for each in findings] == ([] if says is None else ["hardware-key-never-shown"])
    assert says is None or says in findings[0].what


def test_a_vendors_certificate_that_expired_is_found(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    old = Authority.create_root("Old vendor", now=NOW - timedelta(days=20_000))
    installation.write("vendor.pem", old.pem)
    installation.configure(
        ("  authorities:\n", "  enrollment: {tpm_vendor_authorities: [vendor.pem]}\n  authorities:\n")
    )
    findings = find(load_settings(str(installation.configuration)), NOW)
    assert "tpm-vendor-expired" in [each.code for each in findings]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"nothing", "holds no certificate"),
        (
            VENDOR.pem + VENDOR.issue_client("urn:x:1", None).certificate_pem,
            "certificate 2 is not an authority's",
        ),
    ],
    ids=["no certificate", "a device's certificate"],
)
def test_a_file_that_is_no_vendors_is_refused_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "vendor.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_tpm_vendors([str(path)])
    assert refused.value.source == str(path)
    assert says in str(refused.value)


def test_a_certificate_in_two_files_counts_once(tmp_path: Path) -> None:
    paths = [tmp_path / "one.pem", tmp_path / "two.pem"]
    for path in paths:
        path.write_bytes(VENDOR.pem)
    assert len(read_tpm_vendors([str(path) for path in paths]).certificates) == 1
