"""The supervisor with real workers, at moments that a whole gateway would have to be waited for."""

import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import messages
from support.echo_app import SSO_URL
from support.site import Site
from support.two_apps import two_apps

from gateway.adapters.sealed_memory import memory_file, sealed
from gateway.adapters.shared_index import DescribedIndex, describe
from gateway.adapters.shared_memories import (
    create_marks_table,
    create_one_use_table,
    create_seen_requests_table,
)
from gateway.cli.loading import loader_for
from gateway.pki.revocation import RevocationIndex
from gateway.server.configuration import Configuration, ConfigurationReader
from gateway.server.log import LogWriter
from gateway.server.log_output import new_output_lock
from gateway.server.supervisor import Held, Supervisor
from gateway.server.worker_link import WorkerRefused

COMMAND = (sys.executable, "-P", "-m", "gateway.cli.worker")


@contextlib.asynccontextmanager
async def supervisor_of(
    configuration: dict[str, Any], directory: Path, now: datetime, written: list[bytes]
) -> AsyncIterator[tuple[Supervisor, Configuration]]:
    """Started, and drained afterwards; with the configuration, as it was read at ``now``."""
    (directory / "gateway.yaml").write_text(yaml.safe_dump(configuration))
    reader = ConfigurationReader(loader_for(str(directory / "gateway.yaml")))
    was_read = await asyncio.to_thread(reader.read, now)
    held = Held(new_output_lock(), create_one_use_table(), create_seen_requests_table(), create_marks_table())
    log = LogWriter(written.append)
    log.start()
    supervisor = Supervisor(was_read, held, [[]], COMMAND, None, log, os.urandom(32))
    try:
        await supervisor.start()
        yield supervisor, was_read
    finally:
        hurry = asyncio.Event()
        hurry.set()
        await supervisor.drain(hurry)
        log.stop(5)


async def test_a_worker_starts_although_metadata_has_ended_since_it_was_read(tmp_path: Path) -> None:
    """One that replaces a crashed worker must serve the apps of all other identity providers."""
    now = datetime.now(UTC)
    keys = messages.key_descriptor(messages.rsa_key())
    ended = f' validUntil="{now - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"'
    with two_apps(Site(tmp_path)) as configuration:
        (tmp_path / "idp.xml").write_text(messages.idp_entity(keys, sso=SSO_URL, attributes=ended))
        two_days_ago = now - timedelta(days=2)
        async with supervisor_of(configuration, tmp_path, two_days_ago, []) as (supervisor, was_read):
            assert supervisor.not_ready() == []
            await supervisor.replace_configuration(was_read)


async def test_revocations_that_find_no_descriptor_are_passed_on_as_soon_as_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path)
    is_full = True

    def describe_if_there_is_room(index: RevocationIndex) -> DescribedIndex:
        if is_full:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return describe(index)

    written: list[bytes] = []
    with two_apps(site) as configuration:
        now = datetime.now(UTC)
        async with supervisor_of(configuration, tmp_path, now, written) as (supervisor, _):
            monkeypatch.setattr("gateway.server.supervisor.describe", describe_if_there_is_room)
            monkeypatch.setattr("gateway.server.supervisor._TICK_SECONDS", 0.05)
            running = asyncio.create_task(supervisor.run())
            site.revoke(site.issue())
            async with asyncio.timeout(20):
                while supervisor.not_ready() == []:
                    await asyncio.sleep(0.01)
                assert supervisor.not_ready() == ["new revocations are not passed on to the workers"]
                await asyncio.sleep(0.2)  # some attempts
                assert not running.done()
                is_full = False
                while supervisor.not_ready() != []:
                    await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert b"".join(written).count(b"revocations_not_passed_on") == 1


async def test_a_configuration_that_ends_every_worker_is_refused_and_the_old_stays(tmp_path: Path) -> None:
    with memory_file("no files at all") as file:
        file.write(b"nonsense\n")
        nonsense = sealed(file)
    with two_apps(Site(tmp_path)) as configuration:
        async with supervisor_of(configuration, tmp_path, datetime.now(UTC), []) as (supervisor, was_read):
            running = asyncio.create_task(supervisor.run())
            with pytest.raises(WorkerRefused, match="every worker ended"):
                await supervisor.replace_configuration(replace(was_read, packed=nonsense))
            async with asyncio.timeout(20):
                while supervisor.not_ready() != []:
                    await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
