"""A process that keeps one CRL file as the gateway does, and nothing else: what that costs its event loop.

``python -m benchmarks.crl_owner AUTHORITY.pem CRL NEXT``: loads the CRL, then puts NEXT in its place and
waits until that is in force. Prints a JSON object.
"""

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.adapters.crl_store import CrlStore
from gateway.adapters.memory import SystemClock
from gateway.model.device import CertificateId
from gateway.model.settings import AuthoritySettings, DeviceFrom, UserFrom
from gateway.pki.authority import Authority, authority_from
from gateway.pki.certificate import parse_certificate
from gateway.pki.revocation import RevocationIndex

_BEAT_SECONDS: Final = 0.002
_LOOK_UPS: Final = 20_000
_DIRECTORY: Final = Path("/proc/self")


class _Told:
    def __init__(self) -> None:
        self.index = RevocationIndex()
        self.changed = asyncio.Event()

    def take(self, index: RevocationIndex) -> None:
        self.index = index
        self.changed.set()

    def crl_loaded(
        self, authority: str, location: str, crl_number: int | None, entries: int, next_update: datetime
    ) -> None:
        """What comes of it is measured."""

    def crl_failed(self, authority: str, location: str, detail: str) -> None:
        raise SystemExit(f"{location}: {detail}")


async def measure(authority: Authority, crl: Path, following: Path) -> dict[str, float]:
    told = _Told()
    store = CrlStore([authority], None, SystemClock(), told.take, told)
    private = _private_bytes()
    async with _beating() as first_stalls:
        began = time.perf_counter()
        await store.load()
        loaded = time.perf_counter() - began
    told.changed.clear()
    running = asyncio.create_task(store.run())
    await asyncio.sleep(1)  # the watch loads a library when it is first used, which is no part of this
    async with _beating() as stalls:
        began = time.perf_counter()
        following.replace(crl)
        await told.changed.wait()
        replaced = time.perf_counter() - began
        await asyncio.sleep(0.1)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    held = [each for issuer in told.index.all_held() for each in (issuer.full,)]
    return {
        "load_ms": loaded * 1e3,
        "replace_ms": replaced * 1e3,
        "stall_ms": max(0.0, *first_stalls, *stalls) * 1e3,
        "table_mib": sum(crl.revoked.length_bytes for crl in held) / 2**20,
        "private_mib": (_private_bytes() - private) / 2**20,
        "look_up_ns": _look_up_nanoseconds(told.index, held[0].issuer),
    }


@asynccontextmanager
async def _beating() -> AsyncIterator[list[float]]:
    """How much later than asked for the loop came back, each time, in seconds. Time in which the thread was
    ready and the kernel ran something else is not counted: that is the machine's, not the loop's."""
    late: list[float] = []

    async def beat() -> None:
        schedule = _DIRECTORY / "task" / str(threading.get_native_id()) / "schedstat"
        with schedule.open("rb", buffering=0) as file:

            def waited() -> float:
                file.seek(0)
                return int(file.read().split()[1]) / 1e9

            last, last_waited = time.perf_counter(), waited()
            while True:
                await asyncio.sleep(_BEAT_SECONDS)
                now, now_waited = time.perf_counter(), waited()
                late.append(now - last - (now_waited - last_waited) - _BEAT_SECONDS)
                last, last_waited = now, now_waited

    task = asyncio.create_task(beat())
    try:
        yield late
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _private_bytes() -> int:
    for line in (_DIRECTORY / "status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this kernel does not say how much memory is private")


def _look_up_nanoseconds(index: RevocationIndex, issuer: bytes) -> float:
    """One question to the index, about certificates that are good."""
    now = datetime.now(UTC)
    asked = [CertificateId(issuer, (0x50 << 152) + (n << 90) + n) for n in range(_LOOK_UPS)]
    best = float("inf")
    for _ in range(5):
        began = time.thread_time()
        for certificate in asked:
            index.status(
                certificate,
                now,
                is_end_entity=True,
                stale_allowed_for=timedelta(0),
                distribution_points=frozenset(),
            )
        best = min(best, time.thread_time() - began)
    return best / _LOOK_UPS * 1e9


def authority_of(file: Path, crl: Path) -> Authority:
    settings = AuthoritySettings(
        "corp", str(file), (str(crl),), None, True, DeviceFrom.SAN_URI, UserFrom.SAN_UPN
    )
    certificates = x509.load_pem_x509_certificates(file.read_bytes())
    return authority_from(settings, [parse_certificate(c.public_bytes(Encoding.DER)) for c in certificates])


def main() -> None:
    authority, crl, following = (Path(argument) for argument in sys.argv[1:])
    print(json.dumps(uvloop.run(measure(authority_of(authority, crl), crl, following))))


if __name__ == "__main__":
    main()
