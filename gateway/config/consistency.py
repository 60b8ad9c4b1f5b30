"""What the keys of gateway.yaml say about one another: references, uniqueness, contradictions.

Each check yields every finding with the path of the key to change. The shape and range of single values
have been checked before (`gateway.config.schema`); what the named files hold is checked by the command
`devicetrust check` and by whoever reads them.
"""

from collections.abc import Hashable, Iterable, Iterator

from gateway.config.errors import KeyPath, did_you_mean
from gateway.config.forms import NO_STORE
from gateway.config.schema import AppSection, AuthoritySection, GatewayFile
from gateway.model.quoting import printable

Finding = tuple[KeyPath, str]


def inconsistencies(file: GatewayFile) -> Iterator[Finding]:
    """Everything that contradicts, in the order of the file."""
    yield from _hosts(file)
    yield from _listeners(file)
    yield from _device_trust(file)
    yield from _identity_providers(file)
    yield from _repeated(("zones",), "name", [zone.name for zone in file.zones])
    yield from _apps(file)
    if file.limits.max_target_bytes > file.limits.max_head_bytes:
        yield ("limits", "max_target_bytes"), "is larger than max_head_bytes, of which the target is a part"


def is_under(host: str, domain: str) -> bool:
    """The domain itself, or a name below it."""
    return host == domain or host.endswith(f".{domain}")


def _hosts(file: GatewayFile) -> Iterator[Finding]:
    if is_under(file.org.host, file.org.mtls_domain):
        yield (
            ("org", "host"),
            f"must not be under mtls_domain {file.org.mtls_domain}: every host there is a challenge",
        )


def _listeners(file: GatewayFile) -> Iterator[Finding]:
    yield from _repeated(("listen", "https"), None, file.listen.https)
    if file.listen.metrics in file.listen.https:
        yield ("listen", "metrics"), "is also an https address; metrics need one of their own"
    if file.listen.proxy_protocol and not file.trusted_proxies:
        yield ("listen", "proxy_protocol"), "needs trusted_proxies: nobody else may say who the client is"
    yield from _repeated(("listen", "http"), None, file.listen.http)
    for index, address in enumerate(file.listen.http):
        if address in file.listen.https or address == file.listen.metrics:
            yield ("listen", "http", index), "is also another listener's; plain HTTP needs one of its own"
    if file.listen.http and file.store == NO_STORE:
        yield ("listen", "http"), "publishes what the CA in the store signs, but store is none"


def _device_trust(file: GatewayFile) -> Iterator[Finding]:
    section = file.device_trust
    path: KeyPath = ("device_trust", "authorities")
    if section.enabled and not section.authorities:
        yield path, "must name at least one authority, or else no device is ever trusted"
    if section.ca.renew_before >= section.ca.certificate_lifetime:
        yield ("device_trust", "ca", "renew_before"), "is not shorter than certificate_lifetime"
    enrollment: KeyPath = ("device_trust", "enrollment")
    if section.enrollment.attestation == "required" and not section.enrollment.tpm_vendor_authorities:
        yield (*enrollment, "attestation"), "needs tpm_vendor_authorities: no TPM would ever be believed"
    yield from _repeated(
        (*enrollment, "tpm_vendor_authorities"), None, section.enrollment.tpm_vendor_authorities
    )
    yield from _repeated(path, "name", [authority.name for authority in section.authorities])
    for index, authority in enumerate(section.authorities):
        yield from _authority((*path, index), authority)
    builtin = [index for index, authority in enumerate(section.authorities) if authority.builtin]
    if builtin and file.store == NO_STORE:
        yield (*path, builtin[0], "builtin"), "is the CA in the store, but store is none"
    for index in builtin[1:]:
        yield (*path, index, "builtin"), f"is already item [{builtin[0]}]; there is one CA in the store"


def _authority(path: KeyPath, authority: AuthoritySection) -> Iterator[Finding]:
    if authority.builtin:
        for key in ("certificates", "crls"):
            if getattr(authority, key) is not None:
                yield (*path, key), "is not for the builtin authority: the store has its own"
    else:
        if authority.certificates is None:
            yield (*path, "certificates"), "is missing"
        if authority.crls is None:
            yield (*path, "crls"), "is missing; write [] only if its certificates are never revoked"
    if authority.user_binding == "required" and authority.user_from == "none":
        yield (
            (*path, "user_from"),
            "must name a part of the certificate where user_binding is required: no user would ever match",
        )


def _identity_providers(file: GatewayFile) -> Iterator[Finding]:
    yield from _repeated(("identity_providers",), "name", [p.name for p in file.identity_providers])
    for index, provider in enumerate(file.identity_providers):
        if provider.allow_missing_subject_confirmation and provider.protocol != "ws-fed":
            yield (
                ("identity_providers", index, "allow_missing_subject_confirmation"),
                "is for ws-fed only: a SAML 2.0 sign-on always confirms its subject",
            )


def _apps(file: GatewayFile) -> Iterator[Finding]:
    yield from _repeated(("apps",), "name", [app.name for app in file.apps])
    yield from _repeated(("apps",), "host", [app.host for app in file.apps])
    protocols = {provider.name: provider.protocol for provider in file.identity_providers}
    # Two apps of one provider with one entity ID could be handed each other's assertions.
    first_with: dict[tuple[str, str], str] = {}
    for index, app in enumerate(file.apps):
        path: KeyPath = ("apps", index)
        yield from _app_host(path, app, file)
        yield from _repeated((*path, "assertion_endpoints"), None, app.assertion_endpoints)
        yield from _repeated((*path, "upstream"), None, app.upstream)
        if app.upstream_ca is not None and all(upstream.scheme != "https" for upstream in app.upstream):
            yield (*path, "upstream_ca"), "is for an https upstream only"
        protocol = protocols.get(app.identity_provider)
        if protocol is None:
            known = did_you_mean(app.identity_provider, protocols)
            yield (
                (*path, "identity_provider"),
                f"no identity provider is named {printable(app.identity_provider)}{known}",
            )
        elif protocol != app.protocol:
            provider = printable(app.identity_provider)
            yield (*path, "protocol"), f"is {app.protocol}, but identity provider {provider} is {protocol}"
        other = first_with.setdefault((app.identity_provider, app.entity_id), app.name)
        if other != app.name:
            yield (
                (*path, "entity_id"),
                f"is also that of app {printable(other)}: an assertion for one would fit the other",
            )


def _app_host(path: KeyPath, app: AppSection, file: GatewayFile) -> Iterator[Finding]:
    if app.host == file.org.host:
        yield (*path, "host"), "is the org host, which the gateway answers itself"
    if is_under(app.host, file.org.mtls_domain):
        yield (
            (*path, "host"),
            f"must not be under mtls_domain {file.org.mtls_domain}: every host there is a challenge",
        )


def _repeated(path: KeyPath, key: str | None, values: Iterable[Hashable]) -> Iterator[Finding]:
    """Values of a list, or of one key of its items, that came before."""
    first: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        before = first.setdefault(value, index)
        if before != index:
            item: KeyPath = (*path, index) if key is None else (*path, index, key)
            yield item, f"repeats item [{before}]; each must be different"
