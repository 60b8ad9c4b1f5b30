"""`devicetrust demo`: the whole thing on this machine, to be tried by hand or to prove itself."""

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gateway.cli.demo_parts.instructions import (
    ChromiumSetUp,
    instructions,
    kerberos_hint,
    set_up_chromium,
    write_curl_configurations,
)
from gateway.cli.demo_parts.processes import DemoFailed
from gateway.cli.demo_parts.running import Demo, last_words, running
from gateway.cli.demo_parts.site import WIKI
from gateway.cli.demo_parts.walk import Result, walk
from gateway.cli.main import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK

_NAME_WIDTH = 44
_OUTCOME_WIDTH = 11


@click.command(
    epilog="""\b
Examples:
  devicetrust demo
  devicetrust demo --once
  devicetrust demo --once --no-kerberos
  devicetrust demo --once --json | jq '.cases[] | select(.passed | not)'
  devicetrust demo --port 9443 --keep ./demo-files
\b
Exit code: 0 ended by Ctrl-C, or every sign-on of --once as expected; 1 otherwise."""
)
@click.option("--once", is_flag=True, help="Sign on by itself, print what came of it, and exit.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print the result as JSON.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="HTTPS port of the gateway. Left out: 8443, or any where that is taken.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Directory for keys, configuration and log, which then stays. Left out: a temporary one.",
)
@click.option(
    "--kerberos/--no-kerberos",
    default=True,
    help="With a domain whose computers enroll by Kerberos, or without. By default with, where Kerberos is "
    "installed.",
)
def demo(once: bool, as_json: bool, port: int | None, keep: Path | None, kerberos: bool) -> int:
    """Try it: gateway, certification authority, identity provider, two apps and agents on this machine.

    Everything listens on loopback only, with keys made anew for each run and trusted by nothing else. Prints
    how to sign on from a trusted and from an untrusted device, how to revoke, and what else to look at.
    """
    if as_json and not once:
        raise click.UsageError("--json is for --once")
    with _directory(keep) as directory:
        if once:
            session = _prove(directory, port, as_json=as_json, kerberos=kerberos)
        else:
            session = _show(directory, port, keep=keep, kerberos=kerberos)
        try:
            ended = asyncio.run(_until_interrupted(session))
        except DemoFailed as error:
            raise click.ClickException(str(error)) from error
    if ended is None:
        return EXIT_INTERRUPTED if once else EXIT_OK
    return ended


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        # A browser that still runs may write while the directory is removed.
        with tempfile.TemporaryDirectory(prefix="dt-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise click.UsageError(f"{keep} is not empty; name a new directory")
    yield keep.resolve()


async def _until_interrupted(session: Coroutine[Any, Any, int]) -> int | None:
    """What the session returns; None when a signal ended it. Further signals do not disturb the end."""
    task = asyncio.ensure_future(session)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        if not interrupted:
            raise
        return None


async def _show(directory: Path, port: int | None, *, keep: Path | None, kerberos: bool) -> int:
    """Run until interrupted. Raises DemoFailed when the gateway ends by itself."""
    began = time.monotonic()
    chromium = ChromiumSetUp(None)

    def set_up_clients(demo: Demo) -> None:
        nonlocal chromium
        write_curl_configurations(directory, demo.org.token)
        chromium = set_up_chromium(directory, demo.addresses.origin(WIKI.host) + "/")

    async with running(directory, port, set_up_clients, kerberos=kerberos) as demo:
        seconds = time.monotonic() - began
        for line in instructions(demo, chromium, seconds, kept=keep is not None):
            click.echo(line)
        status = await demo.gateway.wait()
    raise DemoFailed(f"the gateway ended with {status}\n{await asyncio.to_thread(last_words, directory)}")


async def _prove(directory: Path, port: int | None, *, as_json: bool, kerberos: bool) -> int:
    began = time.monotonic()
    results: list[Result] = []
    async with running(directory, port, kerberos=kerberos) as demo:
        async for result in walk(demo):
            results.append(result)
            if not as_json:
                click.echo(_line(result))
        left_out = kerberos_hint(demo.missing)
    passed, seconds = all(result.passed for result in results), time.monotonic() - began
    if as_json:
        cases = [{**asdict(result), "passed": result.passed} for result in results]
        summary = {"result": "ok" if passed else "failed", "seconds": round(seconds, 3), "cases": cases}
        if left_out is not None:
            summary["left_out"] = left_out
        click.echo(json.dumps(summary, indent=2))
    else:
        if left_out is not None:
            click.echo(left_out)
        count = sum(result.passed for result in results)
        click.echo(f"{count} of {len(results)} as expected, in {seconds:.1f} s")
    return EXIT_OK if passed else EXIT_FAILED


def _line(result: Result) -> str:
    seen, expected = result.seen, result.expected
    line = f"{_mark(result.passed)} {result.name:{_NAME_WIDTH}}{seen.outcome:{_OUTCOME_WIDTH}}{seen.reason}"
    if result.passed and seen.note:
        line = f"{line}  ({seen.note})"
    return line if result.passed else f"{line}   (expected: {expected.outcome} {expected.reason})"


def _mark(passed: bool) -> str:
    mark = "✓" if passed else "✗"
    try:
        mark.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return "ok  " if passed else "FAIL"
    return mark
