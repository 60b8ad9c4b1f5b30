"""The load generator's own process for enrollments: one task as JSON on standard input, its result as JSON on
standard output, as `benchmarks.load_client` does it.

Kerberos messages and certification requests are made beforehand, so that this process only passes things on.
"""

import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from benchmarks.accounting import cpu_seconds
from benchmarks.load_client import SETTLE_SECONDS, Answer, Connection, no_verification

_ORG: Final = "sso.example.test"
_STEPS: Final = ("discovery", "device", "user", "certificate")


class EnrollmentFailed(Exception):
    """A step was refused: then something else would be measured."""


def enrollments(task: Mapping[str, Any]) -> dict[str, Any]:
    """Of ``people``, each with the Kerberos messages of computer and person (base64), a request and its key's
    thumbprint: all four steps, some people at once. The CPU time of each of ``processes``."""
    people, threads = task["people"], task["threads"]
    context = no_verification()

    def some(first: int) -> None:
        org = Connection(context, task["org_port"], _ORG)
        iwa = Connection(None, task["iwa_port"], "localhost")
        for person in people[first::threads]:
            _enroll(org, iwa, person)
        org.close()
        iwa.close()

    with ThreadPoolExecutor(threads) as pool:
        before, began = _cpu(task["processes"]), time.perf_counter()
        list(pool.map(some, range(threads)))
        elapsed = time.perf_counter() - began
        time.sleep(SETTLE_SECONDS)
        after = _cpu(task["processes"])
    return {
        "operations": len(people),
        "elapsed_seconds": elapsed,
        "cpu_seconds": {name: after[name] - before[name] for name in after},
    }


def _cpu(processes: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_seconds(process) for name, process in processes.items()}


def _enroll(org: Connection, iwa: Connection, person: Mapping[str, str]) -> None:
    nonce = _told(0, org.exchange(_head("GET", "/enroll/discovery", _ORG)))["nonce"]
    asked = {"nonce": nonce, "key_thumbprint": person["key_thumbprint"]}
    first = _post("/iwa/device", "localhost", asked, person["computer"])
    asked["device_token"] = _told(1, iwa.exchange(first))["device_token"]
    second = _post("/iwa/user", "localhost", asked, person["person"])
    token = _told(2, iwa.exchange(second))["user_token"]
    wanted = {"user_token": token, "csr": person["csr"], "replaces": None, "platform": "WINDOWS"}
    _told(3, org.exchange(_post("/enroll/certificate", _ORG, {**wanted, "agent_version": "1"})))


def _told(step: int, answer: Answer) -> dict[str, str]:
    if answer.status != 200:
        raise EnrollmentFailed(f"{_STEPS[step]}: {answer.status} {answer.body[:500]!r}")
    told: dict[str, str] = json.loads(answer.body)
    return told


def _post(target: str, host: str, value: Mapping[str, Any], negotiate: str | None = None) -> bytes:
    body = json.dumps(value).encode()
    fields = [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    if negotiate is not None:
        fields.append(f"Authorization: Negotiate {negotiate}")
    return _head("POST", target, host, *fields) + body


def _head(method: str, target: str, host: str, *fields: str) -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", "")).encode()


if __name__ == "__main__":
    json.dump(enrollments(json.load(sys.stdin)), sys.stdout)
