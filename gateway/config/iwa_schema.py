"""The shape of iwa.yaml: every key, what it means, its bounds and its default.

The descriptions are written for the person who edits the file. What one key says about another, and the
frozen settings, are in `gateway.config.iwa_load`.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config import forms, iwa_forms
from gateway.config.forms import TextForm, duration_between
from gateway.config.schema import FilePath, ListenAddress, Name, TrustedProxy

Realm = Annotated[str, TextForm(iwa_forms.read_realm, {"examples": ["CORP.EXAMPLE.COM"]})]
Service = Annotated[
    str, TextForm(iwa_forms.read_service, {"examples": ["HTTP", "HTTP@iwa.corp.example.com"]})
]
Login = Annotated[
    str, TextForm(iwa_forms.read_login, {"examples": ["upn", "principal", "{name}@example.com"]})
]
Principal = Annotated[str, TextForm(iwa_forms.read_principal, {"examples": ["svc-iwa", "IWA1$"]})]
DomainSid = Annotated[str, TextForm(iwa_forms.read_domain_sid, {"examples": ["S-1-5-21-1-2-3"]})]
DirectoryUrl = Annotated[
    str, TextForm(iwa_forms.read_directory_url, {"examples": ["ldaps://dc1.corp.example.com"]})
]
OwnUrl = Annotated[str, TextForm(iwa_forms.read_own_url, {"examples": ["https://iwa.corp.example.com/iwa"]})]
OrgUrl = Annotated[str, TextForm(iwa_forms.read_org_url, {"examples": ["https://sso.example.com"]})]
HostName = Annotated[str, TextForm(forms.read_host_name, {"examples": ["example.com"]})]
Text = Annotated[str, TextForm(iwa_forms.read_text, {"minLength": 1, "maxLength": 1024})]


class _Section(BaseModel):
    """Unknown keys are errors, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OrgSection(_Section):
    """The organization that issues the certificates."""

    url: OrgUrl = Field(description="Where the organization is: https://host[:port].")
    audience: Text | None = Field(
        default=None,
        description="Whom the user tokens are for. Left out: what the organization said at registration.",
    )
    ca: FilePath | None = Field(
        default=None,
        description="PEM file with the authorities of the organization's TLS certificate, if the system does "
        "not trust them.",
    )


class ListenSection(_Section):
    """Where the IWA web app listens."""

    http: list[ListenAddress] = Field(
        default=[],
        max_length=16,
        description="IP addresses and ports for plain HTTP. Tickets and tokens can be read there on their "
        "way, and are bound to no connection.",
    )
    https: list[ListenAddress] = Field(
        default=[], max_length=16, description="IP addresses and ports for HTTPS."
    )
    certificate: FilePath | None = Field(
        default=None, description="PEM file for https: the certificate, then its intermediates."
    )
    private_key: FilePath | None = Field(
        default=None, description="PEM file of its private key, readable by this user only."
    )
    metrics: ListenAddress | None = Field(
        default=None, description="Address of /metrics, /healthz and /readyz; plain HTTP. Left out: none."
    )


class KerberosSection(_Section):
    """How tickets are accepted."""

    keytab: FilePath = Field(
        description="The service's keytab, readable by this user only. A new one is noticed by itself."
    )
    service: Service = Field(
        default="HTTP",
        description="The service principal: HTTP (of every host that the keytab has keys for), or HTTP@host.",
    )
    channel_bindings: Literal["required", "when_offered", "off"] = Field(
        default="required",
        description="On https: whether a ticket must name the TLS connection that it comes over, which keeps "
        "anybody between from passing it on. when_offered: a wrong name is refused, none is not. Without TLS "
        "agents name what they ask for instead, and a wrong name is refused.",
    )
    computers: Literal["pac", "dollar_sign"] = Field(
        default="pac",
        description="By what a computer's ticket is told from a person's: pac, the account flags that Active "
        "Directory puts into it; dollar_sign, the $ at the end of its name, for a KDC without PAC.",
    )


class RealmSection(_Section):
    """A realm (domain) whose computers and people may enroll."""

    realm: Realm = Field(description="The Kerberos realm, in upper case.")
    login: Login = Field(
        default="upn",
        description="By what the organization knows the realm's people: upn, principal "
        '(alice@CORP.EXAMPLE.COM) or a pattern such as "{name}@example.com".',
    )
    upn_suffixes: list[HostName] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="What user principal names of this realm may have behind the @. Left out: anything, "
        "where there is one realm; else the realm's own name: no forest may name the people of another.",
    )
    domain_sid: DomainSid | None = Field(
        default=None,
        description="What the SIDs of the realm's accounts begin with. Left out: what the first one begins "
        "with, as long as no other realm's do.",
    )


class BindSection(_Section):
    """As whom the directory is asked: sasl, keytab and principal; or user and password_file."""

    sasl: Literal["gssapi"] | None = Field(default=None, description="gssapi: with a Kerberos ticket.")
    keytab: FilePath | None = Field(default=None, description="The keytab that has the principal's key.")
    principal: Principal | None = Field(
        default=None,
        description="The account's own name, such as svc-iwa, with @REALM or not: Active Directory logs "
        "nobody on by a service principal name.",
    )
    user: Text | None = Field(default=None, description="Distinguished name or user principal name.")
    password_file: FilePath | None = Field(
        default=None, description="File of its password, readable by this user only."
    )


class GroupsSection(_Section):
    """Groups of which an account must be in one; distinguished names or sAMAccountNames."""

    computers: list[Text] = Field(default=[], max_length=100, description="Left out: all computers.")
    users: list[Text] = Field(default=[], max_length=100, description="Left out: all people.")


class DirectorySection(_Section):
    """Where the accounts of a realm are looked up when they enroll."""

    realm: Realm = Field(description="One of realms.")
    urls: list[DirectoryUrl] = Field(
        min_length=1, max_length=16, description="Its servers; the next is asked where one does not answer."
    )
    base: Text = Field(description="Where to look: DC=corp,DC=example,DC=com.")
    ca: FilePath | None = Field(
        default=None, description="PEM file with the authorities of the servers' TLS certificates."
    )
    bind: BindSection = Field(description="As whom.")
    require_groups: GroupsSection = Field(
        default_factory=GroupsSection, description="Who may enroll. Left out: everybody."
    )
    timeout: Annotated[timedelta, duration_between("1s", "30s")] = Field(
        default=timedelta(seconds=5), description="How long one look-up may take, all servers together."
    )


class LimitsSection(_Section):
    """Bounds; the defaults suit most sites."""

    per_principal: int = Field(
        default=30, ge=1, le=10_000, description="Requests of one account in a minute."
    )
    per_address: int = Field(
        default=600, ge=1, le=100_000, description="Requests from one address in a minute."
    )
    connections: int = Field(default=1_000, ge=10, le=50_000, description="Connections at once.")


class IwaFile(_Section):
    """Configuration of the IWA web app."""

    name: Name = Field(description="Name of this IWA web app, by which the organization registers it.")
    org: OrgSection = Field(description="The organization.")
    listen: ListenSection = Field(description="Where it listens.")
    url: OwnUrl = Field(description="The address that agents are told.")
    kerberos: KerberosSection = Field(description="Which Kerberos tickets are accepted, and how.")
    realms: list[RealmSection] = Field(
        min_length=1, max_length=200, description="Whose tickets are accepted. No others are."
    )
    directory: list[DirectorySection] = Field(
        default=[],
        max_length=200,
        description="Where accounts are looked up. Of a realm without, what the ticket says counts, which "
        "was true up to ten hours ago.",
    )
    keys: FilePath = Field(
        default="var/iwa", description="Directory of the signing key and the registration; made when missing."
    )
    trusted_proxies: list[TrustedProxy] = Field(
        default=[],
        max_length=1000,
        description="Networks whose X-Forwarded-For and Forwarded are believed.",
    )
    limits: LimitsSection = Field(default_factory=LimitsSection, description="Bounds.")
