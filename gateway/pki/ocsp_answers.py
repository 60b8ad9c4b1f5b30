"""Signed OCSP answers that are given again, so that a question which many ask is signed once.

Only answers without a nonce, about one certificate. Each is kept until its nextUpdate, or until the
revocation state changes at all: forgetting good answers costs a signature, giving an old one costs trust.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

# An answer has about 300 bytes with an ECDSA key.
MAX_KEPT_ANSWERS: Final = 20_000


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    der: bytes
    next_update: datetime
    state: int


class KeptAnswers:
    """By the bytes of the CertID. ``state`` is the number of the change up to which an answer is true."""

    def __init__(self, limit: int = MAX_KEPT_ANSWERS) -> None:
        self._answers: OrderedDict[bytes, KeptAnswer] = OrderedDict()
        self._limit = limit

    def get(self, asked: bytes, state: int, now: datetime) -> KeptAnswer | None:
        kept = self._answers.get(asked)
        if kept is None:
            return None
        if kept.state != state or now >= kept.next_update:
            del self._answers[asked]
            return None
        self._answers.move_to_end(asked)
        return kept

    def put(self, asked: bytes, answer: KeptAnswer) -> None:
        self._answers[asked] = answer
        self._answers.move_to_end(asked)
        while len(self._answers) > self._limit:
            self._answers.popitem(last=False)

    def __len__(self) -> int:
        return len(self._answers)
