"""What is between this computer and the org: judgements of discovery, clock, proxies and TLS on the way."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from gateway.agent.discovery import Discovery
from gateway.agent.doctor.tls_look import LookFailed, NameUnknown, TlsSeen
from gateway.agent.refusal import Refusal
from gateway.model.checkup import Check, CheckGroup, Subject

SETTINGS: Final = Subject(CheckGroup.REGISTRATION_TASK, "settings")
ORG: Final = Subject(CheckGroup.REGISTRATION_TASK, "org is reached")
PROXY: Final = Subject(CheckGroup.REGISTRATION_TASK, "proxy settings")
CLOCK: Final = Subject(CheckGroup.REGISTRATION_TASK, "clock of this computer")
MTLS_HOST: Final = Subject(CheckGroup.HANDSHAKE, "mTLS host is reached uninspected")
ASKED: Final = Subject(CheckGroup.HANDSHAKE, "mTLS host asks for this certificate")
SHOWN: Final = Subject(CheckGroup.HANDSHAKE, "trial handshake with the certificate")

# Kerberos allows five minutes, tokens two (`gateway.enrollment.claims`).
_WARN_SKEW: Final = timedelta(minutes=1)
_MAX_SKEW: Final = timedelta(minutes=2)
_UNINSPECTED: Final = (
    "let proxies and endpoint protection pass *.{domain} without opening TLS (an allow-list needs the "
    "wildcard, too): what opens it cannot pass the device's certificate on"
)
_WILDCARD: Final = (
    "add *.{domain} to the DNS that this computer asks: each challenge has a host of its own there"
)
_NO_ORG: Final = "the org was not reached"


def judge_org(told: Discovery | Refusal, url: str, routes: str, issuer: str) -> Check:
    """``issuer`` is who has signed the certificate that was seen there, "" where none was seen."""
    by = f" (its certificate is by {issuer})" if issuer else ""
    if isinstance(told, Discovery):
        return ORG.ok(f"{url}, {routes}{by}")
    return ORG.failed(
        f"{told.code}: {told.message}, {routes}{by}",
        told.remedy or "see the network, OrgUrl and HttpProxy",
    )


def judge_proxy(notes: Sequence[str]) -> Iterator[Check]:
    """``notes`` are those of the proxy chooser."""
    for note in notes:
        yield PROXY.warning(note, "correct the proxy auto-configuration file, or the setting")


def judge_clock(told: Discovery | None, asked: datetime, answered: datetime) -> Check:
    if told is None or told.time is None:
        return CLOCK.skipped(_NO_ORG if told is None else "the org does not say what time it is")
    skew = asked + (answered - asked) / 2 - told.time
    seconds = abs(skew.total_seconds())
    seen = f"{seconds:.0f} s {'ahead of' if skew > timedelta(0) else 'behind'} the org's"
    do = "set the clock, and let it follow a time server: timedatectl set-ntp true, w32tm /resync"
    if abs(skew) > _MAX_SKEW:
        return CLOCK.failed(seen, do)
    return CLOCK.warning(seen, do) if abs(skew) > _WARN_SKEW else CLOCK.ok(seen)


def judge_mtls_host(told: Discovery, host: str, seen: TlsSeen | LookFailed, routes: str) -> Check:
    """Held against what the org says its own certificates are: who opens TLS shows another one."""
    advice = _WILDCARD if isinstance(seen, NameUnknown) else _UNINSPECTED
    do = advice.format(domain=told.mtls_domain)
    if isinstance(seen, LookFailed):
        return MTLS_HOST.failed(f"{host}:{told.mtls_port}, {routes}: {seen}", do)
    if not told.mtls_certificates:
        return MTLS_HOST.skipped(f"the org does not say what it shows; seen: issued by {seen.issuer}")
    if seen.leaf_sha256 not in told.mtls_certificates:
        return MTLS_HOST.failed(
            f"{host} shows a certificate that is not the gateway's, issued by {seen.issuer}, {routes}", do
        )
    return MTLS_HOST.ok(f"{host}, {routes}; its certificate is the gateway's, issued by {seen.issuer}")


def judge_asked(told: Discovery, seen: TlsSeen | LookFailed) -> Check:
    if isinstance(seen, LookFailed):
        return ASKED.skipped("there was no handshake")
    if not seen.client_authorities:
        return ASKED.failed(
            "no, or without naming an authority",
            "if it is not the gateway that answers, see above; else on the server: devicetrust doctor",
        )
    names = ", ".join(seen.client_authorities)
    if told.issuer_common_name not in seen.client_authorities:
        return ASKED.failed(
            f"it asks for certificates of {names}, and not of {told.issuer_common_name}",
            "on the server: devicetrust doctor",
        )
    return ASKED.ok(f"it asks for certificates of {names}")


def judge_shown(seen: TlsSeen | LookFailed) -> Check:
    """That the handshake ends well proves the key; what the certificate is worth is the org's to say."""
    if isinstance(seen, LookFailed):
        return SHOWN.failed(str(seen), "see above")
    if seen.refusal:
        return SHOWN.failed(
            f"the other side ended it: {seen.refusal}",
            "see above; where the key is gone: devicetrust-agent --user --forceRenewal",
        )
    return SHOWN.ok(f"{seen.version}, certificate and key were shown")
