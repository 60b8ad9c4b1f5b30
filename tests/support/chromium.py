"""A real Chromium with a profile of its own: NSS database, managed policies, host names.

Client certificates come from the NSS database and are picked by the AutoSelectCertificateForUrls policy,
as on a managed computer. (Playwright's own ``client_certificates`` go around both, so they prove nothing.)
Without that policy a headless browser waits for ever for somebody to choose.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright
from support.pki import Credential
from support.processes import program

EXECUTABLE = Path(__file__).parent / "chromium_private.sh"
UNSHARE_OPTIONS = "--mount" if os.geteuid() == 0 else "--user --map-root-user --mount"
PKCS12_PASSWORD = "only-for-one-test-run"
RESOLVER_RULES = "MAP *.example.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"


def auto_select(pattern: str, issuer_common_name: str) -> dict[str, Any]:
    """The policy that picks the certificate of one issuer for the hosts of ``pattern``, such as
    ``https://[*.]mtls.example.test``. Each item is a JSON text: an object instead crashes the browser."""
    choice = {"pattern": pattern, "filter": {"ISSUER": {"CN": issuer_common_name}}}
    return {"AutoSelectCertificateForUrls": [json.dumps(choice)]}


def missing_parts() -> list[str]:
    """What of the browser is not installed here; ``make test`` installs all of it."""
    missing = [name for name in ("chromium", "certutil", "pk12util", "unshare") if program(name) is None]
    if "unshare" not in missing:
        private = ["unshare", *UNSHARE_OPTIONS.split(), "true"]
        if subprocess.run(private, capture_output=True, check=False).returncode != 0:
            missing.append("a private mount namespace (refused here)")
    return missing


@contextmanager
def chromium(
    *,
    trusted_root_pem: bytes,
    client_certificates: Sequence[Credential] = (),
    policies: Mapping[str, Any] | None = None,
    user_agent: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
) -> Iterator[BrowserContext]:
    """A running browser with an empty profile; it ends with the block. Its pages time out after
    ``timeout_seconds``. ``user_agent`` changes the client hints, too; ``environment`` is added to our own."""
    directory = Path(tempfile.mkdtemp(prefix="chromium-profile-"))
    try:
        home = directory / "home"
        fill_nss_database(home, trusted_root_pem, client_certificates)
        managed = directory / "etc" / "policies" / "managed"
        managed.mkdir(parents=True)
        (managed / "tests.json").write_text(json.dumps(dict(policies or {})))
        with chromium_of(
            home,
            directory / "etc",
            directory / "user-data",
            user_agent=user_agent,
            environment=environment,
            timeout_seconds=timeout_seconds,
        ) as context:
            yield context
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # the browser's last writes may race with this


@contextmanager
def chromium_of(
    home: Path,
    policy_root: Path,
    user_data: Path,
    *,
    user_agent: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
) -> Iterator[BrowserContext]:
    """The same of a person whose home directory is there already, on a computer where ``policy_root`` is
    /etc/chromium. ``user_data`` is made."""
    variables: dict[str, str | float | bool] = {
        **os.environ,
        **(environment or {}),
        "HOME": str(home),
        "POLICY_ROOT": str(policy_root),
        "UNSHARE_OPTIONS": UNSHARE_OPTIONS,
    }
    user_data.mkdir()
    # Else the first answer of a profile that asks for Negotiate is shown instead of answered.
    (user_data / "Local State").write_text('{"net":{"received_http_auth_negotiate_headers":true}}')
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            user_data,
            executable_path=EXECUTABLE,
            headless=True,
            chromium_sandbox=False,  # it is in a user namespace already, and often runs as root
            env=variables,
            user_agent=user_agent,
            args=[
                "--disable-gpu",
                "--disable-quic",
                "--no-proxy-server",
                f"--host-resolver-rules={RESOLVER_RULES}",
            ],
        )
        context.set_default_timeout(timeout_seconds * 1000)
        try:
            yield context
        finally:
            context.close()


def trust_root(database: Path, root_pem: bytes) -> None:
    """Into an NSS database that is there: servers of this root are trusted."""
    root = database / "tests-root.pem"
    root.write_bytes(root_pem)
    _run(["certutil", "-d", f"sql:{database}", "-A", "-n", "tests-root", "-t", "C,,", "-i", str(root)])


def fill_nss_database(home: Path, trusted_root_pem: bytes, client_certificates: Sequence[Credential]) -> None:
    """Make ``home/.pki/nssdb`` with a trusted TLS root and the client certificates with their keys."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    _run(["certutil", "-d", f"sql:{database}", "-N", "--empty-password"])
    trust_root(database, trusted_root_pem)
    for number, credential in enumerate(client_certificates):
        file = home / f"{number}.p12"
        file.write_bytes(credential.pkcs12(PKCS12_PASSWORD.encode(), f"device {number}".encode()))
        import_key = ["pk12util", "-d", f"sql:{database}", "-i", str(file)]
        _run([*import_key, "-W", PKCS12_PASSWORD, "-K", ""])
        file.unlink()


def _run(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {result.stdout}{result.stderr}")
