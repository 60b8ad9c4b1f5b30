"""The public path validation cases of C2SP/x509-limbo (tests/vectors/x509-limbo/README.md)."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.pki.certificate import Certificate, CertificateRejected, parse_certificate
from gateway.pki.crl import CrlRejected, parse_crl
from gateway.pki.path import MAX_INTERMEDIATES, build_path
from gateway.pki.revocation import RevocationIndex, RevocationStatus

VECTORS = Path(__file__).parents[2] / "vectors" / "x509-limbo" / "limbo.json"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads(VECTORS.read_text(encoding="utf-8"))["testcases"]
}
WITHOUT_A_TIME = datetime(2026, 6, 1, tzinfo=UTC)  # cases that state none are valid for centuries
USAGES = {"serverAuth": "1.3.6.1.5.5.7.3.1", "clientAuth": "1.3.6.1.5.5.7.3.2"}

# The path is valid; the case fails only because a client asked for another server name. A device has none.
SERVER_NAME_ONLY = {
    "rfc5280::ca-as-leaf-wrong-san": "the name asked for is not in subjectAltName",
    "webpki::san::mismatch-domain-san": "another domain is asked for",
    "webpki::san::mismatch-subdomain-san": "another host is asked for",
    "webpki::san::mismatch-subdomain-apex-san": "a host beside the certificate's is asked for",
    "webpki::san::mismatch-apex-subdomain-san": "the domain above the certificate's is asked for",
    "webpki::san::wildcard-embedded-leftmost-san": "how a client expands a wildcard",
    "webpki::san::wildcard-not-in-leftmost-san": "how a client expands a wildcard",
    "webpki::san::wildcard-match-across-labels-san": "how a client expands a wildcard",
    "webpki::san::wildcard-embedded-ulabel-san": "how a client expands a wildcard",
    "webpki::san::san-wildcard-only": "how a client expands a wildcard",
    "webpki::san::san-wildcard-only-tld": "how a client expands a wildcard",
    "webpki::san::unicode-emoji-san": "how a client compares internationalised names",
    "webpki::san::no-san": "a server needs subjectAltName; a device may be named by its subject",
    "rfc5280::san::ip-in-dns": "an address is asked for and stands in the wrong kind of name",
}

_KEY_IDENTIFIERS = "RFC 5280 asks issuers for key identifiers; validation (§6.1) does not need them"
_PUBLIC_SERVERS = "a rule of the CA/Browser Forum for public server certificates, not of RFC 5280"
_PUBLIC_CN = "a rule of the CA/Browser Forum for a server's common name, not of RFC 5280"
_PUBLIC_SUFFIX = "a rule of the CA/Browser Forum for server wildcards; a wildcard is never a device's name"

# case id: why we decide differently
DECIDED_DIFFERENTLY = {
    "rfc5280::ca-as-leaf": "stricter: an authority's certificate is not a device's",
    "pathlen::validation-ignores-pathlen-in-leaf": "stricter: an authority's certificate is not a device's",
    "rfc5280::aki::leaf-missing-aki": _KEY_IDENTIFIERS,
    "rfc5280::aki::intermediate-missing-aki": _KEY_IDENTIFIERS,
    "rfc5280::aki::cross-signed-root-missing-aki": _KEY_IDENTIFIERS,
    "rfc5280::ski::root-missing-ski": _KEY_IDENTIFIERS,
    "rfc5280::ski::intermediate-missing-ski": _KEY_IDENTIFIERS,
    "rfc5280::nc::permitted-dns-match-noncritical": "name constraints are enforced, critical or not",
    "rfc5280::root-non-critical-basic-constraints": "cA is enforced, critical or not (old private roots)",
    "rfc5280::san::underscore-dns": "Windows device names have underscores",
    "webpki::aki::root-with-aki-missing-keyidentifier": _PUBLIC_SERVERS,
    "webpki::aki::root-with-aki-all-fields": _PUBLIC_SERVERS,
    "webpki::aki::root-with-aki-ski-mismatch": _PUBLIC_SERVERS,
    "webpki::cn::ipv4-hex-mismatch": _PUBLIC_CN,
    "webpki::cn::ipv4-leading-zeros-mismatch": _PUBLIC_CN,
    "webpki::cn::ipv6-uppercase-mismatch": _PUBLIC_CN,
    "webpki::cn::ipv6-uncompressed-mismatch": _PUBLIC_CN,
    "webpki::cn::ipv6-non-rfc5952-mismatch": _PUBLIC_CN,
    "webpki::cn::punycode-not-in-san": _PUBLIC_CN,
    "webpki::cn::utf8-vs-punycode-mismatch": _PUBLIC_CN,
    "webpki::cn::not-in-san": _PUBLIC_CN,
    "webpki::cn::case-mismatch": _PUBLIC_CN,
    "webpki::eku::ee-anyeku": "anyExtendedKeyUsage allows every use (RFC 5280 §4.2.1.12)",
    "webpki::eku::ee-critical-eku": _PUBLIC_SERVERS,
    "webpki::eku::ee-without-eku": "without extendedKeyUsage every use is allowed (RFC 5280 §4.2.1.12)",
    "webpki::eku::root-has-eku": "a root's extendedKeyUsage limits what is below it, and is met here",
    "webpki::san::public-suffix-wildcard-san": _PUBLIC_SUFFIX,
    "webpki::san::public-suffix-multi-label-wildcard-san": _PUBLIC_SUFFIX,
    "webpki::san::public-suffix-private-namespace-wildcard-san": _PUBLIC_SUFFIX,
    "webpki::san::san-critical-with-nonempty-subject": _PUBLIC_SERVERS,
    "webpki::forbidden-rsa-not-divisible-by-8-in-root": _PUBLIC_SERVERS,
    "webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf": _PUBLIC_SERVERS,
}
AS_EXPECTED = sorted(CASES.keys() - SERVER_NAME_ONLY.keys() - DECIDED_DIFFERENTLY.keys())
OPPOSITE = {"SUCCESS": "FAILURE", "FAILURE": "SUCCESS"}


@pytest.mark.parametrize("case_id", AS_EXPECTED)
def test_a_limbo_case_has_the_published_result(case_id: str) -> None:
    assert outcome(CASES[case_id]) == CASES[case_id]["expected_result"]


@pytest.mark.parametrize("case_id", sorted(DECIDED_DIFFERENTLY))
def test_a_limbo_case_that_we_decide_differently_still_is_decided_so(case_id: str) -> None:
    assert outcome(CASES[case_id]) == OPPOSITE[CASES[case_id]["expected_result"]]


def test_every_limbo_case_is_accounted_for() -> None:
    assert len(CASES) == 194
    assert SERVER_NAME_ONLY.keys() <= CASES.keys()
    assert DECIDED_DIFFERENTLY.keys() <= CASES.keys()
    assert SERVER_NAME_ONLY.keys().isdisjoint(DECIDED_DIFFERENTLY)
    assert len(AS_EXPECTED) + len(SERVER_NAME_ONLY) + len(DECIDED_DIFFERENTLY) == len(CASES)
    assert {CASES[case_id]["expected_result"] for case_id in SERVER_NAME_ONLY} == {"FAILURE"}


def outcome(case: dict[str, Any]) -> str:
    """Path and revocation of one case: what `gateway.pki.trust` does, with the purpose of the case."""
    now = datetime.fromisoformat(case["validation_time"]) if case["validation_time"] else WITHOUT_A_TIME
    usages = [USAGES[name] for name in case["extended_key_usage"]]
    depth = case["max_chain_depth"]
    anchors = usable(case["trusted_certs"])
    intermediates = usable(case["untrusted_intermediates"])
    try:
        path = build_path(
            parse_certificate(der_of(case["peer_certificate"])),
            anchors,
            [],
            intermediates,
            now,
            required_usage=usages[0] if usages else None,
            max_intermediates=MAX_INTERMEDIATES if depth is None else min(depth, MAX_INTERMEDIATES),
        )
    except CertificateRejected:
        return "FAILURE"
    if not case["crls"]:
        return "SUCCESS"
    index = RevocationIndex()
    for crl in case["crls"]:
        try:
            index = index.with_crl(parse_crl(crl.encode(), [*anchors, *intermediates]))
        except CrlRejected:
            return "FAILURE"
    statuses = {
        index.status(
            certificate,
            now,
            is_end_entity=position == 0,
            stale_allowed_for=None,
            distribution_points=frozenset(),
        )
        for position, certificate in enumerate(path.certificate_ids)
    }
    return "SUCCESS" if statuses == {RevocationStatus.GOOD} else "FAILURE"


def usable(certificates: list[str]) -> list[Certificate]:
    """A certificate that is refused by itself is no candidate, and does not disturb the others."""
    parsed = []
    for pem in certificates:
        try:
            parsed.append(parse_certificate(der_of(pem)))
        except CertificateRejected:
            continue
    return parsed


def der_of(pem: str) -> bytes:
    return base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-----")))
