"""Certificates that no authority would issue: each finishes the handshake or fails it, and gets its reason.

What a handshake may cost is bounded by what OpenSSL is let do (`mtls_context`) and by what is read at all of
a certificate (`gateway.pki.certificate`).
"""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from support.pki import Authority, Credential
from support.raw_tls import shake_hands

from gateway.model.device import NotTrusted, PeerCertificate
from gateway.model.reasons import TrustReason
from gateway.model.settings import AuthoritySettings, DeviceFrom, UserFrom
from gateway.pki.authority import TrustSnapshot, authority_from
from gateway.pki.certificate import Certificate, parse_certificate
from gateway.pki.crl import parse_crl
from gateway.pki.path_cache import PathCache
from gateway.pki.trust import verify_device
from gateway.tls.contexts import ServerCertificate, mtls_context
from gateway.tls.session import HostContext, TlsFailure, TlsSession

HOST = "n0123456789abcdef.mtls.example.test"
WEB = Authority.create_root("Web root").issue_server([HOST])
CORP = Authority.create_root("Corp root")
OTHER = Authority.create_root("Other root")
DEVICE, USER = "urn:uuid:7c5b1f04-2f5e-4d0c-9f7a-4a4f3b1f9d11", "alice@example.test"
CONTEXT = HostContext(
    mtls_context(ServerCertificate((WEB.certificate,), WEB.key), "1.2", [CORP.certificate], None),
    asks_for_certificate=True,
)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def trusting(*crls: tuple[Authority, bytes]) -> TrustSnapshot:
    settings = AuthoritySettings(
        name="corp",
        certificates="",
        crls=("corp.crl",) if crls else (),
        stale_crl_allowed_for=None,
        user_binding_required=True,
        device_from=DeviceFrom.SAN_URI,
        user_from=UserFrom.SAN_UPN,
    )
    trust = TrustSnapshot(True, (authority_from(settings, [parsed(CORP), parsed(OTHER)]),))
    for authority, crl in crls:
        trust = replace(trust, revocation=trust.revocation.with_crl(parse_crl(crl, [parsed(authority)])))
    return trust


def parsed(authority: Authority) -> Certificate:
    return parse_certificate(der(authority.certificate))


def odd_key(kind: str) -> Any:
    match kind:
        case "P-521":
            return ec.generate_private_key(ec.SECP521R1())
        case "brainpool":
            return ec.generate_private_key(ec.BrainpoolP512R1())
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "Ed448":
            return ed448.Ed448PrivateKey.generate()
        case "DSA":
            return dsa.generate_private_key(2048)
        case _:
            return rsa_key(int(kind.removeprefix("RSA-")))


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """A key of about this size, made of many small primes: made at once, good for nothing else."""
    generator = random.Random(bits)
    primes: set[int] = set()
    while len(primes) < bits // 64:
        candidate = generator.getrandbits(64) | 3 << 62 | 1
        if (candidate - 1) % 65_537 and all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5)):
            primes.add(candidate)
    first, second = sorted(primes)[::2], sorted(primes)[1::2]
    p, q = math.prod(first), math.prod(second)
    d = pow(65_537, -1, math.prod(prime - 1 for prime in primes))
    public = rsa.RSAPublicNumbers(65_537, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def names(count: int) -> list[x509.GeneralName]:
    return [x509.DNSName(f"{number:x}") for number in range(count)]


def authority_certificate(
    subject: str, issuer: str, key: Any, signer: Any, *extra: x509.ExtensionType
) -> x509.Certificate:
    """As small as a certificate of an authority can be."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    for extension in extra:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(signer, hashes.SHA256())


def long_chain(length: int, *, same_name: bool) -> Credential:
    """Each certificate is signed by the next one's key; the last is nobody's."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(8)]
    chain = [
        authority_certificate(
            "X" if same_name else f"C{at}",
            "X" if same_name else f"C{at + 1}",
            keys[at % 8],
            keys[(at + 1) % 8],
        )
        for at in range(length)
    ]
    leaf = Authority(chain[0], keys[0], (), chain[0]).issue_client(DEVICE, USER)
    return Credential(leaf.certificate, leaf.key, tuple(chain))


def nested_constraints() -> Credential:
    """Five authorities above one another with 250 permitted names each, and as many names below."""
    permitted = x509.NameConstraints([x509.DNSName(f"{number:x}.x") for number in range(250)], None)
    above, certificates = CORP, []
    for level in range(5):
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = "Corp root" if level == 0 else f"C{level}"
        certificate = authority_certificate(f"C{level + 1}", issuer, key, above.key, permitted)
        above = Authority(certificate, key, (), CORP.certificate)
        certificates.insert(0, certificate)
    leaf = above.issue_client(DEVICE, USER, extra_names=[x509.DNSName(f"{n:x}.f.x") for n in range(200)])
    return Credential(leaf.certificate, leaf.key, tuple(certificates))


def presented(credential: Credential, version: int) -> TlsSession:
    """The session after a handshake. Raises what either side raises."""
    server = TlsSession(lambda _: CONTEXT)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.use_certificate(credential.certificate)
    context.use_privatekey(credential.key)
    for certificate in credential.intermediates:
        context.add_extra_chain_cert(certificate)
    client = SSL.Connection(context, None)
    client.set_tlsext_host_name(HOST.encode())
    client.set_connect_state()
    shake_hands(client, server)
    return server


REASONS: list[tuple[str, Callable[[], Credential], TrustReason | None]] = [
    ("P-521", lambda: CORP.issue_client(DEVICE, USER, key=odd_key("P-521")), None),
    ("Ed25519", lambda: CORP.issue_client(DEVICE, USER, key=odd_key("Ed25519")), None),
    ("Ed448", lambda: CORP.issue_client(DEVICE, USER, key=odd_key("Ed448")), TrustReason.INVALID_CHAIN),
    ("RSA-1024", lambda: CORP.issue_client(DEVICE, USER, key=odd_key("RSA-1024")), TrustReason.INVALID_CHAIN),
    ("RSA-8192", lambda: CORP.issue_client(DEVICE, USER, key=odd_key("RSA-8192")), None),
    (
        "10,000 names",
        lambda: CORP.issue_client(DEVICE, USER, extra_names=names(10_000)),
        TrustReason.INVALID_CHAIN,
    ),
    ("250 linked", lambda: long_chain(250, same_name=False), TrustReason.INVALID_CHAIN),
    ("250 of one name", lambda: long_chain(250, same_name=True), TrustReason.INVALID_CHAIN),
    ("nested constraints", nested_constraints, TrustReason.INVALID_CHAIN),
]


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
@pytest.mark.parametrize(("credential", "reason"), [c[1:] for c in REASONS], ids=[c[0] for c in REASONS])
def test_a_certificate_that_finishes_the_handshake_gets_its_reason(
    credential: Callable[[], Credential], reason: TrustReason | None, version: int
) -> None:
    server = presented(credential(), version)
    verdict = verify_device(server.peer_certificate, trusting(), datetime.now(UTC), PathCache())
    assert (verdict.reason if isinstance(verdict, NotTrusted) else None) == reason, verdict


FAILING: list[tuple[str, Callable[[], Credential], int]] = [
    (
        "a curve that TLS 1.2 does not know",
        lambda: CORP.issue_client(DEVICE, USER, key=odd_key("brainpool")),
        1,
    ),
    ("20,000 names: more than 100 KB", lambda: CORP.issue_client(DEVICE, USER, extra_names=names(20_000)), 0),
    ("a chain of more than 100 KB", lambda: long_chain(400, same_name=True), 0),
]


@pytest.mark.parametrize(("credential", "only_in_1_2"), [c[1:] for c in FAILING], ids=[c[0] for c in FAILING])
def test_a_certificate_past_what_openssl_reads_fails_the_handshake(
    credential: Callable[[], Credential], only_in_1_2: int
) -> None:
    for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)[: 1 if only_in_1_2 else 2]:
        with pytest.raises(TlsFailure, match=r"wrong curve|excessive message size"):
            presented(credential(), version)


def test_a_dsa_key_is_refused_by_its_reason_or_not_shown_at_all() -> None:
    credential = CORP.issue_client(DEVICE, USER, key=odd_key("DSA"))
    for version, reason in (
        (SSL.TLS1_2_VERSION, TrustReason.INVALID_CHAIN),
        (SSL.TLS1_3_VERSION, TrustReason.NO_CERTIFICATE),
    ):
        peer = presented(credential, version).peer_certificate
        verdict = verify_device(peer, trusting(), datetime.now(UTC), PathCache())
        assert isinstance(verdict, NotTrusted)
        assert verdict.reason is reason


def test_a_key_that_openssl_takes_and_we_do_not_gets_its_reason() -> None:
    """16,384 bits: the client alone needs seconds for such a handshake, so this certificate is just read."""
    credential = CORP.issue_client(DEVICE, USER, key=odd_key("RSA-16384"))
    peer = PeerCertificate(der(credential.certificate), ())
    verdict = verify_device(peer, trusting(), datetime.now(UTC), PathCache())
    assert isinstance(verdict, NotTrusted)
    assert (verdict.reason, "RSA key of" in verdict.detail) == (TrustReason.INVALID_CHAIN, True)


def test_explicit_curve_parameters_are_never_looked_into() -> None:
    """RFC 5480 §2.1.1. They can be chosen so that the key of somebody else fits (CVE-2020-0601)."""
    named = bytes.fromhex("06082a8648ce3d030107")  # the parameters of P-256, by name
    explicit = bytes.fromhex("3003020101")  # a SpecifiedECDomain, of which the first byte is enough
    certificate = bytearray(der(CORP.issue_client(DEVICE, USER).certificate))
    at = bytes(certificate).index(named)
    certificate[at : at + len(named)] = explicit + bytes.fromhex("0500") + bytes(3)
    verdict = verify_device(
        PeerCertificate(bytes(certificate), ()), trusting(), datetime.now(UTC), PathCache()
    )
    assert isinstance(verdict, NotTrusted)
    assert (verdict.reason, "curve" in verdict.detail) == (TrustReason.INVALID_CHAIN, True), verdict


def test_openssl_verifies_no_chain_for_a_verdict_that_nobody_hears() -> None:
    assert CONTEXT.context.get_verify_depth() == 0


def test_the_same_serial_number_of_two_issuers_is_two_certificates() -> None:
    device = CORP.issue_client(DEVICE, USER)
    peer = presented(device, SSL.TLS1_3_VERSION).peer_certificate
    elsewhere = trusting((CORP, CORP.crl()), (OTHER, OTHER.crl([device.serial_number])))
    here = trusting((CORP, CORP.crl([device.serial_number])), (OTHER, OTHER.crl()))
    now = datetime.now(UTC)
    assert not isinstance(verify_device(peer, elsewhere, now, PathCache()), NotTrusted)
    revoked = verify_device(peer, here, now, PathCache())
    assert isinstance(revoked, NotTrusted)
    assert revoked.reason is TrustReason.REVOKED
