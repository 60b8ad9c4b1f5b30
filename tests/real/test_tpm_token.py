"""Keys of a TPM where browsers look for them: entered into a token of libtpm2_pkcs11, used, and taken out."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from support import swtpm
from support.needed_parts import needs_program
from support.pki import Authority
from support.swtpm import SwTpm

from gateway.agent.commands import Finished
from gateway.agent.keys import tpm_token
from gateway.agent.keys.device_key import KeyFailed
from gateway.agent.keys.pkcs11 import key_id_of
from gateway.agent.keys.tpm import TpmKeys
from gateway.agent.keys.tpm_token import TOKEN_LABEL, TpmToken, module_path

pytestmark = [pytest.mark.real, needs_program("swtpm", "swtpm_setup", "tpm2_ptool")]

# In a process of its own: a module is loaded once, for one store.
SIGNING = """
import sys
from gateway.agent.keys.pkcs11 import Pkcs11Keys
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
keys = Pkcs11Keys(sys.argv[1], "devicetrust")
key = keys.open(sys.argv[2])
print(key.sign(b"what is signed").hex())
print(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex())
print(key.place.key_id.hex())
"""


@pytest.fixture(scope="module")
def chip() -> Iterator[SwTpm]:
    with swtpm.running() as running:
        yield running


@pytest.fixture
def person(chip: SwTpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TpmKeys:
    for name, value in chip.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TPM2_PKCS11_STORE", str(tmp_path / "store"))
    return TpmKeys(tmp_path / "keys", chip.tcti, TpmToken(tpm_token.default_store(), chip.tcti))


def test_a_key_of_the_tpm_signs_through_the_module_that_browsers_load(person: TpmKeys) -> None:
    key = person.create("tpm-1")
    place = key.place
    assert place is not None
    assert (place.token_label, place.pin, place.key_id) == (TOKEN_LABEL, "", key_id_of(key.public_key()))
    signed = subprocess.run(
        [sys.executable, "-c", SIGNING, str(place.module), "tpm-1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert signed.returncode == 0, signed.stderr
    signature, public, key_id = signed.stdout.split()
    assert bytes.fromhex(key_id) == place.key_id, "as NSS pairs keys and certificates"
    found = load_der_public_key(bytes.fromhex(public))
    assert found == key.public_key()
    key.public_key().verify(bytes.fromhex(signature), b"what is signed", ec.ECDSA(hashes.SHA256()))


def test_a_second_key_goes_into_the_same_token_and_each_is_taken_out_alone(
    person: TpmKeys, tmp_path: Path
) -> None:
    first, second = person.create("tpm-1"), person.create("tpm-2")
    person.delete("tpm-1")
    again = person.open("tpm-2")
    assert again is not None
    assert again.place == second.place != first.place
    listed = subprocess.run(
        ["tpm2_ptool", "listobjects", "--label", TOKEN_LABEL, "--path", str(tmp_path / "store")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "CKA_LABEL: tpm-2" in listed.stdout
    assert "CKA_LABEL: tpm-1" not in listed.stdout
    assert person.open("tpm-1") is None


def test_its_certificate_stands_beside_it_and_a_new_one_takes_its_place(
    person: TpmKeys, tmp_path: Path
) -> None:
    key = person.create("tpm-1")
    authority = Authority.create_root("Token test authority")
    for _ in range(2):
        issued = authority.issue_client("urn:device:1", "a@example.test", key=key)  # type: ignore[arg-type]
        key.keep_certificate(issued.certificate.public_bytes(Encoding.DER))
    listed = subprocess.run(
        ["tpm2_ptool", "listobjects", "--label", TOKEN_LABEL, "--path", str(tmp_path / "store")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert listed.stdout.count("CKO_CERTIFICATE") == 1
    person.delete("tpm-1")


class Failing:
    """A computer on which tpm2_ptool does not work."""

    def run(self, arguments: object, **given: object) -> Finished:
        return Finished(1, b"", "cannot open the TPM")


def test_a_key_that_the_token_does_not_take_is_not_left_behind(chip: SwTpm, tmp_path: Path) -> None:
    keys = TpmKeys(tmp_path / "keys", chip.tcti, TpmToken(tmp_path / "store", chip.tcti, Failing()))
    with pytest.raises(KeyFailed, match="tpm2_ptool init failed: cannot open the TPM"):
        keys.create("tpm-1")
    assert keys.names() == frozenset()


def test_without_the_module_there_is_a_key_that_browsers_do_not_find(
    chip: SwTpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module_path() is not None
    monkeypatch.setattr(tpm_token, "_MODULES", ())
    key = TpmKeys(tmp_path / "keys", chip.tcti, TpmToken(tmp_path / "store", chip.tcti)).create("tpm-1")
    assert key.place is None
    assert key.sign(b"data")
