"""Why a computer gets no certificate: one list for the IWA web app, the org and the agent.

The code is what the agent shows and what stands in the System Log; an administrator looks it up here, with
`devicetrust iwa explain CODE`, or in the README. What the person at the computer reads is the sentence.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class EnrollmentRefusal(StrEnum):
    # The IWA web app.
    NEGOTIATE_FAILED = "NEGOTIATE_FAILED"
    NTLM_REFUSED = "NTLM_REFUSED"
    TICKET_REPLAYED = "TICKET_REPLAYED"
    CLOCK_SKEW = "CLOCK_SKEW"
    CHANNEL_BINDING_MISSING = "CHANNEL_BINDING_MISSING"
    CHANNEL_BINDING_MISMATCH = "CHANNEL_BINDING_MISMATCH"
    REALM_NOT_TRUSTED = "REALM_NOT_TRUSTED"
    NOT_A_COMPUTER = "NOT_A_COMPUTER"
    NOT_A_USER = "NOT_A_USER"
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    ACCOUNT_DISABLED = "ACCOUNT_DISABLED"
    ACCOUNT_EXPIRED = "ACCOUNT_EXPIRED"
    NOT_IN_GROUP = "NOT_IN_GROUP"
    DIRECTORY_UNAVAILABLE = "DIRECTORY_UNAVAILABLE"
    DEVICE_TOKEN_INVALID = "DEVICE_TOKEN_INVALID"  # noqa: S105 - a code, not a secret
    DEVICE_TOKEN_EXPIRED = "DEVICE_TOKEN_EXPIRED"  # noqa: S105
    DEVICE_TOKEN_REPLAYED = "DEVICE_TOKEN_REPLAYED"  # noqa: S105
    KEY_MISMATCH = "KEY_MISMATCH"
    IWA_NOT_REGISTERED = "IWA_NOT_REGISTERED"
    # The org.
    USER_TOKEN_INVALID = "USER_TOKEN_INVALID"  # noqa: S105
    USER_TOKEN_EXPIRED = "USER_TOKEN_EXPIRED"  # noqa: S105
    USER_TOKEN_REPLAYED = "USER_TOKEN_REPLAYED"  # noqa: S105
    NONCE_INVALID = "NONCE_INVALID"
    IWA_UNKNOWN = "IWA_UNKNOWN"
    IWA_DISABLED = "IWA_DISABLED"
    REQUEST_INVALID = "REQUEST_INVALID"
    USER_UNKNOWN = "USER_UNKNOWN"
    USER_INACTIVE = "USER_INACTIVE"
    USER_NOT_FROM_DIRECTORY = "USER_NOT_FROM_DIRECTORY"
    USER_OTHER_ACCOUNT = "USER_OTHER_ACCOUNT"
    DEVICE_INACTIVE = "DEVICE_INACTIVE"
    READ_ONLY = "READ_ONLY"
    TOO_OFTEN = "TOO_OFTEN"
    TOO_MANY_CERTIFICATES = "TOO_MANY_CERTIFICATES"
    NO_AUTHORITY = "NO_AUTHORITY"
    DEVICE_TRUST_DISABLED = "DEVICE_TRUST_DISABLED"
    CODE_INVALID = "CODE_INVALID"
    RENEWAL_DISABLED = "RENEWAL_DISABLED"
    NOT_DUE = "NOT_DUE"
    CERTIFICATE_UNKNOWN = "CERTIFICATE_UNKNOWN"
    CERTIFICATE_REVOKED = "CERTIFICATE_REVOKED"
    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    PROOF_INVALID = "PROOF_INVALID"
    ATTESTATION_REQUIRED = "ATTESTATION_REQUIRED"
    ATTESTATION_INVALID = "ATTESTATION_INVALID"
    ATTESTATION_UNTRUSTED = "ATTESTATION_UNTRUSTED"
    ATTESTATION_OTHER_TPM = "ATTESTATION_OTHER_TPM"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Explanation:
    """``sentence`` is for the person at the computer, ``remedy`` for whoever looks after it. ``transient``:
    the agent tries again by itself, later; else only when something was changed."""

    sentence: str
    remedy: str
    transient: bool = False


class EnrollmentRefused(Exception):
    """``detail`` is what was seen, without secrets; it is logged and shown with ``--debug``."""

    def __init__(self, reason: EnrollmentRefusal, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


_R = EnrollmentRefusal

EXPLANATIONS: Final[dict[EnrollmentRefusal, Explanation]] = {
    _R.NEGOTIATE_FAILED: Explanation(
        "The Kerberos ticket was not accepted.",
        "See that the service principal name HTTP/<host of the IWA web app> is registered for the account "
        "whose keytab it has, and that the keytab has the newest key: devicetrust doctor --iwa iwa.yaml.",
    ),
    _R.NTLM_REFUSED: Explanation(
        "The computer answered with NTLM instead of Kerberos.",
        "The computer found no ticket for HTTP/<host>: it is not joined, reaches no domain controller, or "
        "the service principal name is missing.",
    ),
    _R.TICKET_REPLAYED: Explanation(
        "The same Kerberos message came twice.",
        "Harmless when it is seen once; seen often, somebody repeats what was overheard.",
        transient=True,
    ),
    _R.CLOCK_SKEW: Explanation(
        "The clocks of this computer and of the server differ too much.",
        "Kerberos allows five minutes. Set the clocks: timedatectl, w32tm /resync.",
        transient=True,
    ),
    _R.CHANNEL_BINDING_MISSING: Explanation(
        "The Kerberos message is not bound to this TLS connection.",
        "The client sent no channel bindings, which iwa.yaml requires: update the client, or set "
        "kerberos.channel_bindings to when_offered.",
    ),
    _R.CHANNEL_BINDING_MISMATCH: Explanation(
        "The Kerberos message is bound to another TLS connection, or to another request.",
        "Something between the computer and the IWA web app opens TLS, or changes what is sent: let the "
        "address of the IWA web app pass uninspected.",
    ),
    _R.REALM_NOT_TRUSTED: Explanation(
        "The account is of a domain that may not enroll here.",
        "List its realm in iwa.yaml under realms, if it should.",
    ),
    _R.NOT_A_COMPUTER: Explanation(
        "The account that asked for a device token is not a computer's.",
        "Device tokens are for computer accounts: the device part of the agent has to run as root, or as the "
        "system, with the computer's own keytab.",
    ),
    _R.NOT_A_USER: Explanation(
        "The account that asked for a user token is not a person's.",
        "The user part of the agent has to run as the person who is logged on.",
    ),
    _R.ACCOUNT_NOT_FOUND: Explanation(
        "The directory does not know the account.",
        "See that directory.base in iwa.yaml is above the account, and that it was not deleted.",
    ),
    _R.ACCOUNT_DISABLED: Explanation(
        "The account is disabled.",
        "Enable it in the directory, or leave it: tickets that were issued before stay valid for hours, and "
        "are refused here.",
    ),
    _R.ACCOUNT_EXPIRED: Explanation("The account has expired.", "Extend it in the directory."),
    _R.NOT_IN_GROUP: Explanation(
        "The account is not in a group whose members may enroll.",
        "Add it to one of the groups that iwa.yaml lists under require_groups.",
    ),
    _R.DIRECTORY_UNAVAILABLE: Explanation(
        "The directory cannot be asked now.",
        "See that the IWA web app reaches the domain controllers in directory.urls.",
        transient=True,
    ),
    _R.DEVICE_TOKEN_INVALID: Explanation(
        "The device token is not one of this IWA web app.",
        "Device tokens are good only at the IWA web app that made them: see that several are "
        "not behind one load balancer without session affinity.",
        transient=True,
    ),
    _R.DEVICE_TOKEN_EXPIRED: Explanation(
        "The device token is too old.", "The agent gets a new one by itself.", transient=True
    ),
    _R.DEVICE_TOKEN_REPLAYED: Explanation(
        "The device token was used before.", "The agent gets a new one by itself.", transient=True
    ),
    _R.KEY_MISMATCH: Explanation(
        "The key is not the one that the token was made for.",
        "A token that was taken from one computer was shown by another; if not, please report it.",
    ),
    _R.IWA_NOT_REGISTERED: Explanation(
        "The IWA web app is not registered with the organization.",
        "On its server: devicetrust iwa register -c iwa.yaml.",
        transient=True,
    ),
    _R.USER_TOKEN_INVALID: Explanation(
        "The user token is not valid.",
        "Its signature, audience or content is wrong. Register the IWA web app again if its key is new.",
    ),
    _R.USER_TOKEN_EXPIRED: Explanation(
        "The user token is too old.",
        "See that the clocks of the IWA web app and of the org agree.",
        transient=True,
    ),
    _R.USER_TOKEN_REPLAYED: Explanation(
        "The user token was used before.", "The agent gets a new one by itself.", transient=True
    ),
    _R.NONCE_INVALID: Explanation(
        "The enrollment took too long, or was begun elsewhere.",
        "The agent begins anew by itself.",
        transient=True,
    ),
    _R.IWA_UNKNOWN: Explanation(
        "The organization does not know the IWA web app that vouched for this computer.",
        "On its server: devicetrust iwa register -c iwa.yaml.",
        transient=True,
    ),
    _R.IWA_DISABLED: Explanation(
        "The IWA web app that vouched for this computer is disabled.",
        "Enable it: POST /api/v1/iwas/ID/lifecycle/activate.",
        transient=True,
    ),
    _R.REQUEST_INVALID: Explanation(
        "The certification request is not acceptable.",
        "Keys are P-256, P-384 or RSA of 2048 to 4096 bits. What was wrong is in the detail.",
    ),
    _R.USER_UNKNOWN: Explanation(
        "The organization does not know this person.",
        "Create the user with the login that the detail names and the provider ACTIVE_DIRECTORY, or set "
        "device_trust.enrollment.create_users.",
    ),
    _R.USER_INACTIVE: Explanation("The person is deactivated or suspended.", "Activate the user."),
    _R.USER_NOT_FROM_DIRECTORY: Explanation(
        "The person's account in the organization does not come from the directory.",
        "Make the user one of the provider ACTIVE_DIRECTORY, if it is the same person.",
    ),
    _R.USER_OTHER_ACCOUNT: Explanation(
        "The directory's account is another one than at the last enrollment.",
        "The login is the same, the security identifier is not: the account was made anew, or is of another "
        "forest. If it is the same person: POST /api/v1/users/ID/lifecycle/forget_directory_account.",
    ),
    _R.DEVICE_INACTIVE: Explanation("The computer is deactivated or suspended.", "Activate the device."),
    _R.READ_ONLY: Explanation(
        "The organization is read-only: no certificates are issued now.",
        "An administrator set read_only. Sign-ons and revocation go on.",
        transient=True,
    ),
    _R.TOO_OFTEN: Explanation(
        "This computer or person enrolled too often lately.", "Wait an hour.", transient=True
    ),
    _R.TOO_MANY_CERTIFICATES: Explanation(
        "This computer has too many valid certificates.",
        "Revoke one, or raise device_trust.ca.max_certificates.",
    ),
    _R.NO_AUTHORITY: Explanation(
        "There is no certification authority yet.", "devicetrust ca init", transient=True
    ),
    _R.DEVICE_TRUST_DISABLED: Explanation(
        "Device trust is switched off for the organization.",
        "Switch it on: device_trust.enabled, or the setting device_trust_enabled.",
        transient=True,
    ),
    _R.CODE_INVALID: Explanation(
        "The enrollment code is wrong, was used or has ended.",
        "devicetrust ca enrollment-code makes a new one.",
    ),
    _R.RENEWAL_DISABLED: Explanation(
        "Certificates are renewed only inside the company network here.",
        "Connect to it, or set device_trust.enrollment.renew_anywhere.",
        transient=True,
    ),
    _R.NOT_DUE: Explanation("The certificate is not due for renewal yet.", "Nothing is to be done.", True),
    _R.CERTIFICATE_UNKNOWN: Explanation(
        "The organization did not issue the certificate that was shown.",
        "The agent enrolls anew inside the company network.",
    ),
    _R.CERTIFICATE_REVOKED: Explanation(
        "The certificate that was shown is revoked.",
        "The agent enrolls anew inside the company network, unless the device or user is deactivated.",
    ),
    _R.CERTIFICATE_EXPIRED: Explanation(
        "The certificate that was shown ended too long ago.",
        "The agent enrolls anew inside the company network.",
    ),
    _R.PROOF_INVALID: Explanation(
        "The proof that this computer holds the certificate's key is not valid.",
        "See that the computer's clock is right.",
    ),
    _R.ATTESTATION_REQUIRED: Explanation(
        "The key has to be in a TPM that can be verified.",
        "Set KeyStorage to tpm in the agent's settings; device_trust.enrollment.attestation is required.",
    ),
    _R.ATTESTATION_INVALID: Explanation(
        "The TPM's statement about the key is not valid.", "What was wrong is in the detail."
    ),
    _R.ATTESTATION_UNTRUSTED: Explanation(
        "The TPM is not of a vendor that the organization trusts.",
        "Add the vendor's authority to device_trust.enrollment.tpm_vendor_authorities.",
    ),
    _R.ATTESTATION_OTHER_TPM: Explanation(
        "The computer has another TPM than at the last enrollment.",
        "After the mainboard was replaced: delete the device, and let it enroll anew.",
    ),
    _R.UNAVAILABLE: Explanation(
        "The organization cannot issue certificates now.",
        "The store or the authority's key is not at hand: see the org's log.",
        transient=True,
    ),
}
