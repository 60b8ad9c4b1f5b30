"""On what the numbers were measured: they mean nothing without it."""

import os
import platform
import re
import sqlite3
import ssl
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.backends.openssl import backend
from support.processes import program


@dataclass(frozen=True, slots=True)
class Machine:
    date: str
    cpu: str
    cores: int
    kernel: str
    system: str
    python: str
    gateway_packages: dict[str, str]
    gateway_openssl: str
    peers: dict[str, str]  # program → its version, with the TLS library that it runs on
    client_openssl: str
    load_generators: str


def describe() -> Machine:
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        kernel=platform.release(),
        system=platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        python=platform.python_version(),
        gateway_packages={
            name: version(name) for name in ("cryptography", "pyopenssl", "uvloop", "httptools")
        },
        gateway_openssl=backend.openssl_version_text().partition(" (")[0],
        peers=_peers(),
        client_openssl=_python_openssl(),
        load_generators=f"Python, wrk {_wrk()}, h2load {_h2load()}",
    )


def _peers() -> dict[str, str]:
    number = r"(\d+\.[\d.]*\d)"
    openssl = "OpenSSL " + _found(number, "openssl", "version")
    mellon, gssapi = (
        _found(number, "dpkg-query", "-W", "-f", "${Version}", f"libapache2-mod-auth-{name}")
        for name in ("mellon", "gssapi")
    )
    return {
        "nginx": f"{_found(number, 'nginx', '-v')} with {openssl}",
        "HAProxy": f"{_found(number, 'haproxy', '-v')} with {openssl}",
        "Caddy": f"{_found(number, 'caddy', 'version')} with Go's TLS",
        "Apache": f"{_found(number, 'apache2', '-v')} with {openssl}, mod_auth_mellon {mellon} and "
        f"mod_auth_gssapi {gssapi}",
        "cfssl": _found(number, "cfssl", "version"),
        "PostgreSQL": _found(number, "psql", "--version"),
        "SQLite": sqlite3.sqlite_version,
        "aiohttp": f"{version('aiohttp')} on uvloop with {_python_openssl()}",
    }


def _wrk() -> str:
    return _found(r"wrk (?:debian/)?(\d[\d.]*\d)", "wrk", "-v")


def _h2load() -> str:
    return _found(r"nghttp2/(\d[\d.]*\d)", "h2load", "--version")


def _python_openssl() -> str:
    return " ".join(ssl.OPENSSL_VERSION.split()[:2])


def _found(pattern: str, name: str, *arguments: str) -> str:
    """What the pattern's group finds in a program's output."""
    executable = program(name)
    if executable is None:
        return "(not installed)"
    match = re.search(pattern, _output(executable, *arguments))
    return match[1] if match else "(unknown version)"


def _cpu_model() -> str:
    fields = dict(
        line.partition(":")[::2] for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line
    )
    named = {name.strip(): value.strip() for name, value in fields.items()}
    model = named.get("model name", platform.machine())
    numbers = [f"{key} {named[key]}" for key in ("cpu family", "model") if key in named]
    return f"{model} ({', '.join(numbers)})" if numbers else model


def _output(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return ran.stdout + ran.stderr
