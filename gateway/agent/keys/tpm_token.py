"""A person's token of libtpm2_pkcs11, by which browsers use keys of the TPM.

The keys are those that `tpm` makes and attests; here they are only entered into the token, under the same
parent key. The token has no PIN: a browser that starts by itself could not be told one, and who may use the
TPM as this person may use the key anyhow, here and nowhere else. Where the programs are not installed there
is no token, and browsers do not find the key.
"""

import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.agent.commands import Commands, SystemCommands
from gateway.agent.keys.device_key import KeyFailed
from gateway.agent.platform import ModuleKey, PlatformFailed

TOKEN_LABEL: Final = "devicetrust"  # noqa: S105 - a name
_PTOOL: Final = "tpm2_ptool"
# Below /usr: of Debian and its like, and of Fedora and its like.
_MODULES: Final = (
    "lib/*/libtpm2_pkcs11.so.1",
    "lib/*/pkcs11/libtpm2_pkcs11.so",
    "lib64/pkcs11/libtpm2_pkcs11.so",
)
_REMEDY: Final = "For browsers: apt-get install libtpm2-pkcs11-1 libtpm2-pkcs11-tools"
_NO_PIN: Final = ""
_PRIMARY: Final = re.compile(r"^id: (\d{1,9})$", re.MULTILINE)
_OBJECT_ID: Final = re.compile(r"^  id: (\d{1,9})$", re.MULTILINE)
_STORE: Final = "tpm2_pkcs11.sqlite3"


class TpmToken:
    """``store`` is where the module looks by itself: the directory in the person's home. ``tcti`` None: where
    the module finds the TPM by itself."""

    def __init__(self, store: Path, tcti: str | None = None, commands: Commands | None = None) -> None:
        self._store = store
        self._tcti = tcti
        self._commands = commands or SystemCommands({_PTOOL: "libtpm2-pkcs11-tools"})

    def enter(self, name: str, key_file: Path, key_id: bytes) -> ModuleKey | None:
        """Let browsers use the key in this file; None where nothing is installed by which they could. Raises
        KeyFailed."""
        module = module_path()
        if module is None or shutil.which(_PTOOL) is None:
            return None
        try:
            self._see_to_token()
            given = ["--label", TOKEN_LABEL, "--userpin", _NO_PIN, "--key-label", name, "--id", key_id.hex()]
            self._run("link", *given, str(key_file))
        except PlatformFailed as failed:
            raise KeyFailed(str(failed), failed.remedy or _REMEDY) from failed
        return place_of(module, key_id)

    def keep_certificate(self, name: str, certificate_der: bytes) -> None:
        """Beside the key of this name, for which browsers look by it. Raises KeyFailed."""
        pem = x509.load_der_x509_certificate(certificate_der).public_bytes(Encoding.PEM)
        try:
            self._delete(name, "CKO_CERTIFICATE")
            with tempfile.NamedTemporaryFile(suffix=".pem") as file:
                file.write(pem)
                file.flush()
                given = ["--label", TOKEN_LABEL, "--key-label", name]
                self._run("addcert", *given, file.name)
        except PlatformFailed as failed:
            raise KeyFailed(str(failed), failed.remedy) from failed

    def remove(self, name: str) -> None:
        """Key and certificate. A key that is not there is no error. Raises KeyFailed."""
        if not (self._store / _STORE).exists():
            return
        try:
            self._delete(name)
        except PlatformFailed as failed:
            raise KeyFailed(str(failed), failed.remedy) from failed

    def _delete(self, name: str, kind: str = "") -> None:
        for part in self._run("listobjects", "--label", TOKEN_LABEL).split("- CKA_CLASS: ")[1:]:
            found = _OBJECT_ID.search(part)
            if found is not None and part.startswith(kind) and f"\n  CKA_LABEL: {name}\n" in part:
                self._run("objdel", found[1])

    def _see_to_token(self) -> None:
        """Make store and token where they are not there yet. The store may have the person's other tokens."""
        self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (self._store / _STORE).exists() and self._has_token():
            return
        made = self._run("init", "--transient-parent", "tss2-engine-key")
        primary = _PRIMARY.search(made)
        if primary is None:
            raise PlatformFailed(f"{_PTOOL} did not say which parent key it made")
        # With it whoever lost a PIN gets a new one. There is none to lose.
        security_officer = secrets.token_hex(16)
        pins = ["--sopin", security_officer, "--userpin", _NO_PIN]
        self._run("addtoken", "--pid", primary[1], *pins, "--label", TOKEN_LABEL)
        if self._tcti is not None:
            self._run("config", "--label", TOKEN_LABEL, "--key", "tcti", "--value", self._tcti)

    def _has_token(self) -> bool:
        return self._commands.run(self._command("listobjects", "--label", TOKEN_LABEL)).status == 0

    def _run(self, verb: str, *arguments: str) -> str:
        done = self._commands.run(self._command(verb, *arguments))
        if done.status != 0:
            raise PlatformFailed(f"{_PTOOL} {verb} failed: {done.complaint}")
        return done.output.decode(errors="replace")

    def _command(self, verb: str, *arguments: str) -> list[str]:
        command = [_PTOOL, verb, "--path", str(self._store), *arguments]
        return command if self._tcti is None else ["env", f"TPM2TOOLS_TCTI={self._tcti}", *command]


def module_path() -> Path | None:
    """Where libtpm2_pkcs11 is installed."""
    found = (path for pattern in _MODULES for path in sorted(Path("/usr").glob(pattern)))
    return next(found, None)


def place_of(module: Path, key_id: bytes) -> ModuleKey:
    return ModuleKey(module, TOKEN_LABEL, key_id)


def default_store() -> Path:
    """Where libtpm2_pkcs11 looks for a person who has set nothing."""
    return Path(os.environ.get("TPM2_PKCS11_STORE") or Path.home() / ".tpm2_pkcs11")
