"""Reading a text file of the configuration: bounded, UTF-8, and with an error that names it."""

from gateway.adapters.held_files import read_file
from gateway.config.errors import ConfigError
from gateway.config.marked_yaml import MAX_DOCUMENT_CHARACTERS

# A character is at most four bytes of UTF-8; the exact bound is checked where characters are counted.
MAX_TEXT_FILE_BYTES = 4 * MAX_DOCUMENT_CHARACTERS


def read_bytes(path: str, limit: int) -> bytes:
    """A file of at most ``limit`` bytes. Raises ConfigError where it is missing, unreadable or larger."""
    try:
        content = read_file(path, limit)
    except OSError as error:
        raise ConfigError(path, None, "", f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise ConfigError(path, None, "", "is not the path of a file") from error
    if len(content) > limit:
        raise ConfigError(path, None, "", f"is larger than {limit} bytes")
    return content


def read_text_file(path: str, limit: int = MAX_TEXT_FILE_BYTES) -> str:
    """The file's text. Raises ConfigError, also where it is not UTF-8, or has more than ``limit`` bytes."""
    content = read_bytes(path, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, line, "", "is not UTF-8 text") from error
