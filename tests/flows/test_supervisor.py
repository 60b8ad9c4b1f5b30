"""The supervisor with real workers, at moments that a whole gateway would have to be waited for."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from support import messages
from support.echo_app import SSO_URL
from support.site import Site
from support.two_apps import two_apps

from gateway.adapters.shared_memories import (
    create_marks_table,
    create_one_use_table,
    create_seen_requests_table,
)
from gateway.cli.loading import loader_for
from gateway.server.configuration import ConfigurationReader
from gateway.server.log import LogWriter
from gateway.server.log_output import new_output_lock
from gateway.server.supervisor import Held, Supervisor

COMMAND = (sys.executable, "-P", "-m", "gateway.cli.worker")


async def test_a_worker_starts_although_metadata_has_ended_since_it_was_read(tmp_path: Path) -> None:
    """One that replaces a crashed worker must serve the apps of all other identity providers."""
    site = Site(tmp_path)
    now = datetime.now(UTC)
    keys = messages.key_descriptor(messages.rsa_key())
    ended = f' validUntil="{now - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"'
    with two_apps(site) as configuration:
        (tmp_path / "idp.xml").write_text(messages.idp_entity(keys, sso=SSO_URL, attributes=ended))
        (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(configuration))
        reader = ConfigurationReader(loader_for(str(tmp_path / "gateway.yaml")))
        was_read = await asyncio.to_thread(reader.read, now - timedelta(days=2))
        held = Held(
            new_output_lock(), create_one_use_table(), create_seen_requests_table(), create_marks_table()
        )
        log = LogWriter(lambda _: None)
        supervisor = Supervisor(was_read, held, [[]], COMMAND, None, log, os.urandom(32))
        try:
            await supervisor.start()
            assert supervisor.not_ready() == []
            await supervisor.replace_configuration(was_read)
        finally:
            hurry = asyncio.Event()
            hurry.set()
            await supervisor.drain(hurry)
