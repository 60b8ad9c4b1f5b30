"""The IWA web app as an administrator runs it: ``devicetrust iwa serve -c iwa.yaml`` in a process of its own.

    with IwaProcess.running(kerberos, tmp_path) as iwa:            # HTTP, registered with nobody that exists
        token = kerberos.negotiate(cache, iwa.host)
        iwa.post("/device", token, nonce=…, key_thumbprint=…)

``https`` is the credential to listen with instead; ``pretend`` False leaves it unregistered, and then
`register` makes it known to a real org. ``changes`` are keys of iwa.yaml to set, such as
``{"kerberos": {"channel_bindings": "off"}}``. ``etc`` tells it where the org's host is.
"""

import base64
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support.kerberos import CORP, KerberosClients
from support.pki import Credential
from support.private_etc import PrivateEtc
from support.processes import ChildProcess, accepts_connections, free_port, http_get

from gateway.adapters.iwa_registration import load_or_create_key, write_registration

AUDIENCE = "urn:devicetrust:org:acme"
IWA_ID = "iwa0000000000pretended"
_PROGRAM = str(Path(sys.executable).parent / "devicetrust")
_LOG_SECONDS = 5.0


@dataclass(frozen=True)
class IwaAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a refusal; `ok` where there is none."""
        code: str = self.json.get("code", "ok")
        return code


class IwaProcess:
    """One running IWA web app; ``directory`` holds iwa.yaml and its files. ``host`` is `localhost`, which
    every client finds and the forests have a service for."""

    def __init__(
        self,
        forests: KerberosClients,
        directory: Path,
        *,
        https: Credential | None = None,
        org_url: str = "https://sso.example.test",
        org_ca: bytes | None = None,
        name: str = "hq-1",
        changes: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        etc: PrivateEtc | None = None,
    ) -> None:
        self.forests = forests
        self.directory = directory
        self._etc = etc
        self.host = "localhost"
        self.port = free_port()
        self.metrics_port = free_port()
        self.scheme = "http" if https is None else "https"
        self.url = f"{self.scheme}://{self.host}:{self.port}/iwa"
        self.org_url = org_url
        directory.mkdir(parents=True, exist_ok=True)
        self.file = directory / "iwa.yaml"
        self.keys = directory / "var" / "iwa"
        listen: dict[str, Any] = {"metrics": f"127.0.0.1:{self.metrics_port}"}
        listen[self.scheme] = [f"127.0.0.1:{self.port}"]
        if https is not None:
            self.show(https)
            listen |= {"certificate": "iwa.pem", "private_key": "iwa.key"}
        org = {"url": org_url}
        if org_ca is not None:
            (directory / "org-ca.pem").write_bytes(org_ca)
            org["ca"] = "org-ca.pem"
        self.configuration: dict[str, Any] = {
            "name": name,
            "org": org,
            "listen": listen,
            "url": self.url,
            "kerberos": {"keytab": str(forests.iwa_keytab), "computers": "dollar_sign"},
            "realms": [{"realm": CORP, "login": "{name}@example.test"}],
        }
        self.write(changes or {})
        self._environment = {**forests.environment(), **(environment or {})}
        self._process: ChildProcess | None = None

    @classmethod
    @contextmanager
    def running(
        cls, forests: KerberosClients, directory: Path, *, pretend: bool = True, **options: Any
    ) -> Iterator["IwaProcess"]:
        iwa = cls(forests, directory, **options)
        if pretend:
            iwa.pretend_registered()
        try:
            iwa.start()
            yield iwa
        finally:
            iwa.kill()

    def write(self, changes: Mapping[str, Any]) -> None:
        """iwa.yaml with some keys changed; `reload` makes it read."""
        for key, value in changes.items():
            before = self.configuration.get(key)
            if isinstance(value, Mapping) and isinstance(before, Mapping):
                self.configuration[key] = {**before, **value}
            else:
                self.configuration[key] = value
        new = self.file.with_suffix(".new")
        new.write_text(yaml.safe_dump(self.configuration, sort_keys=False))
        new.replace(self.file)

    def show(self, credential: Credential) -> None:
        """Its TLS certificate from the next start or `reload` on."""
        files = credential.write(self.directory, "iwa")
        assert Path(files.private_key).stat().st_mode & 0o077 == 0

    def pretend_registered(self, iwa_id: str = IWA_ID, audience: str = AUDIENCE) -> None:
        """As if an org had registered it."""
        write_registration(str(self.keys), self.key, iwa_id, audience, self.org_url)

    def register(self, token: str) -> dict[str, Any]:
        """`devicetrust iwa register` with a token of the org's API; what it prints."""
        file = self.directory / "admin.token"
        file.touch(0o600)
        file.write_text(token)
        done = self.command("register", "--token-file", str(file), "--json")
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def command(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._within_etc([_PROGRAM, "iwa", verb, "-c", str(self.file), *arguments]),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def key(self) -> Any:
        """What it signs with."""
        return load_or_create_key(str(self.keys))

    def start(self) -> None:
        self.launch()
        self.wait_until_listening()

    def launch(self) -> None:
        outputs = self.directory / "outputs"
        outputs.mkdir(exist_ok=True)
        command = self._within_etc([_PROGRAM, "iwa", "serve", "-c", str(self.file)])
        self._process = ChildProcess("iwa", command, outputs, environment=self._environment)

    def wait_until_listening(self) -> None:
        assert self._process is not None
        self._process.wait_until(lambda: accepts_connections(self.port), f"it listens on {self.port}")

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.process_id

    def _within_etc(self, command: list[str]) -> list[str]:
        return command if self._etc is None else self._etc.command(command)

    def stop(self) -> None:
        """SIGTERM; it drains and must end with 0."""
        assert self._process is not None
        status = self._process.stop(20.0)
        assert status == 0, f"the IWA web app ended with {status}\n{self._process.log()}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def reload(self) -> dict[str, Any]:
        """SIGHUP; the line of the log that says what has become of it."""
        assert self._process is not None
        before = len(self.log_records())
        self._process.send_signal(signal.SIGHUP)
        return self.wait_for_record(lambda line: line["event"].startswith("reload"), before)

    def post(
        self, step: str, token: bytes | None, *, headers: Mapping[str, str] | None = None, **members: str
    ) -> IwaAnswer:
        """``step`` is `/device` or `/user`; ``token`` the SPNEGO token, ``members`` those of the JSON."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self.request("POST", step, token, json.dumps(members).encode(), sent)

    def request(
        self,
        method: str,
        path: str,
        token: bytes | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> IwaAnswer:
        """TLS certificates are not checked; ``path`` is below that of the URL."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Negotiate {base64.b64encode(token).decode()}"
        connection = self._connection()
        try:
            connection.request(method, f"/iwa{path}", body, sent)
            response = connection.getresponse()
            return IwaAnswer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        connection.sock = socket.create_connection(("127.0.0.1", self.port), 20)
        if self.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection.sock = context.wrap_socket(connection.sock, server_hostname=self.host)
        return connection

    def output(self) -> str:
        return "" if self._process is None else self._process.log()

    def log_records(self) -> list[dict[str, Any]]:
        """Every JSON line that it wrote so far."""
        assert self._process is not None
        lines = self._process.stdout_path.read_text(errors="replace").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def wait_for_record(
        self, wanted: Callable[[dict[str, Any]], bool], after: int = 0, seconds: float = _LOG_SECONDS
    ) -> dict[str, Any]:
        """The first record that fits, behind the first ``after`` ones, as soon as it is written."""
        deadline = time.monotonic() + seconds
        while True:
            for record in self.log_records()[after:]:
                if wanted(record):
                    return record
            assert time.monotonic() < deadline, f"no such record in {seconds:g} s\n{self.output()}"
            time.sleep(0.02)

    def metrics(self) -> str:
        status, body = http_get(self.metrics_port, "/metrics")
        assert status == 200, (status, body)
        return body.decode()
