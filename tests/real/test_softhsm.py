"""The issuing key in an HSM (SoftHSM): everything is signed there, and what is wrong with it is said."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pkcs11
import pytest
from support.gateway_yaml import COMPLETE
from support.needed_parts import needs_program
from support.softhsm import MODULE, PIN, make_token

from gateway.adapters.pkcs11_keys import Pkcs11Login, open_pkcs11_key, read_uri
from gateway.cli.main import run
from gateway.pki.signature import verify_signature
from gateway.pki.signer import SigningFailed

pytestmark = [pytest.mark.real, needs_program("softhsm2-util")]


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a PIN file. The library reads its configuration once in a process."""
    made = make_token(tmp_path_factory.mktemp("hsm") / "hsm")
    directory = made.directory
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ |= made.environment
    pkcs11.lib(MODULE).reinitialize()  # another test may have used it with another token
    token = pkcs11.lib(MODULE).get_token(token_label="trust")
    with token.open(user_pin=PIN, rw=True) as session:
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")},
            local=True,
        )
        parameters.generate_keypair(store=True, label="ec", id=b"\x01")
        session.generate_keypair(pkcs11.KeyType.RSA, 3072, store=True, label="rsa", id=b"\x02")
    yield directory
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before
    shutil.rmtree(directory / "tokens")


def login(hsm: Path) -> Pkcs11Login:
    return Pkcs11Login(MODULE, str(hsm / "pin"))


@pytest.mark.parametrize("name", ["object=ec", "object=rsa", "id=%01", "object=ec;id=%01"])
def test_a_key_in_the_hsm_signs(hsm: Path, name: str) -> None:
    signer = open_pkcs11_key(f"pkcs11:token=trust;{name}", login(hsm))
    for _ in range(3):
        signature = signer.sign(b"what is signed")
        assert verify_signature(signer.public_key, signer.algorithm_der, b"what is signed", signature)


def test_a_session_that_broke_is_opened_anew(hsm: Path) -> None:
    signer = open_pkcs11_key("pkcs11:token=trust;object=ec", login(hsm))
    assert signer._session is not None
    signer._session.close()
    assert signer.sign(b"again")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("pkcs11:token=other;object=ec", "0 tokens"),
        ("pkcs11:token=trust;object=other", "0 private and 0 public keys"),
        ("pkcs11:token=trust;object=ec;id=%02", "0 private"),
    ],
)
def test_a_key_that_is_not_there_is_named(hsm: Path, uri: str, says: str) -> None:
    with pytest.raises(SigningFailed, match=says):
        open_pkcs11_key(uri, login(hsm))


def test_a_wrong_pin_and_a_missing_library_are_said(hsm: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "pin"
    wrong.touch(0o600)
    wrong.write_text("wrong")
    # In a process of its own: in this one somebody is logged in already, and no PIN is looked at any more.
    program = (
        "from gateway.adapters.pkcs11_keys import *\n"
        f"open_pkcs11_key('pkcs11:token=trust;object=ec', Pkcs11Login({MODULE!r}, {str(wrong)!r}))"
    )
    tried = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"SigningFailed: {MODULE}: PinIncorrect" in tried.stderr
    wrong.chmod(0o644)
    with pytest.raises(SigningFailed, match="chmod 600"):
        open_pkcs11_key("pkcs11:token=trust;object=ec", Pkcs11Login(MODULE, str(wrong)))
    with pytest.raises(SigningFailed, match=r"missing\.so"):
        open_pkcs11_key("pkcs11:token=trust;object=ec", Pkcs11Login(f"{tmp_path}/missing.so", None))


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:",
        "pkcs11:token=trust",
        "pkcs11:object=ec",
        "pkcs11:token=a;token=b;object=ec",
        "pkcs11:token=trust;object=ec?pin-value=1234",
        "pkcs11:token=trust;object=ec;slot",
        "file:key.pem",
    ],
)
def test_a_uri_that_names_no_key_is_refused(uri: str) -> None:
    with pytest.raises(SigningFailed):
        read_uri(uri)


def test_an_authority_whose_key_is_in_the_hsm_issues_and_publishes(
    hsm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ca = f"  ca: {{pkcs11_module: {MODULE}, pkcs11_pin_file: {hsm}/pin}}\n"
    text = COMPLETE.replace("  authorities:\n", f"{ca}  authorities:\n    - {{name: own, builtin: true}}\n")
    (tmp_path / "gateway.yaml").write_text(text)
    (tmp_path / "var").mkdir()
    passphrase = tmp_path / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("long enough a phrase")
    configuration = ["-c", str(tmp_path / "gateway.yaml")]
    root = ["--root-key", str(tmp_path / "root.key"), "--root-passphrase-file", str(passphrase)]
    uri = "pkcs11:token=trust;object=ec"
    assert run(["ca", "init", *configuration, *root, "--pkcs11", uri]) == 0, capsys.readouterr().err
    assert f"issuing key: {uri}" in capsys.readouterr().out
    device = ["--device", "ws-42", "--create", "--new-key", str(tmp_path / "device")]
    assert run(["ca", "issue", *configuration, *device]) == 0, capsys.readouterr().err
    assert run(["ca", "crl", *configuration, "--out", str(tmp_path / "out")]) == 0
    verified = subprocess.run(
        [
            "openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile",
            tmp_path / "out/authorities.pem", "-CRLfile", tmp_path / "out/crls.pem",
            tmp_path / "device/device.pem",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stderr
