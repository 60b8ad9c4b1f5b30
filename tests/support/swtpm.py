"""A TPM 2.0 in software (swtpm) with endorsement keys whose certificates a vendor of our own has signed.

Each TPM has a directory of its own, with Unix sockets in it, and nothing of the system's. It talks to one
client at a time, and holds three objects, as a TPM without resource manager does::

    with swtpm.running() as tpm:
        tpm.tcti                # "swtpm:path=…", for tpm2-pytss, tpm2-tools and libtpm2_pkcs11
        tpm.vendor.pem          # what gateway.yaml has to name as tpm_vendor_authorities
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.processes import ChildProcess, program

from gateway.agent.commands import SECONDS, Finished, SystemCommands

_SETUP_SECONDS = 30.0
_TOOLS = ("tpm2_create", "tpm2_createprimary", "tpm2_load", "tpm2_unseal", "tpm2_readpublic", "tpm2_getcap")


@dataclass(frozen=True)
class Vendor:
    """Who certifies endorsement keys: a root and an authority below it, as swtpm makes them."""

    directory: Path

    @property
    def pem(self) -> bytes:
        """The authority that certifies. These TPMs do not bring it along, so that the root would not do."""
        return (self.directory / "issuercert.pem").read_bytes()


@dataclass(frozen=True)
class FlushingCommands:
    """Programs of which each finds an empty TPM, as with the resource manager of the kernel."""

    tpm: "SwTpm"

    def run(self, arguments: Sequence[str], *, given: bytes = b"", seconds: float = SECONDS) -> Finished:
        self.tpm.flush()
        return SystemCommands().run(arguments, given=given, seconds=seconds)


@dataclass
class SwTpm:
    directory: Path
    vendor: Vendor
    process: ChildProcess

    @property
    def tcti(self) -> str:
        return f"swtpm:path={self.directory}/sock"

    def tools_path(self) -> str:
        """A PATH on which each program of tpm2-tools first lets go of what the former ones have left in the
        TPM. Elsewhere the resource manager of the kernel does that."""
        tools = self.directory / "tools"
        tools.mkdir(exist_ok=True)
        for name in _TOOLS:
            wrapper, real = tools / name, program(name)
            first = f"{program('tpm2_flushcontext')} -t >/dev/null 2>&1"
            wrapper.write_text(f'#!/bin/sh\n{first}\nexec {real} "$@"\n')
            wrapper.chmod(0o755)
        return os.pathsep.join((str(tools), os.environ.get("PATH", os.defpath)))

    def flush(self) -> None:
        """Let go of all objects that programs have left in the TPM when they ended."""
        environment = {**os.environ, "TPM2TOOLS_TCTI": self.tcti}
        subprocess.run(
            [str(program("tpm2_flushcontext")), "-t"], env=environment, capture_output=True, check=True
        )

    @property
    def environment(self) -> dict[str, str]:
        """For programs that use the TPM as the person's."""
        return {"TPM2TOOLS_TCTI": self.tcti, "TPM2_PKCS11_TCTI": self.tcti, "PATH": self.tools_path()}


def make_vendor(directory: Path) -> Vendor:
    """An authority that has not certified anything yet: its files are made with its first TPM."""
    directory.mkdir(parents=True, exist_ok=True)
    return Vendor(directory)


@contextmanager
def running(vendor: Vendor | None = None) -> Iterator[SwTpm]:
    """A new TPM, certified by this vendor, or by one of its own."""
    with tempfile.TemporaryDirectory(prefix="dt-tpm-") as name:
        directory = Path(name)
        maker = vendor or make_vendor(directory / "vendor")
        _manufacture(directory, maker)
        process = ChildProcess(
            "swtpm",
            [
                str(program("swtpm")), "socket", "--tpm2",
                "--tpmstate", f"dir={directory}/state",
                "--server", f"type=unixio,path={directory}/sock",
                "--ctrl", f"type=unixio,path={directory}/sock.ctrl",
                "--flags", "not-need-init,startup-clear",
            ],
            directory,
        )  # fmt: skip
        try:
            sockets = [directory / "sock", directory / "sock.ctrl"]
            process.wait_until(lambda: all(path.exists() for path in sockets), "its sockets are there")
            yield SwTpm(directory, maker, process)
        finally:
            process.stop()


def _manufacture(directory: Path, vendor: Vendor) -> None:
    """Make the seeds, the endorsement keys and their certificates, which lie in the TPM's own memory."""
    (directory / "state").mkdir()
    authority = vendor.directory
    (directory / "localca.conf").write_text(
        f"statedir = {authority}\n"
        f"signingkey = {authority}/signkey.pem\n"
        f"issuercert = {authority}/issuercert.pem\n"
        f"certserial = {authority}/certserial\n"
    )
    (directory / "localca.options").write_text(
        "--platform-manufacturer Test\n--platform-version 1.0\n--platform-model swtpm\n"
    )
    (directory / "setup.conf").write_text(
        f"create_certs_tool = {program('swtpm_localca')}\n"
        f"create_certs_tool_config = {directory}/localca.conf\n"
        f"create_certs_tool_options = {directory}/localca.options\n"
        "active_pcr_banks = sha256\n"
    )
    made = subprocess.run(
        [
            str(program("swtpm_setup")), "--tpm2", "--tpmstate", f"{directory}/state", "--create-ek-cert",
            "--config", f"{directory}/setup.conf", "--lock-nvram", "--overwrite",
        ],
        capture_output=True,
        text=True,
        timeout=_SETUP_SECONDS,
        check=False,
        env={**os.environ, "XDG_CONFIG_HOME": f"{directory}"},
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
