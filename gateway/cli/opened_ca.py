"""What the commands of `devicetrust ca` have in common: the store, the keys, who acts, and finding things."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.adapters.ca_keys import CaKeys
from gateway.adapters.memory import SystemRandomness
from gateway.adapters.store.store import Store
from gateway.adapters.store.work import Committed
from gateway.cli.at_the_machine import occasion_of
from gateway.config.load import load_settings
from gateway.model.issued import IssuedCertificate
from gateway.model.org import Device, User
from gateway.model.settings import GatewaySettings
from gateway.pki.certificate import Certificate
from gateway.pki.certification_request import CertificationRequestRefused
from gateway.pki.issuance import IssuanceRefused
from gateway.services.authorities import AuthorityRefused
from gateway.services.authority_ports import AuthorityView
from gateway.services.issuing import IssuingRefused
from gateway.system_log.catalog import Occasion

config_option = click.option(
    "-c",
    "--config",
    "config_path",
    default="gateway.yaml",
    show_default=True,
    metavar="FILE",
    help="Configuration file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")

_MAX_FOUND: Final = 200


class OpenedCa:
    """The CA in the store of one configuration. `open_ca` makes one."""

    def __init__(self, settings: GatewaySettings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.keys = CaKeys(lambda: settings.ca, settings.keys_directory)
        self.randomness = SystemRandomness()
        self.change_number = 0
        store.on_commit(self._committed)

    def occasion(self) -> Occasion:
        return occasion_of("devicetrust ca")

    def device(self, view: Any, name: str) -> Device | None:
        """By id, by its name in certificates, or by its display name if only one has it."""
        found: Device | None = view.devices.get(name) or view.devices.by_certificate_name(name)
        if found is not None:
            return found
        named = [each for each in view.devices.page(q=name, limit=_MAX_FOUND) if each.name == name]
        if len(named) > 1:
            raise click.ClickException(
                f"--device {name}: {len(named)} devices have this name; give the id of one: "
                + ", ".join(each.id for each in named[:5])
            )
        return named[0] if named else None

    def user(self, view: Any, login: str) -> User | None:
        found: User | None = view.users.by_login(login) or view.users.get(login)
        return found

    def certificate(self, view: Any, thumbprint: str | None, serial: str | None) -> IssuedCertificate:
        """By thumbprint (base64url) or serial number (hex, colons allowed). One of them is given."""
        if thumbprint is not None:
            found: IssuedCertificate | None = view.certificates.by_thumbprint(thumbprint)
            if found is None:
                raise click.ClickException(f"--certificate {thumbprint}: no certificate has this thumbprint")
            return found
        assert serial is not None
        try:
            number = int(serial.replace(":", ""), 16)
        except ValueError:
            raise click.BadParameter("is not a hexadecimal number", param_hint="--serial") from None
        several: Sequence[IssuedCertificate] = (
            view.certificates.by_serial_number(number) if 0 < number < 1 << 160 else ()
        )
        if len(several) != 1:
            raise click.ClickException(
                f"--serial {serial}: {len(several)} certificates have this serial number"
            )
        return several[0]

    def _committed(self, committed: Committed) -> None:
        self.change_number = committed.change_number


@contextmanager
def open_ca(config_path: str) -> Iterator[OpenedCa]:
    """Refusals of the use cases become errors of the command."""
    settings = load_settings(config_path)
    if settings.store_url is None:
        raise click.ClickException(f"{config_path}: store is none, so there is no certification authority")
    store = Store.open(settings.store_url)
    try:
        yield OpenedCa(settings, store)
    except (
        AuthorityRefused,
        IssuingRefused,
        IssuanceRefused,
        CertificationRequestRefused,
    ) as refused:
        raise click.ClickException(str(refused)) from None
    finally:
        store.close()


def exactly_one(**options: object) -> str:
    """The name of the one option that was given. Raises UsageError."""
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise click.UsageError(f"give exactly one of {names}")
    return given[0]


def certificate_json(view: AuthorityView | None, row: IssuedCertificate) -> dict[str, Any]:
    """For ``--json``; with a view also the names of device and user."""
    device = None if view is None else view.devices.get(row.device_id)
    user = None if view is None or row.user_id is None else view.users.get(row.user_id)
    return {
        "thumbprint": row.thumbprint,
        "serialNumber": row.serial_hex,
        "authorityId": row.authority_id,
        "status": row.status.value,
        "deviceId": row.device_id,
        "device": None if device is None else device.name,
        "userId": row.user_id,
        "user": None if user is None else user.login,
        "notBefore": moment(row.not_before),
        "notAfter": moment(row.not_after),
        "revokedAt": None if row.revoked_at is None else moment(row.revoked_at),
        "revocationReason": None if row.revocation_reason is None else row.revocation_reason.value,
        "firstSeen": None if row.first_seen is None else moment(row.first_seen),
        "replaces": row.replaces,
    }


def moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def pem(certificates: Sequence[Certificate]) -> bytes:
    return b"".join(
        x509.load_der_x509_certificate(each.der).public_bytes(Encoding.PEM) for each in certificates
    )


def new_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file that must not be there yet."""
    try:
        write(path)
    except FileExistsError:
        raise click.ClickException(f"{path}: is there already, and is not overwritten") from None
