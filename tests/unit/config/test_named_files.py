"""Keys and certificates that gateway.yaml names: each fault is one sentence with the file's name."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from support.gateway_yaml import Installation
from support.pki import write_private

from gateway.adapters.key_files import KeyFileRefused
from gateway.config.errors import ConfigError
from gateway.config.named_files import read_decryption_key, read_server_certificate
from gateway.model.settings import CertificateFiles


def files_of(directory: Path) -> CertificateFiles:
    return CertificateFiles(str(directory / "certs" / "apps.pem"), str(directory / "certs" / "apps.key"))


def pem_of(key: PrivateKeyTypes, password: bytes | None = None) -> bytes:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def test_a_certificate_comes_with_its_key_and_its_names(tmp_path: Path) -> None:
    Installation(tmp_path)
    certificate = read_server_certificate(files_of(tmp_path))
    assert certificate.names == ("sso.example.test", "wiki.apps.example.test", "*.mtls.example.test")
    assert certificate.private_key.public_key() == certificate.chain[0].public_key()


@pytest.mark.parametrize(
    ("pem", "complaint"),
    [
        (b"", "holds no private key in PEM form that can be used"),
        (
            pem_of(rsa.generate_private_key(65537, 2048), b"passphrase"),
            "is encrypted; store the key without a passphrase",
        ),
        (pem_of(ed448.Ed448PrivateKey.generate()), "is not an RSA, ECDSA or Ed25519 key"),
        (pem_of(dsa.generate_private_key(2048)), "is not an RSA, ECDSA or Ed25519 key"),
    ],
    ids=["empty", "encrypted", "Ed448", "DSA"],
)
def test_a_key_that_cannot_serve_is_refused_by_its_name(tmp_path: Path, pem: bytes, complaint: str) -> None:
    Installation(tmp_path)
    files = files_of(tmp_path)
    write_private(Path(files.private_key), pem)
    with pytest.raises(ConfigError) as refused:
        read_server_certificate(files)
    assert str(refused.value) == f"{files.private_key}: {complaint}"


def test_a_decryption_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sp.key"
    write_private(path, pem_of(rsa.generate_private_key(65537, 2048)))
    assert read_decryption_key(str(path)).key_size == 2048
    path.chmod(0o644)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        read_decryption_key(str(path))
