"""`devicetrust check`: everything that would go wrong, before it does."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from gateway.cli.checks.authorities import check_authorities
from gateway.cli.checks.federation import check_decryption_keys, check_identity_providers
from gateway.cli.checks.finding import Finding, Severity, refusal
from gateway.cli.checks.hardware_keys import check_hardware_keys
from gateway.cli.checks.own_authority import check_own_authority
from gateway.cli.checks.policies import check_policies
from gateway.cli.checks.server_certificates import check_server_certificates
from gateway.cli.checks.surroundings import check_files, check_own_keys, check_pages, check_upstreams
from gateway.config.load import ConfigErrors, load_settings
from gateway.model.settings import GatewaySettings

_ORDER = tuple(Severity)
_CORRECT = "correct the file; devicetrust config schema describes every key"
_RESULTS = {0: "ok", 1: "findings", 2: "unusable"}


@click.command(
    epilog="""\b
Examples:
  devicetrust check -c gateway.yaml
  devicetrust check -c gateway.yaml --json | jq '.findings[] | select(.severity == "unusable")'
\b
Exit code: 0 nothing found (notices aside), 1 findings, 2 the gateway would not start."""
)
@click.option(
    "-c",
    "--config",
    "path",
    default="gateway.yaml",
    show_default=True,
    metavar="FILE",
    help="Configuration file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def check(path: str, as_json: bool) -> int:
    """Check the configuration and every file that it names.

    Looks at the configuration, server certificates and keys, Device Trust authorities and CRLs, identity
    providers' metadata, policies, page templates, file modes and the clock. Changes nothing, opens no
    network connection.
    """
    try:
        findings = find(load_settings(path), datetime.now(UTC))
    except ConfigErrors as refused:
        if not as_json:
            raise  # nothing was checked: this is no result, but the same errors that serve shows
        findings = [refusal(error, "configuration-invalid", _CORRECT) for error in refused.errors]
    code = exit_code(findings)
    if as_json:
        result = {
            "result": _RESULTS[code],
            "configuration": path,
            "findings": [asdict(finding) for finding in findings],
        }
        click.echo(json.dumps(result, indent=2))
    else:
        for line in report(path, findings):
            click.echo(line)
    return code


def find(settings: GatewaySettings, now: datetime) -> list[Finding]:
    """All findings about what a configuration names, the worst first."""
    # Sorting is stable: findings of one severity stay in the order of the checks.
    return sorted(_all_checks(settings, now), key=lambda finding: _ORDER.index(finding.severity))


def exit_code(findings: Sequence[Finding]) -> int:
    """2 where the gateway would not start, 1 where there is something to do, else 0."""
    severities = {finding.severity for finding in findings}
    if Severity.UNUSABLE in severities:
        return 2
    return 1 if severities - {Severity.NOTICE} else 0


def report(path: str, findings: Sequence[Finding]) -> Iterator[str]:
    """The findings for a terminal: two lines each, and one that sums up."""
    for finding in findings:
        yield f"{finding.severity.upper()}  {finding.place}: {finding.what}"
        yield f"    → {finding.do}"
    counts = [
        (one, severity) for severity in Severity if (one := sum(f.severity is severity for f in findings))
    ]
    summary = ", ".join(_counted(*count) for count in counts) or "nothing found"
    yield f"{path}: {_RESULTS[exit_code(findings)]} ({summary})"


def _counted(count: int, severity: Severity) -> str:
    plural = "s" if count > 1 and severity is not Severity.UNUSABLE else ""
    return f"{count} {severity}{plural}"


def _all_checks(settings: GatewaySettings, now: datetime) -> Iterator[Finding]:
    yield from check_server_certificates(settings, now)
    yield from check_authorities(settings, now)
    yield from check_own_authority(settings, now)
    yield from check_identity_providers(settings, now)
    yield from check_decryption_keys(settings)
    yield from check_policies(settings)
    yield from check_hardware_keys(settings, now)
    yield from check_own_keys(settings)
    yield from check_pages(settings)
    yield from check_upstreams(settings)
    yield from check_files(settings, now)
