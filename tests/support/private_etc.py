"""Programs that see an /etc of their own: a computer's settings, keytab, policies and host names.

A mount namespace of each program has it; the machine's own /etc is untouched. It takes no root where user
namespaces are allowed, and then the program sees itself as root, as it does in CI.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

_OPTIONS = ("--mount",) if os.geteuid() == 0 else ("--user", "--map-root-user", "--mount")
# What programs need of the machine's own, where it has it.
_OF_THE_MACHINE = (
    "group",
    "gss",
    "host.conf",
    "ld.so.cache",
    "localtime",
    "nsswitch.conf",
    "passwd",
    "ssl/openssl.cnf",
)


class PrivateEtc:
    """``hosts`` maps names to addresses."""

    def __init__(self, directory: Path, hosts: Mapping[str, str]) -> None:
        self.directory = directory
        directory.mkdir()
        for name in _OF_THE_MACHINE:
            source = Path("/etc", name)
            if source.is_dir():
                shutil.copytree(source, directory / name)
            elif source.exists():
                self.path(name).write_bytes(source.read_bytes())
        self.path("hosts").write_text("".join(f"{address} {name}\n" for name, address in hosts.items()))

    def path(self, name: str) -> Path:
        """Of a file that is to be written; its directory is there."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def command(self, program: Iterable[str]) -> list[str]:
        """The program with its arguments, to be run with this /etc; it keeps its process ID."""
        view = 'mount --bind "$0" /etc && exec "$@"'
        return ["unshare", *_OPTIONS, "sh", "-c", view, str(self.directory), *program]


def missing_parts() -> list[str]:
    """What keeps programs from having one."""
    if shutil.which("unshare") is None:
        return ["unshare"]
    tried = subprocess.run(["unshare", *_OPTIONS, "true"], capture_output=True, check=False)
    return ["a private mount namespace (refused here)"] if tried.returncode else []
