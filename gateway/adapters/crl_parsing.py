"""Parsing CRLs so that the event loop does not feel it.

A small one is parsed where the call is made, which is in a thread. A large one would hold the interpreter's
lock for most of a second at a time (sorting a million serial numbers is one step of it), so a child process
does that. The child also takes its memory away with it, and can be ended when it takes too long.

Parent and child are the same program and talk through two files in memory:

* to the child: the number of certificates, each certificate (DER) after its length, the CRLs as they came;
* from the child: a line of JSON that lists the results, then their tables of serial numbers. It is sealed
  and mapped as it is: nothing of a size is ever copied into the parent.

Numbers are four bytes, big-endian.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO, Final

from gateway.adapters.crl_description import Place, crl_from, described
from gateway.adapters.crl_files import CrlFileUnusable, split_crls
from gateway.adapters.sealed_memory import memory_file, sealed
from gateway.pki.certificate import Certificate, parse_certificate
from gateway.pki.crl import CrlReason, CrlRejected, CrlSnapshot, parse_crl
from gateway.pki.serials import SerialSet

# About 7,000 entries: 10 ms of work, the longest step of it 3 ms. A child costs 200 ms to start.
MAX_BYTES_IN_PROCESS: Final = 262_144
# A million entries take two seconds; this is for a machine that is busy.
CHILD_SECONDS: Final = 50.0
_NUMBER_BYTES: Final = 4

CrlResult = CrlSnapshot | CrlRejected


def parse_crls(data: bytes, issuers: Sequence[Certificate]) -> list[CrlResult]:
    """Each CRL in ``data`` (`split_crls`), or why it is refused (`parse_crl`). Blocks; for a thread.

    Raises CrlFileUnusable where ``data`` holds too many, or where a child process could not do its work.
    """
    if len(data) <= MAX_BYTES_IN_PROCESS:
        return _parse_here(data, issuers)
    return _parse_in_child(data, issuers)


def _parse_here(data: bytes, issuers: Sequence[Certificate]) -> list[CrlResult]:
    results: list[CrlResult] = []
    for each in split_crls(data):
        try:
            results.append(parse_crl(each, issuers))
        except CrlRejected as refused:
            results.append(refused)
    return results


def _parse_in_child(data: bytes, issuers: Sequence[Certificate]) -> list[CrlResult]:
    try:
        with memory_file("crls") as question, memory_file("parsed") as answer:
            _write_question(question, data, issuers)
            question.seek(0)
            ended = subprocess.run(
                [sys.executable, "-P", "-m", "gateway.adapters.crl_parsing"],
                stdin=question,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                timeout=CHILD_SECONDS,
                check=False,
            )
            if ended.returncode != 0:
                raise CrlFileUnusable(f"the process that parses it ended with {ended.returncode}")
            answer.seek(0)
            return _read_answer(answer)
    except subprocess.TimeoutExpired:
        raise CrlFileUnusable(f"takes longer than {CHILD_SECONDS:g} s to parse") from None
    except ValueError as error:
        raise CrlFileUnusable("the process that parses it gave an answer that means nothing") from error
    except OSError as error:
        raise CrlFileUnusable(f"no process to parse it: {error.strerror}") from error


def _write_question(question: BinaryIO, data: bytes, issuers: Sequence[Certificate]) -> None:
    question.write(len(issuers).to_bytes(_NUMBER_BYTES))
    for issuer in issuers:
        question.write(len(issuer.der).to_bytes(_NUMBER_BYTES))
        question.write(issuer.der)
    question.write(data)
    question.flush()


def _read_question(question: BinaryIO) -> tuple[bytes, list[Certificate]]:
    def number() -> int:
        return int.from_bytes(question.read(_NUMBER_BYTES))

    issuers = [parse_certificate(question.read(number())) for _ in range(number())]
    return question.read(), issuers


def _write_answer(answer: BinaryIO, results: Sequence[CrlResult]) -> None:
    tables = [t for r in results if isinstance(r, CrlSnapshot) for t in (r.revoked, r.removed)]
    ends = list(accumulate((table.length_bytes for table in tables), initial=0))
    places = iter([offset, table.length_bytes] for offset, table in zip(ends, tables, strict=False))
    lines = [
        {"reason": result.reason, "detail": result.detail}
        if isinstance(result, CrlRejected)
        else described(result, next(places), next(places))
        for result in results
    ]
    answer.write(json.dumps(lines).encode() + b"\n")
    answer.writelines(table.table() for table in tables)
    answer.flush()


def _read_answer(answer: BinaryIO) -> list[CrlResult]:
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


def _child() -> None:
    data, issuers = _read_question(sys.stdin.buffer)
    _write_answer(sys.stdout.buffer, _parse_here(data, issuers))


if __name__ == "__main__":
    _child()
