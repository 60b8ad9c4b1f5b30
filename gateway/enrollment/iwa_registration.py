"""By what the org and an IWA web app know each other."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from gateway.enrollment.parties import iwa_issuer


@dataclass(frozen=True, slots=True, repr=False)  # the key must not reach a log through repr()
class Registration:
    """By what the org knows this IWA web app. ``audience`` is whom its user tokens are for."""

    iwa_id: str
    audience: str
    key: EllipticCurvePrivateKey
    key_id: str

    @property
    def issuer(self) -> str:
        return iwa_issuer(self.iwa_id)
