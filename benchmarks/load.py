"""Load from processes of its own, with TLS 1.3, the group and the cipher pinned; and what each server
negotiates with it."""

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.accounting import cpu_seconds, pin, separate_cpus
from benchmarks.report import Negotiated
from benchmarks.series import Sample
from benchmarks.servers import Server, needed
from benchmarks.site import APP_HOST, CIPHER, GROUP

CONNECTIONS: Final = 16
PACED_CONNECTIONS: Final = 8
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


class Load:
    """Starts load generators. Their files are kept in ``directory``; unless ``cpus`` says otherwise, they run
    beside the server and never on its CPU."""

    def __init__(self, directory: Path, cpus: set[int] | None = None) -> None:
        self._cpus = cpus or separate_cpus()[1]
        self._configuration = directory / "load-openssl.cnf"
        self._configuration.write_text(_OPENSSL)
        self._script = directory / "load.lua"
        self._script.write_text(_WRK_SCRIPT)
        self._environment = {**os.environ, "OPENSSL_CONF": str(self._configuration)}

    def run(self, task: str, *, module: str = "benchmarks.load_client", **arguments: Any) -> dict[str, Any]:
        """One task of `benchmarks.load_client`, or of another module. Raises LoadFailed."""
        output = self._output([sys.executable, "-m", module], json.dumps({"task": task, **arguments}))
        result: dict[str, Any] = json.loads(output)
        return result

    def paced(
        self,
        server: Server,
        *,
        seconds: float,
        per_second: int,
        connections: int = PACED_CONNECTIONS,
        tls: bool = True,
    ) -> tuple[Sample, list[float]]:
        """GET / at a fixed rate on connections that stay open: the sample, and each request's latency in ms
        from when it was due."""
        result = self.run(
            "paced",
            process=server.process_id,
            port=server.app_port,
            server_name=APP_HOST,
            target="/",
            count=int(per_second * seconds),
            per_second=per_second,
            connections=connections,
            tls=tls,
        )
        expect_only(result["statuses"], 200)
        return sample_of(result), result["latencies_ms"]

    def keep_alive(
        self, server: Server, seconds: float, fields: Sequence[str] = (), connections: int = CONNECTIONS
    ) -> Sample:
        """GET / on connections that stay open, as fast as the server answers, by wrk. ``fields`` are more
        header fields of the request."""
        command = [needed("wrk"), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
        command += [part for field in fields for part in ("-H", field)]
        command += ["-s", str(self._script), f"https://{APP_HOST}:{server.app_port}/"]
        output, used = self._measured(command, server)
        found = re.search(r"^RESULT (\d+) (\d+) (\d+)$", output, re.MULTILINE)
        if found is None or found[3] != "0":
            raise LoadFailed(output)
        return Sample(int(found[1]), used, int(found[2]) / 1e6)

    def http2(self, server: Server, seconds: float, streams: int) -> Sample:
        """GET / over HTTP/2 with that many streams on each connection, by h2load."""
        command = [needed("h2load"), "-t1", f"-c{CONNECTIONS}", f"-m{streams}"]
        command += [f"-D{max(1, round(seconds))}", "--warm-up-time=0", f"--groups={GROUP}"]
        command += [f"--tls13-ciphers={CIPHER}", f"--connect-to=127.0.0.1:{server.app_port}"]
        output, used = self._measured([*command, f"https://{APP_HOST}:{server.app_port}/"], server)
        found = re.search(
            r"^finished in ([\d.]+)(ms|s),.*?^requests: .*? (\d+) succeeded, (\d+) failed, (\d+) errored.*?"
            r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx",
            output,
            re.MULTILINE | re.DOTALL,
        )
        if found is None or any(found[number] != "0" for number in (4, 5, 7, 8, 9)):
            raise LoadFailed(output)
        if "Application protocol: h2" not in output:
            raise LoadFailed(f"not HTTP/2:\n{output}")
        return Sample(int(found[6]), used, float(found[1]) / (1_000 if found[2] == "ms" else 1))

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

    def offers(self, server: Server, protocol: str) -> bool:
        """Whether the server agrees on an application protocol (ALPN)."""
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.app_port}", "-alpn", protocol]
        text = self._output([*command, "-servername", APP_HOST], "Q\n")
        return f"ALPN protocol: {protocol}" in text

    @contextmanager
    def held(self, **task: Any) -> Iterator["Held"]:
        """Connections by `benchmarks.holding_client` that are open until the block ends."""
        with self._started([sys.executable, "-m", "benchmarks.holding_client"]) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            held = Held(process)
            held.result()
            yield held
            process.stdin.close()

    def _measured(self, command: list[str], server: Server) -> tuple[str, float]:
        """The output of a generator, and the CPU time that the server used meanwhile."""
        before = cpu_seconds(server.process_id)
        output = self._output(command, "")
        return output, cpu_seconds(server.process_id) - before

    def _output(self, command: list[str], standard_input: str) -> str:
        with self._started(command) as process:
            output, errors = process.communicate(standard_input, _TIMEOUT_SECONDS)
        if process.returncode:
            raise LoadFailed(f"{command[0]} ended with {process.returncode}\n{output}\n{errors}")
        return output

    @contextmanager
    def _started(self, command: list[str]) -> Iterator[subprocess.Popen[str]]:
        """A generator on its CPUs, which does not outlive the block."""
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if command[0] == "openssl" else subprocess.PIPE,
            text=True,
            env=self._environment,
            cwd=Path(__file__).parent.parent,
        ) as process:
            try:
                pin(process.pid, self._cpus)
                yield process
            except BaseException:
                process.kill()
                raise


class Held:
    """Connections that a process of its own keeps open."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def result(self) -> dict[str, Any]:
        """The next line that the process prints. Raises LoadFailed when it ended instead."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _TIMEOUT_SECONDS)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            raise LoadFailed(f"holding_client said nothing more\n{self._process.stderr.read()}")
        result: dict[str, Any] = json.loads(line)
        return result

    def still_open(self) -> int:
        """How many connections are open; then they are closed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return int(self.result()["open"])


def sample_of(result: dict[str, Any]) -> Sample:
    return Sample(result["operations"], result["cpu_seconds"], result["elapsed_seconds"])


def expect_only(statuses: dict[str, int], status: int) -> None:
    """Raises LoadFailed if the server answered anything else: then something else was measured."""
    if set(statuses) != {str(status)}:
        raise LoadFailed(f"expected only {status}, but saw {statuses}")
