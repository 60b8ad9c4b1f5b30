"""The authorities: made once, rolled over to a new generation, retired when nothing rests on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gateway.model.changes import StatePart, state_changed
from gateway.model.ids import MIN_RANDOM_BYTES, IdKind, new_id
from gateway.model.issued import (
    AuthorityKind,
    AuthorityRecord,
    AuthorityStatus,
    CertificateQuery,
    CertificateStatus,
    PublishedCrl,
    RevokedEntry,
)
from gateway.pki.certificate import Certificate
from gateway.pki.certificate_profile import (
    DEFAULT_ISSUING_COMMON_NAME,
    ISSUING_AUTHORITY,
    ROOT_AUTHORITY,
)
from gateway.pki.crl_building import build_crl
from gateway.pki.issuance import Publication, prepare_authority, sign
from gateway.pki.publication import issuing_publication
from gateway.pki.signer import Signer
from gateway.services.authority_ports import AuthorityView, AuthorityWork
from gateway.services.issuing import certificate_of, new_serial_number
from gateway.services.ports import Randomness
from gateway.system_log.catalog import Occasion
from gateway.system_log.certificate_events import authority_added, authority_deleted, authority_renewed

# A root is offline: its list of revoked authorities is signed by hand, about once a year.
ROOT_CRL_LIFETIME: Final = timedelta(days=400)
DEFAULT_SHARDS: Final = 16


class AuthorityRefused(Exception):
    """An authority that cannot be made: one sentence for whoever asked."""


@dataclass(frozen=True, slots=True)
class AuthorityNames:
    """What new authorities are called, and where what they publish is found."""

    organization: str
    base_url: str  # https://sso.example.test, or http: of CRLs, certificates and OCSP
    common_name: str = DEFAULT_ISSUING_COMMON_NAME
    crl_shards: int = DEFAULT_SHARDS


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key, and how the store is to remember it: encrypted PEM, a ``pkcs11:`` URI, or nothing (offline)."""

    signer: Signer
    pem: bytes | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class NewAuthority:
    record: AuthorityRecord
    certificate: Certificate


def initialise(
    work: AuthorityWork,
    names: AuthorityNames,
    root_key: NewKey,
    issuing_key: NewKey,
    occasion: Occasion,
    randomness: Randomness,
) -> tuple[NewAuthority, NewAuthority]:
    """Root and first issuing authority. Raises AuthorityRefused where there is one already, IssuanceRefused
    for names that do not fit, and SigningFailed."""
    if work.authorities.all():
        raise AuthorityRefused(
            "the store has a certification authority already; a new issuing one is made by: "
            "devicetrust ca rollover"
        )
    root = _root(names, root_key, occasion, randomness)
    issuing = _issuing(names, root, root_key.signer, issuing_key, 1, occasion, randomness)
    for made in (root, issuing):
        work.authorities.add(made.record)
        work.log_event(authority_added(occasion, made.record))
    work.crls.put(_root_crl(root, root_key.signer, 1, (), occasion))
    work.record(state_changed(StatePart.AUTHORITIES))
    return root, issuing


def roll_over(
    work: AuthorityWork,
    names: AuthorityNames,
    root_signer: Signer,
    issuing_key: NewKey,
    occasion: Occasion,
    randomness: Randomness,
) -> NewAuthority:
    """A new issuing authority under the root takes over. The former one is trusted and hinted until the last
    of its certificates has ended, and goes on publishing its lists. Raises as `initialise` does."""
    roots = work.authorities.all(AuthorityKind.ROOT)
    if not roots:
        raise AuthorityRefused("there is no certification authority yet; run: devicetrust ca init")
    root = NewAuthority(roots[-1], certificate_of(roots[-1].certificate_der))
    if root_signer.public_key != root.certificate.public_key:
        raise AuthorityRefused("this is not the key of the root authority")
    issuing = work.authorities.all(AuthorityKind.ISSUING)
    generation = max(each.generation for each in issuing) + 1
    made = _issuing(names, root, root_signer, issuing_key, generation, occasion, randomness)
    work.authorities.add(made.record)
    for each in issuing:
        if each.status is AuthorityStatus.ACTIVE:
            work.authorities.set_status(each.id, AuthorityStatus.RETIRING)
            work.log_event(authority_renewed(occasion, made.record, each))
    work.record(state_changed(StatePart.AUTHORITIES))
    return made


def renew_root_crl(
    work: AuthorityWork, root_signer: Signer, occasion: Occasion, revoked: Sequence[RevokedEntry] = ()
) -> PublishedCrl:
    """A new list of the root, by its key. Raises AuthorityRefused and SigningFailed."""
    roots = [
        NewAuthority(each, certificate_of(each.certificate_der))
        for each in work.authorities.all(AuthorityKind.ROOT)
    ]
    root = next((each for each in roots if each.certificate.public_key == root_signer.public_key), None)
    if root is None:
        raise AuthorityRefused("this is not the key of the root authority")
    work.authorities.get(root.record.id, lock=True)
    held = work.crls.get(root.record.id, 0)
    crl = _root_crl(root, root_signer, 1 if held is None else held.number + 1, revoked, occasion)
    work.crls.put(crl)
    return crl


def retire_ended(work: AuthorityWork, occasion: Occasion) -> Sequence[AuthorityRecord]:
    """Authorities that were rolled over and of whose certificates none is valid any more."""
    ended = []
    for authority in work.authorities.all(AuthorityKind.ISSUING):
        if authority.status is not AuthorityStatus.RETIRING:
            continue
        may_be_used = CertificateQuery(
            authority_id=authority.id,
            statuses=frozenset(
                (CertificateStatus.RESERVED, CertificateStatus.ISSUED, CertificateStatus.HELD)
            ),
            expires_from=occasion.at,
        )
        if work.certificates.count(may_be_used) == 0:
            work.authorities.set_status(authority.id, AuthorityStatus.RETIRED)
            work.log_event(authority_deleted(occasion, authority))
            ended.append(authority)
    if ended:
        work.record(state_changed(StatePart.AUTHORITIES))
    return ended


def trusted_authorities(view: AuthorityView) -> Sequence[AuthorityRecord]:
    """The issuing authorities whose certificates count, oldest first. The root is not among them: trusted by
    itself, it would bring back what has retired."""
    return [
        each
        for each in view.authorities.all(AuthorityKind.ISSUING)
        if each.status is not AuthorityStatus.RETIRED
    ]


def _root(names: AuthorityNames, key: NewKey, occasion: Occasion, randomness: Randomness) -> NewAuthority:
    certificate = sign(
        prepare_authority(
            f"{names.organization} Device Trust Root"[:64],
            names.organization,
            None,
            key.signer.public_key,
            None,
            serial_number=new_serial_number(randomness),
            now=occasion.at,
            publication=Publication(),
            profile=ROOT_AUTHORITY,
        ),
        key.signer,
    )
    return _record(AuthorityKind.ROOT, 1, "root", certificate, key, 1, occasion, randomness)


def _issuing(
    names: AuthorityNames,
    root: NewAuthority,
    root_signer: Signer,
    key: NewKey,
    generation: int,
    occasion: Occasion,
    randomness: Randomness,
) -> NewAuthority:
    """The unit tells generations apart: two authorities of one name could be taken for each other by those
    who look at names only, and browsers' policies look at the common name."""
    certificate = sign(
        prepare_authority(
            names.common_name,
            names.organization,
            f"Generation {generation}",
            key.signer.public_key,
            root.certificate,
            serial_number=new_serial_number(randomness),
            now=occasion.at,
            publication=issuing_publication(names.base_url, root.record.generation),
            profile=ISSUING_AUTHORITY,
        ),
        root_signer,
    )
    return _record(
        AuthorityKind.ISSUING,
        generation,
        names.common_name,
        certificate,
        key,
        names.crl_shards,
        occasion,
        randomness,
    )


def _record(
    kind: AuthorityKind,
    generation: int,
    name: str,
    certificate: Certificate,
    key: NewKey,
    crl_shards: int,
    occasion: Occasion,
    randomness: Randomness,
) -> NewAuthority:
    record = AuthorityRecord(
        id=new_id(IdKind.AUTHORITY, randomness.bytes(MIN_RANDOM_BYTES)),
        name=name,
        kind=kind,
        generation=generation,
        status=AuthorityStatus.ACTIVE,
        certificate_der=certificate.der,
        issuer_hash=certificate.issuer_hash,
        key_reference=key.reference,
        created=occasion.at,
        not_after=certificate.not_after,
        crl_shards=crl_shards,
        key_pem=key.pem,
    )
    return NewAuthority(record, certificate)


def _root_crl(
    root: NewAuthority,
    signer: Signer,
    number: int,
    revoked: Sequence[RevokedEntry],
    occasion: Occasion,
) -> PublishedCrl:
    next_update = min(occasion.at + ROOT_CRL_LIFETIME, root.certificate.not_after)
    der = build_crl(
        root.certificate,
        signer,
        number=number,
        this_update=occasion.at,
        next_update=next_update,
        entries=revoked,
    )
    return PublishedCrl(root.record.id, 0, number, occasion.at, next_update, der)
