"""Parsing CRLs so that the event loop does not feel it.

A small one is parsed where the call is made, which is in a thread. A large one would hold the interpreter's
lock for seconds, so a child process (`gateway.adapters.crl_child`) does that. It gets a descriptor of the
content and writes into a file in memory, which is then sealed and mapped as it is: nothing of a size is ever
copied into this process.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import BinaryIO, Final

from gateway.adapters.crl_child import CPU_SECONDS, CrlResult, input_of, parse_each
from gateway.adapters.crl_description import Place, crl_from
from gateway.adapters.crl_files import CrlFileUnusable
from gateway.adapters.sealed_memory import SealedMemory, memory_file, sealed
from gateway.pki.certificate import Certificate
from gateway.pki.crl import CrlReason, CrlRejected
from gateway.pki.serials import SerialSet

# About 1,500 entries: 3 ms of work, less than a thread may go on for while others wait
# (`sys.getswitchinterval`). A child costs 150 ms to start.
MAX_BYTES_IN_PROCESS: Final = 65_536
# While nothing is served yet. An authority may divide its CRL into a hundred parts.
MAX_BYTES_IN_PROCESS_AT_START: Final = 1_048_576
# A million entries take two seconds; this is for a machine that is busy.
CHILD_SECONDS: Final = CPU_SECONDS


def is_parsed_apart(content: SealedMemory, *, at_start: bool) -> bool:
    """Whether a process of its own has to parse it."""
    return len(content) > (MAX_BYTES_IN_PROCESS_AT_START if at_start else MAX_BYTES_IN_PROCESS)


def parse_crls(content: SealedMemory, issuers: Sequence[Certificate], *, apart: bool) -> list[CrlResult]:
    """Each CRL in ``content`` (`split_crls`), or why it is refused (`parse_crl`). Blocks; for a thread.

    Raises CrlFileUnusable where it holds too many, or where a child process could not do its work.
    """
    if not apart:
        return parse_each(content[:], issuers)
    try:
        with memory_file("parsed") as answer:
            ended = subprocess.run(  # noqa: S603 - this program, and a number
                [sys.executable, "-P", "-m", "gateway.adapters.crl_child", str(content.descriptor)],
                pass_fds=(content.descriptor,),
                input=input_of(issuers),
                stdout=answer,
                stderr=subprocess.DEVNULL,
                timeout=CHILD_SECONDS,
                check=False,
            )
            if ended.returncode != 0:
                raise CrlFileUnusable(f"the process that parses it ended with {ended.returncode}")
            answer.seek(0)
            return _results(answer)
    except subprocess.TimeoutExpired:
        raise CrlFileUnusable(f"takes longer than {CHILD_SECONDS:g} s to parse") from None
    except ValueError as error:
        raise CrlFileUnusable("the process that parses it gave an answer that means nothing") from error
    except OSError as error:
        raise CrlFileUnusable(f"no process to parse it: {error.strerror}") from error


def _results(answer: BinaryIO) -> list[CrlResult]:
    lines = json.loads(answer.readline())
    begin = answer.tell()
    memory = sealed(answer)

    def table_at(place: Place) -> SerialSet:
        offset, length = place
        return SerialSet.read(memory, begin + offset, length)

    return [
        CrlRejected(CrlReason(line["reason"]), line["detail"])
        if "reason" in line
        else crl_from(line, table_at)
        for line in lines
    ]
