"""What is wrong with a question to the System Log, as its callers are told it."""

from typing import Final

VALIDATION: Final = "E0000001"
UNSUPPORTED: Final = "E0000031"
INVALID: Final = "E0000053"


class QueryRefused(Exception):
    """A query that cannot be answered: the API's 400, with its error code and one sentence of summary.

    ``causes`` are the single findings of a validation error; empty for the others.
    """

    def __init__(self, code: str, summary: str, causes: tuple[str, ...] = ()) -> None:
        super().__init__(f"{code}: {summary}")
        self.code = code
        self.summary = summary
        self.causes = causes


def invalid_value(parameter: str, finding: str) -> QueryRefused:
    """A query parameter whose value is out of bounds or unreadable."""
    return QueryRefused(
        VALIDATION, f"Api validation failed: '{parameter}': {finding}", (f"{parameter}: {finding}",)
    )
