"""`/enroll/…`: how computers of a domain get their certificates.

discovery     open to everybody: where the IWA web apps are, a nonce to begin with, what the mTLS hosts show
attestation   a TPM is asked for what only it can know
certificate   a user token of an IWA web app, and a key
renew         the certificate that is to be renewed, proven without TLS
self          what the org knows of the certificate that is proven
iwa/report    an IWA web app says how it is, in a JWT by its key
"""

from collections.abc import Callable

from gateway.enrollment.nonces import nonce_key
from gateway.server.org.enrollment_attestation import AttestationRoutes
from gateway.server.org.enrollment_certificates import CertificateRoutes, Outcome
from gateway.server.org.enrollment_discovery import DiscoveryRoutes
from gateway.server.org.route import Route
from gateway.services.attesting import Attesting
from gateway.services.authority_ports import SigningKeys
from gateway.services.enrolling import Enrolling
from gateway.services.enrollment_terms import EnrollmentTerms
from gateway.services.failed_tries import FailedTries
from gateway.services.proving import Proving


class EnrollmentRoutes:
    """``master_secret`` is what the key of the nonces is derived from; ``terms`` are those in force; ``told``
    hears of every certificate and every refusal."""

    def __init__(
        self,
        keys: SigningKeys,
        terms: Callable[[], EnrollmentTerms],
        master_secret: bytes,
        told: Callable[[Outcome], None],
        attesting: Attesting,
    ) -> None:
        key, failed = nonce_key(master_secret), FailedTries()
        self._discovery = DiscoveryRoutes(terms, key)
        self._attestation = AttestationRoutes(attesting, key)
        self._certificates = CertificateRoutes(
            Enrolling(keys, key, failed, attesting), Proving(keys, key, failed, attesting), terms, told
        )

    @property
    def routes(self) -> tuple[Route, ...]:
        return (*self._discovery.routes, *self._attestation.routes, *self._certificates.routes)
