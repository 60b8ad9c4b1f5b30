"""The one-use keys on disk, so that a restart does not forget them.

They live in memory (`SharedTable`), where no slow or full disk can stop a sign-on, and are written from
there: now and then, and when the gateway ends. What is claimed between the last writing and a power cut, or
the end of all processes at once, is forgotten.

The file: 16 bytes that name the format, 32 bytes key of the table's hash, 64 bytes for each key (its keyed
hash, until when it counts, milliseconds since 1970, little-endian, and its value), 32 bytes SHA-256 of all
that. It appears under its name complete or not at all. The first format had no values.

Two gateways may write it for a while: one that drains, or what is left of one that was killed, and the one
that was started after it. So whoever writes takes over first what another one has written since.
"""

import hashlib
import os
import secrets
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from gateway.adapters.shared_memories import create_one_use_table
from gateway.adapters.shared_table import DIGEST_BYTES, HASH_KEY_BYTES, VALUE_BYTES, Entry, SharedTable

ONE_USE_FILE: Final = "one-use-keys"
# A table holds at most some 412,000 entries.
MAX_FILE_BYTES: Final = 33_554_432
_MAGIC: Final = b"dt-one-use-2\0\0\0\0"
_FIRST_MAGIC: Final = b"dt-one-use-1\0\0\0\0"
_ENTRY: Final = struct.Struct(f"<{DIGEST_BYTES}sQ{VALUE_BYTES}s")
_FIRST_ENTRY: Final = struct.Struct(f"<{DIGEST_BYTES}sQ")
_CHECK_BYTES: Final = 32


class OneUseFileDamaged(Exception):
    """What is in the file cannot be used."""


def load_one_use_table(directory: str, now: float) -> SharedTable:
    """The table with what the file in the keys directory has and still counts; empty if there is none.

    Raises OneUseFileDamaged, and OSError where there is no memory for the table.
    """
    try:
        hash_key, entries = _read(Path(directory, ONE_USE_FILE))
    except FileNotFoundError:
        return create_one_use_table()
    table = create_one_use_table(hash_key)
    table.restore(_counting(entries, now), now)
    return table


def save_one_use_table(table: SharedTable, directory: str, now: float, former_sha256: bytes = b"") -> bytes:
    """Write what counts, unless the file says the same already. Where it is not the one that the last call
    returned the ``former_sha256`` of, the table takes over first what counts of it.

    Raises OSError, and OneUseKeysFull where another process holds on to the table; the former file stays in
    both cases. Not noticed: another one that writes in this very moment; the next call takes that over.
    """
    path = Path(directory, ONE_USE_FILE)
    on_disk = _check_of(path)
    if on_disk not in (b"", former_sha256):
        _take_over(path, table, now)
    parts = [_MAGIC, table.hash_key]
    parts += (_ENTRY.pack(*entry) for entry in table.entries(now))
    body = b"".join(parts)
    check = hashlib.sha256(body).digest()
    if check == on_disk:
        return check
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor opened with O_EXCL and its mode
            file.write(body)
            file.write(check)
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return check


def _take_over(path: Path, table: SharedTable, now: float) -> None:
    try:
        hash_key, entries = _read(path)
    except (FileNotFoundError, OneUseFileDamaged):
        return
    if (
        hash_key == table.hash_key
    ):  # else it began with another file, or none: nothing of it can be told apart
        table.restore(_counting(entries, now), now)


def _check_of(path: Path) -> bytes:
    """The end of the file; nothing where there is none to be read."""
    try:
        with path.open("rb") as file:
            file.seek(-_CHECK_BYTES, os.SEEK_END)
            return file.read(_CHECK_BYTES)
    except OSError:
        return b""


def _read(path: Path) -> tuple[bytes, Iterable[Entry]]:
    """(key of the hash, entries). Raises FileNotFoundError and OneUseFileDamaged."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OneUseFileDamaged(f"{path}: cannot be read: {error.strerror}") from error
    body, check = content[:-_CHECK_BYTES], content[-_CHECK_BYTES:]
    entries_at = len(_MAGIC) + HASH_KEY_BYTES
    form = {_MAGIC: _ENTRY, _FIRST_MAGIC: _FIRST_ENTRY}.get(body[: len(_MAGIC)])
    if form is None or hashlib.sha256(body).digest() != check or (len(body) - entries_at) % form.size:
        raise OneUseFileDamaged(f"{path}: is damaged")
    unpacked = form.iter_unpack(memoryview(body)[entries_at:])
    return body[len(_MAGIC) : entries_at], (
        (digest, until, value[0] if value else bytes(VALUE_BYTES)) for digest, until, *value in unpacked
    )


def _counting(entries: Iterable[Entry], now: float) -> Iterator[Entry]:
    now_ms = int(now * 1_000)
    return (entry for entry in entries if entry[1] >= now_ms)
