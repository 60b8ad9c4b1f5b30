"""Enrollment by Kerberos: an IWA web app has vouched for a person at a computer, whose agent has a key.

Nothing is written for who shows no token that a registered IWA web app has signed. From there on every
refusal is an event, of which so many are written for one person, and one computer, and no more.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.enrollment.claims import ALLOWED_SKEW, TokenExpired, TokenInvalid
from gateway.enrollment.iwa_keys import key_of_jwk
from gateway.enrollment.nonces import NonceInvalid, check_nonce
from gateway.enrollment.parties import iwa_issuer
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.thumbprints import key_thumbprint
from gateway.enrollment.tokens import UserToken, token_key_id, verify_user_token
from gateway.model.ids import MIN_RANDOM_BYTES, IdKind, new_id
from gateway.model.issued import CertificateStatus, IssuedCertificate
from gateway.model.iwa import Iwa
from gateway.model.org import Device, SettingName, User
from gateway.model.settings import AttestationMode
from gateway.model.store_errors import AlreadyExists
from gateway.pki.certification_request import CertificationRequest
from gateway.pki.signer import SigningFailed
from gateway.services.attesting import AttestedKey
from gateway.services.authority_ports import SigningKeys
from gateway.services.directory_accounts import enrolling_device, enrolling_user
from gateway.services.enrollment_ports import (
    Attester,
    EnrollmentStore,
    EnrollmentView,
    EnrollmentWork,
)
from gateway.services.enrollment_refusals import refusal_of_issuing
from gateway.services.enrollment_terms import EnrollmentTerms
from gateway.services.failed_tries import MAX_FAILED_OF_COMPUTER, FailedTries
from gateway.services.issuing import Issued, IssuingRefused, Reservation, reserve, sign_and_complete
from gateway.services.ports import Randomness
from gateway.system_log.catalog import Occasion
from gateway.system_log.certificate_events import issuance_refused
from gateway.system_log.enrollment_events import authenticated_via_iwa

PER_HOUR: Final = timedelta(hours=1)
# Of two that enroll a new computer, or person, at the same moment, the second finds what the first has made.
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class EnrollmentAsked:
    """``replaces``: thumbprint of the certificate that the agent has installed. ``statement``: of its TPM."""

    user_token: str
    request: CertificationRequest
    platform: str
    replaces: str | None = None
    statement: Mapping[str, Any] | None = None
    agent_version: str = ""


@dataclass(frozen=True, slots=True)
class _Case:
    """What is known of one enrollment when it comes to the store."""

    iwa: Iwa
    token: UserToken
    asked: EnrollmentAsked
    attested: AttestedKey | None
    terms: EnrollmentTerms
    occasion: Occasion
    randomness: Randomness


class Enrolling:
    def __init__(
        self,
        keys: SigningKeys,
        nonce_key: bytes,
        failed: FailedTries,
        attester: Attester,
    ) -> None:
        self._keys = keys
        self._nonce_key = nonce_key
        self._failed = failed
        self._failed_at = FailedTries(MAX_FAILED_OF_COMPUTER)
        self._attester = attester

    def enroll(
        self,
        store: EnrollmentStore,
        asked: EnrollmentAsked,
        terms: EnrollmentTerms,
        occasion: Occasion,
        randomness: Randomness,
    ) -> Issued:
        """For callers that may block. Raises EnrollmentRefused, StoreUnavailable."""
        with store.read() as view:
            iwa = registered_iwa(view, asked.user_token)
        token = _vouched(iwa, asked.user_token, terms, occasion.at)
        self._check_tries(token, occasion.at)
        try:
            self._check_nonce(token.nonce, occasion.at)
            _check_key(token, asked.request)
            _check_realms(iwa, token)
            attested = self._attested(asked, token, terms, occasion.at)
            case = _Case(iwa, token, asked, attested, terms, occasion, randomness)
            reservation = _admit(store, case)
            return self._sign(store, reservation, token, occasion)
        except EnrollmentRefused as refused:
            self._write_down(store, iwa, token, asked, refused, occasion)
            raise

    def _check_tries(self, token: UserToken, now: datetime) -> None:
        for account, failed in ((token.device, self._failed_at), (token.user, self._failed)):
            if failed.too_many(account.directory_key, now.timestamp()):
                raise EnrollmentRefused(
                    EnrollmentRefusal.TOO_OFTEN,
                    f"{account.principal} was refused many times; wait 10 minutes",
                )

    def _check_nonce(self, nonce: str, now: datetime) -> None:
        try:
            check_nonce(self._nonce_key, nonce, now)
        except NonceInvalid as invalid:
            raise EnrollmentRefused(EnrollmentRefusal.NONCE_INVALID, str(invalid)) from None

    def _attested(
        self, asked: EnrollmentAsked, token: UserToken, terms: EnrollmentTerms, now: datetime
    ) -> AttestedKey | None:
        mode = terms.enrollment.attestation
        attested = None
        if mode is not AttestationMode.NONE and asked.statement is not None:
            attested = self._attester.attested(asked.statement, token.nonce, asked.request, now)
        if mode is AttestationMode.REQUIRED and attested is None:
            raise EnrollmentRefused(EnrollmentRefusal.ATTESTATION_REQUIRED)
        return attested

    def _sign(
        self, store: EnrollmentStore, reservation: Reservation, token: UserToken, occasion: Occasion
    ) -> Issued:
        try:
            return sign_and_complete(store, self._keys, reservation, occasion)
        except IssuingRefused as refused:
            raise refusal_of_issuing(refused) from refused
        except SigningFailed as failed:
            with store.begin() as work:
                work.one_use.give_back(_claim_key(token))  # what was reserved is never given out
            raise EnrollmentRefused(
                EnrollmentRefusal.UNAVAILABLE, "the authority's key is not at hand"
            ) from failed

    def _write_down(
        self,
        store: EnrollmentStore,
        iwa: Iwa,
        token: UserToken,
        asked: EnrollmentAsked,
        refused: EnrollmentRefused,
        occasion: Occasion,
    ) -> None:
        """In a transaction of its own: the one in which it was refused has left nothing."""
        self._failed_at.add(token.device.directory_key, occasion.at.timestamp())
        self._failed.add(token.user.directory_key, occasion.at.timestamp())
        with store.begin() as work:
            device = work.devices.by_directory_key(token.device.directory_key)
            user = work.users.by_login(token.user.login)
            reason, detail = refused.reason.value, refused.detail
            if isinstance(refused.__cause__, IssuingRefused):
                work.log_event(issuance_refused(occasion, reason, device, user, detail))
                return
            work.log_event(
                authenticated_via_iwa(
                    occasion,
                    iwa,
                    token.user.principal,
                    user,
                    device,
                    refusal=reason,
                    seen={**_seen(token, asked), "detail": detail},
                )
            )


def registered_iwa(view: EnrollmentView, text: str) -> Iwa:
    """Whose key the token says that it is signed with; nothing is verified. Raises EnrollmentRefused."""
    try:
        key_id = token_key_id(text)
    except TokenInvalid as invalid:
        raise EnrollmentRefused(EnrollmentRefusal.USER_TOKEN_INVALID, str(invalid)) from None
    iwa = view.iwas.by_key_id(key_id)
    if iwa is None:
        raise EnrollmentRefused(EnrollmentRefusal.IWA_UNKNOWN, f"no key {key_id} is registered")
    if not iwa.enabled:
        raise EnrollmentRefused(EnrollmentRefusal.IWA_DISABLED, iwa.name)
    return iwa


def _vouched(iwa: Iwa, text: str, terms: EnrollmentTerms, now: datetime) -> UserToken:
    try:
        return verify_user_token(
            text, key_of_jwk(iwa.public_jwk), issuer=iwa_issuer(iwa.id), audience=terms.audience, now=now
        )
    except TokenExpired as expired:
        raise EnrollmentRefused(EnrollmentRefusal.USER_TOKEN_EXPIRED, str(expired)) from None
    except TokenInvalid as invalid:
        raise EnrollmentRefused(EnrollmentRefusal.USER_TOKEN_INVALID, str(invalid)) from None


def _check_key(token: UserToken, request: CertificationRequest) -> None:
    """Or whoever steals a token would get a certificate for a key of their own."""
    if key_thumbprint(request.public_key) != token.key_thumbprint:
        raise EnrollmentRefused(EnrollmentRefusal.KEY_MISMATCH, "the request's key is not the token's")


def _check_realms(iwa: Iwa, token: UserToken) -> None:
    """An IWA web app vouches for the realms that it was registered with, also if it is not what it was."""
    for account in (token.device, token.user):
        if iwa.realms and account.realm not in iwa.realms:
            raise EnrollmentRefused(
                EnrollmentRefusal.REALM_NOT_TRUSTED, f"{iwa.name} is not registered for {account.realm}"
            )


def _admit(store: EnrollmentStore, case: _Case) -> Reservation:
    """One transaction, all or nothing: a token whose request is refused may be used again."""
    for _ in range(_ATTEMPTS):
        try:
            with store.begin() as work:
                return _reserved(work, case)
        except AlreadyExists:
            continue
        except IssuingRefused as refused:
            raise refusal_of_issuing(refused) from refused
    raise EnrollmentRefused(EnrollmentRefusal.UNAVAILABLE, "others enroll the same computer or person now")


def _reserved(work: EnrollmentWork, case: _Case) -> Reservation:
    token, terms, occasion = case.token, case.terms, case.occasion
    _check_open(work, case.iwa, terms)
    _claim(work, token, occasion)
    device_id, user_id = _ids(case.randomness)
    device = enrolling_device(work, token.device, case.asked.platform, case.attested, device_id, occasion)
    create = terms.enrollment.create_users
    user = enrolling_user(work, token.user, user_id, occasion, create=create)
    _check_rate(work, device, user, terms, occasion)
    former, superseded = _replaced(work, device, user, case.asked.replaces, terms, occasion)
    reservation = reserve(
        work,
        case.asked.request,
        device.id,
        user.id,
        terms.ca,
        occasion,
        case.randomness,
        former=former,
        hardware_key=case.attested is not None,
        superseded=superseded,
    )
    principal = token.user.principal
    work.log_event(
        authenticated_via_iwa(occasion, case.iwa, principal, user, device, seen=_seen(token, case.asked))
    )
    return reservation


def _check_open(work: EnrollmentWork, iwa: Iwa, terms: EnrollmentTerms) -> None:
    """What an administrator may have switched off meanwhile; that the org is read-only, `reserve` sees."""
    now = work.iwas.by_key_id(iwa.key_id)
    if now is None or not now.enabled:
        raise EnrollmentRefused(EnrollmentRefusal.IWA_DISABLED, iwa.name)
    switch = work.settings.get(SettingName.DEVICE_TRUST_ENABLED)
    if not (terms.device_trust_enabled if switch is None else switch):
        raise EnrollmentRefused(EnrollmentRefusal.DEVICE_TRUST_DISABLED)


def _claim(work: EnrollmentWork, token: UserToken, occasion: Occasion) -> None:
    if not work.one_use.claim(_claim_key(token), token.expires + ALLOWED_SKEW, occasion.at):
        raise EnrollmentRefused(EnrollmentRefusal.USER_TOKEN_REPLAYED, f"token {token.token_id}")


def _claim_key(token: UserToken) -> bytes:
    return hashlib.sha256(f"user token {token.issuer} {token.token_id}".encode()).digest()


def _ids(randomness: Randomness) -> tuple[str, str]:
    """For a device and a user that may have to be made."""
    random = randomness.bytes(2 * MIN_RANDOM_BYTES)
    return (
        new_id(IdKind.DEVICE, random[:MIN_RANDOM_BYTES]),
        new_id(IdKind.USER, random[MIN_RANDOM_BYTES:]),
    )


def _check_rate(
    work: EnrollmentWork, device: Device, user: User, terms: EnrollmentTerms, occasion: Occasion
) -> None:
    """Both are locked, so that it is exact, however many gateways there are."""
    since, most = occasion.at - PER_HOUR, terms.enrollment.max_per_hour
    for name, made in (
        (device.name, work.certificates.made_since(since, device_id=device.id)),
        (user.login, work.certificates.made_since(since, user_id=user.id)),
    ):
        if made >= most:
            raise EnrollmentRefused(
                EnrollmentRefusal.TOO_OFTEN, f"{name} got {made} certificates within an hour"
            )


def _replaced(
    work: EnrollmentWork,
    device: Device,
    user: User,
    replaces: str | None,
    terms: EnrollmentTerms,
    occasion: Occasion,
) -> tuple[IssuedCertificate | None, Sequence[IssuedCertificate]]:
    """The one that the new certificate takes the place of, which stays valid until the new one is seen in
    use, and others, whose keys are lost.

    The agent names the one that it has installed. It may have expired, by no more than the grace: the device
    and its user are then the same as before all the same, and it is a renewal. Who names none has the newest.
    """
    within_grace = [
        each
        for each in work.certificates.usable_of_device(device.id, occasion.at - terms.enrollment.grace)
        if each.user_id == user.id and each.status is CertificateStatus.ISSUED
    ]
    valid = [each for each in within_grace if each.not_after > occasion.at]
    named = [each for each in within_grace if replaces is not None and each.thumbprint == replaces]
    former = next(reversed(named or valid), None)
    return former, [each for each in valid if each is not former]


def _seen(token: UserToken, asked: EnrollmentAsked) -> dict[str, object]:
    """What the token says, for whoever looks into a refusal."""
    return {
        "principal": token.user.principal,
        "sid": token.user.sid,
        "devicePrincipal": token.device.principal,
        "deviceSid": token.device.sid,
        "keyThumbprint": token.key_thumbprint,
        "tokenId": token.token_id,
        "agentVersion": asked.agent_version,
    }
