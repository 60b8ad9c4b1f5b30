"""The child process of `gateway.adapters.directory`: asks one server of a directory by LDAP.

    input     a line of JSON, the `Order`; then a line for each question, {"name": …, "sid": …} or {}, which
              asks whether the server answers at all
    output    a line for each: {"account": {…}}, {"account": null} or {"failed": "why"}

The LDAP library connects, shakes hands and fetches Kerberos tickets with the interpreter's lock held, for as
long as the network lets it wait. Here nobody else waits; and who waits too long ends this process.

The connection is kept. One that has meanwhile ended is made anew, once in a question.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Final

import bonsai

from gateway.enrollment.directory_entries import (
    ACCOUNT_ATTRIBUTES,
    COMPUTED_ATTRIBUTES,
    GROUP_ATTRIBUTES,
    Attributes,
    EntryInvalid,
    Group,
    account_filter,
    groups_filter,
    read_account,
    read_group,
    token_groups,
)

# Signing alone has a strength of 1 (RFC 4752, Cyrus SASL): what is asked and answered is not for everybody.
_SEALED: Final = 56
_GROUPS_IN_A_SEARCH: Final = 100
_GROUP_SECONDS: Final = 300.0
_MAX_GROUPS: Final = 50_000
_MAX_BYTES: Final = 1024 * 1024 * 1024
_MAX_FAILURE_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """Either ``keytab`` or ``password`` is there. ``user``: with a keytab, a principal."""

    url: str
    base: str
    ca_file: str | None
    user: str
    realm: str
    keytab: str | None
    password: str | None
    seconds: float  # that a search may take


class Server:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._connection: Any = None
        self._groups: dict[str, tuple[Group | None, float]] = {}

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        is_kept = self._connection is not None
        try:
            try:
                return self._asked(question)
            except (bonsai.ConnectionError, bonsai.ClosedConnection):
                if not is_kept:
                    raise
                self._close()
                return self._asked(question)
        except EntryInvalid as invalid:
            return {"failed": str(invalid)}
        except (bonsai.LDAPError, OSError, ValueError) as error:
            self._close()
            return {"failed": f"{type(error).__name__}: {error}"[:_MAX_FAILURE_CHARACTERS]}

    def _asked(self, question: Mapping[str, Any]) -> dict[str, Any]:
        if self._connection is None or not question:
            self._connect()
        if not question:
            return {"account": None}
        return {"account": self._account(question["name"], question["sid"])}

    def _connect(self) -> None:
        if self._connection is None:
            self._connection = self._client().connect(timeout=self._order.seconds)
        # Below a base that is not there, every account would be one that was deleted.
        scope = bonsai.LDAPSearchScope.BASE
        if not self._search(self._order.base, scope, "(objectClass=*)", ("objectClass",)):
            self._close()
            raise EntryInvalid(f"the base {self._order.base} is not there, or not to be read")

    def _account(self, name: str, sid: str | None) -> dict[str, Any] | None:
        found = self._search(
            self._order.base,
            bonsai.LDAPSearchScope.SUB,
            account_filter(name, sid),
            ACCOUNT_ATTRIBUTES,
        )
        if not found:
            return None
        if len(found) > 1:
            raise EntryInvalid("there are several such accounts")
        ((distinguished_name, entry),) = found.items()
        read = self._search(
            distinguished_name, bonsai.LDAPSearchScope.BASE, "(objectClass=user)", COMPUTED_ATTRIBUTES
        )
        if not read:
            return None  # deleted in between
        ((_, computed),) = read.items()
        groups = self._groups_with(token_groups(computed))
        account = read_account(distinguished_name, entry, computed, groups)
        return {
            **asdict(account),
            "expires": None if account.expires is None else account.expires.isoformat(),
            "groups": sorted(account.groups),
        }

    def _groups_with(self, sids: tuple[str, ...]) -> list[Group]:
        """Those of them that are below the base. What groups are called is remembered for a while."""
        now = time.monotonic()
        if len(self._groups) > _MAX_GROUPS:
            self._groups.clear()
        unknown = [sid for sid in sids if sid not in self._groups or self._groups[sid][1] < now]
        for at in range(0, len(unknown), _GROUPS_IN_A_SEARCH):
            asked = unknown[at : at + _GROUPS_IN_A_SEARCH]
            found = self._search(
                self._order.base, bonsai.LDAPSearchScope.SUB, groups_filter(asked), GROUP_ATTRIBUTES
            )
            groups = {group.sid: group for group in (read_group(*each) for each in found.items())}
            self._groups.update((sid, (groups.get(sid), now + _GROUP_SECONDS)) for sid in asked)
        return [group for group, _ in map(self._groups.__getitem__, sids) if group is not None]

    def _search(
        self, base: str, scope: int, expression: str, attributes: tuple[str, ...]
    ) -> dict[str, Attributes]:
        entries = self._connection.search(
            base, scope, expression, list(attributes), timeout=self._order.seconds
        )
        return {
            str(entry.dn): {
                name.lower(): values for name in entry if name != "dn" and (values := list(entry[name]))
            }
            for entry in entries
            if isinstance(entry, bonsai.LDAPEntry)
        }

    def _client(self) -> bonsai.LDAPClient:
        order = self._order
        is_tls = order.url.startswith("ldaps:")
        client = bonsai.LDAPClient(order.url, tls=order.password is not None and not is_tls)
        client.set_cert_policy("demand")
        if order.ca_file is not None:
            client.set_ca_cert(order.ca_file)
        client.set_ignore_referrals(True)
        client.set_server_chase_referrals(False)
        client.set_raw_attributes([*{*ACCOUNT_ATTRIBUTES, *COMPUTED_ATTRIBUTES, *GROUP_ATTRIBUTES}])
        if order.password is not None:
            client.set_credentials("SIMPLE", user=order.user, password=order.password)
        else:
            client.set_credentials("GSSAPI", user=order.user, realm=order.realm, keytab=order.keytab)
            # Within TLS, Active Directory takes no second sealing.
            client.set_sasl_security_properties(
                no_anonymous=True,
                no_plain=True,
                min_ssf=None if is_tls else _SEALED,
                max_ssf=0 if is_tls else None,
            )
        return client

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _main(given: BinaryIO, output: BinaryIO) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would have the password in it
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_BYTES, _MAX_BYTES))
    server = Server(Order(**json.loads(given.readline())))
    while line := given.readline():
        output.write(json.dumps(server.answer(json.loads(line))).encode() + b"\n")
        output.flush()


if __name__ == "__main__":
    _main(sys.stdin.buffer, sys.stdout.buffer)
