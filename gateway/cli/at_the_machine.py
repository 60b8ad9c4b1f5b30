"""What commands that change the store say of who acts: somebody with an account on this machine, who may
read the store."""

import getpass
import socket
import uuid
from dataclasses import replace
from datetime import UTC, datetime

from gateway.model.log_event import Actor
from gateway.system_log.catalog import Occasion, job


def occasion_of(command: str) -> Occasion:
    """Now, by whoever runs ``command`` (`devicetrust ca`): people know each other by their accounts."""
    by = f"{_account()}@{socket.gethostname()}"
    return replace(
        job(datetime.now(UTC), lambda: str(uuid.uuid4()), uuid.uuid4().hex),
        actor=Actor(command.replace(" ", "-"), "SystemPrincipal", by, command),
    )


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
