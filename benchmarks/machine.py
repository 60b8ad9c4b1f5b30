"""On what the numbers were measured: they mean nothing without it."""

import os
import platform
import re
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
    nginx: str
    client_openssl: str
    load_generator: str


def describe(load_generator: str) -> Machine:
    nginx = _output(program("nginx") or "nginx", "-V")
    running = re.search(r"running with (OpenSSL [\d.]+)", nginx) or re.search(
        r"built with (OpenSSL [\d.]+)", nginx
    )
    number = re.search(r"nginx/([\d.]+)", nginx)
    assert number is not None, nginx
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
        nginx=f"{number[1]} with {running[1] if running else 'its OpenSSL'}",
        client_openssl=ssl.OPENSSL_VERSION,
        load_generator=load_generator,
    )


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
