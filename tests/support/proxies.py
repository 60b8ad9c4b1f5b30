"""Real forward proxies on loopback: squid and tinyproxy, on ports of their own, gone at the end.

They connect (CONNECT) to the ports that they are told, and tinyproxy fetches plain http from anywhere on
loopback. With ``login`` they ask for Basic authentication. Names are those of the ``hosts`` given to squid;
`127.0.0.1` and `localhost` work with both.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.processes import ChildProcess, free_port, program

_SQUID_LOGIN = "/usr/lib/squid/basic_ncsa_auth"


@dataclass(frozen=True, slots=True)
class RunningProxy:
    port: int
    process: ChildProcess
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url_for(self, user: str, password: str) -> str:
        return f"http://{user}:{password}@127.0.0.1:{self.port}"


def missing_proxies() -> list[str]:
    return [name for name in ("squid", "tinyproxy") if program(name) is None]


@contextmanager
def squid(
    connect_ports: Sequence[int],
    *,
    login: tuple[str, str] | None = None,
    hosts: Mapping[str, str] | None = None,
) -> Iterator[RunningProxy]:
    """``hosts``: name → address, what squid resolves."""
    with _directory() as (directory, account):
        port, log = free_port(), directory / "access.log"
        names = directory / "hosts"
        known = {"localhost": "127.0.0.1", **(hosts or {})}
        names.write_text("".join(f"{address} {name}\n" for name, address in known.items()))
        users = directory / "users"
        lines = [
            f"http_port 127.0.0.1:{port}",
            "pid_filename none",
            f"cache_log {directory / 'cache.log'}",
            f"access_log stdio:{log}",
            f"hosts_file {names}",
            f"coredump_dir {directory}",
            "cache deny all",
            "acl wanted port " + " ".join(map(str, connect_ports)),
        ]
        if login is None:
            lines.append("http_access allow CONNECT wanted localhost")
        else:
            users.write_text(_htpasswd(*login))
            lines += [
                f"auth_param basic program {_SQUID_LOGIN} {users}",
                "auth_param basic children 1 startup=1",
                "acl known proxy_auth REQUIRED",
                "http_access allow CONNECT wanted known",
            ]
        lines += [
            "http_access deny all",
            "shutdown_lifetime 0 seconds",
            "netdb_filename none",
            "pinger_enable off",
            "unlinkd_program /bin/false",
            "icp_port 0",
            "dns_nameservers 127.0.0.1",
        ]
        configuration = directory / "squid.conf"
        configuration.write_text("\n".join(lines) + "\n")
        command = [program("squid") or "squid", "-N", "-f", str(configuration)]
        # Each has shared memory of its own only under a name of its own.
        command += ["-n", f"tests{port}"]
        with _running("squid", command, directory, account, port, log) as proxy:
            yield proxy
            # Asked politely, it takes two seconds; this way it leaves its shared memory.
            proxy.process.send_signal(signal.SIGKILL)
            proxy.process.wait()
            for segment in Path("/dev/shm").glob(f"tests{port}-*"):
                segment.unlink()


@contextmanager
def tinyproxy(
    connect_ports: Sequence[int], *, login: tuple[str, str] | None = None
) -> Iterator[RunningProxy]:
    with _directory() as (directory, account):
        port, log = free_port(), directory / "tinyproxy.log"
        lines = [
            f"Port {port}",
            "Listen 127.0.0.1",
            "Timeout 60",
            "MaxClients 50",
            f'LogFile "{log}"',
            "LogLevel Connect",
            "Allow 127.0.0.1",
            *(f"ConnectPort {number}" for number in connect_ports),
        ]
        if login is not None:
            lines.append(f"BasicAuth {login[0]} {login[1]}")
        configuration = directory / "tinyproxy.conf"
        configuration.write_text("\n".join(lines) + "\n")
        command = [program("tinyproxy") or "tinyproxy", "-d", "-c", str(configuration)]
        with _running("tinyproxy", command, directory, account, port, log) as proxy:
            yield proxy


@contextmanager
def _directory() -> Iterator[tuple[Path, str | None]]:
    """Of the account that the proxy runs as: squid, started by root, would change to one that can read
    nothing here."""
    directory = Path(tempfile.mkdtemp(prefix="dt-proxy-"))
    account = "nobody" if os.geteuid() == 0 else None
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(directory, entry.pw_uid, entry.pw_gid)
    try:
        yield directory, account
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _running(
    name: str, command: list[str], directory: Path, account: str | None, port: int, log: Path
) -> Iterator[RunningProxy]:
    # The group of nobody has another name on each distribution: setpriv takes numbers.
    if account is not None:
        entry = pwd.getpwnam(account)
        ids = ["--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups"]
        for file in directory.iterdir():
            os.chown(file, entry.pw_uid, entry.pw_gid)
        command = ["setpriv", *ids, "--pdeathsig", "TERM", "--", *command]
    process = ChildProcess(name, command, directory, own_logs=[directory / "cache.log", log])
    try:
        process.wait_until_listening(port)
        yield RunningProxy(port, process, log)
    finally:
        process.kill()


def _htpasswd(user: str, password: str) -> str:
    made = subprocess.run(
        ["openssl", "passwd", "-apr1", "-stdin"], input=password, capture_output=True, text=True, check=True
    )
    return f"{user}:{made.stdout.strip()}\n"
