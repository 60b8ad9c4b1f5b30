"""What there is on this computer: the agent's own keys and certificates, and those in the stores of browsers.

From it `plan.decide` says what to do. Nothing is changed here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.agent.enrolled import device_named_in, issuer_of, login_of
from gateway.agent.keys.device_key import KeyFailed
from gateway.agent.keys.keepers import Keepers
from gateway.agent.plan import Held, Standing
from gateway.agent.platform import FoundCertificate, Platform
from gateway.agent.vault import Vault
from gateway.pki.certificate import Certificate, CertificateRejected, parse_certificate
from gateway.pki.names import COMMON_NAME, read_name
from gateway.pki.signer import spki_of

AskStanding = Callable[[Certificate, Certificate], Standing]


@dataclass(frozen=True, slots=True)
class Survey:
    """``entries`` are where each certificate stands in a store, by thumbprint; ``remarks`` what could not be
    read and why."""

    held: tuple[Held, ...]
    entries: dict[str, tuple[FoundCertificate, ...]] = field(repr=False)
    remarks: tuple[str, ...] = ()


def survey(
    vault: Vault,
    keepers: Keepers,
    platform: Platform,
    authorities: Sequence[Certificate],
    ask_standing: AskStanding,
    now: datetime,
) -> Survey:
    """Raises VaultFailed, PlatformFailed."""
    remarks: list[str] = []
    held: dict[str, Held] = {}
    names = {_common_name(each.subject_der) for each in authorities}
    for name in vault.names():
        found = vault.certificate(name)
        if not found:
            remarks.append(f"{vault.certificate_file(name)} holds no certificate")
            continue
        certificate = found[0]
        names.add(issuer_common_name(certificate))
        usable, in_doubt = _usable_key(name, certificate, keepers, remarks)
        known = _held(certificate, authorities, usable)
        held[certificate.thumbprint] = replace(known, key_in_doubt=in_doubt)
    entries: dict[str, list[FoundCertificate]] = {}
    for entry in platform.find_certificates(sorted(names - {""})):
        try:
            certificate = parse_certificate(entry.certificate_der)
        except CertificateRejected as rejected:
            remarks.append(f"{entry.store}: {entry.handle} cannot be read: {rejected.detail}")
            continue
        if certificate.extensions.is_ca:  # the issuer, which came in beside a certificate
            continue
        entries.setdefault(certificate.thumbprint, []).append(entry)
        known = held.get(certificate.thumbprint) or _held(certificate, authorities, None)
        store = frozenset({entry.store})
        if entry.has_key:
            known = replace(known, stores=known.stores | store)
        else:
            known = replace(known, keyless_stores=known.keyless_stores | store)
        held[certificate.thumbprint] = known
    asked = tuple(_with_standing(each, authorities, ask_standing, now) for each in held.values())
    return Survey(asked, {key: tuple(found) for key, found in entries.items()}, tuple(remarks))


def _held(certificate: Certificate, authorities: Sequence[Certificate], key_name: str | None) -> Held:
    return Held(
        certificate=certificate,
        own=issuer_of(certificate, authorities) is not None,
        key_name=key_name,
        login=login_of(certificate),
        device=device_named_in(certificate),
    )


def _usable_key(
    name: str, certificate: Certificate, keepers: Keepers, remarks: list[str]
) -> tuple[str | None, bool]:
    """The name, where the key can be used; and whether there may be one that cannot be read now."""
    try:
        key = keepers.of(name).open(name)
        if key is None:
            return None, False
        if spki_of(key.public_key()) != spki_of(certificate.public_key):
            remarks.append(f"the key {name} is not that of its certificate")
            return None, False
    except KeyFailed as failed:
        remarks.append(str(failed))
        return None, True
    return name, False


def _with_standing(
    held: Held, authorities: Sequence[Certificate], ask_standing: AskStanding, now: datetime
) -> Held:
    """Asked is only about what could be kept."""
    issuer = issuer_of(held.certificate, authorities)
    if issuer is None or not held.has_key or now >= held.certificate.not_after:
        return held
    return replace(held, standing=ask_standing(held.certificate, issuer))


def issuer_common_name(certificate: Certificate) -> str:
    """By which stores and browsers' policies find it; "" where there is none."""
    return _common_name(certificate.issuer_der)


def _common_name(name_der: bytes) -> str:
    _, attributes = read_name(name_der)
    for kind, value in attributes:
        if kind == COMMON_NAME and isinstance(value, str):
            return value
    return ""
