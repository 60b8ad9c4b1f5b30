"""The demo's organization in its store: the built-in CA, two people, their devices and certificates, a token.

What an administrator does with `devicetrust ca init`, `ca issue`, `ca enrollment-code` and `token create`, by
the same use cases.
"""

import secrets
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.adapters.ca_keys import CaKeys, LocalSigner, encrypted, make_passphrase, new_key
from gateway.adapters.key_files import load_or_create_keys
from gateway.adapters.memory import SystemRandomness
from gateway.adapters.store import Store, Work
from gateway.cli.at_the_machine import occasion_of
from gateway.cli.demo_parts.api import DemoOrg, OrgDevice
from gateway.cli.demo_parts.messages import Person
from gateway.cli.demo_parts.pki import Credential, client_request
from gateway.cli.demo_parts.site import (
    ALICE,
    BOB,
    CORP_DEVICE,
    PKCS12_PASSWORD,
    Addresses,
    write_private,
)
from gateway.config.load import load_settings
from gateway.model.ids import MIN_RANDOM_BYTES, IdKind, new_id
from gateway.model.org import TokenScope, UserSource
from gateway.model.settings import GatewaySettings
from gateway.pki.certification_request import parse_certification_request
from gateway.server.org.authentication import TOKEN_BYTES, new_token, token_sha256
from gateway.services.api_tokens import create_token
from gateway.services.authorities import AuthorityNames, NewKey, initialise
from gateway.services.devices import DeviceProfile, register_device
from gateway.services.enrollment_codes import new_code
from gateway.services.issuing import issue
from gateway.services.people import Profile, create_user
from gateway.system_log.catalog import Occasion

ROOT_PASSPHRASE: Final = b"the root of the demo"
_CODE_LIFETIME: Final = timedelta(days=1)
# name of the certificate's files → (whose it is, what the device is called)
_DEVICES: Final = {
    "alice": (ALICE, "Alice's laptop"),
    "lost": (ALICE, "Alice's lost laptop"),
    "bob": (BOB, "Bob's laptop"),
}


def set_up_org(directory: Path, configuration: Path, addresses: Addresses) -> DemoOrg:
    """Fill the store that the configuration names, which may be being made by the gateway at this moment.

    Writes ``NAME.pem`` and ``NAME.p12`` for each device, ``authority.pem``, and the root's encrypted key.
    """
    settings = load_settings(str(configuration))
    assert settings.store_url is not None
    store = Store.open(settings.store_url)
    try:
        occasion = occasion_of("devicetrust demo")
        _make_authority(store, settings, directory, addresses, occasion)
        token = new_token(secrets.token_bytes(TOKEN_BYTES))
        with store.begin() as work:
            user_ids = {person.user: _user(work, occasion, person) for person in (ALICE, BOB)}
            device_ids = {name: _device(work, occasion, label, None) for name, (_, label) in _DEVICES.items()}
            corp = _device(work, occasion, "Alice's office computer", CORP_DEVICE)
            create_token(
                work,
                occasion,
                _id(IdKind.API_TOKEN),
                token_sha256(token),
                name="demo",
                scope=TokenScope.ADMIN,
                user="",
                expires=None,
            )
            new = _device(work, occasion, "Alice's new laptop", None)
        secret = load_or_create_keys(settings.keys_directory).master_secret
        until = occasion.at + _CODE_LIFETIME
        code = new_code(secret, new, user_ids[ALICE.user], until, SystemRandomness())
        devices = {"corp": OrgDevice(corp, None)}
        for name, (person, _) in _DEVICES.items():
            thumbprint = enroll(directory, name, settings, store, device_ids[name], user_ids[person.user])
            devices[name] = OrgDevice(device_ids[name], thumbprint)
    finally:
        store.close()
    return DemoOrg(token, MappingProxyType(devices), MappingProxyType(user_ids), code)


def enroll_again(directory: Path, configuration: Path, org: DemoOrg, name: str) -> None:
    """A new key and certificate for a device of the store, in place of its files. Raises IssuingRefused."""
    settings = load_settings(str(configuration))
    assert settings.store_url is not None
    store = Store.open(settings.store_url)
    try:
        user_id = org.user_ids[_DEVICES[name][0].user]
        for file in (directory / f"{name}.pem", directory / f"{name}.p12"):
            file.unlink()
        enroll(directory, name, settings, store, org.devices[name].device_id, user_id)
    finally:
        store.close()


def enroll(
    directory: Path, name: str, settings: GatewaySettings, store: Store, device_id: str, user_id: str
) -> str:
    """Issue a certificate and write its files. Its thumbprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    issued = issue(
        store,
        CaKeys(lambda: settings.ca, settings.keys_directory),
        parse_certification_request(client_request(key)),
        device_id,
        user_id,
        settings.ca,
        occasion_of("devicetrust demo"),
        SystemRandomness(),
    )
    credential = Credential(x509.load_der_x509_certificate(issued.certificate.der), key)
    write_private(directory / f"{name}.pem", credential.certificate_pem + credential.key_pem)
    bundle = credential.pkcs12(f"{name} (Device Trust demo)", PKCS12_PASSWORD)
    write_private(directory / f"{name}.p12", bundle)
    thumbprint = issued.row.thumbprint
    assert thumbprint is not None
    return thumbprint


def _make_authority(
    store: Store, settings: GatewaySettings, directory: Path, addresses: Addresses, occasion: Occasion
) -> None:
    root, key = new_key("ecdsa-p256"), new_key("ecdsa-p256")
    passphrase = make_passphrase(settings.ca, settings.keys_directory)
    names = AuthorityNames(settings.org_name, addresses.publication_url, crl_shards=1)
    with store.begin() as work:
        _, issuing = initialise(
            work,
            names,
            NewKey(LocalSigner(root)),
            NewKey(LocalSigner(key), pem=encrypted(key, passphrase)),
            occasion,
            SystemRandomness(),
        )
    certificate = x509.load_der_x509_certificate(issuing.certificate.der)
    (directory / "authority.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    write_private(directory / "root.key", encrypted(root, ROOT_PASSPHRASE))
    write_private(directory / "root.passphrase", ROOT_PASSPHRASE + b"\n")


def _user(work: Work, occasion: Occasion, person: Person) -> str:
    first, _, last = person.full_name.partition(" ")
    profile = Profile(person.user, person.user, first, last)
    return create_user(work, occasion, _id(IdKind.USER), profile, active=True, source=UserSource.AD).id


def _device(work: Work, occasion: Occasion, label: str, certificate_name: str | None) -> str:
    profile = DeviceProfile(label, "WINDOWS", certificate_name=certificate_name)
    return register_device(work, occasion, _id(IdKind.DEVICE), profile).id


def _id(kind: IdKind) -> str:
    return new_id(kind, secrets.token_bytes(MIN_RANDOM_BYTES))
