"""Every reason for which the gateway can refuse. Page, header, log and metric read these same names.

The names are a contract with users' scripts: adding one is a change of that contract.
"""

from enum import StrEnum


class TrustReason(StrEnum):
    """Why a device is not trusted, in the order in which the checks run."""

    DEVICE_TRUST_DISABLED = "DEVICE_TRUST_DISABLED"
    NO_CERTIFICATE = "NO_CERTIFICATE"
    UNKNOWN_ISSUER = "UNKNOWN_ISSUER"
    INVALID_CHAIN = "INVALID_CHAIN"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    WRONG_KEY_USAGE = "WRONG_KEY_USAGE"
    REVOKED = "REVOKED"
    REVOCATION_UNKNOWN = "REVOCATION_UNKNOWN"
    DEVICE_DEACTIVATED = "DEVICE_DEACTIVATED"
    USER_DEACTIVATED = "USER_DEACTIVATED"
    USER_MISMATCH = "USER_MISMATCH"


class MessageReason(StrEnum):
    """Why a federation message is refused (400, never forwarded)."""

    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    SIGNATURE_MISSING = "SIGNATURE_MISSING"
    ISSUER_UNKNOWN = "ISSUER_UNKNOWN"
    AUDIENCE_MISMATCH = "AUDIENCE_MISMATCH"
    RECIPIENT_MISMATCH = "RECIPIENT_MISMATCH"
    EXPIRED_ASSERTION = "EXPIRED_ASSERTION"
    NOT_YET_VALID_ASSERTION = "NOT_YET_VALID_ASSERTION"
    REPLAYED = "REPLAYED"
    MALFORMED = "MALFORMED"
    TOO_LARGE = "TOO_LARGE"
    ALGORITHM_REFUSED = "ALGORITHM_REFUSED"
    # 503: nobody can tell whether it was used at another gateway, and without_store is refuse.
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"


class TicketReason(StrEnum):
    """Why a return from the challenge is refused."""

    TICKET_INVALID = "TICKET_INVALID"
    TICKET_EXPIRED = "TICKET_EXPIRED"
    TICKET_REPLAYED = "TICKET_REPLAYED"
    TICKET_NOT_YOURS = "TICKET_NOT_YOURS"


DEFAULT_RULE = "DEFAULT_RULE"
POLICY_ERROR = "POLICY_ERROR"
# The device is trusted, and would be let in if its key were in a TPM.
NO_HARDWARE_KEY = "NO_HARDWARE_KEY"
# The System Log takes no further event, so that nobody would know of the sign-on.
SYSTEM_LOG_FULL = "SYSTEM_LOG_FULL"


def rule_reason(rule_name: str) -> str:
    """The reason of a decision made by a named rule: ``RULE <name>``."""
    return f"RULE {rule_name}"
