"""Files of the computer that everybody may read: policies, units, settings."""

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

MAX_FILE_BYTES: Final = 1_048_576


def write_public(path: Path, text: str) -> None:
    """Replace the file at once, mode 0644; directories that are missing are made, 0755. Raises OSError."""
    make_public_directory(path.parent)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            os.fchmod(descriptor, 0o644)  # whatever the umask
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()
        raise


def make_public_directory(directory: Path) -> None:
    """Those that are missing, 0755 whatever the umask: administrators of hardened computers have one that
    keeps everybody out. Raises OSError."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir()
            each.chmod(0o755)


def read_text(path: Path) -> str | None:
    """None where there is no file. Raises OSError, also for one that is too long or no UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(content) > MAX_FILE_BYTES:
        raise OSError(f"{path}: is longer than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OSError(f"{path}: is no UTF-8") from error


def writable_by_others(path: Path) -> bool:
    """Whether somebody could change it who is neither root nor the one who runs this: it belongs to them, or
    everybody may write. Raises OSError."""
    if os.name != "posix":
        return False
    status = path.stat()
    return status.st_uid not in (0, os.geteuid()) or bool(status.st_mode & stat.S_IWOTH & ~_sticky(status))


def _sticky(status: os.stat_result) -> int:
    """In such a directory one may only remove what is one's own."""
    return stat.S_IWOTH if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX else 0


def remove(path: Path) -> bool:
    """Whether it was there. Raises OSError."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
