"""A throw-away Kerberos realm (MIT krb5) on loopback: its database, accounts, keytabs and KDC.

It has its own files, and clients find it by a krb5.conf of their own: nothing of the system's is read.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gateway.cli.demo_parts.processes import DemoFailed
from gateway.cli.demo_parts.site import LOOPBACK

REALM: Final = "CORP.EXAMPLE.TEST"
COMPUTER: Final = "ws1"
SERVICE: Final = "HTTP/localhost"

_RUN_SECONDS: Final = 20.0
_MASTER_PASSWORD: Final = "of a database that is gone with the demo"  # noqa: S105
# program → the Debian package that has it
_PROGRAMS: Final = {
    "krb5kdc": "krb5-kdc",
    "kdb5_util": "krb5-kdc",
    "kadmin.local": "krb5-admin-server",
}
_COMPILED: Final = ("gcc", "python3-dev", "libkrb5-dev")  # what gssapi is compiled with


@dataclass(frozen=True, slots=True)
class Missing:
    """What is not installed: Debian packages, and whether the Python package gssapi is."""

    packages: tuple[str, ...] = ()
    gssapi: bool = False

    def __bool__(self) -> bool:
        return self.gssapi or bool(self.packages)


def missing() -> Missing:
    packages = [package for name, package in _PROGRAMS.items() if _found(name) is None]
    without_gssapi = find_spec("gssapi") is None
    return Missing(tuple(dict.fromkeys(packages + list(_COMPILED) * without_gssapi)), without_gssapi)


def _found(program: str) -> str | None:
    """Its path; administrators' programs are not on everybody's PATH."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


class Realm:
    """Files below ``directory``, which is made; the KDC listens at ``port``."""

    def __init__(self, directory: Path, port: int) -> None:
        directory.mkdir(mode=0o700)
        (directory / "replays").mkdir(mode=0o700)
        self._directory = directory
        self._configuration = directory / "krb5.conf"
        self._configuration.write_text(_client_configuration(port))
        # A laptop that has left the company's network: nobody listens at port 9 of this machine.
        self._elsewhere = directory / "krb5-elsewhere.conf"
        self._elsewhere.write_text(_client_configuration(9))
        (directory / "kdc.conf").write_text(_kdc_configuration(directory, port))

    def create(self, people: tuple[str, ...]) -> None:
        """The database with these people, the computer and the service, and a keytab of each. Raises
        DemoFailed, OSError."""
        self._run("kdb5_util", "-r", REALM, "create", "-s", "-P", _MASTER_PASSWORD)
        queries: list[str] = []
        for name in (f"{COMPUTER}$", SERVICE, *people):
            queries += [f"addprinc -randkey {name}", f"ktadd -k {self.keytab(name)} {name}"]
        # As whom: it would look for the name of the user who runs it, and a container's may have none.
        administrator = ("-p", f"demo/admin@{REALM}")
        said = self._run("kadmin.local", "-r", REALM, *administrator, said="\n".join(queries) + "\n")
        if " while " in said:  # its exit status is that of the last query
            raise DemoFailed(f"the realm cannot be made: {said.strip()}")

    @property
    def command(self) -> list[str]:
        """What runs the KDC in the foreground."""
        pid_file = str(self._directory / "kdc.pid")
        return [_found("krb5kdc") or "krb5kdc", "-n", "-r", REALM, "-P", pid_file]

    @property
    def kdc_environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.environment,
            "KRB5_KDC_PROFILE": str(self._directory / "kdc.conf"),
        }

    @property
    def environment(self) -> dict[str, str]:
        """Of whoever uses the realm."""
        return {"KRB5_CONFIG": str(self._configuration), "KRB5RCACHEDIR": str(self._directory / "replays")}

    @property
    def elsewhere(self) -> dict[str, str]:
        """Of whoever would, and reaches no KDC."""
        return {**self.environment, "KRB5_CONFIG": str(self._elsewhere)}

    def keytab(self, principal: str) -> Path:
        return self._directory / f"{principal.replace('/', '-').rstrip('$')}.keytab"

    def _run(self, name: str, *arguments: str, said: str = "") -> str:
        try:
            done = subprocess.run(  # noqa: S603 - our own files, and no shell
                [_found(name) or name, *arguments],
                env=self.kdc_environment,
                input=said,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_RUN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"{name} did not end within {_RUN_SECONDS:g} s") from None
        if done.returncode:
            raise DemoFailed(f"the realm cannot be made: {name}: {done.stdout.strip()}")
        return done.stdout


def _client_configuration(port: int) -> str:
    return f"""\
[libdefaults]
  default_realm = {REALM}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  {REALM} = {{
    kdc = {LOOPBACK}:{port}
  }}
[domain_realm]
  localhost = {REALM}
"""


def _kdc_configuration(directory: Path, port: int) -> str:
    return f"""\
[kdcdefaults]
  kdc_listen = ""
  kdc_tcp_listen = {LOOPBACK}:{port}
[realms]
  {REALM} = {{
    database_name = {directory}/principal
    key_stash_file = {directory}/stash
    max_life = 10h
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }}
[logging]
  kdc = FILE:{directory}/kdc.log
"""
