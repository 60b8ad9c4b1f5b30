"""An org process without a store: it speaks the control protocol, and says what a test tells it to say.

What is true is in a file that the test writes (`FakeStore`), so that another process says the same when this
one is killed. A datagram tells of what changed. What workers have done is appended to another file.

Run as a module with ``-c gateway.yaml`` it is a whole gateway that has such an org; with a descriptor it is
the org.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from gateway.adapters.systemd import Notifier
from gateway.cli.loading import loader_for
from gateway.cli.serve import REFUSALS
from gateway.model.device import CertificateId
from gateway.pki.serials import SerialSet
from gateway.server.configuration import ConfigurationReader
from gateway.server.org_process import Surroundings, run_org
from gateway.server.serving import Plan, run_gateway
from gateway.services.material import Material

# How a `GatewayProcess` with a fake org is run.
GATEWAY = (sys.executable, "-m", "support.fake_org")
ENVIRONMENT: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}


class FakeStore:
    """The test's side. ``directory`` is the site's. Without `state` there is no file: the store is down."""

    def __init__(self, directory: Path) -> None:
        self._truth = directory / "outputs" / "truth.json"
        self._applied = directory / "outputs" / "applied.jsonl"
        self._door = directory / "outputs" / "door"
        self._truth.parent.mkdir(exist_ok=True)
        self.number = 0
        self.document: dict[str, Any] = {}
        self.revoked: dict[str, set[int]] = {}

    def state(self, **changes: Any) -> int:
        """A new state document, told as a whole. Returns its number."""
        self.document.update(changes)
        self.number += 1
        self._write()
        self._tell({"state": True})
        return self.number

    def revoke(self, certificate: CertificateId) -> int:
        self.revoked.setdefault(certificate.issuer.hex(), set()).add(certificate.serial_number)
        return self._changed("certificate.revoked", **_named(certificate))

    def release(self, certificate: CertificateId) -> int:
        self.revoked[certificate.issuer.hex()].discard(certificate.serial_number)
        return self._changed("certificate.released", **_named(certificate))

    def deactivate_device(self, name: str) -> int:
        self.document["inactive_devices"] = [*self.document.get("inactive_devices", []), name]
        return self._changed("device.deactivated", device=name)

    def activate_device(self, name: str) -> int:
        self.document["inactive_devices"].remove(name)
        return self._changed("device.activated", device=name)

    def deactivate_user(self, key: str) -> int:
        self.document["inactive_users"] = [*self.document.get("inactive_users", []), key]
        return self._changed("user.deactivated", user=key)

    def say(self, **command: Any) -> None:
        """Something that is not in the store, such as ``store={…}`` or ``changes=[…]``."""
        self._tell(command)

    def applied(self) -> list[dict[str, Any]]:
        """All that workers have done: {worker, number, at}, ``at`` by `time.monotonic`."""
        text = self._applied.read_text() if self._applied.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_until_applied(self, number: int, workers: int = 1, seconds: float = 20) -> float:
        """Until so many workers have done it. Returns when the last had."""
        deadline = time.monotonic() + seconds
        while True:
            done = {one["worker"]: one["at"] for one in reversed(self.applied()) if one["number"] >= number}
            if len(done) >= workers:
                return float(max(done.values()))
            assert time.monotonic() < deadline, f"{number} is applied by {sorted(done)} only"
            time.sleep(0.005)

    def _changed(self, kind: str, **payload: str) -> int:
        self.number += 1
        self._write()
        self._tell({"changes": [{"number": self.number, "kind": kind, "payload": payload}]})
        return self.number

    def _write(self) -> None:
        new = self._truth.with_suffix(".new")
        truth = {
            "number": self.number,
            "document": self.document,
            "revoked": {issuer: sorted(numbers) for issuer, numbers in self.revoked.items()},
        }
        new.write_text(json.dumps(truth))
        new.replace(self._truth)

    def _tell(self, command: Mapping[str, Any]) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door, contextlib.suppress(OSError):
            door.sendto(json.dumps(command).encode(), str(self._door))  # else nobody is there to be told


def _named(certificate: CertificateId) -> dict[str, str]:
    return {"issuer": certificate.issuer.hex(), "serial": f"{certificate.serial_number:x}"}


@dataclass
class FakeOrg:
    """The process's side."""

    surroundings: Surroundings
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    last: int = 0

    def __post_init__(self) -> None:
        directory = Path(self.surroundings.material.settings.source).parent / "outputs"
        self._truth, self._applied, self._door = (
            directory / name for name in ("truth.json", "applied.jsonl", "door")
        )
        self._requests = Counter("devicetrust_fake_requests_total", "Requests.", registry=self.registry)
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._echo)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        self._doorbell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    async def start(self, listening: socket.socket) -> None:
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        self._door.unlink(missing_ok=True)
        self._doorbell.bind(str(self._door))
        asyncio.get_running_loop().add_reader(self._doorbell, self._rings)
        self._say_state()

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def drain(self) -> None:
        await self._runner.cleanup()

    def replace_configuration(self, material: Material) -> None:
        self.surroundings.log.note("fake_org_configured", org=material.settings.org_name)

    def applied(self, worker: int, number: int) -> None:
        with self._applied.open("a") as file:
            file.write(json.dumps({"worker": worker, "number": number, "at": time.monotonic()}) + "\n")

    def workers(self, live: frozenset[int]) -> None:
        self.surroundings.log.note("fake_org_workers", live=sorted(live))

    def _rings(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._obey(json.loads(self._doorbell.recv(1_000_000)))

    def _obey(self, command: Mapping[str, Any]) -> None:
        voice = self.surroundings.voice
        if "state" in command:
            self._say_state()
        if "store" in command:
            voice.store(since=datetime.now(UTC), **command["store"])
        if "changes" in command:
            new = [change for change in command["changes"] if change["number"] > self.last]
            if new:
                voice.changes(new)
                self.last = new[-1]["number"]

    def _say_state(self) -> None:
        voice = self.surroundings.voice
        try:
            truth = json.loads(self._truth.read_text())
        except FileNotFoundError:
            voice.store(reachable=False, since=datetime.now(UTC), detail="there is no file")
            return
        self.last = truth["number"]
        document = json.dumps({**truth["document"], "number": self.last}).encode()
        revoked = {
            bytes.fromhex(issuer): SerialSet.of([number.to_bytes(20) for number in numbers])
            for issuer, numbers in truth["revoked"].items()
        }
        voice.state(self.last, document, revoked)

    async def _echo(self, request: web.Request) -> web.StreamResponse:
        self._requests.inc()
        body = await request.read()
        if request.path == "/die":
            os._exit(9)
        return web.json_response(
            {
                "method": request.method,
                "target": request.raw_path,
                "headers": [list(pair) for pair in request.headers.items()],
                "body": len(body),
            }
        )


def main() -> None:
    if len(sys.argv) == 2:
        run_org(int(sys.argv[1]), loader_for, FakeOrg, uvloop.run)
        return
    reader = ConfigurationReader(loader_for(sys.argv[sys.argv.index("-c") + 1]))
    configuration = reader.read(datetime.now(UTC))
    plan = Plan(
        configuration=configuration,
        read=reader.read,
        refusals=REFUSALS,
        command=(sys.executable, "-P", "-m", "gateway.cli.worker"),
        org_command=GATEWAY,
        workers=configuration.material.settings.workers,
        given=(),
        notifier=Notifier({}),
        take_over="--take-over" in sys.argv,
    )
    asyncio.run(run_gateway(plan))


if __name__ == "__main__":
    main()
