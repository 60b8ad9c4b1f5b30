"""``devicetrust ca``: the certification authority in the store."""

import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from gateway.adapters.ca_keys import (
    KEY_KINDS,
    PASSPHRASE_VARIABLE,
    LocalSigner,
    decrypted,
    encrypted,
    make_passphrase,
    new_key,
    passphrase_path,
    pkcs11_login,
    write_secret,
)
from gateway.adapters.key_files import read_key_file
from gateway.adapters.pkcs11_keys import open_pkcs11_key
from gateway.cli.ca_certificates import issue, list_certificates, release, renew, revoke
from gateway.cli.ca_lists import crl_json, crl_name, write_lists
from gateway.cli.ca_people import enrollment_code
from gateway.cli.opened_ca import (
    OpenedCa,
    config_option,
    json_option,
    moment,
    new_file,
    open_ca,
    pem,
    print_json,
)
from gateway.model.issued import AuthorityKind, AuthorityRecord
from gateway.model.settings import GatewaySettings
from gateway.pki.certificate_profile import DEFAULT_ISSUING_COMMON_NAME
from gateway.pki.crl_building import MAX_SHARDS
from gateway.pki.signer import SigningFailed
from gateway.services.authorities import (
    DEFAULT_SHARDS,
    AuthorityNames,
    NewAuthority,
    NewKey,
    initialise,
    renew_root_crl,
    roll_over,
)
from gateway.services.issuing import certificate_of
from gateway.services.publishing import publish, shards_of

ROOT_PASSPHRASE_VARIABLE: Final = "DEVICETRUST_ROOT_PASSPHRASE"  # noqa: S105 - where it is, not what it is
_MIN_PASSPHRASE_CHARACTERS: Final = 12


@click.group()
def ca() -> None:
    """Run the certification authority in the store: it issues the devices' certificates.

    \b
    Examples:
      devicetrust ca init --root-key /media/usb/root.key
      devicetrust ca issue --user alice@example.test --device ws-42 --create --new-key .
      devicetrust ca revoke --user alice@example.test --reason affiliationChanged
      devicetrust ca list --expiring-within 30d
    """


_root_key = click.option(
    "--root-key",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The root's private key, encrypted. Keep it offline: it is only needed for ca init, ca rollover and "
    "the root's own revocation list.",
)
_root_passphrase = click.option(
    "--root-passphrase-file",
    metavar="FILE",
    help=f"File (mode 600) with the passphrase of the root's key. Left out: {ROOT_PASSPHRASE_VARIABLE}, or a "
    "question.",
)
_common_name = click.option(
    "--common-name",
    default=DEFAULT_ISSUING_COMMON_NAME,
    show_default=True,
    help="Common name of the issuing authority, which browser policies filter on.",
)
_key_kind = click.option(
    "--key", "key_kind", type=click.Choice(KEY_KINDS), default=KEY_KINDS[0], show_default=True
)
_pkcs11 = click.option(
    "--pkcs11",
    "pkcs11_uri",
    metavar="URI",
    help="Use a key pair in an HSM as issuing key: pkcs11:token=NAME;object=LABEL (RFC 7512). Its library is "
    "device_trust.ca.pkcs11_module.",
)
_crl_shards = click.option(
    "--crl-shards",
    type=click.IntRange(1, MAX_SHARDS),
    default=DEFAULT_SHARDS,
    show_default=True,
    help="Into how many revocation lists this authority's certificates are divided, for good.",
)
_publish_at = click.option(
    "--publish-at",
    metavar="URL",
    help="Where certificates say that CRLs, OCSP and authorities are found, for good. Left out: the org "
    "host, by http where listen.http is set.",
)


@ca.command(
    epilog="""\b
Examples:
  devicetrust ca init --root-key /media/usb/root.key
  devicetrust ca init --root-key root.key --key rsa-3072 --root-passphrase-file p
  devicetrust ca init --root-key root.key --pkcs11 'pkcs11:token=trust;object=issuing'
"""
)
@config_option
@_root_key
@_root_passphrase
@_common_name
@_key_kind
@_pkcs11
@_crl_shards
@_publish_at
@json_option
def init(
    config_path: str,
    root_key: Path,
    root_passphrase_file: str | None,
    common_name: str,
    key_kind: str,
    pkcs11_uri: str | None,
    crl_shards: int,
    publish_at: str | None,
    as_json: bool,
) -> None:
    """Make the root and the issuing authority. Refuses where there are some already.

    The root's key goes to a file, encrypted: move it offline. The issuing key stands encrypted in the store,
    and its passphrase in a file that is not there.
    """
    with open_ca(config_path) as opened:
        with opened.store.read() as view:
            if view.authorities.all():
                raise click.ClickException(
                    "the store has a certification authority already; nothing was changed. A new issuing "
                    "authority is made by: devicetrust ca rollover"
                )
        passphrase = _new_root_passphrase(root_passphrase_file)
        root = new_key(key_kind)
        names = _names(opened.settings, common_name, crl_shards, publish_at)
        issuing = _issuing_key(opened, key_kind, pkcs11_uri)
        new_file(root_key, lambda path: write_secret(path, encrypted(root, passphrase)))
        made = None
        try:
            with opened.store.begin() as work:
                made = initialise(
                    work, names, NewKey(LocalSigner(root)), issuing, opened.occasion(), opened.randomness
                )
        finally:
            if made is None:
                root_key.unlink(missing_ok=True)
        _publish_all(opened)
    if as_json:
        print_json(
            {
                "authorities": [_authority_json(each.record) for each in made],
                "rootKey": str(root_key),
                "passphraseFile": _passphrase_file(opened.settings) if issuing.pem else None,
            }
        )
        return
    for each in made:
        click.echo(_made(each))
    click.echo(f"root key: {root_key} (encrypted; move it offline, with its passphrase elsewhere)")
    if issuing.pem:
        click.echo(
            f"issuing key: in the store, encrypted; its passphrase: {_passphrase_file(opened.settings)}"
        )
    else:
        click.echo(f"issuing key: {pkcs11_uri}")


@ca.command(
    epilog="""\b
Example:
  devicetrust ca rollover --root-key /media/usb/root.key
"""
)
@config_option
@_root_key
@_root_passphrase
@_common_name
@_key_kind
@_pkcs11
@_crl_shards
@_publish_at
@json_option
def rollover(
    config_path: str,
    root_key: Path,
    root_passphrase_file: str | None,
    common_name: str,
    key_kind: str,
    pkcs11_uri: str | None,
    crl_shards: int,
    publish_at: str | None,
    as_json: bool,
) -> None:
    """Make a new issuing authority, which issues from now on.

    The old one stays trusted, and browsers offer its certificates, until the last of them has ended.
    """
    with open_ca(config_path) as opened:
        root = _root_signer(root_key, root_passphrase_file)
        names = _names(opened.settings, common_name, crl_shards, publish_at)
        issuing = _issuing_key(opened, key_kind, pkcs11_uri)
        with opened.store.begin() as work:
            made = roll_over(work, names, root, issuing, opened.occasion(), opened.randomness)
        _publish_all(opened)
    if as_json:
        print_json(_authority_json(made.record))
    else:
        click.echo(_made(made))


@ca.command(
    short_help="Show and sign the revocation lists.",
    epilog="""\b
Examples:
  devicetrust ca crl
  devicetrust ca crl --out /var/www/crl
  devicetrust ca crl --root-key /media/usb/root.key
""",
)
@config_option
@click.option(
    "--out",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write every list there as NAME.crl (DER), and all of them with the authorities' certificates "
    "as crls.pem and authorities.pem, as nginx reads them.",
)
@click.option(
    "--root-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also sign a new list of the root; it is needed once a year.",
)
@_root_passphrase
@json_option
def crl(
    config_path: str,
    directory: Path | None,
    root_key: Path | None,
    root_passphrase_file: str | None,
    as_json: bool,
) -> None:
    """Show the revocation lists, after signing those that are due."""
    with open_ca(config_path) as opened:
        if root_key is not None:
            root = _root_signer(root_key, root_passphrase_file)
            with opened.store.begin() as work:
                renew_root_crl(work, root, opened.occasion())
        _publish_all(opened)
        with opened.store.read() as view:
            authorities = view.authorities.all()
            lists = [
                (authority, each)
                for authority in authorities
                for each in view.crls.of_authority(authority.id)
            ]
    if directory is not None:
        write_lists(directory, authorities, lists)
    if as_json:
        print_json([crl_json(authority, each) for authority, each in lists])
        return
    for authority, each in lists:
        click.echo(
            f"{crl_name(authority, each)}.crl  number {each.number}  {len(each.der)} bytes  "
            f"next update {moment(each.next_update)}"
        )


def _names(
    settings: GatewaySettings, common_name: str, crl_shards: int, publish_at: str | None
) -> AuthorityNames:
    return AuthorityNames(settings.org_name, publish_at or _published_at(settings), common_name, crl_shards)


def _published_at(settings: GatewaySettings) -> str:
    if settings.listen_http:
        port = settings.listen_http[0].port
        return f"http://{settings.org_host}" + (f":{port}" if port != 80 else "")
    port = settings.public_port
    return f"https://{settings.org_host}" + (f":{port}" if port != 443 else "")


def _issuing_key(opened: OpenedCa, key_kind: str, pkcs11_uri: str | None) -> NewKey:
    if pkcs11_uri is not None:
        return NewKey(open_pkcs11_key(pkcs11_uri, pkcs11_login(opened.settings.ca)), reference=pkcs11_uri)
    key = new_key(key_kind)
    passphrase = make_passphrase(opened.settings.ca, opened.settings.keys_directory)
    return NewKey(LocalSigner(key), pem=encrypted(key, passphrase))


def _root_signer(path: Path, passphrase_file: str | None) -> LocalSigner:
    content = read_key_file(str(path))
    return LocalSigner(decrypted(content, _root_passphrase_of(passphrase_file, new=False), f"key in {path}"))


def _new_root_passphrase(passphrase_file: str | None) -> bytes:
    passphrase = _root_passphrase_of(passphrase_file, new=True)
    if len(passphrase) < _MIN_PASSPHRASE_CHARACTERS:
        raise click.ClickException(
            f"the root's passphrase has fewer than {_MIN_PASSPHRASE_CHARACTERS} characters"
        )
    return passphrase


def _root_passphrase_of(passphrase_file: str | None, *, new: bool) -> bytes:
    if passphrase_file is not None:
        return read_key_file(passphrase_file).strip()
    given = os.environ.get(ROOT_PASSPHRASE_VARIABLE)
    if given:
        return given.encode()
    if not sys.stdin.isatty():
        raise click.ClickException(
            f"the root's passphrase is missing: --root-passphrase-file FILE, or {ROOT_PASSPHRASE_VARIABLE}"
        )
    asked: str = click.prompt(
        "Passphrase of the root's key", hide_input=True, confirmation_prompt=new, err=True
    )
    return asked.encode()


def _publish_all(opened: OpenedCa) -> None:
    with opened.store.read() as view:
        shards = shards_of(view)
    lifetime = opened.settings.ca.crl_lifetime
    without_key: dict[str, SigningFailed] = {}
    for shard in shards:
        if shard.authority_id not in without_key:
            try:
                publish(opened.store, opened.keys, shard, opened.occasion().at, lifetime)
            except SigningFailed as failed:
                without_key[shard.authority_id] = failed
    for problem in without_key.values():
        raise problem


def _passphrase_file(settings: GatewaySettings) -> str:
    if os.environ.get(PASSPHRASE_VARIABLE):
        return PASSPHRASE_VARIABLE
    return passphrase_path(settings.ca, settings.keys_directory)


def _made(made: NewAuthority) -> str:
    kind = "root" if made.record.kind is AuthorityKind.ROOT else "issuing authority"
    return (
        f"{kind}: {made.record.name}, generation {made.record.generation}, until "
        f"{moment(made.record.not_after)}, SHA-256 {made.certificate.sha256.hex()}"
    )


def _authority_json(record: AuthorityRecord) -> dict[str, Any]:
    certificate = certificate_of(record.certificate_der)
    return {
        "id": record.id,
        "name": record.name,
        "kind": record.kind.value,
        "generation": record.generation,
        "status": record.status.value,
        "notAfter": moment(record.not_after),
        "sha256": certificate.sha256.hex(),
        "crlShards": record.crl_shards,
        "certificate": pem([certificate]).decode(),
    }


for _command in (issue, renew, revoke, release, list_certificates, enrollment_code):
    ca.add_command(_command)
