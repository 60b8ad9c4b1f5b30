"""Keys of the agent behind a PKCS #11 module (SoftHSM): made in the token, used there, and never outside."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support.needed_parts import needs_program
from support.pki import Authority
from support.softhsm import MODULE, PIN, SoftHsm, make_token

from gateway.agent.commands import SystemCommands
from gateway.agent.keys.device_key import KeyFailed
from gateway.agent.keys.pkcs11 import Pkcs11Keys, key_id_of
from gateway.agent.platform import Credential, StoreKind
from gateway.agent.stores.nss import NssDatabase

pytestmark = [pytest.mark.real, needs_program("softhsm2-util")]


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    made = make_token(tmp_path_factory.mktemp("hsm") / "card", "card")
    before = {name: os.environ.get(name) for name in made.environment}
    os.environ |= made.environment
    pkcs11.lib(MODULE).reinitialize()  # another test may have used it with another token
    yield made
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    pkcs11.lib(MODULE).reinitialize()


@pytest.fixture
def keys(token: SoftHsm) -> Iterator[Pkcs11Keys]:
    found = Pkcs11Keys(MODULE, token.label, str(token.pin_file))
    yield found
    for name in found.names():
        found.delete(name)


def test_a_key_signs_after_it_was_found_again(keys: Pkcs11Keys) -> None:
    made = keys.create("pkcs11-1")
    assert (made.name, made.storage, keys.names()) == ("pkcs11-1", "pkcs11", {"pkcs11-1"})
    found = keys.open("pkcs11-1")
    assert found is not None
    made.public_key().verify(found.sign(b"what is signed"), b"what is signed", ec.ECDSA(hashes.SHA256()))
    request = x509.load_der_x509_csr(found.certification_request())
    assert request.is_signature_valid
    assert request.public_key() == made.public_key()


def test_browsers_are_told_where_it_is_and_find_it_by_the_id_that_nss_makes(
    keys: Pkcs11Keys, token: SoftHsm
) -> None:
    place = keys.create("pkcs11-1").place
    assert (place.module, place.token_label, place.pin) == (Path(MODULE), token.label, PIN)
    with keys.session() as session:
        for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY):
            [part] = session.get_objects({pkcs11.Attribute.CLASS: kind})
            assert part[pkcs11.Attribute.ID] == place.key_id
    assert PIN not in repr(place)


def test_the_key_cannot_be_taken_out_of_the_token(keys: Pkcs11Keys) -> None:
    keys.create("pkcs11-1")
    with keys.session() as session:
        [private] = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY})
        assert private[pkcs11.Attribute.SENSITIVE]
        assert not private[pkcs11.Attribute.EXTRACTABLE]
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            private[pkcs11.Attribute.VALUE]


def test_keys_are_deleted_one_by_one_and_others_in_the_token_are_left_alone(keys: Pkcs11Keys) -> None:
    first, _ = keys.create("pkcs11-1"), keys.create("pkcs11-2")
    with keys.session(write=True) as session:
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label="somebody's")
    keys.delete("pkcs11-1")
    keys.delete("pkcs11-1")
    assert keys.names() == {"pkcs11-2"}
    assert keys.open("pkcs11-1") is None
    with pytest.raises(KeyFailed, match="the key pkcs11-1 is not in the token any more"):
        first.sign(b"data")
    keys.delete("somebody's")


def test_a_token_that_is_not_there_is_named(token: SoftHsm) -> None:
    with pytest.raises(KeyFailed, match="has no token named other"):
        Pkcs11Keys(MODULE, "other", str(token.pin_file)).names()


def test_what_is_wrong_with_the_pin_or_the_module_is_said_in_words(
    keys: Pkcs11Keys, token: SoftHsm, tmp_path: Path
) -> None:
    pin = tmp_path / "pin"
    with pytest.raises(KeyFailed, match="the file with the PIN is not there"):
        Pkcs11Keys(MODULE, token.label, str(pin)).names()
    pin.touch(0o600)
    pin.write_text("wrong")
    # In a process of its own, where nobody is logged in yet.
    program = (
        "from gateway.agent.keys.pkcs11 import *\n"
        f"Pkcs11Keys({MODULE!r}, {token.label!r}, {str(pin)!r}).names()"
    )
    tried = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"KeyFailed: {MODULE}: the token does not take the PIN" in tried.stderr
    pin.chmod(0o644)
    with pytest.raises(KeyFailed, match=str(pin)):
        Pkcs11Keys(MODULE, token.label, str(pin)).names()
    with pytest.raises(KeyFailed, match=r"missing\.so"):
        Pkcs11Keys(f"{tmp_path}/missing.so").names()


@needs_program("certutil", "modutil")
def test_nss_pairs_it_with_the_certificate_that_the_agent_puts_into_the_token(
    keys: Pkcs11Keys, tmp_path: Path
) -> None:
    key = keys.create("pkcs11-1")
    authority = Authority.create_root("Token test authority")
    issued = authority.issue_client("urn:device:1", "alice@example.test", key=key)  # type: ignore[arg-type]
    certificate = issued.certificate.public_bytes(Encoding.DER)
    (tmp_path / ".pki").mkdir()
    database = NssDatabase(tmp_path / ".pki" / "nssdb", StoreKind.NSS, SystemCommands())
    assert database.install(Credential(certificate, (), key.place))
    assert not database.install(Credential(certificate, (), key.place)), "it is there already"
    assert {each.certificate_der for each in database.find(["Token test authority"])} == {certificate}
    listed = subprocess.run(
        ["certutil", "-L", "-d", f"sql:{tmp_path}/.pki/nssdb", "-h", "card", "-f", str(keys.pin_file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "u,u,u" in listed.stdout, "NSS has paired key and certificate"


def test_the_id_is_the_one_of_the_public_point() -> None:
    key = ec.derive_private_key(1, ec.SECP256R1()).public_key()
    # SHA-1 of the generator of P-256, uncompressed (SEC 2 §2.4.2).
    assert key_id_of(key).hex() == "b467a3999eb5efa671de0032f08a9c9e5efda0e1"
