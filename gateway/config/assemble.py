"""The checked file → the frozen settings that the rest of the gateway knows."""

from dataclasses import replace
from pathlib import Path

from gateway.config.forms import NO_STORE
from gateway.config.schema import (
    AppSection,
    AuthoritySection,
    CaSection,
    EnrollmentSection,
    GatewayFile,
    IdentityProviderSection,
    LimitsSection,
)
from gateway.model.settings import (
    AppSettings,
    AttestationMode,
    AuthoritySettings,
    CaSettings,
    CertificateFiles,
    ChallengeMode,
    DeviceFrom,
    Enforcement,
    EnrollmentSettings,
    FederationProtocol,
    FleetSettings,
    GatewaySettings,
    IdentityProviderSettings,
    Limits,
    SystemLogSettings,
    UserFrom,
    Zone,
)


def assemble(file: GatewayFile, source: str) -> GatewaySettings:
    """Settings with absolute paths. ``source`` is the absolute path of the file, to whose directory
    relative paths refer. Assumes a file in which `gateway.config.consistency` found nothing."""
    base = Path(source).parent
    listen = file.listen
    trust = file.device_trust
    return GatewaySettings(
        source=source,
        org_name=file.org.name,
        org_host=file.org.host,
        mtls_domain=file.org.mtls_domain,
        listen_https=tuple(listen.https),
        listen_metrics=listen.metrics,
        workers=listen.workers,
        http2=listen.http2,
        public_port=listen.https[0].port if listen.public_port is None else listen.public_port,
        mtls_minimum_version=file.tls.mtls_minimum_version,
        certificates=tuple(
            CertificateFiles(_absolute(base, pair.certificate), _absolute(base, pair.private_key))
            for pair in file.tls.certificates
        ),
        device_trust_enabled=trust.enabled,
        learn_more_url=trust.learn_more_url,
        authorities=tuple(_authority(base, authority) for authority in trust.authorities),
        identity_providers=tuple(_identity_provider(base, provider) for provider in file.identity_providers),
        zones=tuple(Zone(zone.name, tuple(zone.cidrs)) for zone in file.zones),
        trusted_proxies=tuple(file.trusted_proxies),
        apps=tuple(_app(base, app) for app in file.apps),
        keys_directory=_absolute(base, file.keys),
        pages_directory=_optional(base, file.pages),
        limits=_limits(file.limits),
        store_url=_store(base, file.store),
        system_log=SystemLogSettings(
            file.system_log.spool_limit, file.system_log.when_full == "refuse", file.system_log.retention
        ),
        fleet=FleetSettings(
            file.fleet.name,
            file.fleet.without_store == "refuse",
            file.fleet.claim_timeout.total_seconds(),
        ),
        ca=_ca(base, trust.ca),
        enrollment=_enrollment(base, trust.enrollment),
        listen_http=tuple(listen.http),
        proxy_protocol=listen.proxy_protocol,
    )


def _authority(base: Path, section: AuthoritySection) -> AuthoritySettings:
    return AuthoritySettings(
        name=section.name,
        certificates="" if section.builtin else _absolute(base, section.certificates or ""),
        crls=tuple(crl if "://" in crl else _absolute(base, crl) for crl in section.crls or ()),
        stale_crl_allowed_for=section.stale_crl.allow_for,
        user_binding_required=section.user_binding == "required",
        device_from=DeviceFrom(section.device_from),
        user_from=UserFrom(section.user_from),
        builtin=section.builtin,
    )


def _ca(base: Path, section: CaSection) -> CaSettings:
    return CaSettings(
        certificate_lifetime=section.certificate_lifetime,
        renew_before=section.renew_before,
        max_certificates=section.max_certificates,
        revoke_superseded=section.superseded == "revoke",
        crl_lifetime=section.crl_lifetime,
        ocsp_lifetime=section.ocsp_lifetime,
        passphrase_file=_optional(base, section.passphrase_file),
        pkcs11_module=_optional(base, section.pkcs11_module),
        pkcs11_pin_file=_optional(base, section.pkcs11_pin_file),
    )


def _enrollment(base: Path, section: EnrollmentSection) -> EnrollmentSettings:
    return EnrollmentSettings(
        create_users=section.create_users,
        renew_anywhere=section.renew_anywhere,
        grace=section.grace,
        attestation=AttestationMode(section.attestation),
        tpm_vendor_authorities=tuple(_absolute(base, path) for path in section.tpm_vendor_authorities),
        max_per_hour=section.max_per_hour,
    )


def _identity_provider(base: Path, section: IdentityProviderSection) -> IdentityProviderSettings:
    return IdentityProviderSettings(
        name=section.name,
        protocol=FederationProtocol(section.protocol),
        metadata=_absolute(base, section.metadata),
        entity_id=section.entity_id,
        groups_attribute=section.groups_attribute,
        user_attribute=section.user_attribute,
        allow_sha1=section.allow_sha1,
        allow_missing_subject_confirmation=section.allow_missing_subject_confirmation,
    )


def _app(base: Path, section: AppSection) -> AppSettings:
    return AppSettings(
        name=section.name,
        label=section.label or section.name,
        host=section.host,
        upstreams=tuple(
            replace(upstream, ca_file=_optional(base, section.upstream_ca))
            if upstream.scheme == "https"
            else upstream
            for upstream in section.upstream
        ),
        protocol=FederationProtocol(section.protocol),
        identity_provider=section.identity_provider,
        entity_id=section.entity_id,
        assertion_endpoints=tuple(section.assertion_endpoints),
        policy_file=_absolute(base, section.policy),
        enforcement=Enforcement(section.enforcement),
        challenge=ChallengeMode(section.challenge),
        client_conditions=section.client_conditions,
        allow_unsolicited=section.allow_unsolicited,
        factor_contexts=frozenset(section.factor_contexts),
        decryption_key=_optional(base, section.decryption_key),
        session_lifetime=section.session_lifetime,
        challenge_for_monitor=section.challenge_for_monitor,
    )


def _limits(section: LimitsSection) -> Limits:
    return Limits(
        handshake_timeout_seconds=section.handshake_timeout.total_seconds(),
        request_head_timeout_seconds=section.request_head_timeout.total_seconds(),
        idle_timeout_seconds=section.idle_timeout.total_seconds(),
        body_timeout_seconds=section.body_timeout.total_seconds(),
        upstream_connect_timeout_seconds=section.upstream_connect_timeout.total_seconds(),
        upstream_response_timeout_seconds=section.upstream_response_timeout.total_seconds(),
        upstream_queue_timeout_seconds=section.upstream_queue_timeout.total_seconds(),
        max_upstream_connections=section.max_upstream_connections,
        max_upstream_queue=section.max_upstream_queue,
        max_head_bytes=section.max_head_bytes,
        max_target_bytes=section.max_target_bytes,
        max_message_bytes=section.max_message_bytes,
        max_body_bytes=section.max_body_bytes,
        min_body_bytes_per_second=section.min_body_bytes_per_second,
        drain_timeout_seconds=section.drain_timeout.total_seconds(),
        max_connections=section.max_connections,
        max_connections_per_address=section.max_connections_per_address,
        max_handshakes=section.max_handshakes,
        max_handshakes_per_address=section.max_handshakes_per_address,
        max_api_requests_per_minute=section.max_api_requests_per_minute,
    )


def _absolute(base: Path, path: str) -> str:
    return str(base / path)


def _store(base: Path, url: str) -> str | None:
    """The URL with an absolute path; None where there is no store."""
    if url == NO_STORE:
        return None
    scheme, _, path = url.partition(":///")
    return f"sqlite:///{_absolute(base, path)}" if scheme == "sqlite" else url


def _optional(base: Path, path: str | None) -> str | None:
    return None if path is None else _absolute(base, path)
