"""The validated configuration as frozen values. `gateway.config` makes them; paths are absolute."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

IPNetwork = IPv4Network | IPv6Network


class FederationProtocol(StrEnum):
    SAML2 = "saml2"
    WS_FED = "ws-fed"


class Enforcement(StrEnum):
    SIGN_ON = "sign_on"
    SESSION = "session"


class ChallengeMode(StrEnum):
    FORM = "form"
    REDIRECT = "redirect"


class DeviceFrom(StrEnum):
    SAN_URI = "san_uri"
    SAN_DNS = "san_dns"
    SUBJECT_CN = "subject_cn"
    SUBJECT_SERIAL_NUMBER = "subject_serial_number"


class UserFrom(StrEnum):
    SAN_UPN = "san_upn"
    SAN_EMAIL = "san_email"
    SUBJECT_CN = "subject_cn"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address to listen on. IPv6 hosts are written without brackets here."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    certificate: str
    private_key: str


@dataclass(frozen=True, slots=True)
class AuthoritySettings:
    name: str
    certificates: str
    crls: tuple[str, ...]  # absolute paths or http(s) URLs
    stale_crl_allowed_for: timedelta | None  # None: deny as soon as a CRL is stale
    user_binding_required: bool
    device_from: DeviceFrom
    user_from: UserFrom
    builtin: bool = False  # the CA in the store: ``certificates`` is empty, what is revoked comes from there


@dataclass(frozen=True, slots=True)
class CaSettings:
    """How the CA in the store issues and publishes. What belongs to one of its authorities for good (names,
    keys, shards) is said when that is made."""

    certificate_lifetime: timedelta = timedelta(days=365)
    renew_before: timedelta = timedelta(days=30)  # before a certificate's end
    max_certificates: int = 3  # valid at once, of one device and user
    revoke_superseded: bool = True  # the old certificate, once the new one was seen; else it runs out
    crl_lifetime: timedelta = timedelta(days=1)
    ocsp_lifetime: timedelta = timedelta(hours=1)
    passphrase_file: str | None = None  # None: ca.passphrase among the gateway's own keys
    pkcs11_module: str | None = None
    pkcs11_pin_file: str | None = None


class AttestationMode(StrEnum):
    """What a TPM's word about a key counts."""

    NONE = "none"  # it is not looked at
    ACCEPTED = "accepted"  # who has it verified gets a certificate that says so
    REQUIRED = "required"  # nobody else gets one


@dataclass(frozen=True, slots=True)
class EnrollmentSettings:
    """How computers of a domain get certificates of the CA in the store."""

    create_users: bool = False  # for whom a directory vouches, and who is not known yet
    renew_anywhere: bool = True  # with the certificate alone, without Kerberos
    grace: timedelta = timedelta(days=14)  # after a certificate's end; 0: none
    attestation: AttestationMode = AttestationMode.ACCEPTED
    tpm_vendor_authorities: tuple[str, ...] = ()  # PEM paths
    max_per_hour: int = 6  # certificates of one device, and of one user


@dataclass(frozen=True, slots=True)
class SystemLogSettings:
    """What becomes of events between worker and store, and how long the store keeps them."""

    spool_limit_bytes: int = 268_435_456  # of all workers of a gateway together
    refuses_when_full: bool = True  # sign-ons; else they go on unlogged
    retention: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Several gateways on one PostgreSQL."""

    name: str | None = None  # None: the machine's
    refuses_without_store: bool = False  # sign-ons; else each gateway goes on with what it knows itself
    claim_timeout_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class IdentityProviderSettings:
    name: str
    protocol: FederationProtocol
    metadata: str
    entity_id: str | None = None  # needed only where the metadata holds several
    groups_attribute: str = "groups"
    user_attribute: str | None = None  # None: the NameID
    allow_sha1: bool = False
    allow_missing_subject_confirmation: bool = False  # WS-Fed tokens of SimpleSAMLphp


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where an app is. ``scheme`` is http, https or unix; ``path`` is set for unix only."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    ca_file: str | None = None  # https: verify against these roots instead of the system's

    @property
    def address(self) -> str:
        """As it is written in gateway.yaml."""
        if self.scheme == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AppSettings:
    name: str
    label: str
    host: str  # lower case, without port
    upstreams: tuple[Upstream, ...]  # at least one
    protocol: FederationProtocol
    identity_provider: str
    entity_id: str
    assertion_endpoints: tuple[str, ...]
    policy_file: str
    enforcement: Enforcement = Enforcement.SIGN_ON
    challenge: ChallengeMode = ChallengeMode.FORM
    client_conditions: bool = False
    allow_unsolicited: bool = True
    factor_contexts: frozenset[str] = frozenset()  # authn contexts that prove a second factor
    decryption_key: str | None = None  # PEM path, for EncryptedAssertion
    session_lifetime: timedelta = timedelta(hours=8)
    challenge_for_monitor: bool = False  # also challenge where only a monitor rule needs the answer


@dataclass(frozen=True, slots=True)
class Zone:
    name: str
    networks: tuple[IPNetwork, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a peer may send and how long it may take."""

    handshake_timeout_seconds: float = 10.0
    request_head_timeout_seconds: float = 15.0
    idle_timeout_seconds: float = 75.0
    body_timeout_seconds: float = 60.0
    upstream_connect_timeout_seconds: float = 10.0
    upstream_response_timeout_seconds: float = 60.0
    upstream_queue_timeout_seconds: float = 5.0
    max_upstream_connections: int = 4_096  # to one address, of one worker
    max_upstream_queue: int = 1_024  # requests of one app, in one worker, that wait for a connection
    max_head_bytes: int = 65_536
    max_target_bytes: int = 32_768
    max_message_bytes: int = 1_048_576
    max_body_bytes: int | None = None  # of ordinary requests; None: no bound
    min_body_bytes_per_second: int = 500
    drain_timeout_seconds: float = 30.0
    # For each worker. An address is an IPv4 address or an IPv6 /64; trusted proxies are not counted.
    max_connections: int = 50_000
    max_connections_per_address: int = 5_000
    max_handshakes: int = 4_000
    max_handshakes_per_address: int = 1_000
    max_api_requests_per_minute: int = 6_000  # of one token


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    source: str  # the file it was read from
    org_name: str
    org_host: str
    mtls_domain: str
    listen_https: tuple[Address, ...]
    listen_metrics: Address | None
    workers: int  # 0: one per core
    http2: bool  # offered on app hosts and the org host
    public_port: int  # in URLs that browsers see
    mtls_minimum_version: str  # "1.2" or "1.3"
    certificates: tuple[CertificateFiles, ...]
    device_trust_enabled: bool
    learn_more_url: str | None
    authorities: tuple[AuthoritySettings, ...]
    identity_providers: tuple[IdentityProviderSettings, ...]
    zones: tuple[Zone, ...]
    trusted_proxies: tuple[IPNetwork, ...]
    apps: tuple[AppSettings, ...]
    keys_directory: str
    pages_directory: str | None = None  # templates that replace the built-in ones
    limits: Limits = field(default_factory=Limits)
    # sqlite:///absolute/path or postgresql://…; None: no org. May hold a password.
    store_url: str | None = field(default=None, repr=False)
    system_log: SystemLogSettings = SystemLogSettings()
    fleet: FleetSettings = FleetSettings()
    ca: CaSettings = field(default_factory=CaSettings)
    enrollment: EnrollmentSettings = EnrollmentSettings()
    listen_http: tuple[Address, ...] = ()  # CRLs, certificates of authorities and OCSP, without TLS
    proxy_protocol: bool = False  # every connection begins with a PROXY header, version 2

    @property
    def is_in_fleet(self) -> bool:
        """There may be other gateways, which share the store."""
        return self.store_url is not None and not self.store_url.startswith("sqlite:")
