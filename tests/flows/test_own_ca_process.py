"""The CA in the store from end to end: commands issue and revoke, and the gateway does as they say."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.browser import Browser
from support.enforced_world import USER, EnforcedWorld, enforced_world
from support.gateway_process import gateway_process
from support.pki import CredentialFiles
from support.site import MTLS_DOMAIN

from gateway.cli.main import run


def test_a_certificate_counts_from_its_issue_to_its_revocation_and_not_a_moment_longer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with enforced_world(tmp_path) as world:
        world.configuration["listen"]["workers"] = 2
        world.configuration["store"] = "sqlite:///org.db"

        def ca(*words: str) -> dict[str, Any]:
            code = run(["ca", words[0], "-c", str(tmp_path / "gateway.yaml"), *words[1:], "--json"])
            out, err = capsys.readouterr()
            assert code == 0, out + err
            answer: dict[str, Any] = json.loads(out)
            return answer

        def issued(device: str) -> tuple[Browser, str]:
            keys = tmp_path / "outputs" / device
            answer = ca("issue", "--user", USER, "--device", device, "--create", "--new-key", str(keys))
            files = CredentialFiles(keys / "device.pem", keys / "device.key")
            browser = Browser(world.site.web.pem.decode(), files, {}, mtls_domain=MTLS_DOMAIN)
            return browser, str(answer["serialNumber"])

        with gateway_process(world.configuration, tmp_path) as gateway:
            _init(tmp_path, ca)
            (lost, number), (kept, _) = issued("ws-1"), issued("ws-2")
            _wait_until_trusted(world, lost)
            losing, keeping = world.session(None, lost), world.session(None, kept)
            ca("revoke", "--serial", number, "--reason", "certificateHold")  # ends when all have applied it
            assert losing.ends(5)
            assert keeping.lasts()
            assert world.sign_on(None, browser=lost).device_trust_reason == "REVOKED"
            ca("release", "--serial", number)
            assert world.sign_on(None, browser=lost).status == 200
            ca("revoke", "--user", USER, "--reason", "keyCompromise")
            assert keeping.ends(5)
            assert gateway.stderr_text() == ""


def _init(directory: Path, ca: Any) -> None:
    passphrase = directory / "outputs" / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("long enough a phrase")
    root = directory / "outputs" / "root.key"
    ca("init", "--root-key", str(root), "--root-passphrase-file", str(passphrase))


def _wait_until_trusted(world: EnforcedWorld, browser: Browser) -> None:
    """`ca init` does not wait until the workers know the new authority."""
    for _ in range(50):
        if world.sign_on(None, browser=browser).status == 200:
            return
    raise AssertionError("the new authority is not trusted")
