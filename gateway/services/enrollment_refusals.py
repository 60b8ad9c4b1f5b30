"""How the refusals of issuing are called where a computer enrolls."""

from typing import Final

from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.services.issuing import IssuingRefusal, IssuingRefused

_NAMES: Final = {
    IssuingRefusal.READ_ONLY: EnrollmentRefusal.READ_ONLY,
    IssuingRefusal.NO_AUTHORITY: EnrollmentRefusal.NO_AUTHORITY,
    IssuingRefusal.USER_INACTIVE: EnrollmentRefusal.USER_INACTIVE,
    IssuingRefusal.DEVICE_INACTIVE: EnrollmentRefusal.DEVICE_INACTIVE,
    IssuingRefusal.TOO_MANY_CERTIFICATES: EnrollmentRefusal.TOO_MANY_CERTIFICATES,
    IssuingRefusal.NAME_REFUSED: EnrollmentRefusal.REQUEST_INVALID,
    IssuingRefusal.NOT_VALID: EnrollmentRefusal.CERTIFICATE_REVOKED,
    IssuingRefusal.NOT_DUE: EnrollmentRefusal.NOT_DUE,
    IssuingRefusal.REVOKED_MEANWHILE: EnrollmentRefusal.UNAVAILABLE,
    IssuingRefusal.HARDWARE_KEY_NEEDED: EnrollmentRefusal.ATTESTATION_REQUIRED,
}


def refusal_of_issuing(refused: IssuingRefused) -> EnrollmentRefused:
    return EnrollmentRefused(_NAMES[refused.reason], refused.detail)
