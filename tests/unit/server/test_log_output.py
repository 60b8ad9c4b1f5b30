"""Log lines of several processes on one output, whole, also where a disk is full for a while."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.server.log_output import SharedOutput, new_output_lock

WRITE = """
import sys
from gateway.server.log_output import SharedOutput
output = SharedOutput(int(sys.argv[1]))
for _ in range(100):
    output.write((sys.argv[2] * 20_000 + "\\n").encode() * 2)
"""


def test_lines_of_several_processes_stay_whole_in_a_pipe() -> None:
    lock = new_output_lock()
    reading, writing = os.pipe()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(lock), letter], pass_fds=[lock], stdout=writing)
        for letter in "abc"
    ]
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    assert len(lines) == 600
    assert {line for line in lines if len(set(line)) != 1 or len(line) != 20_000} == set()
    os.close(lock)


def test_after_a_disk_was_full_the_next_line_begins_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of the file's size stands for the full disk: both end a write within a line."""
    room = [7]

    def write(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real_write(descriptor, data[: room[0]])
        room[0] -= written
        return written

    real_write = os.write
    lock = new_output_lock()
    path = tmp_path / "log"
    with path.open("wb") as file:
        output = SharedOutput(lock, file.fileno())
        monkeypatch.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space left"):
            output.write(b"one\ntwo\nthree\n")
        room[0] = 1_000
        output.write(b"four\n")
        output.write(b"five\n")
    assert path.read_bytes() == b"one\ntwo\nfour\nfive\n"
    os.close(lock)
