"""What a directory tells of an account, when somebody enrolls."""

from dataclasses import dataclass
from datetime import datetime


class DirectoryUnavailable(Exception):
    """No server of the directory answered as it should. The message says which did what, without secrets."""


@dataclass(frozen=True, slots=True)
class DirectoryAccount:
    """``name`` is the sAMAccountName (of computers with `$`), ``login`` the userPrincipalName of a person and
    the dNSHostName of a computer, where there is one. ``expires`` is aware; None: never. ``groups`` has the
    distinguished name and the sAMAccountName of each group that the account is in, also by way of others, in
    lower case. ``sid`` and ``guid`` are text; None where the directory has none (it is not Active
    Directory)."""

    name: str
    distinguished_name: str
    is_computer: bool
    is_disabled: bool
    expires: datetime | None = None
    login: str | None = None
    sid: str | None = None
    guid: str | None = None
    groups: frozenset[str] = frozenset()
