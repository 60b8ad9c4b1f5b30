"""Noticing that a file may have changed, within a tenth of a second where the system tells, and in any case
by the next poll.

Directories are watched, not files: an atomic rename puts another file under the name, and a mounted secret
changes by one link (``..data``) that all names in the directory lead through.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Never

from watchfiles import Change, awatch

# A CRL is published in several steps (write, rename). They are taken as one once it has been quiet this long.
_QUIET_MS: Final = 10
# In a directory that is never quiet, changes are passed on this often.
_LONGEST_WAIT_MS: Final = 500


async def watch_files(
    paths: Sequence[str], check: Callable[[], Awaitable[None]], *, poll_seconds: float
) -> Never:
    """Call ``check`` at once, whenever something happened in the directories of ``paths`` (and of what they
    link to), and every ``poll_seconds``; until cancelled. Calls never overlap.

    What happened is not said: ``check`` has to look at the files. Nothing is missed between two calls. The
    poll finds what no watch tells: network file systems, directories that were replaced or did not exist,
    and systems that have no watch left to give.
    """
    while True:
        bell = asyncio.Event()
        directories = await asyncio.to_thread(_directories_of, paths)
        async with asyncio.TaskGroup() as group:
            ringing = group.create_task(_ring(directories, _names_of(paths), bell), name="file watch")
            # One turn of the loop is enough for the task to begin watching: no change can fall between
            # that and the check.
            await asyncio.sleep(0)
            while True:
                bell.clear()
                await check()
                await _wait(bell, poll_seconds)
                if ringing.done() or await asyncio.to_thread(_directories_of, paths) != directories:
                    ringing.cancel()
                    break


async def _ring(
    directories: Mapping[str, tuple[int, int]], names: frozenset[str], bell: asyncio.Event
) -> None:
    """Ring when a file of these names is written to, and whenever any file of the directories comes or goes.
    Returns when they cannot be watched."""
    if not directories:
        return

    def matters(change: Change, path: str) -> bool:
        # A log that grows beside the configuration would ring ten times a second.
        return change is not Change.modified or os.path.basename(path) in names  # noqa: PTH119 - text in, text out

    try:
        async for _ in awatch(
            *directories,
            watch_filter=matters,
            recursive=False,
            ignore_permission_denied=True,
            step=_QUIET_MS,
            debounce=_LONGEST_WAIT_MS,
        ):
            bell.set()
    except (OSError, RuntimeError):  # a directory is gone, or the system has no watch left: poll
        return


async def _wait(bell: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return


def _names_of(paths: Sequence[str]) -> frozenset[str]:
    """What the files are called in their directories, links and what they lead to."""
    return frozenset(Path(name).name for path in paths for name in (path, os.path.realpath(path)))


def _directories_of(paths: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The existing directories to watch, each with its device and inode: a directory that is replaced by
    another keeps its name and loses its watch."""
    found: dict[str, tuple[int, int]] = {}
    for path in paths:
        for directory in (Path(path).parent, Path(os.path.realpath(path)).parent):
            try:
                status = directory.stat()
            except OSError:
                continue
            found[str(directory)] = (status.st_dev, status.st_ino)
    return found
