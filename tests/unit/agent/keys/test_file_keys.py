"""Keys in files: nobody else's to read, found again by name, and good for requests."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.agent.keys.device_key import KeyFailed, new_key_name, storage_of
from gateway.agent.keys.file import FileKey, FileKeys
from gateway.agent.keys.requests import certification_request
from gateway.pki.certification_request import parse_certification_request
from gateway.pki.signer import spki_of


def test_a_key_is_found_again_by_its_name_and_gone_when_deleted(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / "keys")
    assert keys.names() == frozenset()
    made = keys.create(name := new_key_name("file"))
    found = keys.open(name)
    assert isinstance(found, FileKey)
    assert spki_of(found.public_key()) == spki_of(made.public_key())
    assert keys.names() == {name}
    assert storage_of(name) == "file"
    assert keys.open("k0123") is None
    keys.delete(name)
    keys.delete(name)
    assert keys.open(name) is None


def test_a_key_is_its_users_alone(tmp_path: Path) -> None:
    made = FileKeys(tmp_path / "keys").create("k1")
    assert stat.S_IMODE(made.place.path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["k1.key"]


def test_what_it_signs_verifies_and_what_it_asks_for_is_a_request_by_it(tmp_path: Path) -> None:
    key = FileKeys(tmp_path).create("k1")
    key.public_key().verify(key.sign(b"data"), b"data", ec.ECDSA(hashes.SHA256()))
    request = parse_certification_request(key.certification_request())
    assert spki_of(request.public_key) == spki_of(key.public_key())


@pytest.mark.parametrize(
    ("what", "spoil", "said"),
    [
        ("open to the group", lambda path: path.chmod(0o640), "is open to others; run: chmod 600"),
        ("emptied", lambda path: path.write_bytes(b""), "holds no private key"),
        ("of another kind", lambda path: path.write_bytes(_rsa_pem()), "holds no P-256 key"),
        ("too large", lambda path: path.write_bytes(b"x" * 300_000), "is larger than"),
        ("a directory", lambda path: (path.unlink(), path.mkdir()), "is no regular file"),
    ],
)
def test_a_key_file_that_is_spoilt_is_refused_by_name(tmp_path: Path, what: str, spoil, said: str) -> None:
    keys = FileKeys(tmp_path)
    path = keys.create("k1").place.path
    spoil(path)
    with pytest.raises(KeyFailed, match=said) as failed:
        keys.open("k1")
    assert str(path) in str(failed.value)


def test_a_signature_that_does_not_verify_is_never_sent() -> None:
    class Broken:
        key = ec.generate_private_key(ec.SECP256R1())

        def public_key(self) -> ec.EllipticCurvePublicKey:
            return self.key.public_key()

        def sign(self, data: bytes) -> bytes:
            return self.key.sign(data + b"!", ec.ECDSA(hashes.SHA256()))

    with pytest.raises(KeyFailed, match="does not verify"):
        certification_request(Broken())


def _rsa_pem() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
