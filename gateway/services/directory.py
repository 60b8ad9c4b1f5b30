"""What the IWA web app asks the directory about an account, at each enrollment: a ticket tells only what was
true when it was issued, hours ago."""

from typing import Protocol

from gateway.model.directory import DirectoryAccount as DirectoryAccount
from gateway.model.directory import DirectoryUnavailable as DirectoryUnavailable


class NoDirectory:
    """For an iwa.yaml without any: nothing is looked up, and it is never asked."""

    async def account(self, realm: str, name: str, sid: str | None) -> DirectoryAccount | None:
        raise DirectoryUnavailable(f"there is no directory for {realm}, where {name} ({sid}) is")

    async def check(self, realm: str) -> None:
        raise DirectoryUnavailable(f"there is no directory for {realm}")

    async def close(self) -> None:
        return


class Directory(Protocol):
    async def account(self, realm: str, name: str, sid: str | None) -> DirectoryAccount | None:
        """The account with this SID; where the ticket had none, the one with this sAMAccountName (a ticket's
        principal, without its realm). None if there is no such account. Called for realms only that iwa.yaml
        has a directory for. Raises DirectoryUnavailable, in bounded time."""
        ...

    async def check(self, realm: str) -> None:
        """See that it can be asked. Raises DirectoryUnavailable, in bounded time."""
        ...

    async def close(self) -> None: ...
