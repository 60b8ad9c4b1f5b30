"""Looking accounts up in Active Directory, by LDAP.

Each server has a child process (`gateway.adapters.directory_child`) with a connection that it keeps. A server
that does not answer in its share of the time loses its child, and the next one is asked; the one that
answered last comes first. Nothing that a server does or leaves undone holds up the event loop.

Nothing is asked in the clear, and no server that has not proved who it is: `ldaps` and, with a password,
StartTLS on `ldap`; with a keytab, `ldap` is sealed by Kerberos.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from gateway.adapters.key_files import KeyFileRefused, read_key_file
from gateway.model.directory import DirectoryAccount, DirectoryUnavailable
from gateway.model.iwa_settings import DirectorySettings, SaslBind

# An account in 2,000 groups with long names has 0.5 MB.
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
MAX_PASSWORD_CHARACTERS: Final = 1_024
_END_SECONDS: Final = 1.0
# A server that is not the last to be asked may take no less; most answer in milliseconds.
_LEAST_SECONDS: Final = 0.5


class LdapDirectory:
    """The directories of some realms. Used by one event loop; `close` ends the child processes."""

    def __init__(self, directories: Sequence[DirectorySettings]) -> None:
        self._realms = {settings.realm: _Realm(settings) for settings in directories}

    async def account(self, realm: str, name: str, sid: str | None) -> DirectoryAccount | None:
        """The account with this SID, or with this sAMAccountName where ``sid`` is None; None: there is none.
        Raises DirectoryUnavailable, within the time that the settings allow."""
        answer = await self._realms[realm].ask({"name": name, "sid": sid})
        return None if answer is None else _account(answer)

    async def check(self, realm: str) -> None:
        """See that a server takes us in and knows the base. Raises DirectoryUnavailable."""
        await self._realms[realm].ask({})

    async def close(self) -> None:
        await asyncio.gather(*(server.close() for each in self._realms.values() for server in each.servers))


class _Realm:
    def __init__(self, settings: DirectorySettings) -> None:
        self._seconds = settings.timeout.total_seconds()
        self.servers = [_Server(settings, url) for url in settings.urls]

    async def ask(self, question: dict[str, str | None]) -> dict[str, Any] | None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        failures = []
        servers = list(self.servers)
        for left, server in zip(range(len(servers), 0, -1), servers, strict=True):
            remaining = end - loop.time()
            if remaining <= 0:
                break
            share = remaining if left == 1 else min(remaining, max(remaining / left, _LEAST_SECONDS))
            try:
                answer = await server.ask(question, share)
            except DirectoryUnavailable as failed:
                failures.append(str(failed))
                self._put_last(server)
            else:
                return answer
        raise DirectoryUnavailable("; ".join(failures))

    def _put_last(self, server: "_Server") -> None:
        self.servers.remove(server)
        self.servers.append(server)


class _Server:
    def __init__(self, settings: DirectorySettings, url: str) -> None:
        self.url = url
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._killed: asyncio.subprocess.Process | None = None
        self._free = asyncio.Lock()

    async def ask(self, question: dict[str, str | None], seconds: float) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(seconds), self._free:
                answer = await self._exchange(question, seconds)
        except TimeoutError:
            raise DirectoryUnavailable(f"{self.url}: no answer in {seconds:.1f} s") from None
        except (OSError, ValueError) as error:
            raise DirectoryUnavailable(f"{self.url}: {_shown(str(error))}") from None
        if "failed" in answer:
            raise DirectoryUnavailable(f"{self.url}: {_shown(str(answer['failed']))}")
        account: dict[str, Any] | None = answer["account"]
        return account

    async def _exchange(self, question: dict[str, str | None], seconds: float) -> dict[str, Any]:
        """Raises OSError and ValueError for a child that could not be had, or has ended. One that has not
        answered for whatever reason is ended: nobody may take its answer for that to the next question."""
        try:
            process = await self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(question).encode() + b"\n")
            line = await process.stdout.readline()
            if not line.endswith(b"\n"):
                raise OSError("the process that asks it has ended")
            answer: dict[str, Any] = json.loads(line)
        except BaseException:
            self._kill()
            raise
        return answer

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        await self._buried()
        order = self._order()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "gateway.adapters.directory_child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=MAX_ANSWER_BYTES,
            env=_environment(self._settings.timeout.total_seconds()),
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return self._process

    def _order(self) -> dict[str, Any]:
        """What `directory_child.Order` has. The secret's file is read, and looked at, for each child.
        Raises OSError for one that must not be used."""
        settings, bind = self._settings, self._settings.bind
        user, realm, keytab, password = "", settings.realm, None, None
        try:
            if isinstance(bind, SaslBind):
                read_key_file(bind.keytab)
                keytab = bind.keytab
                user, _, named_realm = bind.principal.partition("@")
                realm = named_realm or realm
            else:
                user = bind.user
                password = read_key_file(bind.password_file).decode().rstrip("\r\n")
                if not 1 <= len(password) <= MAX_PASSWORD_CHARACTERS:
                    raise OSError(f"{bind.password_file}: holds no password")
        except KeyFileRefused as refused:
            raise OSError(str(refused)) from None
        except UnicodeDecodeError:
            raise OSError("the password of directory.bind is not UTF-8") from None
        return {
            "url": self.url,
            "base": settings.base,
            "ca_file": settings.ca_file,
            "user": user,
            "realm": realm,
            "keytab": keytab,
            "password": password,
            "seconds": settings.timeout.total_seconds(),
        }

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._killed = self._process
            self._process = None

    async def _buried(self) -> None:
        if self._killed is not None:
            await self._killed.wait()  # at once, after SIGKILL
            self._killed = None

    async def close(self) -> None:
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._buried()
                if self._process is not None:
                    assert self._process.stdin is not None
                    self._process.stdin.close()
                    await self._process.wait()
        except TimeoutError:
            self._kill()


def _environment(seconds: float) -> dict[str, str]:
    """By its environment alone libldap is told these (ldap.conf(5))."""
    return {
        **os.environ,
        # The name in the URL is the one that the server has to prove: no name server is asked for another.
        "LDAPSASL_NOCANON": "on",
        # Domain controllers can insist on it (LdapEnforceChannelBinding).
        "LDAPSASL_CBINDING": "tls-endpoint",
        "LDAPTLS_REQCERT": "demand",
        "LDAPREFERRALS": "off",
        "LDAPNETWORK_TIMEOUT": str(max(1, round(seconds))),
        "KRB5CCNAME": "MEMORY:directory",
    }


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _account(answer: dict[str, Any]) -> DirectoryAccount:
    expires = answer["expires"]
    return DirectoryAccount(
        **{
            **answer,
            "expires": None if expires is None else datetime.fromisoformat(expires),
            "groups": frozenset(answer["groups"]),
        }
    )
