"""What the org said last, on disk: policies, zones and settings that were edited in the store must count,
too, when the gateway is started while the store cannot be reached.

Whom the org has revoked is not in it: that has to be known exactly, or nobody is trusted.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from gateway.model.org_state import MAX_DOCUMENT_BYTES

STATE_FILE: Final = "org-state"


def keep_state(directory: str, document: bytes) -> None:
    """Write it into the keys directory, for its owner only; it appears complete or not at all. Raises
    OSError."""
    path = Path(directory, STATE_FILE)
    unfinished = path.with_name(f".{STATE_FILE}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor opened with O_EXCL and its mode
            file.write(document)
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def kept_state(directory: str) -> bytes | None:
    """What was kept; None where nothing was yet. Raises OSError. Longer ones than any document are cut off,
    and are none then."""
    try:
        with Path(directory, STATE_FILE).open("rb") as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError:
        return None
