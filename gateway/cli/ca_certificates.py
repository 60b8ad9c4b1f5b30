"""``devicetrust ca issue|renew|revoke|release|list``: the certificates of devices."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.adapters.ca_keys import write_secret
from gateway.cli.applied import AppliedEverywhere, wait_option, wait_until_applied
from gateway.cli.ca_people import duration_option_value, known, people, platform_option
from gateway.cli.opened_ca import (
    OpenedCa,
    certificate_json,
    config_option,
    exactly_one,
    json_option,
    moment,
    new_file,
    open_ca,
    pem,
    print_json,
)
from gateway.config.text_file import read_bytes
from gateway.model.issued import (
    CertificateQuery,
    CertificateStatus,
    RevocationReason,
)
from gateway.model.org import (
    Device,
    User,
)
from gateway.pki.certification_request import (
    MAX_CERTIFICATION_REQUEST_BYTES,
    CertificationRequest,
    parse_certification_request,
)
from gateway.services import issuing, renewing, revoking

_REASONS: Final = [reason.value for reason in RevocationReason if reason != RevocationReason.REMOVE_FROM_CRL]
_KEY_FILE: Final = "device.key"
_CERTIFICATE_FILE: Final = "device.pem"
_STATUSES: Final = [status.value for status in CertificateStatus]

_csr = click.option(
    "--csr",
    "csr_path",
    metavar="FILE",
    help="Certification request (PKCS#10, PEM or DER). Only its key is read: names in it count for nothing.",
)
_new_key = click.option(
    "--new-key",
    "key_directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Make the key here, as DIR/device.key, and write the certificate with its issuer to DIR/device.pem.",
)
_out = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="With --csr: write the certificate with its issuer there (PEM) instead of showing it.",
)
_thumbprint = click.option(
    "--certificate", "thumbprint", metavar="THUMBPRINT", help="A certificate, by its SHA-256 in base64url."
)
_serial = click.option("--serial", metavar="HEX", help="A certificate, by its serial number.")


@click.command(
    epilog="""\b
Examples:
  devicetrust ca issue --user alice@example.test --device ws-42 --csr ws-42.csr --out ws-42.pem
  devicetrust ca issue --user alice@example.test --device ws-42 --create --new-key .
"""
)
@config_option
@click.option("--user", "login", metavar="LOGIN", help="Whom the certificate is for. Left out: nobody.")
@click.option("--device", "device_name", required=True, metavar="NAME", help="Name or id of the device.")
@click.option("--create", is_flag=True, help="Register the user and the device where they are missing.")
@platform_option
@_csr
@_new_key
@_out
@json_option
def issue(
    config_path: str,
    login: str | None,
    device_name: str,
    create: bool,
    platform: str,
    csr_path: str | None,
    key_directory: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Issue a certificate for a user on a device."""
    exactly_one(csr=csr_path, new_key=key_directory)
    with open_ca(config_path) as opened, _key_for(csr_path, key_directory) as request:
        with opened.store.read() as view:
            issuing.active_authority(view)  # before anybody is registered for nothing
        device, user = people(opened, login, device_name, platform, create=create)
        done = issuing.issue(
            opened.store,
            opened.keys,
            request,
            device.id,
            None if user is None else user.id,
            opened.settings.ca,
            opened.occasion(),
            opened.randomness,
        )
        _give(opened, done, key_directory, out, as_json=as_json)


@click.command(
    epilog="""\b
Examples:
  devicetrust ca renew --serial 4c:a9:b1… --csr ws-42.csr --out ws-42.pem
  devicetrust ca renew --certificate THUMBPRINT --new-key . --force
"""
)
@config_option
@_thumbprint
@_serial
@_csr
@_new_key
@_out
@click.option("--force", is_flag=True, help="Also before it is due (device_trust.ca.renew_before).")
@json_option
def renew(
    config_path: str,
    thumbprint: str | None,
    serial: str | None,
    csr_path: str | None,
    key_directory: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Renew a certificate, for the same user and device.

    The old one works until the new one was seen.
    """
    exactly_one(certificate=thumbprint, serial=serial)
    exactly_one(csr=csr_path, new_key=key_directory)
    with open_ca(config_path) as opened, _key_for(csr_path, key_directory) as request:
        with opened.store.read() as view:
            former = opened.certificate(view, thumbprint, serial)
        done = renewing.renew(
            opened.store,
            opened.keys,
            request,
            former,
            opened.settings.ca,
            opened.occasion(),
            opened.randomness,
            force=force,
        )
        _give(opened, done, key_directory, out, as_json=as_json)


@click.command(
    short_help="Revoke certificates, at every gateway.",
    epilog="""\b
Examples:
  devicetrust ca revoke --certificate THUMBPRINT --reason keyCompromise
  devicetrust ca revoke --device ws-42 --reason cessationOfOperation
  devicetrust ca revoke --user alice@example.test --reason certificateHold
\b
Exit code: 0 revoked and applied by every gateway, 1 revoked but not applied everywhere in time.""",
)
@config_option
@_thumbprint
@_serial
@click.option("--device", "device_name", metavar="NAME", help="All certificates of a device.")
@click.option("--user", "login", metavar="LOGIN", help="All certificates of a user, on all devices.")
@click.option(
    "--reason",
    type=click.Choice(_REASONS),
    default=RevocationReason.UNSPECIFIED.value,
    show_default=True,
    help="RFC 5280 §5.3.1; certificateHold can be taken back by: devicetrust ca release.",
)
@wait_option
@json_option
def revoke(
    config_path: str,
    thumbprint: str | None,
    serial: str | None,
    device_name: str | None,
    login: str | None,
    reason: str,
    wait_seconds: float,
    as_json: bool,
) -> int:
    """Revoke certificates at every gateway, and close the connections that rest on them.

    May be done again without harm. Waits until the gateways have applied it.
    """
    which = exactly_one(certificate=thumbprint, serial=serial, device=device_name, user=login)
    why = RevocationReason(reason)
    with open_ca(config_path) as opened:
        occasion = opened.occasion()
        with opened.store.begin() as work:
            if which == "device":
                device = known(opened.device(work, device_name or ""), f"--device {device_name}")
                done = revoking.revoke_of_device(work, device.id, why, occasion)
            elif which == "user":
                user = known(opened.user(work, login or ""), f"--user {login}")
                done = revoking.revoke_of_user(work, user.id, why, occasion)
            else:
                meant = opened.certificate(work, thumbprint, serial)
                done = revoking.revoke(work, [meant], why, occasion)
        applied = _wait(opened, wait_seconds)
        if as_json:
            with opened.store.read() as view:
                rows = [certificate_json(view, row) for row in done.revoked]
            print_json({"revoked": rows, "already": done.already, "applied": applied and applied.json()})
        else:
            what = "put on hold" if why is RevocationReason.CERTIFICATE_HOLD else "revoked"
            click.echo(f"{_counted(len(done.revoked))} {what}")
            if done.already:
                click.echo(f"{_counted(done.already)} withdrawn before")
            if applied is not None:
                click.echo(applied.sentence)
    return 1 if applied is not None and applied.missing else 0


@click.command(
    epilog="""\b
Example:
  devicetrust ca release --certificate THUMBPRINT
"""
)
@config_option
@_thumbprint
@_serial
@wait_option
@json_option
def release(
    config_path: str, thumbprint: str | None, serial: str | None, wait_seconds: float, as_json: bool
) -> int:
    """End a certificateHold: the certificate counts again."""
    exactly_one(certificate=thumbprint, serial=serial)
    with open_ca(config_path) as opened:
        with opened.store.begin() as work:
            meant = opened.certificate(work, thumbprint, serial)
            if not revoking.release(work, meant, opened.occasion()):
                raise click.ClickException(
                    f"certificate {meant.serial_hex} is not on hold; any other revocation is for good"
                )
        applied = _wait(opened, wait_seconds)
        if as_json:
            print_json({"released": meant.serial_hex, "applied": applied and applied.json()})
        else:
            click.echo(f"certificate {meant.serial_hex} released")
            if applied is not None:
                click.echo(applied.sentence)
    return 1 if applied is not None and applied.missing else 0


@click.command(
    "list",
    epilog="""\b
Examples:
  devicetrust ca list --user alice@example.test
  devicetrust ca list --status ISSUED --expiring-within 30d --json | jq '.[].device'
""",
)
@config_option
@click.option("--user", "login", metavar="LOGIN", help="Of this user only.")
@click.option("--device", "device_name", metavar="NAME", help="Of this device only.")
@click.option("--status", "statuses", type=click.Choice(_STATUSES), multiple=True)
@click.option("--expiring-within", metavar="DURATION", help="That end within this time, such as 30d.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True)
@json_option
def list_certificates(
    config_path: str,
    login: str | None,
    device_name: str | None,
    statuses: tuple[str, ...],
    expiring_within: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List certificates, oldest first."""
    now = datetime.now(UTC)
    until = (
        None if expiring_within is None else now + duration_option_value(expiring_within, "--expiring-within")
    )
    with open_ca(config_path) as opened, opened.store.read() as view:
        device = device_name and known(opened.device(view, device_name), f"--device {device_name}")
        user = login and known(opened.user(view, login), f"--user {login}")
        query = CertificateQuery(
            device_id=device.id if isinstance(device, Device) else None,
            user_id=user.id if isinstance(user, User) else None,
            statuses=frozenset(CertificateStatus(status) for status in statuses),
            expires_from=None if until is None else now,
            expires_before=until,
        )
        rows = view.certificates.page(query, limit=limit)
        if as_json:
            print_json([certificate_json(view, row) for row in rows])
            return
        for line in _aligned([_columns(certificate_json(view, row)) for row in rows]):
            click.echo(line)


@contextmanager
def _key_for(csr_path: str | None, directory: Path | None) -> Iterator[CertificationRequest]:
    """The key is on the disk before a certificate is issued for it, and gone again if none is."""
    if directory is None:
        yield parse_certification_request(read_bytes(csr_path or "", MAX_CERTIFICATION_REQUEST_BYTES))
        return
    if (directory / _CERTIFICATE_FILE).exists():
        raise click.ClickException(
            f"{directory / _CERTIFICATE_FILE}: is there already, and is not overwritten"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    directory.mkdir(parents=True, exist_ok=True)
    new_file(directory / _KEY_FILE, lambda path: write_secret(path, private))
    issued = False
    try:
        yield parse_certification_request(request.public_bytes(Encoding.DER))
        issued = True
    finally:
        if not issued:
            (directory / _KEY_FILE).unlink(missing_ok=True)


def _give(
    opened: OpenedCa, done: issuing.Issued, directory: Path | None, out: Path | None, *, as_json: bool
) -> None:
    text = pem(done.chain)
    if directory is not None:
        out = directory / _CERTIFICATE_FILE
    if out is not None:
        out.write_bytes(text)
    if as_json:
        with opened.store.read() as view:
            print_json({**certificate_json(view, done.row), "certificate": text.decode()})
    elif out is not None:
        click.echo(
            f"certificate {done.row.serial_hex}, valid until {moment(done.row.not_after)}, "
            f"thumbprint {done.row.thumbprint}"
        )
    else:
        click.echo(text.decode(), nl=False)


def _wait(opened: OpenedCa, seconds: float) -> AppliedEverywhere | None:
    if seconds == 0 or opened.change_number == 0:
        return None
    return wait_until_applied(opened.store, opened.change_number, seconds)


def _counted(number: int) -> str:
    return f"{number} certificate{'' if number == 1 else 's'}"


def _columns(row: dict[str, Any]) -> list[str]:
    why = "" if row["revocationReason"] is None else f"({row['revocationReason']} {row['revokedAt']})"
    return [
        row["status"],
        row["serialNumber"],
        row["device"] or row["deviceId"],
        row["user"] or "-",
        f"until {row['notAfter']}",
        row["thumbprint"] or "-",
        why,
    ]


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
