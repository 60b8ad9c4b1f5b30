"""Load from processes of its own, with TLS 1.3, the group and the cipher pinned; and what each server
negotiates with it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.accounting import cpu_seconds, pin, separate_cpus
from benchmarks.series import Sample
from benchmarks.servers import CIPHER, GROUP

CONNECTIONS: Final = 16
_TIMEOUT_SECONDS: Final = 120.0

_OPENSSL: Final = f"""\
openssl_conf = defaults
[defaults]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
MinProtocol = TLSv1.3
Groups = {GROUP}
Ciphersuites = {CIPHER}
"""

# wrk asks the resolver for the host of its URL; every name here is loopback.
_WRK_SCRIPT: Final = """\
function wrk.resolve(host, service)
   wrk.addrs = wrk.lookup("127.0.0.1", service)
end
function done(summary, latency, requests)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format("RESULT %d %d %d\\n", summary.requests, summary.duration, failed))
end
"""


class LoadFailed(Exception):
    """The load generator ended with an error, or the server answered something else than it should."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a server and the load generator's OpenSSL agree on."""

    version: str
    group: str
    cipher: str


class Load:
    """Starts load generators. Their files are kept in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._configuration = directory / "load-openssl.cnf"
        self._configuration.write_text(_OPENSSL)
        self._script = directory / "load.lua"
        self._script.write_text(_WRK_SCRIPT)
        self._wrk = shutil.which("wrk")
        self._environment = {**os.environ, "OPENSSL_CONF": str(self._configuration)}

    @property
    def keep_alive_generator(self) -> str:
        return "wrk" if self._wrk else "Python, 8 threads (wrk is not installed)"

    def run(self, task: str, **arguments: Any) -> dict[str, Any]:
        """One task of `benchmarks.load_client`. Raises LoadFailed."""
        output = self._output(
            [sys.executable, "-m", "benchmarks.load_client"], json.dumps({"task": task, **arguments})
        )
        result: dict[str, Any] = json.loads(output)
        return result

    def paced(
        self, process: int, port: int, server_name: str, *, count: int, per_second: int | None
    ) -> Sample:
        """GET / on connections that stay open, at a rate that is the same for both sides; None: no bound."""
        result = self.run(
            "keep_alive",
            process=process,
            port=port,
            server_name=server_name,
            target="/",
            count=count,
            per_second=per_second,
        )
        expect_only(result["statuses"], 200)
        return sample_of(result)

    def keep_alive(
        self, process: int, port: int, server_name: str, seconds: float, fields: Sequence[str] = ()
    ) -> Sample:
        """GET / on connections that stay open, as fast as the server answers. ``fields`` are more header
        fields of the request, which the generator without wrk replaces by its own."""
        if self._wrk is None:
            return self.paced(process, port, server_name, count=int(4_000 * seconds), per_second=None)
        command = [self._wrk, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s"]
        command += [part for field in fields for part in ("-H", field)]
        before = cpu_seconds(process)
        output = self._output([*command, "-s", str(self._script), f"https://{server_name}:{port}/"], "")
        used = cpu_seconds(process) - before
        found = re.search(r"^RESULT (\d+) (\d+) (\d+)$", output, re.MULTILINE)
        if found is None or found[3] != "0":
            raise LoadFailed(output)
        return Sample(int(found[1]), used, int(found[2]) / 1e6)

    def negotiated(self, port: int, server_name: str, certificate: Path | None) -> Negotiated:
        """By `openssl s_client`, with the load generator's OpenSSL configuration."""
        command = ["openssl", "s_client", "-brief", "-connect", f"127.0.0.1:{port}"]
        command += ["-servername", server_name]
        if certificate is not None:
            command += ["-cert", str(certificate), "-cert_chain", str(certificate), "-key", str(certificate)]
        text = self._output(command, "Q\n")
        found = [
            re.search(pattern, text)
            for pattern in (
                r"Protocol version: (\S+)",
                r"(?:Server Temp Key|Peer Temp Key|Negotiated TLS1\.3 group): ([\w-]+)",
                r"Ciphersuite: (\S+)",
            )
        ]
        version, group, cipher = (match[1] if match else "unknown" for match in found)
        return Negotiated(version, group, cipher)

    def _output(self, command: list[str], standard_input: str) -> str:
        _, others = separate_cpus()
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if command[0] == "openssl" else subprocess.PIPE,
            text=True,
            env=self._environment,
            cwd=Path(__file__).parent.parent,
        ) as process:
            pin(process.pid, others)
            try:
                output, errors = process.communicate(standard_input, _TIMEOUT_SECONDS)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise LoadFailed(f"{command[0]} ended with {process.returncode}\n{output}\n{errors}")
        return output


def sample_of(result: dict[str, Any]) -> Sample:
    return Sample(result["operations"], result["cpu_seconds"], result["elapsed_seconds"])


def expect_only(statuses: dict[str, int], status: int) -> None:
    """Raises LoadFailed if the server answered anything else: then something else was measured."""
    if set(statuses) != {str(status)}:
        raise LoadFailed(f"expected only {status}, but saw {statuses}")
