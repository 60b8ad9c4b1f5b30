"""The shape of gateway.yaml: every key, what it means, its bounds and its default.

This is the one description of the file. `devicetrust config schema` prints it as JSON Schema, so the
descriptions are written for the person who edits the file. What one key says about another is in
`gateway.config.consistency`; the frozen settings are made in `gateway.config.assemble`.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import override

from gateway.config import forms
from gateway.config.forms import TextForm, duration_between
from gateway.model.quoting import printable
from gateway.model.settings import Address, IPNetwork, Upstream

MAX_WORKERS = 256
_MEBIBYTE = 1_048_576

Name = Annotated[str, TextForm(forms.read_name, {"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength": 64})]
Label = Annotated[str, TextForm(forms.read_label, {"minLength": 1, "maxLength": 100})]
HostName = Annotated[str, TextForm(forms.read_host_name, {"examples": ["wiki.apps.example.test"]})]
MtlsDomain = Annotated[str, TextForm(forms.read_mtls_domain, {"examples": ["mtls.example.test"]})]
ListenAddress = Annotated[
    Address, TextForm(forms.read_address, {"examples": ["127.0.0.1:8443", "[::1]:8443"]})
]
Network = Annotated[IPNetwork, TextForm(forms.read_network, {"examples": ["10.0.0.0/8", "2001:db8::/32"]})]
TrustedProxy = Annotated[
    IPNetwork, TextForm(forms.read_trusted_proxy, {"examples": ["10.0.0.5", "fd00::/64"]})
]
FilePath = Annotated[str, TextForm(forms.read_file_path, {"minLength": 1})]
CrlLocation = Annotated[
    str,
    TextForm(forms.read_crl_location, {"examples": ["certs/corp.crl", "http://pki.example.test/corp.crl"]}),
]
WebAddress = Annotated[str, TextForm(forms.read_web_address, {"format": "uri", "pattern": "^https?://"})]
_UPSTREAM_EXAMPLES = ["http://127.0.0.1:9000", "unix:/run/wiki.sock"]
UpstreamAddress = Annotated[Upstream, TextForm(forms.read_upstream, {"examples": _UPSTREAM_EXAMPLES})]
StoreUrl = Annotated[
    str,
    TextForm(
        forms.read_store,
        {"examples": ["sqlite:///var/devicetrust.db", "postgresql://user@host/devicetrust", "none"]},
    ),
]
AssertionEndpoint = Annotated[
    str, TextForm(forms.read_assertion_endpoint, {"pattern": "^/", "examples": ["/saml/acs"]})
]
EntityId = Annotated[str, TextForm(forms.read_entity_id, {"minLength": 1, "maxLength": 1024})]
ClaimName = Annotated[str, TextForm(forms.read_claim_name, {"minLength": 1, "maxLength": 1024})]


def _workers(value: object) -> object:
    """``auto`` is 0 inside: one worker per core."""
    if value == "auto":
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_WORKERS:
        raise ValueError(f"must be auto or a number between 1 and {MAX_WORKERS}")
    return value


def _stale_crl(value: object) -> object:
    """``deny`` allows no time at all; a mapping goes on to StaleCrlAllowance."""
    if value == "deny":
        return {"allow_for": None}
    if not isinstance(value, dict):
        raise ValueError("must be deny or {allow_for: DURATION}")  # noqa: TRY004 - pydantic lets TypeError through
    if "allow_for" in value and value["allow_for"] is None:
        raise ValueError("needs a duration after allow_for, such as 6h")
    return value


def _one_or_several_upstreams(value: object, read_list: ValidatorFunctionWrapHandler) -> list[Upstream]:
    """One address stands alone; its errors are those of the key itself, not of an item."""
    if isinstance(value, list):
        several: list[Upstream] = read_list(value)
        return several
    if not isinstance(value, str):
        raise ValueError("must be an address or a list of addresses")  # noqa: TRY004 - pydantic lets TypeError through
    return [forms.read_upstream(value)]


def _minimum_version(value: object) -> object:
    if value in ("1.2", "1.3"):
        return value
    if isinstance(value, float):
        raise ValueError('must be in quotes: "1.2" or "1.3"')  # noqa: TRY004 - pydantic lets TypeError through
    raise ValueError(f'must be "1.2" or "1.3", not {printable(str(value))}')


class _Section(BaseModel):
    """Unknown keys are errors, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OrgSection(_Section):
    """Who runs this gateway."""

    name: Name = Field(description="Short name of the organisation; issuer of what the gateway signs.")
    host: HostName = Field(description="Host of the gateway itself; it publishes /.well-known/jwks.json.")
    mtls_domain: MtlsDomain = Field(
        description="Challenges run on random hosts directly under this domain. It needs a wildcard "
        "DNS record and a certificate for *.DOMAIN, and no app or cookie may live there."
    )


class ListenSection(_Section):
    """Where the gateway listens."""

    https: list[ListenAddress] = Field(
        min_length=1, max_length=64, description="IP addresses and ports that take HTTPS from browsers."
    )
    http: list[ListenAddress] = Field(
        default=[],
        max_length=64,
        description="IP addresses and ports where CRLs, certificates of authorities and OCSP are also "
        "there without TLS (they are signed), and nothing else. The certificates of an authority made "
        "while there is one name http addresses.",
    )
    metrics: ListenAddress | None = Field(
        default=None, description="Address of /metrics, /healthz and /readyz; plain HTTP. Left out: none."
    )
    workers: Annotated[
        int,
        BeforeValidator(_workers),
        WithJsonSchema(
            {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_WORKERS}]}
        ),
    ] = Field(default=1, description="Number of worker processes, or auto: one per core.")
    http2: bool = Field(
        default=True,
        description="Offer HTTP/2 to browsers on app hosts and the org host; challenges always run over "
        "HTTP/1.1.",
    )
    public_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port that browsers use, where it is not the one of the first https address "
        "(behind a port mapping or a load balancer).",
    )
    proxy_protocol: bool = Field(
        default=False,
        description="true: every https connection comes from one of trusted_proxies and begins with a "
        "PROXY header, version 2, that names the client; all others are closed.",
    )


class CertificateSection(_Section):
    """One server certificate and its key."""

    certificate: FilePath = Field(description="PEM file: the certificate, then its intermediates.")
    private_key: FilePath = Field(
        description="PEM file of the private key, readable by the gateway's user only."
    )


class TlsSection(_Section):
    """What the gateway shows to browsers."""

    mtls_minimum_version: Annotated[
        Literal["1.2", "1.3"], BeforeValidator(_minimum_version), WithJsonSchema({"enum": ["1.2", "1.3"]})
    ] = Field(
        default="1.2",
        description='Lowest TLS version on the mTLS hosts: "1.2" or "1.3". '
        "Office clients on Windows 10 need 1.2.",
    )
    certificates: list[CertificateSection] = Field(
        min_length=1,
        max_length=1000,
        description="Server certificates, picked by server name; *.mtls_domain must be among them.",
    )


class StaleCrlAllowance(_Section):
    """How long a revocation list is used after its next update was due."""

    allow_for: Annotated[timedelta, duration_between("1m", "30d")] | None = Field(
        description="Time after nextUpdate during which the list still counts, such as 6h."
    )


class AuthoritySection(_Section):
    """A certification authority whose device certificates are trusted."""

    name: Name = Field(description="Name of the authority in logs and metrics.")
    builtin: bool = Field(
        default=False,
        description="true: the CA in the store. It needs neither certificates nor crls: what is issued and "
        "revoked there counts at once.",
    )
    certificates: FilePath | None = Field(
        default=None, description="PEM file with the authority's certificates; each one is a trust anchor."
    )
    crls: list[CrlLocation] | None = Field(
        default=None,
        max_length=100,
        description="Revocation lists: files (watched) or http(s) URLs (refreshed before nextUpdate). "
        "With a list, a certificate that no fresh list covers is not trusted; with [], revocation is "
        "not checked at all.",
    )
    stale_crl: Annotated[
        StaleCrlAllowance,
        BeforeValidator(_stale_crl),
        WithJsonSchema(
            {
                "anyOf": [
                    {"const": "deny"},
                    {
                        "type": "object",
                        "properties": {"allow_for": {"type": "string", "pattern": "^[0-9]{1,9}[smhd]$"}},
                        "required": ["allow_for"],
                        "additionalProperties": False,
                    },
                ]
            }
        ),
    ] = Field(
        default=StaleCrlAllowance(allow_for=None),
        description="What an overdue revocation list means: deny, or {allow_for: 6h} to go on for a while.",
    )
    user_binding: Literal["required", "optional"] = Field(
        default="required",
        description="required: the certificate must name the user of the assertion. "
        "optional: a certificate that names no user will do; one that names another will not.",
    )
    device_from: Literal["san_uri", "san_dns", "subject_cn", "subject_serial_number"] = Field(
        default="san_uri", description="Part of the certificate that names the device."
    )
    user_from: Literal["san_upn", "san_email", "subject_cn", "none"] = Field(
        default="san_upn", description="Part of the certificate that names the user; none: it names no user."
    )


class CaSection(_Section):
    """How the CA in the store issues and publishes."""

    certificate_lifetime: Annotated[timedelta, duration_between("1h", "825d")] = Field(
        default=timedelta(days=365), description="How long a device's certificate is valid."
    )
    renew_before: Annotated[timedelta, duration_between("1m", "365d")] = Field(
        default=timedelta(days=30), description="How long before its end a certificate may be renewed."
    )
    max_certificates: int = Field(
        default=3, ge=1, le=100, description="Certificates of one device and user that may be valid at once."
    )
    superseded: Literal["revoke", "expire"] = Field(
        default="revoke",
        description="What becomes of a renewed certificate when the new one was seen for the first time: "
        "revoke, or let it expire.",
    )
    crl_lifetime: Annotated[timedelta, duration_between("10m", "30d")] = Field(
        default=timedelta(days=1),
        description="From one revocation list to the next update that it names. A new one is signed after "
        "half of it, and within a second of a revocation.",
    )
    ocsp_lifetime: Annotated[timedelta, duration_between("1m", "7d")] = Field(
        default=timedelta(hours=1), description="How long an OCSP answer may be kept by whoever got it."
    )
    passphrase_file: FilePath | None = Field(
        default=None,
        description="File with the passphrase of the issuing key, readable by the gateway's user only. Left "
        "out: ca.passphrase in the directory of the gateway's own keys. The environment variable "
        "DEVICETRUST_CA_PASSPHRASE goes first.",
    )
    pkcs11_module: FilePath | None = Field(
        default=None, description="Library of the HSM that holds the issuing key (PKCS#11)."
    )
    pkcs11_pin_file: FilePath | None = Field(
        default=None, description="File with the HSM's PIN, readable by the gateway's user only."
    )


class EnrollmentSection(_Section):
    """How computers of a domain get certificates of the CA in the store."""

    create_users: bool = Field(
        default=False,
        description="true: a person for whom the directory vouches is made a user at their first enrollment. "
        "false: only users of the provider ACTIVE_DIRECTORY enroll.",
    )
    renew_anywhere: bool = Field(
        default=True,
        description="true: a valid certificate is enough to renew it, from anywhere. false: certificates are "
        "renewed by Kerberos only, inside the company network; EST renews none then.",
    )
    grace: Annotated[timedelta, duration_between("0s", "90d")] = Field(
        default=timedelta(days=14),
        description="For how long after its end a certificate is still followed by the next one of its "
        "device and user, with a fresh Kerberos proof beside it; such as 14d, or 0s for not at all.",
    )
    attestation: Literal["none", "accepted", "required"] = Field(
        default="accepted",
        description="A TPM's statement that it holds the key and does not give it out: none (not looked at), "
        "accepted (the certificate says so where it is verified) or required.",
    )
    tpm_vendor_authorities: list[FilePath] = Field(
        default=[],
        max_length=100,
        description="PEM files with certificates of TPM vendors; a statement of any other TPM is not "
        "believed.",
    )
    max_per_hour: int = Field(
        default=6,
        ge=1,
        le=1000,
        description="Certificates that one device, and one user, may get by enrollment within an hour.",
    )


class DeviceTrustSection(_Section):
    """Which devices are trusted."""

    enabled: bool = Field(description="false: no device is trusted (DEVICE_TRUST_DISABLED).")
    learn_more_url: WebAddress | None = Field(
        default=None, description="Address behind the Learn more link of the locked page. Left out: no link."
    )
    authorities: list[AuthoritySection] = Field(
        max_length=100, description="The certification authorities of the devices."
    )
    ca: CaSection = Field(
        default_factory=CaSection, description="The CA in the store (builtin: true), if it is used."
    )
    enrollment: EnrollmentSection = Field(
        default_factory=EnrollmentSection,
        description="How computers of a domain enroll, through the IWA web app.",
    )


class SystemLogSection(_Section):
    """The record of every sign-on and every change, in the store."""

    spool_limit: int = Field(
        default=256 * _MEBIBYTE,
        ge=_MEBIBYTE,
        le=65_536 * _MEBIBYTE,
        description="Events of sign-ons, bytes, that wait on this gateway's disk while the store is away. "
        "Some 850 for each sign-on.",
    )
    when_full: Literal["refuse", "unlogged"] = Field(
        default="refuse",
        description="When so much waits, or the disk takes no more: refuse sign-ons (SYSTEM_LOG_FULL), or "
        "let them go on unlogged, which is counted.",
    )
    retention: Annotated[timedelta, duration_between("1d", "3650d")] = Field(
        default=timedelta(days=90), description="How long the store keeps events."
    )


class FleetSection(_Section):
    """Several gateways on one PostgreSQL."""

    name: Name | None = Field(
        default=None,
        description="What this gateway is called in answers and logs. Left out: the name of its machine.",
    )
    without_store: Literal["local", "refuse"] = Field(
        default="local",
        description="When PostgreSQL cannot say whether an assertion was used at another gateway: local lets "
        "it through if it was not used at this one, and tells the others later; refuse lets nobody sign on.",
    )
    claim_timeout: Annotated[timedelta, duration_between("1s", "30s")] = Field(
        default=timedelta(seconds=1),
        description="How long the first sign-on waits for a PostgreSQL that does not answer. Those after it "
        "do not wait, until it answers again.",
    )


class IdentityProviderSection(_Section):
    """An identity provider whose assertions are accepted."""

    name: Name = Field(description="Name that apps refer to.")
    protocol: Literal["saml2", "ws-fed"] = Field(description="saml2 or ws-fed.")
    metadata: FilePath = Field(description="File with the provider's federation metadata (XML).")
    entity_id: EntityId | None = Field(
        default=None, description="Which entity of the metadata is meant; needed where it holds several."
    )
    groups_attribute: ClaimName = Field(
        default="groups", description="Attribute or claim whose values are the user's groups."
    )
    user_attribute: ClaimName | None = Field(
        default=None, description="Attribute or claim that names the user. Left out: the NameID."
    )
    allow_sha1: bool = Field(
        default=False, description="true: also accept signatures with SHA-1, which can be forged."
    )
    allow_missing_subject_confirmation: bool = Field(
        default=False, description="true: accept WS-Fed tokens without SubjectConfirmation."
    )


class ZoneSection(_Section):
    """A named part of the network, for policies."""

    name: Name = Field(description="Name that policies refer to.")
    cidrs: list[Network] = Field(min_length=1, max_length=1000, description="Networks of the zone.")


class AppSection(_Section):
    """An app behind the gateway."""

    name: Name = Field(description="Name of the app in logs, metrics and tokens.")
    label: Label | None = Field(default=None, description="Name of the app on pages. Left out: its name.")
    host: HostName = Field(description="Host of the app; DNS points it to the gateway.")
    upstream: Annotated[
        list[UpstreamAddress],
        Field(min_length=1, max_length=64),
        WrapValidator(_one_or_several_upstreams),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "examples": _UPSTREAM_EXAMPLES},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 64},
                ]
            }
        ),
    ] = Field(
        description="Where the app itself is: http://host:port, https://host:port or unix:/path. A list: "
        "several servers of the app, any of which takes any request; one that fails is passed over for a "
        "while."
    )
    upstream_ca: FilePath | None = Field(
        default=None, description="PEM file of the roots for an https upstream. Left out: the system's."
    )
    protocol: Literal["saml2", "ws-fed"] = Field(description="How the app takes sign-ons: saml2 or ws-fed.")
    identity_provider: Name = Field(description="Name of the identity provider that signs on to this app.")
    entity_id: EntityId = Field(description="Entity ID of the app; for ws-fed its wtrealm.")
    assertion_endpoints: list[AssertionEndpoint] = Field(
        min_length=1,
        max_length=50,
        description="Paths on this host that take assertions, written as the app sees them.",
    )
    enforcement: Literal["sign_on", "session"] = Field(
        default="sign_on",
        description="sign_on: assertions are checked. session: every request also needs the "
        "gateway's own session.",
    )
    challenge: Literal["form", "redirect"] = Field(
        default="form",
        description="How the browser is sent to the mTLS host: form works with the page of every identity "
        "provider; redirect (307) needs no script, but fails behind a form-action policy.",
    )
    client_conditions: bool = Field(
        default=False, description="true: policy rules may tell browsers from modern and legacy clients."
    )
    policy: FilePath = Field(description="Policy file of the app.")
    allow_unsolicited: bool = Field(
        default=True, description="false: refuse assertions that answer no request (started at the provider)."
    )
    factor_contexts: list[ClaimName] = Field(
        default=[],
        max_length=50,
        description="Authentication context classes that prove a second factor, for prompt_for_factor.",
    )
    decryption_key: FilePath | None = Field(
        default=None, description="PEM file of the private key for encrypted assertions."
    )
    session_lifetime: Annotated[timedelta, duration_between("1m", "30d")] = Field(
        default=timedelta(hours=8), description="With enforcement: session, how long one sign-on lasts."
    )
    challenge_for_monitor: bool = Field(
        default=False, description="true: also challenge where only a monitor rule needs the answer."
    )


_NetworkTime = Annotated[timedelta, duration_between("1s", "10m")]


class LimitsSection(_Section):
    """Bounds on what a peer may send and how long it may take."""

    handshake_timeout: _NetworkTime = Field(
        default=timedelta(seconds=10), description="From connection to the end of the TLS handshake."
    )
    request_head_timeout: _NetworkTime = Field(
        default=timedelta(seconds=15), description="From the first byte of a request to the end of its head."
    )
    idle_timeout: Annotated[timedelta, duration_between("1s", "1h")] = Field(
        default=timedelta(seconds=75), description="Between two requests on one connection."
    )
    body_timeout: Annotated[timedelta, duration_between("1s", "1h")] = Field(
        default=timedelta(seconds=60),
        description="Between two pieces of a request's body, or of a response that a browser takes.",
    )
    upstream_connect_timeout: _NetworkTime = Field(
        default=timedelta(seconds=10), description="To connect to an app, in all."
    )
    upstream_response_timeout: Annotated[timedelta, duration_between("1s", "1h")] = Field(
        default=timedelta(seconds=60), description="Until an app begins its response."
    )
    upstream_queue_timeout: _NetworkTime = Field(
        default=timedelta(seconds=5),
        description="Until a request is refused that waits because all connections to its app are in use.",
    )
    max_upstream_connections: int = Field(
        default=4_096,
        ge=1,
        le=65_535,
        description="Connections to one upstream address, open at once, in each worker. WebSockets count.",
    )
    max_upstream_queue: int = Field(
        default=1_024,
        ge=0,
        le=65_535,
        description="Requests to one app, in each worker, that may wait for a connection; more are refused.",
    )
    max_head_bytes: int = Field(
        default=65_536, ge=8_192, le=_MEBIBYTE, description="Request line and header fields together, bytes."
    )
    max_target_bytes: int = Field(
        default=32_768, ge=1_024, le=_MEBIBYTE, description="Path and query of a request, bytes."
    )
    max_message_bytes: int = Field(
        default=_MEBIBYTE, ge=16_384, le=16 * _MEBIBYTE, description="A posted federation message, bytes."
    )
    max_body_bytes: int | None = Field(
        default=None, ge=1_024, description="Body of any other request, bytes. Left out: no bound."
    )
    min_body_bytes_per_second: int = Field(
        default=500,
        ge=1,
        le=_MEBIBYTE,
        description="How fast a request's body has to come: a slower one is cut off when it is body_timeout "
        "behind.",
    )
    drain_timeout: Annotated[timedelta, duration_between("1s", "1h")] = Field(
        default=timedelta(seconds=30), description="When it is stopped, for what runs to finish."
    )
    max_connections: int = Field(
        default=50_000, ge=16, le=1_000_000, description="Open connections of one worker; more are closed."
    )
    max_connections_per_address: int = Field(
        default=5_000,
        ge=4,
        le=1_000_000,
        description="The same for one client address (an IPv6 /64 is one). A whole office may share one; "
        "trusted_proxies are not counted.",
    )
    max_handshakes: int = Field(
        default=4_000, ge=4, le=1_000_000, description="TLS handshakes of one worker that are not finished."
    )
    max_handshakes_per_address: int = Field(
        default=1_000, ge=4, le=1_000_000, description="The same for one client address."
    )
    max_api_requests_per_minute: int = Field(
        default=6_000,
        ge=60,
        le=1_000_000,
        description="Requests to the org's API of one token; more are answered with 429.",
    )


class GatewayFile(_Section):
    """Configuration of the Device Trust Gateway."""

    org: OrgSection = Field(description="Who runs this gateway, and under which names.")
    listen: ListenSection = Field(description="Where it listens.")
    tls: TlsSection = Field(description="Its server certificates.")
    store: StoreUrl = Field(
        default="sqlite:///devicetrust.db",
        description="Where the organization's devices, certificates and log are kept: sqlite:///path (a "
        "relative path is relative to this file), postgresql://user@host/database for several gateways, or "
        "none: no organization, only the data plane. A PostgreSQL password is best kept in PGPASSFILE.",
    )
    device_trust: DeviceTrustSection = Field(description="Which authorities vouch for devices.")
    identity_providers: list[IdentityProviderSection] = Field(
        max_length=1000, description="Who signs people on."
    )
    zones: list[ZoneSection] = Field(default=[], max_length=1000, description="Networks, for policies.")
    trusted_proxies: list[TrustedProxy] = Field(
        default=[],
        max_length=1000,
        description="Networks whose X-Forwarded-For and Forwarded are believed; from all others they are "
        "removed.",
    )
    apps: list[AppSection] = Field(max_length=10_000, description="The apps behind the gateway.")
    keys: FilePath = Field(
        default="var/keys", description="Directory of the gateway's own keys; made on the first start."
    )
    pages: FilePath | None = Field(
        default=None, description="Directory of page templates that replace the built-in ones."
    )
    system_log: SystemLogSection = Field(
        default_factory=SystemLogSection,
        description="Events on their way into the store, and how long it keeps them.",
    )
    fleet: FleetSection = Field(
        default_factory=FleetSection, description="Several gateways that share a PostgreSQL store."
    )
    limits: LimitsSection = Field(
        default_factory=LimitsSection, description="Bounds on size and time; the defaults suit most sites."
    )


class _EditorSchema(GenerateJsonSchema):
    """Defaults as they are written in the file."""

    @override
    def encode_default(self, dft: Any) -> Any:
        match dft:
            case timedelta():
                return forms.duration_text(dft)
            case StaleCrlAllowance():
                return "deny"
            case _:
                return super().encode_default(dft)


def json_schema(file: type[BaseModel] = GatewayFile, title: str = "gateway.yaml") -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file, for editors."""
    schema = file.model_json_schema(schema_generator=_EditorSchema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": title}
