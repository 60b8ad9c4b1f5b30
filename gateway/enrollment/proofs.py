"""The proof of possession: a computer shows that it holds the key of the certificate that it has, without
TLS. For keys that cannot do TLS in the agent's process (a TPM's), and for a certificate that has expired.

A JWT (RFC 7519, ES256) with the certificate in its header (`x5c`, RFC 7515 §4.1.6), for this org, with a
nonce of this org, good once and for minutes. It says what it is for, and for a renewal also which new key.
"""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from gateway.enrollment.claims import (
    ALGORITHM,
    TokenInvalid,
    check_audience,
    check_lifetime,
    header_of,
    moment,
    text_of,
    thumbprint_of,
    verified_claims,
)
from gateway.pki.certificate import MAX_CERTIFICATE_BYTES, Certificate, CertificateRejected, parse_certificate

PROOF_TYPE: Final = "dt-proof+jwt"
PROOF_LIFETIME: Final = timedelta(minutes=5)
_COORDINATE_BYTES: Final = 32

DerSigner = Callable[[bytes], bytes]  # ECDSA with SHA-256 over what is given, in DER (RFC 3279 §2.2.3)


class ProofAct(StrEnum):
    """What a proof is for."""

    RENEW = "renew"
    SELF = "self"  # what does the org know of me


@dataclass(frozen=True, slots=True)
class ProofClaims:
    proof_id: str
    audience: str
    act: ProofAct
    nonce: str
    issued: datetime
    expires: datetime
    key_thumbprint: str | None = None  # of the new key: of a renewal


@dataclass(frozen=True, slots=True)
class Proof:
    """``certificate`` is what was shown: the key is proven, and nothing else of it is verified."""

    certificate: Certificate
    claims: ProofClaims


def sign_proof(claims: ProofClaims, certificate_der: bytes, sign: DerSigner) -> str:
    """``sign`` signs with the certificate's key, which is on P-256."""
    said: dict[str, object] = {
        "jti": claims.proof_id,
        "aud": claims.audience,
        "act": claims.act.value,
        "nonce": claims.nonce,
        "iat": int(claims.issued.timestamp()),
        "exp": int(claims.expires.timestamp()),
    }
    if claims.key_thumbprint is not None:
        said["csr"] = claims.key_thumbprint
    header = {
        "alg": ALGORITHM,
        "typ": PROOF_TYPE,
        "x5c": [base64.b64encode(certificate_der).decode()],
    }
    signed = f"{_json_part(header)}.{_json_part(said)}"
    r, s = decode_dss_signature(sign(signed.encode()))
    signature = r.to_bytes(_COORDINATE_BYTES) + s.to_bytes(_COORDINATE_BYTES)  # RFC 7518 §3.4
    return f"{signed}.{_base64url(signature)}"


def verify_proof(text: str, *, audience: str, now: datetime) -> Proof:
    """``now`` is aware. Raises TokenInvalid, TokenExpired. Does not see whether it was used before, whether
    the nonce is one of the org, or what the certificate is worth: who issued it, whether it is valid."""
    certificate = _shown(text)
    key = certificate.public_key
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name != SECP256R1.name:
        raise TokenInvalid("the certificate's key is not on P-256")
    claims = verified_claims(text, key, PROOF_TYPE)
    check_audience(claims, audience)
    check_lifetime(claims, PROOF_LIFETIME, now)
    try:
        act = ProofAct(text_of(claims, "act"))
    except ValueError:
        raise TokenInvalid("act is not known") from None
    return Proof(
        certificate,
        ProofClaims(
            proof_id=text_of(claims, "jti"),
            audience=audience,
            act=act,
            nonce=text_of(claims, "nonce"),
            issued=moment(claims, "iat"),
            expires=moment(claims, "exp"),
            key_thumbprint=thumbprint_of(claims, "csr") if act is ProofAct.RENEW else None,
        ),
    )


def _shown(text: str) -> Certificate:
    chain = header_of(text).get("x5c")
    if not isinstance(chain, list) or len(chain) != 1 or not isinstance(chain[0], str):
        raise TokenInvalid("x5c is not one certificate")
    if len(chain[0]) > 2 * MAX_CERTIFICATE_BYTES or not chain[0].isascii():
        raise TokenInvalid("x5c is not one certificate")
    try:
        return parse_certificate(base64.b64decode(chain[0], validate=True))
    except binascii.Error:
        raise TokenInvalid("x5c is not base64") from None
    except CertificateRejected as rejected:
        raise TokenInvalid(f"x5c: {rejected.detail}") from None


def _json_part(value: object) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
