"""How a use case of the administration says no. Each is the caller's to mend."""


class Refused(Exception):
    """The text is one sentence for the person who asked."""


class NotFound(Refused):
    """``kind`` as people call it (User, Device), ``identifier`` as it was asked for."""

    def __init__(self, kind: str, identifier: str) -> None:
        super().__init__(f"{kind} {identifier} is not there")
        self.kind = kind
        self.identifier = identifier


class InvalidValue(Refused):
    """``field`` is named as in the API (`profile.login`)."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field


class NotAllowedNow(Refused):
    """The thing is in a state in which this cannot be done with it."""
