"""The gateway as an administrator runs it: ``devicetrust serve -c gateway.yaml`` in a process of its own."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.processes import ChildProcess, accepts_connections, http_get

LOG_SECONDS = 5.0
METRIC_SECONDS = 10.0


class GatewayProcess:
    """One running gateway. ``directory`` holds gateway.yaml and what relative paths in it refer to."""

    def __init__(
        self,
        configuration: Mapping[str, Any],
        directory: Path,
        *,
        arguments: tuple[str, ...] = (),
        name: str = "gateway",
        environment: Mapping[str, str] | None = None,
        program: tuple[str, ...] = (str(Path(sys.executable).parent / "devicetrust"), "serve"),
    ) -> None:
        self.directory = directory
        self.configuration_file = directory / "gateway.yaml"
        self.write(configuration)
        self.https_port = port_of(configuration["listen"]["https"][0])
        self.metrics_port = port_of(configuration["listen"]["metrics"])
        serve = [*program, "-c", str(self.configuration_file), *arguments]
        outputs = directory / "outputs"  # beside the configuration, their growth would wake its watch
        outputs.mkdir(exist_ok=True)
        self._process = ChildProcess(
            name,
            serve,
            outputs,
            environment=environment,
        )

    def write(self, configuration: Mapping[str, Any]) -> None:
        """Replace gateway.yaml at once, as editors do; `reload` makes the gateway read it."""
        new = self.configuration_file.with_suffix(".new")
        new.write_text(yaml.safe_dump(dict(configuration), sort_keys=False, allow_unicode=True))
        new.replace(self.configuration_file)

    @property
    def process_id(self) -> int:
        return self._process.process_id

    def wait_until_ready(self, seconds: float = 30.0) -> None:
        """Wait for /readyz to answer 200, which it does when everything is loaded."""
        self._process.wait_until(self.is_ready, "/readyz answers 200", seconds)

    def is_ready(self) -> bool:
        return accepts_connections(self.metrics_port) and http_get(self.metrics_port, "/readyz")[0] == 200

    def output(self) -> str:
        """The end of all that it wrote, for messages."""
        return self._process.log()

    def stderr_text(self) -> str:
        """All that it wrote to standard error, where defects go."""
        return self._process.stderr_path.read_text(errors="replace")

    def log_records(self) -> list[dict[str, Any]]:
        """Every JSON line that it wrote so far, standard output first."""
        records = []
        for path in (self._process.stdout_path, self._process.stderr_path):
            for line in path.read_text(errors="replace").splitlines(keepends=True):
                if line.startswith("{") and line.endswith("\n"):  # else it is being written
                    records.append(json.loads(line))
        return records

    def wait_for_record(
        self, wanted: Callable[[dict[str, Any]], bool], seconds: float = LOG_SECONDS
    ) -> dict[str, Any]:
        """The first log record that fits, as soon as it is written."""
        deadline = time.monotonic() + seconds
        while True:
            for record in self.log_records():
                if wanted(record):
                    return record
            if time.monotonic() > deadline:
                raise AssertionError(f"no such log record in {seconds:g} s\n{self.output()}")
            time.sleep(0.02)

    def metrics(self) -> str:
        status, body = http_get(self.metrics_port, "/metrics")
        assert status == 200, (status, body)
        return body.decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 when there is none."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.metrics())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_for_metric(self, name: str, value: float, **labels: str) -> None:
        """Wait until the sum of a metric's samples with these labels is ``value``."""
        what = f"{name}{labels} is {value:g}"
        self._process.wait_until(lambda: self.metric(name, **labels) == value, what, METRIC_SECONDS)

    def reload(self) -> None:
        """SIGHUP. What has become of it is in the log."""
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """SIGTERM; the gateway drains and must end with 0."""
        status = self._process.stop(20.0)
        assert status == 0, f"the gateway ended with {status}\n{self.output()}"

    def terminate(self) -> None:
        """SIGTERM, and no waiting."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 20.0) -> int:
        """Its exit status."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        self._process.kill()

    def workers(self) -> list[int]:
        """The process IDs of its workers."""
        return self._children("gateway.cli.worker")

    def orgs(self) -> list[int]:
        """The process ID of its org process, if one runs."""
        return self._children("gateway.cli.org", "support.fake_org")

    def _children(self, *modules: str) -> list[int]:
        children = Path(f"/proc/{self.process_id}/task/{self.process_id}/children").read_text().split()
        commands = {int(child): Path(f"/proc/{child}/cmdline").read_text().split("\0") for child in children}
        return [child for child, command in commands.items() if set(modules) & set(command)]

    def wait_for_records(self, event: str, count: int, seconds: float = 20.0) -> list[dict[str, Any]]:
        """The records of an event, when there are that many."""
        deadline = time.monotonic() + seconds
        while len(found := [r for r in self.log_records() if r["event"] == event]) < count:
            assert time.monotonic() < deadline, f"{event}: {len(found)} of {count}\n{self.output()}"
            time.sleep(0.02)
        return found


@contextmanager
def gateway_process(
    configuration: Mapping[str, Any],
    directory: Path,
    *,
    arguments: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    **details: Any,
) -> Iterator[GatewayProcess]:
    """A gateway that is ready. After the block it is told to stop and has to end with 0; when the block
    failed, the exception carries what the gateway wrote."""
    gateway = GatewayProcess(
        configuration, directory, arguments=arguments, environment=environment, **details
    )
    try:
        gateway.wait_until_ready()
        yield gateway
        gateway.stop()
    except BaseException as error:
        error.add_note(gateway.output())
        raise
    finally:
        gateway.kill()


def port_of(address: str) -> int:
    """The port of a listen address such as ``127.0.0.1:8443``."""
    return int(address.rpartition(":")[2])
