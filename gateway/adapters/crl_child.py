"""The child process of `gateway.adapters.crl_parsing`: parses the CRLs of one content, writes down what it
found, and takes the memory that this needed away with it.

========  ================================================================================================
argument  the number of the descriptor of the content
input     each certificate that may have signed them (DER) after its length in four bytes, big-endian
output    a line of JSON that lists the results, then their tables of serial numbers
========  ================================================================================================

Who sends a CRL may be hostile, so the process bounds itself: its memory, its time on a processor, and its
share of one while others want it.
"""

import json
import os
import resource
import sys
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO, Final, TypeAlias

from gateway.adapters.crl_description import described
from gateway.adapters.crl_files import split_crls
from gateway.pki.certificate import Certificate, parse_certificate
from gateway.pki.crl import CrlRejected, CrlSnapshot, parse_crl

CPU_SECONDS: Final = 50
# What the interpreter and its libraries take, and what each byte of content may: 7 were needed at most, for
# the shortest entries there can be, in PEM.
_OWN_BYTES: Final = 512 * 1024 * 1024
_BYTES_FOR_EACH: Final = 12
_NICENESS: Final = 5
_LENGTH_BYTES: Final = 4

CrlResult: TypeAlias = CrlSnapshot | CrlRejected


def parse_each(data: bytes, issuers: Sequence[Certificate]) -> list[CrlResult]:
    """Each CRL in ``data``, or why it is refused. Raises CrlFileUnusable where there are too many."""
    results: list[CrlResult] = []
    for crl in split_crls(data):
        try:
            results.append(parse_crl(crl, issuers))
        except CrlRejected as refused:
            results.append(refused)
    return results


def input_of(issuers: Sequence[Certificate]) -> bytes:
    """What the process expects on its input."""
    return b"".join(len(issuer.der).to_bytes(_LENGTH_BYTES) + issuer.der for issuer in issuers)


def _issuers_from(given: BinaryIO) -> list[Certificate]:
    issuers = []
    while length := given.read(_LENGTH_BYTES):
        issuers.append(parse_certificate(given.read(int.from_bytes(length))))
    return issuers


def _write(results: Sequence[CrlResult], output: BinaryIO) -> None:
    tables = [
        table for crl in results if isinstance(crl, CrlSnapshot) for table in (crl.revoked, crl.removed)
    ]
    ends = accumulate((table.length_bytes for table in tables), initial=0)
    places = iter([[end, table.length_bytes] for end, table in zip(ends, tables, strict=False)])
    lines = [
        {"reason": result.reason, "detail": result.detail}
        if isinstance(result, CrlRejected)
        else described(result, next(places), next(places))
        for result in results
    ]
    output.write(json.dumps(lines).encode() + b"\n")
    output.writelines(table.table() for table in tables)
    output.flush()


def _bound(content_bytes: int) -> None:
    memory = _OWN_BYTES + _BYTES_FOR_EACH * content_bytes
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICENESS)


def _main() -> None:
    content = int(sys.argv[1])
    size = os.fstat(content).st_size
    _bound(size)
    with open(content, "rb") as file:
        file.seek(0)  # the position is shared with who wrote it
        data = file.read(size)
    _write(parse_each(data, _issuers_from(sys.stdin.buffer)), sys.stdout.buffer)


if __name__ == "__main__":
    _main()
