"""How this computer stands, as far as it knows by itself: for `status` and `verify`. Nothing is asked of the
org here, and nothing is changed."""

from dataclasses import dataclass
from datetime import datetime

from gateway.agent.enrolled import device_named_in, login_of
from gateway.agent.keys.device_key import KeyFailed
from gateway.agent.keys.keepers import PLATFORM_STORAGE, Keepers
from gateway.agent.platform import Platform, PlatformFailed
from gateway.agent.state import State
from gateway.agent.survey import issuer_common_name
from gateway.agent.vault import Vault
from gateway.pki.certificate import Certificate
from gateway.pki.signer import spki_of


@dataclass(frozen=True, slots=True)
class LocalStanding:
    """``certificate`` is the one that the agent got last, None where there is none. ``stores`` have it with
    its key; ``troubles`` are why it is not good, in sentences."""

    certificate: Certificate | None
    login: str | None
    device: str | None
    has_key: bool
    stores: tuple[str, ...]
    troubles: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        return self.certificate is not None and not self.troubles


def local_standing(
    vault: Vault,
    keepers: Keepers,
    platform: Platform,
    state: State,
    now: datetime,
    *,
    in_stores: bool = True,
) -> LocalStanding:
    """``in_stores``: a browser's store has to have it. Raises VaultFailed."""
    chain = () if state.key_name is None else vault.certificate(state.key_name)
    if state.key_name is None or not chain:
        return LocalStanding(None, None, None, False, (), ("there is no certificate",))
    certificate = chain[0]
    troubles: list[str] = []
    if now >= certificate.not_after:
        troubles.append(f"the certificate has expired on {certificate.not_after:%Y-%m-%d}")
    if now < certificate.not_before:
        troubles.append("the certificate is not valid yet: the clock of this computer is behind")
    key_trouble = _key_trouble(state.key_name, certificate, keepers)
    stores: tuple[str, ...] = ()
    if in_stores:
        try:
            stores = tuple(
                entry.store
                for entry in platform.find_certificates([issuer_common_name(certificate)])
                if entry.has_key and entry.certificate_der == certificate.der
            )
            if not stores:
                troubles.append("no store of a browser has the certificate with its key")
        except PlatformFailed as failed:
            troubles.append(str(failed))
    if key_trouble is not None:
        troubles.append(key_trouble)
    return LocalStanding(
        certificate,
        login_of(certificate),
        device_named_in(certificate),
        key_trouble is None,
        stores,
        tuple(troubles),
    )


def _key_trouble(name: str, certificate: Certificate, keepers: Keepers) -> str | None:
    try:
        keeper = keepers.of(name)
        key = keeper.open(name)
        same = key is None or spki_of(key.public_key()) == spki_of(certificate.public_key)
    except KeyFailed as failed:
        return str(failed)
    if key is None and keeper.storage != PLATFORM_STORAGE:
        return "the private key is gone"
    return None if same else "the private key is not that of the certificate"
