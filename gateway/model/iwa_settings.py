"""What iwa.yaml says, checked: the values that the IWA web app works by."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from gateway.model.settings import Address, IPNetwork


class ChannelBindings(StrEnum):
    """Whether a ticket must name the TLS connection that it comes over (RFC 5929 tls-server-end-point)."""

    REQUIRED = "required"
    WHEN_OFFERED = "when_offered"
    OFF = "off"


class ComputerRule(StrEnum):
    """By what a computer's account is told from a person's."""

    PAC = "pac"  # the account flags that the domain controller put into the ticket
    DOLLAR_SIGN = "dollar_sign"  # the principal ends with $


@dataclass(frozen=True, slots=True)
class RealmSettings:
    """``login`` makes a person's login: `upn`, `principal`, or a pattern with `{name}` in it.

    What a realm's domain controllers write into a ticket they could write of anybody. ``upn_suffixes`` are
    what its user principal names may end with behind the `@`, in lower case (None: anything),
    ``domain_sid`` what its accounts' SIDs begin with (None: what they began with first, as long as no other
    realm's do).
    """

    realm: str
    login: str
    upn_suffixes: tuple[str, ...] | None = None
    domain_sid: str | None = None


@dataclass(frozen=True, slots=True)
class SaslBind:
    """As ``principal``, by GSSAPI with the keytab's key."""

    keytab: str
    principal: str


@dataclass(frozen=True, slots=True)
class PasswordBind:
    user: str
    password_file: str


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """``urls`` are asked in turn until one answers. An empty tuple of groups: all accounts may enroll."""

    realm: str
    urls: tuple[str, ...]
    base: str
    ca_file: str | None
    bind: SaslBind | PasswordBind
    computer_groups: tuple[str, ...]
    user_groups: tuple[str, ...]
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class IwaLimits:
    """Requests in a minute, of one principal and of one address."""

    per_principal: int
    per_address: int
    connections: int


@dataclass(frozen=True, slots=True)
class IwaSettings:
    """``audience`` None: as the registration says. ``service`` is `HTTP` (any host in the keytab) or
    `HTTP@host`. ``path`` is that of ``url``, without a slash at its end."""

    source: str
    name: str
    org_url: str
    audience: str | None
    org_ca_file: str | None
    http: tuple[Address, ...]
    https: tuple[Address, ...]
    certificate: str | None
    private_key: str | None
    metrics: Address | None
    url: str
    path: str
    keytab: str
    service: str
    channel_bindings: ChannelBindings
    computers: ComputerRule
    realms: tuple[RealmSettings, ...]
    directories: tuple[DirectorySettings, ...]
    keys: str
    trusted_proxies: tuple[IPNetwork, ...]
    limits: IwaLimits

    @property
    def is_behind_tls(self) -> bool:
        """Something before it ends TLS: agents see that one's certificate, which is not known here."""
        return self.url.startswith("https:") and not self.https

    def realm(self, name: str) -> RealmSettings | None:
        return next((each for each in self.realms if each.realm == name), None)

    def directory_of(self, realm: str) -> DirectorySettings | None:
        return next((each for each in self.directories if each.realm == realm), None)
