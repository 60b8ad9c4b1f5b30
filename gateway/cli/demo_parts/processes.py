"""Processes that the demo starts beside itself, and ends in order."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

DEVICETRUST: Final = (sys.executable, "-P", "-c", "from gateway.cli.main import main; main()")
_STOP_SECONDS: Final = 10.0


class DemoFailed(Exception):
    """A part of the demo does not run. The text says which, and what it said last."""


@asynccontextmanager
async def started(
    command: Sequence[str], log_file: Path, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs while the block does; what it writes goes to ``log_file``, which is new."""
    log_file.parent.mkdir(exist_ok=True)
    with log_file.open("xb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C reaches the whole foreground process group; the process is ended by us, in order.
            start_new_session=True,
            env=dict(environment),
        )
    try:
        yield process
    finally:
        await _stop(process)


async def ended(
    command: Sequence[str],
    environment: Mapping[str, str],
    seconds: float,
    directory: Path | None = None,
) -> tuple[int, str]:
    """Run it to its end: status, and what it wrote, standard error last. Raises OSError, TimeoutError."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=dict(environment),
        cwd=directory,
    )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None, "it has ended"
    return process.returncode, (output + errors).decode(errors="replace")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
