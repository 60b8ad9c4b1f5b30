"""The ways to a certificate, each step as `--debug` numbers them:

    by Kerberos        inside the company network: computer's ticket, person's ticket, user token, certificate
    by a certificate   anywhere: with the one that is to be renewed, over TLS or by a proof
    by a code          test machines: an enrollment code for one use

Each returns what the org issued, checked, and has changed nothing on this computer but a key that was made.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway.agent.discovery import AttestationRule, Discovery, Iwa
from gateway.agent.enrolled import Enrolled
from gateway.agent.http import ClientCertificate
from gateway.agent.iwa_client import Asked, IwaClient
from gateway.agent.keys.device_key import AttestableKey, DeviceKey, KeyFailed
from gateway.agent.negotiate import StartConversation
from gateway.agent.org_client import CertificateWanted, OrgClient
from gateway.agent.plan import Held
from gateway.agent.platform import KeyFile
from gateway.agent.refusal import LocalRefusal, Refused, refused
from gateway.agent.trace import Trace, decoded_token
from gateway.enrollment.proofs import PROOF_LIFETIME, ProofAct, ProofClaims, sign_proof
from gateway.enrollment.refusals import EnrollmentRefusal
from gateway.enrollment.thumbprints import key_thumbprint
from gateway.pki.certificate import Certificate

_R = EnrollmentRefusal
# What every IWA web app would say, since it is about the account: the others are not asked, and no other way
# is tried around it.
FINAL: Final = frozenset(
    {
        _R.ACCOUNT_DISABLED.value,
        _R.ACCOUNT_EXPIRED.value,
        _R.NOT_IN_GROUP.value,
        _R.NOT_A_COMPUTER.value,
        _R.NOT_A_USER.value,
    }
)
_ON_THE_WAY: Final = frozenset(
    {
        LocalRefusal.UNREACHABLE.value,
        LocalRefusal.TLS_FAILED.value,
        LocalRefusal.PROXY_FAILED.value,
        LocalRefusal.ANSWER_INVALID.value,
    }
)


@dataclass(frozen=True, slots=True)
class Means:
    """What the steps are taken with. ``device_token`` asks the device part, or the computer's keytab itself;
    ``person`` raises Refused where there is no Kerberos. ``say`` takes sentences for people."""

    org: OrgClient
    iwa: Callable[[str], IwaClient]
    device_token: Callable[[Iwa, Asked], str]
    person: Callable[[], StartConversation]
    platform: str
    version: str
    trace: Trace
    say: Callable[[str], None]
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Vouched:
    """A user token, and of whom it speaks (its claims; the org verifies them)."""

    token: str
    account: str | None  # SID, or else principal
    login: str | None


@dataclass(frozen=True, slots=True)
class Steps:
    means: Means
    discovery: Discovery
    authorities: Sequence[Certificate]

    def by_kerberos(
        self, key: DeviceKey, replaces: Held | None, expected_account: str | None
    ) -> tuple[Enrolled, str | None]:
        """The certificate, and the account whose ticket it was got with. Raises Refused, KeyFailed.

        A certificate is never renewed with another person's ticket: who runs `kinit` for a second account
        would else lose the certificate of the first. ``expected_account`` is whose ticket the last was.
        """
        vouched = self._vouched(key)
        if replaces is not None and _is_another(vouched, replaces, expected_account):
            raise refused(
                LocalRefusal.OTHER_PERSON,
                f"the Kerberos ticket is {vouched.login}'s, the certificate {replaces.login}'s",
                "Sign on as the person whose certificate it is; or to begin anew: devicetrust-agent "
                "uninstall, then install.",
            )
        request = key.certification_request()
        self.means.trace.step(4)
        with at_step(4):
            wanted = CertificateWanted(
                request_der=request,
                replaces=None if replaces is None else replaces.certificate.thumbprint,
                platform=self.means.platform,
                agent_version=self.means.version,
                attestation=self._attestation(key, request),
            )
            return self.means.org.certificate(vouched.token, wanted), vouched.account

    def by_code(self, key: DeviceKey, code: str) -> Enrolled:
        self.means.trace.note("steps 2 and 3 are left out: an enrollment code takes their place")
        self.means.trace.step(4)
        with at_step(4):
            return self.means.org.enrolled_by_code(code, key.certification_request(), self.authorities)

    def by_certificate(
        self, key: DeviceKey, held: Held, former: DeviceKey, shown: ClientCertificate | None, *, force: bool
    ) -> Enrolled:
        """Renew with the certificate that there is. ``shown``: its files, where TLS can show it; where TLS is
        blocked or opened on the way to the mTLS hosts, a proof does, too."""
        request = key.certification_request()
        self.means.trace.note("steps 2 and 3 are left out: the certificate itself takes their place")
        self.means.trace.step(4)
        with at_step(4):
            if shown is not None:
                try:
                    return self.means.org.renewed_over_tls(
                        self.discovery.est_url, shown, request, self.authorities, force=force
                    )
                except Refused as error:
                    if error.refusal.code not in _ON_THE_WAY or not error.refusal.transient:
                        raise
                    self.means.say(f"{error.refusal.message}: a proof is tried instead of TLS")
            proof = self.proof(held.certificate, former, ProofAct.RENEW, key_thumbprint(key.public_key()))
            attestation = self._attestation(key, request)
            return self.means.org.renewed_with_proof(request, proof, force=force, attestation=attestation)

    def proof(
        self, certificate: Certificate, key: DeviceKey, act: ProofAct, new_key: str | None = None
    ) -> str:
        """That this computer holds the certificate's key. Raises KeyFailed."""
        now = self.means.now()
        claims = ProofClaims(
            proof_id=secrets.token_urlsafe(16),
            audience=self.discovery.audience,
            act=act,
            nonce=self.discovery.nonce,
            issued=now,
            expires=now + PROOF_LIFETIME,
            key_thumbprint=new_key,
        )
        return sign_proof(claims, certificate.der, key.sign)

    def _vouched(self, key: DeviceKey) -> Vouched:
        """Steps 2 and 3, at the first IWA web app that goes along with both."""
        if not self.discovery.iwas:
            raise refused(
                LocalRefusal.NO_IWA,
                "the organization has no IWA web app yet",
                "devicetrust iwa register, on its server; or enroll with a code.",
                transient=True,
            )
        person = self.means.person()
        asked = Asked(self.discovery.nonce, key_thumbprint(key.public_key()))
        failures: list[Refused] = []
        for iwa in self.discovery.iwas:
            try:
                return self._vouched_by(iwa, asked, person)
            except Refused as error:
                failures.append(error)
                if error.refusal.code in FINAL:
                    break
                if iwa is not self.discovery.iwas[-1]:
                    self.means.say(f"IWA web app {iwa.name}: {error.refusal.message}; the next one is tried")
        raise _most_telling(failures)

    def _vouched_by(self, iwa: Iwa, asked: Asked, person: StartConversation) -> Vouched:
        trace = self.means.trace
        trace.step(2)
        trace.note(f"IWA web app {iwa.name} at {iwa.url}")
        with at_step(2):
            device_token = self.means.device_token(iwa, asked)
        trace.note(f"device token: {json.dumps(decoded_token(device_token), indent=2)}")
        trace.step(3)
        with at_step(3):
            token = self.means.iwa(iwa.url).user_token(asked, device_token, person)
        return _read_vouched(token)

    def _attestation(self, key: DeviceKey, request_der: bytes) -> Mapping[str, Any] | None:
        rule = self.discovery.attestation
        if rule is AttestationRule.NONE or not isinstance(key, AttestableKey):
            return None
        try:
            answer = self.means.org.attestation(key.attestation_request(self.discovery.nonce))
            return key.attest(self.discovery.nonce, request_der, answer)
        except (Refused, KeyFailed) as error:
            if rule is AttestationRule.REQUIRED:
                raise
            self.means.say(
                f"the TPM could not vouch for the key, and the certificate will not say so: {error}"
            )
            return None


@contextmanager
def at_step(number: int) -> Iterator[None]:
    """Lets a refusal say at which of the five steps it came."""
    try:
        yield
    except Refused as error:
        if error.refusal.step is not None:
            raise
        raise Refused(replace(error.refusal, step=number)) from None


def _read_vouched(token: str) -> Vouched:
    told = decoded_token(token)
    claims = told.get("claims") if isinstance(told, dict) else None
    user = claims.get("user") if isinstance(claims, dict) else None
    if not isinstance(user, dict):
        return Vouched(token, None, None)
    account, login = user.get("sid", user.get("principal")), user.get("login")
    return Vouched(
        token, account if isinstance(account, str) else None, login if isinstance(login, str) else None
    )


def _is_another(vouched: Vouched, replaces: Held, expected_account: str | None) -> bool:
    """Whoever was renamed in the directory has another login, and the same account."""
    if vouched.account is not None and vouched.account == expected_account:
        return False
    return None not in (vouched.login, replaces.login) and vouched.login != replaces.login


def _most_telling(failures: Sequence[Refused]) -> Refused:
    """What an IWA web app said says more than that another one could not be reached."""
    final = [each for each in failures if each.refusal.code in FINAL]
    answered = [each for each in failures if each.refusal.code not in _ON_THE_WAY]
    return (final or answered or list(failures))[0]


def client_certificate(key: DeviceKey, certificate_file: Path) -> ClientCertificate | None:
    """The files that TLS can show; None for a key that is in none."""
    place = key.place
    return ClientCertificate(certificate_file, place.path) if isinstance(place, KeyFile) else None
