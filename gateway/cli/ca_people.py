"""Who certificates are for, as the commands of `devicetrust ca` know them: users and devices, registered
where they are missing; and ``devicetrust ca enrollment-code``, with which a device enrolls by itself.
"""

import secrets
from datetime import timedelta
from typing import Any, Final

import click

from gateway.adapters.key_files import load_or_create_keys
from gateway.cli.opened_ca import OpenedCa, config_option, json_option, moment, open_ca, print_json
from gateway.config.forms import read_duration
from gateway.model.changes import device_activated, user_activated
from gateway.model.ids import MIN_RANDOM_BYTES, IdKind, new_id
from gateway.model.org import (
    Device,
    DeviceStatus,
    NameKind,
    User,
    UserSource,
    UserStatus,
    default_certificate_name,
)
from gateway.services.devices import PLATFORMS
from gateway.services.enrollment_codes import new_code
from gateway.system_log.administration import device_event, user_event
from gateway.system_log.catalog import EventType
from gateway.system_log.enrollment_events import enrollment_code_created

_LONGEST: Final = timedelta(days=36_500)

platform_option = click.option(
    "--platform",
    type=click.Choice(PLATFORMS),
    default="WINDOWS",
    show_default=True,
    help="Of a device that is registered by --create.",
)


@click.command(
    "enrollment-code",
    short_help="Make a code for one enrollment.",
    epilog="""\b
Example:
  devicetrust ca enrollment-code --user alice@example.test --device ws-42 --create
\b
On the device, over EST (RFC 7030), with the code as password of HTTP Basic:
  pki --est --url https://sso.example.test --userpass x:CODE --in ws-42.csr …
""",
)
@config_option
@click.option("--user", "login", metavar="LOGIN", help="Whom the certificate is for. Left out: nobody.")
@click.option("--device", "device_name", required=True, metavar="NAME", help="Name or id of the device.")
@click.option("--create", is_flag=True, help="Register the user and the device where they are missing.")
@platform_option
@click.option(
    "--valid-for", default="1h", show_default=True, metavar="DURATION", help="How long it may be used, once."
)
@json_option
def enrollment_code(
    config_path: str,
    login: str | None,
    device_name: str,
    create: bool,
    platform: str,
    valid_for: str,
    as_json: bool,
) -> None:
    """Make a code with which a device may enroll once by itself."""
    lifetime = duration_option_value(valid_for, "--valid-for")
    with open_ca(config_path) as opened:
        device, user = people(opened, login, device_name, platform, create=create)
        secret = load_or_create_keys(opened.settings.keys_directory).master_secret
        occasion = opened.occasion()
        until = occasion.at + lifetime
        code = new_code(secret, device.id, None if user is None else user.id, until, opened.randomness)
        with opened.store.begin() as work:
            work.log_event(enrollment_code_created(occasion, device, user, until))
    if as_json:
        print_json({"code": code, "until": moment(until), "deviceId": device.id})
    else:
        click.echo(code)


def people(
    opened: OpenedCa, login: str | None, device_name: str, platform: str, *, create: bool
) -> tuple[Device, User | None]:
    occasion = opened.occasion()
    with opened.store.begin() as work:
        device = opened.device(work, device_name)
        user = None if login is None else opened.user(work, login)
        if not create:
            user = user if login is None else known(user, f"--user {login}", _CREATE)
            return known(device, f"--device {device_name}", _CREATE), user
        now = occasion.at
        if device is None:
            device_id = _id(IdKind.DEVICE)
            # A URI is what certificates are to call it; any other name is for people to read.
            name = device_name if ":" in device_name else default_certificate_name(device_id)
            device = Device(device_id, device_name, name, platform, DeviceStatus.ACTIVE, now, now)
            work.devices.add(device)
            if work.deleted_names.take_back(NameKind.DEVICE, name):
                work.record(device_activated(name))
            work.log_event(device_event(occasion, EventType.DEVICE_REGISTERED, device))
        if login is not None and user is None:
            email = login if "@" in login else ""
            user = User(_id(IdKind.USER), login, email, "", "", UserStatus.ACTIVE, UserSource.LOCAL, now, now)
            work.users.add(user)
            if work.deleted_names.take_back(NameKind.USER, user.login_key):
                work.record(user_activated(user.login_key))
            work.log_event(user_event(occasion, EventType.USER_CREATED, user))
        return device, user


_CREATE: Final = "; register it by --create"


def known(found: Any, option: str, advice: str = "") -> Any:
    if found is None:
        raise click.ClickException(f"{option}: is not known{advice}")
    return found


def _id(kind: IdKind) -> str:
    return new_id(kind, secrets.token_bytes(MIN_RANDOM_BYTES))


def duration_option_value(text: str, option: str) -> timedelta:
    """At most a hundred years, so that any date goes with it."""
    try:
        duration = read_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
    if duration > _LONGEST:
        raise click.BadParameter("is longer than a hundred years", param_hint=option)
    return duration
